"""What strangers may send: a list of attacks that every TCP service gets, whatever it is.

An attack is given a way to connect and the bytes of a session that the service would take. It may
do with them as it likes; it returns when it has done its worst, and leaves its connections open.
"""

import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Final

import trio
from service_clients import trusting

import pystack
from pystack.apps.ending import abort
from pystack.apps.tls import tls_client
from pystack.runtime.network_link import NetworkLink

CROWD: Final = 1000
CROWD_IN_TLS: Final = 100  # of as many handshakes, each of which takes milliseconds
ENORMOUS_BYTES: Final = 3 << 20
MAX_READ_BYTES: Final = 30_000  # of an answer; then nobody reads on
PREFIXES: Final = 40  # of a session, evenly spread over it
GONE: Final = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)

QUERY: Final = b"\1\2\1\0\0\1\0\0\0\0\0\0\3www\7example\4test\0\0\1\0\1"
_COOKIE: Final = b"abcdefghijklmnopqrstuvwxyz2345678901\0"
_PARAMETERS: Final = b'{"tcp":true,"time":1,"parallel":1,"len":1000,"client_version":"3.12"}'
_HTTP: Final = (
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    b"GET /ws/echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    b"\x81\x85\1\2\3\4\x69\x67\x6f\x68\x6e\x88\x82\1\2\3\4\2\xea"
)
_SMTP: Final = (
    b"EHLO client\r\nMAIL FROM:<a@example.test>\r\nRCPT TO:<b@example.test>\r\nDATA\r\n"
    b"Subject: hello\r\n\r\n..text\r\n.\r\nRSET\r\nVRFY b\r\nSTARTTLS\r\nQUIT\r\n"
)
_FTP: Final = (
    b"USER anonymous\r\nPASS me@\r\nTYPE I\r\nEPSV\r\nLIST\r\nPORT 10,0,0,9,0,22\r\n"
    b"RETR file\r\nREST 5\r\nSTOR new\r\nRNFR file\r\nAUTH TLS\r\nABOR\r\nQUIT\r\n"
)


def client_hello() -> bytes:
    """Return how TLS begins."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = trusting("h2", "http/1.1")
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="server").do_handshake()
    return outgoing.read()


# What a service takes, by its name. Each is sent to all the others too.
SESSIONS: Final[dict[str, bytes]] = {
    "asgi": _HTTP,
    "chargen": b"",
    "daytime": b"",
    "discard": b"thrown away",
    "dns": len(QUERY).to_bytes(2, "big") + QUERY + b"\0\0" + b"\0\x0c" + QUERY[:12],
    "echo": b"hello\r\n",
    "ftp": _FTP,
    "http": _HTTP,
    "https": client_hello(),
    "iperf3": _COOKIE + len(_PARAMETERS).to_bytes(4, "big") + _PARAMETERS,
    "smtp": _SMTP,
    "time": b"",
}
HTTP2: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0" + b"\0\0\1\6\0\0\0\0\0x"
WITH_TLS: Final = frozenset({"https"})  # what they hear is also tried inside


@dataclass(slots=True)
class Target:
    """The service, as a stranger sees it."""

    attacker: pystack.Host
    address: str
    port: int
    session: bytes
    rng: Random
    nursery: trio.Nursery  # where connections stay
    link: NetworkLink  # of the attacker
    inside_tls: bool = False
    kept: list[trio.abc.HalfCloseableStream] = field(default_factory=list)

    @property
    def crowd(self) -> int:
        """Return how many a crowd is."""
        return CROWD_IN_TLS if self.inside_tls else CROWD

    async def connect(self) -> trio.abc.HalfCloseableStream | None:
        """Open a connection, None: nobody is let in; it is never closed unless the attack does."""
        try:
            stream = await self.attacker.open_tcp_stream(self.address, self.port)
        except GONE:
            return None
        self.kept.append(stream)
        if not self.inside_tls:
            return stream
        with suppress(*GONE, pystack.PystackError):
            tls = await tls_client(stream, trusting(), "server")
            self.kept.append(tls)
            return tls
        return None

    async def say(
        self, data: bytes, *, reads: bool = True, most_bytes: int = MAX_READ_BYTES
    ) -> trio.abc.HalfCloseableStream | None:
        """Send it on a connection of its own, whose answers are read, or never."""
        stream = await self.connect()
        if stream is None:
            return None
        if reads:
            self.nursery.start_soon(read_on, stream, most_bytes)
        with trio.move_on_after(30), suppress(*GONE):
            await stream.send_all(data)
        return stream


Attack = Callable[[Target], Awaitable[None]]


async def read_on(stream: trio.abc.HalfCloseableStream, most_bytes: int) -> None:
    """Read what comes, to the end; but not for ever, as some could send."""
    left = most_bytes
    with suppress(*GONE):
        while left > 0 and (data := await stream.receive_some(65536)):
            left -= len(data)


def prefixes(session: bytes) -> Iterator[bytes]:
    """Return the beginnings of a session; all of them, or some of a long one."""
    step = max(1, len(session) // PREFIXES)
    return (session[:size] for size in {*range(0, len(session), step), len(session)})


async def all_at_once(target: Target, *texts: bytes) -> None:
    """Send each on a connection of its own, and then the end of data."""

    async def send(text: bytes) -> None:
        stream = await target.say(text)
        if stream is not None:
            with trio.move_on_after(30), suppress(*GONE):
                await stream.send_eof()

    async with trio.open_nursery() as nursery:
        for text in texts:
            nursery.start_soon(send, text)


async def random_bytes(target: Target) -> None:
    rng = target.rng
    await all_at_once(target, *(rng.randbytes(rng.choice([1, 7, 100, 3000])) for _ in range(40)))


async def zeros(target: Target) -> None:
    await all_at_once(target, b"\0", bytes(10_000), target.session.replace(b" ", b"\0"))


async def one_enormous_line(target: Target) -> None:
    """Neither a line nor a record ever ends."""
    await all_at_once(target, *(byte * ENORMOUS_BYTES for byte in (b"A", b"\xff", b"0")))


async def an_enormous_word_in_a_session(target: Target) -> None:
    at = target.session.find(b"\r\n") if b"\r\n" in target.session else len(target.session) // 2
    await target.say(target.session[:at] + b"B" * ENORMOUS_BYTES + target.session[at:])


async def other_ends_of_lines(target: Target) -> None:
    """Bare CR, bare LF, both the other way round, doubled, and none."""
    ends = (b"\r", b"\n", b"\n\r", b"\r\r\n", b"\r\n\r\n", b"\r\n.\r\n", b"")
    await all_at_once(target, *(target.session.replace(b"\r\n", end) for end in ends))


async def what_is_for_others(target: Target) -> None:
    """TLS to a clear port, HTTP to what is none, and so on."""
    await all_at_once(target, *SESSIONS.values(), HTTP2)


async def nonsense_in_a_pipeline(target: Target) -> None:
    """All that may be said, shuffled, in one go."""
    words = target.session.split(b"\r\n") * 20
    for _ in range(5):
        target.rng.shuffle(words)
        await target.say(b"\r\n".join(words))


async def damaged_sessions(target: Target) -> None:
    texts = []
    for _ in range(40):
        text = bytearray(target.session or b"x")
        for _ in range(target.rng.randrange(1, 4)):
            text[target.rng.randrange(len(text))] = target.rng.randrange(256)
        texts.append(bytes(text))
    await all_at_once(target, *texts)


async def an_end_anywhere(target: Target) -> None:
    await all_at_once(target, *prefixes(target.session))


async def a_reset_anywhere(target: Target) -> None:
    for text in prefixes(target.session):
        stream = await target.connect()
        if stream is not None:
            with suppress(*GONE), trio.move_on_after(10):
                await stream.send_all(text)
            await trio.sleep(target.rng.choice([0, 0.005, 0.1]))
            abort(stream)


async def silence_anywhere(target: Target) -> None:
    """A peer that has begun, and then says nothing any more, but does not go."""
    for text in prefixes(target.session):
        await target.say(text)


async def a_peer_that_has_vanished(target: Target) -> None:
    """The same, but the peer is not there any more: it answers nothing."""
    for text in prefixes(target.session):
        await target.say(text)
    target.link.down()


async def a_byte_at_a_time(target: Target) -> None:
    stream = await target.say(b"")
    with suppress(*GONE):
        for number in range(min(len(target.session), 600)):
            assert stream is not None
            await stream.send_all(target.session[number : number + 1])
            await trio.sleep(1.0)


async def a_peer_that_never_reads(target: Target) -> None:
    """It asks and asks, and takes no answer."""
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(_ask_only, target)


async def _ask_only(target: Target) -> None:
    stream = await target.say(target.session, reads=False)
    if stream is not None and target.session:
        with suppress(*GONE), trio.move_on_after(300):
            for _ in range(2000):
                await stream.send_all(target.session)


async def a_crowd(target: Target) -> None:
    """A thousand connections: on half of them nothing comes, on half the beginning of a session."""
    half = target.session[: len(target.session) // 2]
    async with trio.open_nursery() as nursery:
        for number in range(target.crowd):
            nursery.start_soon(partial(target.say, most_bytes=3_000), half if number % 2 else b"")


ATTACKS: Final[tuple[Attack, ...]] = (
    random_bytes,
    zeros,
    one_enormous_line,
    an_enormous_word_in_a_session,
    other_ends_of_lines,
    what_is_for_others,
    nonsense_in_a_pipeline,
    damaged_sessions,
    an_end_anywhere,
    a_reset_anywhere,
    silence_anywhere,
    a_peer_that_has_vanished,
    a_byte_at_a_time,
    a_peer_that_never_reads,
    a_crowd,
)


# By UDP: what a service takes, by its name
_READ: Final = b"\0\1file\0octet\0"
DATAGRAMS: Final[dict[str, tuple[bytes, ...]]] = {
    "chargen": (b"x",),
    "daytime": (b"",),
    "discard": (b"x",),
    "dns": (QUERY, QUERY.replace(b"\0\1\0\1", b"\0\xff\0\1")),
    "echo": (b"hello",),
    "iperf3": (b"6789", b"9876", bytes(16)),
    "tftp": (
        _READ,
        _READ + b"blksize\x001400\0windowsize\x0032\0tsize\x000\0timeout\x0030\0",
        b"\0\2new\0netascii\0tsize\x009999999999999\0",
        b"\0\3\0\1data",
        b"\0\4\0\0",
        b"\0\5\0\0no\0",
        b"\0\6blksize\x008\0",
    ),
    "time": (b"",),
}


def datagrams(name: str, rng: Random) -> Iterator[bytes]:
    """Return what is sent to a service: its own, cut off, damaged, of others, random, and huge."""
    own = DATAGRAMS[name]
    for text in own:
        yield from (text[:size] for size in range(len(text) + 1))
        for _ in range(100):
            damaged = bytearray(text or b"x")
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            yield bytes(damaged)
        yield text + bytes(2000)
    for texts in DATAGRAMS.values():
        yield from texts
    for size in (0, 1, 2, 3, 4, 11, 12, 13, 100, 512, 1472, 1473, 9000, 65507):
        for _ in range(3):
            yield rng.randbytes(size)
            yield bytes(size)
