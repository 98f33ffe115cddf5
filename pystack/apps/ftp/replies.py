"""What goes over the control connection: replies (RFC 959 section 4.2), and Telnet inside lines."""

import errno
from collections.abc import Sequence
from typing import Final

from pystack.apps.troubles import PeerError

_IAC: Final = 255  # RFC 854
_SE: Final = 240
_WILL: Final = 251
_WONT: Final = 252
_DO: Final = 253
_DONT: Final = 254
_REFUSALS: Final = {_WILL: _DONT, _WONT: None, _DO: _WONT, _DONT: None}
_BREAKS: Final = str.maketrans({"\r": "?", "\n": "?", "\0": "?"})

# Trouble with files that is not simply "not available".
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.EBUSY})
_NO_NAME: Final = frozenset({errno.ENAMETOOLONG, errno.EISDIR, errno.EINVAL})


class RefusedError(PeerError):
    """A command that is answered with a code of 4xx or 5xx."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text


def reply(code: int, *lines: str) -> bytes:
    """Return a reply of one line or several; a lone surrogate stands for a byte of a name."""
    first, *rest = (line.translate(_BREAKS) for line in lines)
    if not rest:
        return _encoded(f"{code} {first}\r\n")
    # A space in front, so that none is taken for the last one.
    middle = "".join(f" {line}\r\n" for line in rest[:-1])
    return _encoded(f"{code}-{first}\r\n{middle}{code} {rest[-1]}\r\n")


def doubled(data: bytes) -> bytes:
    """Return it as Telnet has it: IAC twice (RFC 2640 section 3.1)."""
    return data.replace(b"\xff", b"\xff\xff")


def shown(name: bytes) -> str:
    """Return a name as `reply` takes it."""
    return name.decode("utf-8", "surrogateescape")


def quoted(segments: Sequence[bytes]) -> str:
    """Return a path as 257 has it: a quote in it stands twice."""
    path = shown(b"/" + b"/".join(segments)).replace('"', '""')
    return f'"{path}"'


def without_telnet(line: bytes) -> tuple[bytes, bytes]:
    """Return a line without Telnet's commands in it, and what those are answered with.

    No option is agreed to (RFC 1123 section 4.1.2.12). IAC that begins no command stands for
    itself: not every client sends it twice in a name.
    """
    if _IAC not in line:
        return line, b""
    text, answer = bytearray(), bytearray()
    at = 0
    while at < len(line):
        byte = line[at]
        following = line[at + 1] if at + 1 < len(line) else 0
        if byte != _IAC or following < _SE:
            text.append(byte)
            at += 1
        elif following == _IAC:
            text.append(_IAC)
            at += 2
        elif following in _REFUSALS:
            refusal = _REFUSALS[following]
            if refusal is not None and at + 2 < len(line):
                answer += bytes((_IAC, refusal, line[at + 2]))
            at += 3
        else:
            at += 2
    return bytes(text), bytes(answer)


def refusal_of(error: OSError, *, is_new: bool = False) -> RefusedError:
    """Return how trouble with a file is told. `is_new`: its name was to be made."""
    words = error.strerror or "trouble with the file"
    number = error.errno
    if number in _FULL:
        return RefusedError(452, words)
    if number in _EXHAUSTED:
        return RefusedError(450, words)
    if is_new and (number in _NO_NAME or number == errno.EACCES):
        return RefusedError(553, words)
    return RefusedError(550, words)


def _encoded(text: str) -> bytes:
    return doubled(text.encode("utf-8", "surrogateescape"))
