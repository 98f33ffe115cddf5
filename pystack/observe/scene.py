"""Scene: what an observer may know of where it looks on; and captures, which need most of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypedDict

from pystack.core.errors import ConfigError
from pystack.core.ranges import Range
from pystack.core.units import parse_size_bytes
from pystack.observe.captures.output import ANYBODYS, OWNERS_ALONE, open_capture

if TYPE_CHECKING:
    from pystack.core.scheduler import Scheduler
    from pystack.observe.captures.capture import Capture, InterfaceAt, Transit
    from pystack.observe.captures.pcap import RecordFile

# The least that a ring of files can be: each of them takes some of the largest frames.
LEAST_RING_BYTES: Final = 1 << 20


def open_at_once(path: str, ring_bytes: int | None = None, *, mode: int = ANYBODYS) -> RecordFile:
    """Open what is written while nothing else goes on. Raises OutputError."""
    if ring_bytes is None:
        return open_capture(path, mode=mode)
    from pystack.observe.captures.ring import RingFile  # only where somebody asks for one

    return RingFile(f"the capture {path}", path, ring_bytes, mode=mode)


class OpenFile(Protocol):
    """Opens what a capture is written to."""

    def __call__(
        self, path: str, ring_bytes: int | None = None, *, mode: int = ANYBODYS
    ) -> RecordFile:
        """`ring_bytes`: the last of so many, in a few files; None: all, in one. OutputError."""
        ...


class CaptureWords(TypedDict, total=False):
    """What captures of all kinds may be told."""

    ring: str | int | None  # the last of so many bytes ("64mb"), in a few files; None: all, in one
    secrets: bool  # with what decrypts the TLS of our services and clients
    snaplen: int | None  # the most bytes that are kept of a frame, 64 or more; None: all of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What an observer may know of where it looks on."""

    say: Callable[[str], object] = print  # takes a line that people are to see
    began_at: float = 0.0  # when the world began, in its own time
    wall_clock_offset_s: float = 0.0  # what to add to the world's time for seconds since 1970
    has_hosts: bool = True  # there are several: what is said should tell whose it is
    open_file: OpenFile = open_at_once
    names: Callable[[], Mapping[str, str]] = dict  # of the hosts by their addresses, as of now
    order: Callable[[], Sequence[str]] = tuple  # nodes from left to right; none: as they are seen
    # For captures
    describe: Callable[[str], str] = lambda place: ""  # a link or an interface, in words
    interface_at: InterfaceAt = lambda place, host: None  # a host's at a link; None: it has none
    transit: Transit | None = None  # what nodes only pass on; None: nobody passes anything on
    scheduler: Scheduler | None = None  # of a world in real time
    secrets: Callable[[], Callable[[], bytes]] | None = None  # begins to collect those of TLS


def make_capture(
    scene: Scene,
    path: str,
    *,
    host: str | None = None,
    interface: str | None = None,
    links: bool = False,
    ring: str | int | None = None,
    secrets: bool = False,
    snaplen: int | None = None,
) -> Capture:
    """Open a file and return what writes to it: pcapng, or by its name classic pcap.

    `host`, `interface`: what these see; `links`: each frame on each link, not each packet once;
    `ring`: the last of so many bytes, in files of which each can be read by itself; `secrets`: what
    decrypts TLS, too; `snaplen`: the most bytes of a frame. Raises ConfigError, OutputError.
    """
    from pystack.observe.captures.capture import SECRETS_LINGER_S, Capture
    from pystack.observe.captures.pcap import (
        LEAST_SNAPLEN_BYTES,
        SNAPLEN_BYTES,
        CaptureWriter,
        PcapngWriter,
        PcapWriter,
        is_classic,
    )

    snaplen_bytes = SNAPLEN_BYTES if snaplen is None else snaplen
    Range(LEAST_SNAPLEN_BYTES, SNAPLEN_BYTES, whole=True).check("snaplen", snaplen_bytes)
    classic = is_classic(path)
    if secrets and classic:
        raise ConfigError(f"{path}: classic pcap has no place for secrets: name it .pcapng")
    if secrets and scene.secrets is None:
        raise ConfigError("there is no TLS of ours here whose secrets could be captured")
    most = None if ring is None else ring_bytes(ring)
    # Whoever has the secrets can read all of it.
    file = scene.open_file(path, most, mode=OWNERS_ALONE if secrets else ANYBODYS)
    offset_s = scene.wall_clock_offset_s
    writer: CaptureWriter
    if classic:
        writer = PcapWriter(file, offset_s, snaplen_bytes=snaplen_bytes)
    else:
        collect = scene.secrets() if secrets and scene.secrets is not None else bytes
        writer = PcapngWriter(
            file,
            offset_s,
            names=scene.names,
            describe=scene.describe,
            secrets=collect,
            snaplen_bytes=snaplen_bytes,
        )
    return Capture(
        writer,
        host=host,
        interface=interface,
        interface_at=scene.interface_at,
        transit=None if links or host or interface else scene.transit,
        scheduler=scene.scheduler,
        linger_s=SECRETS_LINGER_S if secrets and scene.scheduler is not None else 0.0,
    )


def ring_bytes(value: str | int) -> int:
    """Return the size of a ring of files, "64mb" or bytes. Raises ConfigError."""
    size = parse_size_bytes(value) if isinstance(value, str) else value
    if isinstance(size, bool) or not isinstance(size, int) or size < LEAST_RING_BYTES:
        raise ConfigError(f"a ring of {value!r} is not possible: a size from 1mb on, such as 64mb")
    return size
