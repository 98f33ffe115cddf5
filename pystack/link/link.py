"""Link: ports joined in memory. Two of them make a cable; more make a hub, which repeats to all."""

from pystack.core.errors import ConfigError
from pystack.core.scheduler import Scheduler
from pystack.link.pipe import Pipe
from pystack.link.port import FrameSink
from pystack.wire.frame import Frame


class LinkPort:
    """One end of a link."""

    gso_max_bytes = 0
    fills_checksums = False

    __slots__ = ("_sink", "closed", "mtu_bytes", "pipes")

    def __init__(self, mtu_bytes: int) -> None:
        self.mtu_bytes = mtu_bytes
        self.pipes: list[Pipe] = []  # to each of the other ends
        self.closed = False
        self._sink: FrameSink | None = None  # None: nobody is plugged in (yet)

    def attach(self, sink: FrameSink) -> None:
        """Give what arrives to `sink`."""
        self._sink = sink

    def send(self, frame: Frame, now: float) -> None:
        """Put a frame on the link."""
        if not self.closed:
            for pipe in self.pipes:
                pipe.send(frame, now)

    def deliver(self, frame: Frame, now: float) -> None:
        """Take a frame off the link."""
        if self._sink is not None and not self.closed:
            self._sink(frame, now)

    def close(self) -> None:
        """Unplug."""
        self.closed = True


class Link:
    """Joins ports; every frame reaches all the others after `delay_s` seconds."""

    __slots__ = ("ports",)

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        delay_s: float = 0.0,
        mtu_bytes: int = 1500,
        ports: int = 2,
    ) -> None:
        if ports < 2:
            raise ConfigError(f"a link joins two ports or more, not {ports}")
        self.ports = [LinkPort(mtu_bytes) for _ in range(ports)]
        for port in self.ports:
            port.pipes.extend(
                Pipe(scheduler, other.deliver, delay_s) for other in self.ports if other is not port
            )
