"""A port around a port: the base of whatever watches, spoils or shapes frames on their way."""

from pystack.core.errors import WireError
from pystack.link.link import Link
from pystack.link.port import FrameSink, Port
from pystack.wire.frame import Frame, completed


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


class ShapedPort:
    """Any port behind a link that behaves badly: a TAP device with a delay of 50 ms, say.

    Whoever is plugged in is at the link's end `a`: what it sends goes through `a_to_b` and then
    into the inner port, what the inner port brings comes through `b_to_a`.
    """

    gso_max_bytes = 0
    fills_checksums = True  # as a link; they are put in place before the inner port, if it needs it

    def __init__(self, inner: Port, link: Link) -> None:
        self.inner = inner
        self.link = link
        self.mtu_bytes = min(inner.mtu_bytes, link.mtu_bytes)
        inner.attach(link.b.send)
        link.b.attach(inner.send if inner.fills_checksums else self._send_completed)

    def attach(self, sink: FrameSink) -> None:
        """Give what arrives to `sink`."""
        self.link.a.attach(sink)

    def send(self, frame: Frame, now: float) -> None:
        """Put a frame on the link, towards the inner port."""
        self.link.a.send(frame, now)

    def close(self) -> None:
        """Unplug the link, and close what is behind it."""
        self.link.close()
        self.inner.close()

    def _send_completed(self, frame: Frame, now: float) -> None:
        try:
            whole = completed(frame)
        except WireError as error:
            self.link.own_counters.add(error.reason)  # nothing that has a checksum to fill in
            return
        self.inner.send(whole, now)
