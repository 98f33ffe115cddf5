"""How many datagrams a service answers before others run."""

from collections.abc import Sequence
from types import SimpleNamespace

import pytest
import trio

from pystack.apps.answering import Answering
from pystack.apps.base import Service
from pystack.apps.simple import Echo
from pystack.core.counters import Counters

PEER = ("10.0.0.1", 40000)


class FullSocket:
    """A socket at which datagrams wait; when there are no more, it is closed."""

    def __init__(self, count: int) -> None:
        self.waiting = [bytes((number,)) for number in range(count)]

    async def receive_from(self) -> tuple[bytes, tuple[str, int]]:
        await trio.lowlevel.checkpoint()
        if not self.waiting:
            raise trio.ClosedResourceError
        return self.waiting.pop(0), PEER

    def receive_from_nowait(self) -> tuple[bytes, tuple[str, int]] | None:
        return (self.waiting.pop(0), PEER) if self.waiting else None

    def send_to_nowait(self, data: bytes, address: tuple[str, int]) -> None: ...

    def send_many_to_nowait(self, datagrams: Sequence[bytes], address: tuple[str, int]) -> None: ...

    async def aclose(self) -> None: ...


class Slow(Service):
    """Says that it needs long for each."""

    name = "slow"
    udp_port = 53
    datagrams_in_a_row = 4

    def __init__(self, socket: FullSocket) -> None:
        self.socket = socket
        self.rows: list[int] = []  # how many there were when others had run

    def answer_udp(self, payload: bytes, peer: tuple[str, int], now: float) -> bytes | None:
        self.rows.append(len(self.socket.waiting))
        return None


@pytest.mark.parametrize(("slow", "rows"), [(True, [16, 12, 8, 4, 0]), (False, [0])])
def test_others_run_after_as_many_as_a_service_says(slow: bool, rows: list[int]) -> None:
    async def main() -> None:
        socket = FullSocket(20)
        host = SimpleNamespace(counters=Counters(), interfaces=[])
        service = Slow(socket) if slow else Echo()
        answering = Answering(host, service, socket, 53)
        seen: list[int] = []
        receive_from = socket.receive_from

        async def noting() -> tuple[bytes, tuple[str, int]]:
            if seen or len(socket.waiting) < 20:
                seen.append(len(socket.waiting))
            return await receive_from()

        socket.receive_from = noting  # type: ignore[method-assign]
        await answering.run()
        assert seen == rows

    trio.run(main)
