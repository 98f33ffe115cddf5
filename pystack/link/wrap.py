"""A port around a port: the base of whatever watches, spoils or shapes frames on their way."""

from pystack.link.port import FrameSink, Port
from pystack.wire.frame import Frame


class WrappedPort:
    """Passes everything on. Override `send` or `deliver` to do something with it."""

    gso_max_bytes = 0  # what a wrapper sees are ordinary frames, with their checksums in place
    fills_checksums = False

    def __init__(self, inner: Port) -> None:
        self.inner = inner
        self.mtu_bytes = inner.mtu_bytes
        self._sink: FrameSink | None = None  # None: nobody is plugged in (yet)
        inner.attach(self.deliver)

    def attach(self, sink: FrameSink) -> None:
        """Give what arrives to `sink`."""
        self._sink = sink

    def send(self, frame: Frame, now: float) -> None:
        """Take a frame on its way out."""
        self.inner.send(frame, now)

    def deliver(self, frame: Frame, now: float) -> None:
        """Take a frame on its way in."""
        if self._sink is not None:
            self._sink(frame, now)

    def close(self) -> None:
        """Close what is inside."""
        self.inner.close()
