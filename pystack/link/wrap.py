"""A port around a port: the base of whatever watches, spoils or holds up frames on their way."""

from pystack.link.port import Port, PortBase
from pystack.wire.frame import Frame


class WrappedPort(PortBase):
    """Passes everything on. Override `send` or `deliver` to do something with it.

    What a wrapper sees are ordinary frames, with their checksums in place, unless it says that it
    takes more (`gso_max_bytes`, `fills_checksums`).
    """

    def __init__(self, inner: Port) -> None:
        super().__init__(inner.mtu_bytes)
        self.inner = inner
        inner.attach(self.deliver)

    def send(self, frame: Frame, now: float) -> None:
        """Take a frame on its way out."""
        self.inner.send(frame, now)

    def deliver(self, frame: Frame, now: float) -> None:
        """Take a frame on its way in."""
        self.sink(frame, now)

    def close(self) -> None:
        """Close what is inside."""
        super().close()
        self.inner.close()
