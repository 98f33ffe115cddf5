"""TCP over links that carry super-frames: the same bytes, in other pieces."""

import pytest
import trio

import pystack
from pystack.events import FrameSeen
from pystack.observe.observer import Event
from pystack.topology.addressing import IpVersions
from pystack.wire.frame import Frame


class Sizes:
    """An observer that notes how large the texts of TCP are that a host sees."""

    def __init__(self) -> None:
        self.largest = 0
        self.whole = 0

    def on_event(self, event: Event) -> None:
        if isinstance(event, FrameSeen):
            self.largest = max(self.largest, len(event.frame))
            self.whole += bool(event.frame.gso_bytes)


@pytest.mark.parametrize("ip", ["4", "6"])
@pytest.mark.parametrize(
    ("words", "largest"),
    [
        ({"delay": "5ms"}, 1 << 17),
        ({"delay": "5ms", "loss": "1%"}, 1514),
        ({"delay": "5ms", "rate": "1gbit"}, 1514),
    ],
)
@pytest.mark.parametrize("observed", [False, True])
def test_what_is_sent_arrives(
    ip: IpVersions, words: dict[str, str], largest: int, observed: bool
) -> None:
    text = bytes(range(251)) * 20_000
    arrived = 0

    async def main() -> None:
        nonlocal arrived
        async with pystack.Network(seed=3, ip=ip) as net:
            a, b = net.host("a"), net.host("b")
            link = net.link(a, b, offload=True, **words)  # type: ignore[arg-type]
            seen = Sizes()
            if observed:
                b.observe(seen)
            else:
                sink = b.stack.interfaces[1].port
                deliver = link.a_to_b.sink

                def noting(frame: Frame, now: float) -> None:
                    seen.largest = max(seen.largest, len(frame))
                    deliver(frame, now)

                sink.attach(noting)  # type: ignore[arg-type]
            listeners = await b.open_tcp_listeners(80)
            stream = await a.open_tcp_stream("b", 80)
            server = await listeners[0].accept()
            async with trio.open_nursery() as nursery:

                async def send() -> None:
                    await stream.send_all(text[:100_000])
                    await stream.send_all(text[100_000:])
                    await stream.send_eof()

                nursery.start_soon(send)
                got = b"".join([data async for data in server])
            assert got == text
            if largest == 1514:
                assert seen.largest <= 1514
            elif observed or ip == "6":
                # No header has a number for more.
                assert 1514 < seen.largest <= 65_549
            else:
                assert seen.largest > 65_549
            arrived += 1

    pystack.run(main)
    assert arrived == 1
