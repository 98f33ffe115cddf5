"""Links that leave the machine: what is said of them. `pystack.runtime.vxlan` is what carries them.

    between = ["a", "udp://192.0.2.2:4789"]
    vni = 7
    key_file = "lab.key"

Nothing is resolved or opened here; a key's file is read.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypedDict, TypeGuard

from pystack.core.addresses import is_port, parse_ip
from pystack.core.errors import ConfigError
from pystack.link.words import NetemWords, as_words
from pystack.wire.vxlan import DEFAULT_VNI, MAX_VNI, PORT

SCHEME: Final = "udp://"
# Each is a socket, opened when a flow needs it.
MOST_SOURCE_PORTS: Final = 64
# A text that is shorter is found by trying
_MIN_KEY: Final = 8
_BRACKETED: Final = re.compile(r"\[([^\[\]]*)\](?::(.*))?")


class TunnelWords(TypedDict, total=False):
    """What there is to say of a link that leaves the machine, beside how it behaves."""

    vni: int
    listen: str
    key: str
    key_file: str | Path
    source_ports: int
    vlan_tags: bool


WORDS: Final = tuple(TunnelWords.__annotations__)


class LinkWords(NetemWords, TunnelWords, total=False):
    """What `Network.link` takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tunnel:
    """One link to another machine, as it was asked for."""

    remote: tuple[str, int]  # a name or an address, and a port
    listen: tuple[str, int]  # on which address of this machine ("": on all), and which port
    vni: int = DEFAULT_VNI
    key: str | None = field(default=None, repr=False)  # None: plain RFC 7348
    source_ports: int = 1  # how many ports flows leave from; 1: the one that listens
    vlan_tags: bool = False  # frames with one pass


def is_far(name: object) -> TypeGuard[str]:
    """Tell whether the end of a link is on another machine."""
    return isinstance(name, str) and name.startswith(SCHEME)


def read_tunnel(
    url: str,
    *,
    vni: object = DEFAULT_VNI,
    listen: object = None,
    key: object = None,
    key_file: object = None,
    source_ports: object = 1,
    vlan_tags: object = False,
) -> Tunnel:
    """Read "udp://host:port" and the words of a tunnel. Raises ConfigError."""
    if not is_far(url):
        raise ConfigError(f"{url!r} is no other machine: it is like udp://192.0.2.2:{PORT}")
    return Tunnel(
        remote=read_place(url.removeprefix(SCHEME)),
        listen=("", PORT) if listen is None else read_place(listen, anywhere=True),
        vni=read_vni(vni),
        key=read_key(key, key_file),
        source_ports=read_source_ports(source_ports),
        vlan_tags=read_vlan_tags(vlan_tags),
    )


def read_place(text: object, *, anywhere: bool = False) -> tuple[str, int]:
    """Read "host:port", "host", "[fd00::1]:port". Raises ConfigError.

    `anywhere`: "" and ":port" are right as well, and mean all addresses of this machine.
    """
    example = f"192.0.2.2:{PORT} or [2001:db8::2]:{PORT}"
    if not isinstance(text, str):
        raise ConfigError(f"an address and port is a text like {example}, not {text!r}")
    bracketed = _BRACKETED.fullmatch(text)
    port: str | None
    if bracketed:
        host, port = bracketed[1], bracketed[2]
        parse_ip(host.partition("%")[0])
    elif text.count(":") > 1:
        raise ConfigError(f"{text!r} is not {example}: an IPv6 address stands in brackets")
    else:
        host, colon, said = text.partition(":")
        port = said if colon else None
    spaced = any(character.isspace() or character in "/@?#[]" for character in host)
    if spaced or (not host and not anywhere):
        raise ConfigError(f"{text!r} is no address and port, like {example}")
    if port is not None and not is_port(port):
        raise ConfigError(f"{port!r} in {text!r} is no port: 1 to 65535")
    return host, PORT if port is None else int(port)


def read_vni(value: object) -> int:
    """Read the number of a network. Raises ConfigError."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_VNI:
        raise ConfigError(f"a vni is a whole number from 0 to {MAX_VNI} (24 bits), not {value!r}")
    return value


def read_source_ports(value: object) -> int:
    """Read how many ports flows leave from. Raises ConfigError."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if type(value) is not int or not 1 <= value <= MOST_SOURCE_PORTS:  # True is none
        raise ConfigError(f"source_ports is 1 to {MOST_SOURCE_PORTS}, not {value!r}")
    return value


def read_vlan_tags(value: object) -> bool:
    """Read whether frames with a VLAN tag pass. Raises ConfigError."""
    if isinstance(value, str):
        value = {"true": True, "false": False}.get(value, value)
    if not isinstance(value, bool):
        raise ConfigError(f"vlan_tags is true or false, not {value!r}")
    return value


def read_key(key: object, key_file: object) -> str | None:
    """Return the text of a key, of itself or of a file; None: there is none. ConfigError."""
    if key is not None and key_file is not None:
        raise ConfigError("a link has one key: key, or key_file")
    if key_file is not None:
        if not isinstance(key_file, str | Path):
            raise ConfigError(f"key_file is a path, not {key_file!r}")
        key = _text_of(Path(key_file))
    if key is None:
        return None
    if not isinstance(key, str):
        raise ConfigError("a key is a text")
    if len(key) < _MIN_KEY:
        where = "the key" if key_file is None else f"the key in {key_file}"
        raise ConfigError(
            f"{where} is shorter than {_MIN_KEY} characters, and found by trying; make one: "
            "head -c 32 /dev/urandom | base64"
        )
    return key


def _text_of(path: Path) -> str:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text("utf-8").strip()
    except FileNotFoundError:
        raise ConfigError(
            f"there is no key_file {path}; make it, and copy it to the other machine: "
            f"head -c 32 /dev/urandom | base64 > {path}; chmod 600 {path}"
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot read key_file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"key_file {path} is not text in UTF-8: encode it (base64)") from None
    if mode & 0o077:
        raise ConfigError(
            f"key_file {path} is not its owner's alone (mode {mode:04o}): chmod 600 {path}"
        )
    return text


def split_words(words: Mapping[str, object]) -> tuple[dict[str, object], dict[str, object]]:
    """Return the words of a tunnel, and the others."""
    own = {word: words[word] for word in words if word in WORDS}
    return own, {word: words[word] for word in words if word not in WORDS}


def netem_words(words: Mapping[str, object]) -> NetemWords:
    """Return the words of a link inside the machine. ConfigError: there are others."""
    own, netem = split_words(words)
    if own:
        raise not_leaving(next(iter(own)))
    return as_words(netem)


def not_leaving(word: str) -> ConfigError:
    """Return what is to be said of a tunnel's word on a link inside the machine."""
    return ConfigError(
        f"{word} belongs to a link that leaves the machine: one of its ends is like "
        f"udp://192.0.2.2:{PORT}"
    )
