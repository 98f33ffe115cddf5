"""Who is at the other end of a keyed tunnel, and which of its datagrams are new. Sans-IO.

Each end draws the number of its session when it starts. Frames have a tag, made with a key of its
own for each direction of each pair of sessions: so none is good in the other direction, at another
VNI, or after a restart of either end; and of those of one pair the sequence numbers say which have
come already.

The ends learn each other's session by HELLOs. One is believed only if it echoes a challenge of this
end that was never used, so that no recorded HELLO can take the place of what is there: a stranger
who repeats one gets an answer, a few times in a second, and changes nothing.

What is secret is the key alone. Everybody on the way can read the frames, hold them back or lose
them; and who has the key is taken for the other end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from hashlib import blake2b, scrypt
from hmac import compare_digest
from typing import TYPE_CHECKING, Final, Protocol

from pystack.core.errors import WireError
from pystack.runtime.vxlan.window import ReplayWindow
from pystack.wire import vxlan
from pystack.wire.vxlan import (
    CHALLENGE_BYTES,
    COUNTER_AT,
    DATA,
    HELLO,
    KEYED_BYTES,
    NO_ECHO,
    SESSION_BYTES,
    TAG_BYTES,
    UNKNOWN,
    Hello,
    Keyed,
)

if TYPE_CHECKING:
    from pystack.wire.checksum import Buffer

# HELLOs in answer to others: so many at once, and so many in a second
_MOST_ANSWERS: Final = 8.0
# Of ends that send from several ports nobody answers at most of them: no more than is needed
_MOST_ASKED: Final = 1.0
# Up to here the numbers of a run, which has 64 KiB at most, fit in their eight bytes
_LAST_OF_RUNS: Final = (1 << 64) - (1 << 16)


class _Mac(Protocol):
    """A tag that is being made (hashlib's, which has no public name)."""

    def copy(self) -> _Mac: ...

    def update(self, text: Buffer, /) -> None: ...

    def digest(self) -> bytes: ...


_SALT: Final = b"pystack vxlan 1"
# 16 MiB and 50 ms for each text that somebody tries
_SCRYPT: Final = {"n": 1 << 14, "r": 8, "p": 1, "dklen": 32}


def key_of(text: str) -> bytes:
    """Return the key that a text stands for, the same on each machine."""
    return scrypt(text.encode(), salt=_SALT, **_SCRYPT)


class Session:
    """One end of a keyed tunnel. It sends nothing: `hello` and `seal` return what is to be sent."""

    __slots__ = (
        "_asked",
        "_before_ours",
        "_before_theirs",
        "_challenge",
        "_counter",
        "_doubts",
        "_hello_mac",
        "_hellos",
        "_incoming",
        "_key",
        "_number",
        "_outgoing",
        "_peer",
        "_random",
        "_vni",
        "_window",
        "proofs",
    )

    def __init__(self, key: bytes, vni: int, random: Callable[[int], bytes] = os.urandom) -> None:
        """`key`: of 32 bytes, see `key_of`."""
        self._key, self._vni, self._random = key, vni, random
        self._number = random(SESSION_BYTES)
        # What is before the counter in all that has a frame
        self._before_ours = vxlan.pack_keyed(vni, DATA, self._number, 0)[:COUNTER_AT]
        self._before_theirs = b""
        self._challenge = random(CHALLENGE_BYTES)
        self._hello_mac = _mac(key, b"hello")
        self._peer = UNKNOWN  # the other's session, once it has proved it
        self._outgoing = self._incoming = self._hello_mac  # until then of no use
        self._counter = 0
        self._window = ReplayWindow()
        # Whoever has no key can use up the one, and with HELLOs that were recorded the other
        self._doubts, self._hellos = _Allowance(_MOST_ANSWERS), _Allowance(_MOST_ANSWERS)
        self._asked = _Allowance(_MOST_ASKED)
        self.proofs = 0  # how many HELLOs have proved that the other end is there at that moment

    @property
    def is_open(self) -> bool:
        """Tell whether the other end is known, and frames can be sent."""
        return self._peer != UNKNOWN

    def hello(self, echo: bytes = NO_ECHO, *, doubts: bool = False) -> bytes:
        """Return a datagram that tells the other end of this session.

        `doubts`: the other is to prove itself, though it is known.
        """
        head = vxlan.pack_keyed(self._vni, HELLO, self._number, 0)
        known = UNKNOWN if doubts else self._peer
        text = head + vxlan.pack_hello(Hello(self._challenge, echo, known))
        return text + _tag(self._hello_mac, text)

    def seal(self, frames: Sequence[Buffer]) -> list[Buffer]:
        """Return the parts of datagrams with a frame each, three of each (HOT).

        Only where it `is_open`.
        """
        copy, counter = self._outgoing.copy, self._counter
        before = self._before_ours
        parts: list[Buffer] = []
        for frame in frames:
            counter += 1
            head = before + counter.to_bytes(8, "big")
            mac = copy()
            mac.update(head)
            mac.update(frame)
            parts += (head, frame, mac.digest())
        self._counter = counter
        return parts

    def open_run(self, datagrams: bytes, start: int, each_bytes: int) -> int:
        """Return how many of several datagrams are good, from `start` on, where all is well (HOT).

        That is, up to one that is not the next one of the other's session, with a frame: that one
        is for `open`, which says what it is. `each_bytes`: of one, but for the last.
        """
        window, copy = self._window, self._incoming.copy
        if self._peer == UNKNOWN or window.top >= _LAST_OF_RUNS:
            return 0
        view, end = memoryview(datagrams), len(datagrams)
        before = self._before_theirs
        first = counter = window.top + 1
        for at in range(start, end, each_bytes):
            tag_at = min(at + each_bytes, end) - TAG_BYTES
            if datagrams[at : at + KEYED_BYTES] != before + counter.to_bytes(8, "big"):
                break
            if tag_at < at + KEYED_BYTES:
                break
            mac = copy()
            mac.update(view[at:tag_at])
            if not compare_digest(mac.digest(), datagrams[tag_at : tag_at + TAG_BYTES]):
                break
            counter += 1
        window.note_run(counter - first)
        return counter - first

    def open(
        self, datagram: memoryview, now: float, *, moved: bool = False
    ) -> tuple[memoryview | None, bytes | None]:
        """Return the frame of a datagram, and what is to be answered; None: nothing.

        `moved`: it came from elsewhere than where the other end is taken to be; a HELLO from there
        is asked for a proof, unless it is one. Raises WireError for what is not the other end's, or
        not new.
        """
        said = vxlan.parse_keyed(datagram)
        if said.session == self._number:
            raise WireError("vxlan_reflected")
        if said.kind == HELLO:
            return None, self._greeted(datagram, said, now, moved=moved)
        if said.kind != DATA:
            raise WireError("vxlan_bad_flags")
        if said.session != self._peer or self._peer == UNKNOWN:
            raise WireError("vxlan_unknown_session")
        if not self._window.is_new(said.counter):
            raise WireError("vxlan_replayed")
        _check(self._incoming, datagram)
        self._window.note(said.counter)
        return datagram[KEYED_BYTES:-TAG_BYTES], None

    def ask(self, now: float) -> bytes | None:
        """Return a HELLO for where frames of the other end come from, though it is not taken to be.

        If it is there, it proves it. None: that was asked a moment ago.
        """
        return self.hello(doubts=True) if self._asked.takes(now) else None

    def doubt(self, now: float) -> bytes | None:
        """Return a HELLO after a datagram of a session that is not the other's, or no more.

        None: there were enough. So two ends that have lost sight of each other meet again.
        """
        return self.hello() if self._doubts.takes(now) else None

    def _greeted(
        self, datagram: memoryview, said: Keyed, now: float, *, moved: bool
    ) -> bytes | None:
        """Learn of a HELLO, and return the answer, if it needs one."""
        _check(self._hello_mac, datagram)
        if said.session == UNKNOWN:
            raise WireError("vxlan_bad_hello")
        hello = vxlan.parse_hello(datagram[KEYED_BYTES:-TAG_BYTES])
        proved = compare_digest(hello.echo, self._challenge)
        if proved:
            self.proofs += 1
            # A challenge is good once: what was recorded cannot bring an old session back.
            self._challenge = self._random(CHALLENGE_BYTES)
            if said.session != self._peer:
                self._meet(said.session)
        if hello.known == self._number and said.session == self._peer and (proved or not moved):
            return None  # both know each other
        # A proof costs a challenge of ours: whoever has not the key cannot ask for more by it.
        if not proved and not self._hellos.takes(now):
            raise WireError("vxlan_hello_limited")
        return self.hello(hello.challenge, doubts=moved and not proved)

    def _meet(self, peer: bytes) -> None:
        self._peer = peer
        self._outgoing = _mac(self._key, b"data" + self._number + peer)
        self._incoming = _mac(self._key, b"data" + peer + self._number)
        self._counter, self._window = 0, ReplayWindow()
        self._before_theirs = vxlan.pack_keyed(self._vni, DATA, peer, 0)[:COUNTER_AT]


class _Allowance:
    """Of what others can cause: so many at once, and so many in a second."""

    __slots__ = ("_at", "_left", "_most")

    def __init__(self, most: float) -> None:
        self._most = self._left = most
        self._at = 0.0

    def takes(self, now: float) -> bool:
        """Take one; False: there were enough."""
        gained = max(now - self._at, 0.0) * self._most
        self._left = min(self._left + gained, self._most)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def _mac(key: bytes, purpose: bytes) -> _Mac:
    """Return the beginning of tags for a purpose, whose key nothing else is made with."""
    own = blake2b(purpose, key=key, digest_size=32).digest()
    return blake2b(key=own, digest_size=TAG_BYTES)


def _tag(mac: _Mac, text: Buffer) -> bytes:
    started = mac.copy()
    started.update(text)
    return started.digest()


def _check(mac: _Mac, datagram: memoryview) -> None:
    """Raise WireError for a datagram whose tag is not that of its text."""
    if not compare_digest(_tag(mac, datagram[:-TAG_BYTES]), datagram[-TAG_BYTES:]):
        raise WireError("vxlan_bad_tag")
