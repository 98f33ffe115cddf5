"""How connections end: who has not got the last words yet is given the time to."""

import pytest
import trio
import trio.testing

from pystack.apps.ending import DELIVERY_S, linger


class Deaf:
    """A stream whose peer says nothing, and acknowledges what it was sent after a while, or not."""

    def __init__(self, acknowledged_at: float) -> None:
        self._at = acknowledged_at
        self.ends = 0
        self.is_cut = False

    @property
    def unacknowledged_bytes(self) -> int:
        return 0 if trio.current_time() >= self._at else 14

    def abort(self) -> None:
        self.is_cut = True

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()

    async def send_eof(self) -> None:
        self.ends += 1

    async def receive_some(self, _max_bytes: int | None = None) -> bytes:
        await trio.sleep_forever()
        raise AssertionError


@pytest.mark.parametrize(
    ("acknowledged_at", "took_s"), [(0.0, 5.0), (4.0, 5.0), (12.0, 15.0), (1000.0, DELIVERY_S)]
)
@pytest.mark.trio
async def test_the_last_words_are_waited_for_as_long_as_they_may_be_under_way(
    acknowledged_at: float, took_s: float, autojump_clock: trio.testing.MockClock
) -> None:
    stream = Deaf(acknowledged_at)
    assert not await linger(stream, timeout_s=5.0, max_bytes=1000)  # type: ignore[arg-type]
    assert trio.current_time() == pytest.approx(took_s)
    assert stream.ends == 1
    assert stream.is_cut
