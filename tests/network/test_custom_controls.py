"""A congestion control of one's own, given as a class; and what becomes of one that is wrong."""

import math
import sys
from collections.abc import Callable

import pytest
import trio
from transfer_rig import PATTERN, transfer, until

import pystack
from pystack.core.errors import ConfigError
from pystack.plugins import AckSample, ControlDefaults, ControlError, LossSample, Opening


class Mine(ControlDefaults):
    """Twenty segments, and one more for each window."""

    name = "mine"
    go_wrong: Callable[["Mine"], object] | None = None

    def __init__(self, smss_bytes: int) -> None:
        self.smss_bytes, self.cwnd_bytes = smss_bytes, 20 * smss_bytes
        self.acks = 0

    def on_ack(self, sample: AckSample) -> None:
        self.acks += 1
        wrong = type(self).go_wrong
        if self.acks == 30 and wrong is not None:
            wrong(self)

    def on_loss(self, sample: LossSample) -> None:
        self.cwnd_bytes = max(self.cwnd_bytes // 2, self.smss_bytes)

    def on_rto(self, now: float, flight_size_bytes: int) -> None:
        self.cwnd_bytes = self.smss_bytes


def setting(name: str, value: object) -> Callable[[Mine], object]:
    return lambda control: setattr(control, name, value)


WRONG = {
    "raises": (lambda control: 1 // 0, "on_ack raised ZeroDivisionError: integer division"),
    "cwnd 0": (setting("cwnd_bytes", 0), "cwnd_bytes is 0: it is a number of bytes, from 1 on"),
    "cwnd negative": (setting("cwnd_bytes", -1448), "cwnd_bytes is -1448"),
    "cwnd NaN": (setting("cwnd_bytes", math.nan), "cwnd_bytes is nan"),
    "cwnd infinite": (setting("cwnd_bytes", math.inf), "cwnd_bytes is inf"),
    "cwnd None": (setting("cwnd_bytes", None), "cwnd_bytes is None"),
    "cwnd text": (setting("cwnd_bytes", "20"), "cwnd_bytes is '20'"),
    "cwnd gone": (lambda control: delattr(control, "cwnd_bytes"), "AttributeError"),
    "pacing 0": (setting("pacing_bps", 0), "pacing_bps is 0: it is a rate in bit/s above 0"),
    "pacing negative": (setting("pacing_bps", -5.0), "pacing_bps is -5.0"),
    "pacing NaN": (setting("pacing_bps", math.nan), "pacing_bps is nan"),
    "quantum 0": (setting("send_quantum_bytes", 0), "send_quantum_bytes is 0"),
}


@pytest.mark.parametrize(("wrong", "why"), WRONG.values(), ids=WRONG)
def test_a_fault_ends_its_own_connection_by_name_and_no_other(
    wrong: Callable[[Mine], object], why: str
) -> None:
    class Bad(Mine):
        name = "bad"
        pacing_bps: float | None = 8e6
        go_wrong = wrong

    async def main() -> None:
        async with transfer(limit=400) as rig:
            client = rig.client._host
            server = rig.server._host
            (listener,) = await server.open_tcp_listeners(10)
            bad = await client.open_tcp_stream("server", 10, congestion=Bad)
            rig.send(1 << 18, eof=True)
            rig.nursery.start_soon(read, await listener.accept())
            with pytest.raises(trio.BrokenResourceError) as caught:
                await bad.send_all(bytes(4 << 20))
            assert "congestion control bad: " in str(caught.value)
            assert why in str(caught.value)
            assert isinstance(caught.value.__cause__, ControlError)
            assert bad.info().state is pystack.TcpState.CLOSED
            assert client.counters["tcp_congestion_failed"] == 1
            with trio.fail_after(30):
                await rig.ended.wait()
            assert rig.got == PATTERN[: 1 << 18]

    pystack.run(main)


async def read(stream: pystack.TcpStream) -> None:
    try:
        async for _data in stream:
            pass
    except trio.BrokenResourceError:
        pass


@pytest.mark.parametrize(
    "method", ["on_established", "on_sent", "on_loss", "on_rto", "on_idle", "on_recovery_exit"]
)
def test_whatever_raises_hangs_nothing(method: str) -> None:
    def fail(*_told: object) -> None:
        raise KeyError("no such thing")

    wrong = type("Wrong", (Mine,), {"name": "wrong", method: fail})

    async def main() -> str:
        async with transfer(limit=8, congestion=wrong) as rig:
            rig.send(1 << 20)
            await trio.sleep(0.2)
            rig.link.down()
            await trio.sleep(2)
            rig.link.up()
            # The reset may be lost on the way, so it is the sender's end that is looked at.
            await until(lambda: rig.client.info().state is pystack.TcpState.CLOSED, 60)
            with pytest.raises(trio.BrokenResourceError) as caught:
                await rig.client.send_all(b"more")
            return str(caught.value)

    assert f"congestion control wrong: {method} raised KeyError" in pystack.run(main)


def test_a_threshold_that_cannot_be_is_found_where_it_is_used() -> None:
    class Low(Mine):
        name = "low"
        ssthresh_bytes = 0

        def on_loss(self, sample: LossSample) -> None:
            self.ssthresh_bytes = -1

    async def main() -> None:
        async with transfer(congestion=Low, limit=8) as rig:
            rig.send(1 << 20)
            await until(lambda: rig.client.info().state is pystack.TcpState.CLOSED, 60)
            with pytest.raises(trio.BrokenResourceError, match="ssthresh_bytes is -1"):
                await rig.client.receive_some()

    pystack.run(main)


def test_one_that_can_be_made_on_trial_only_ends_its_connection_too() -> None:
    made: list[int] = []

    def once(smss_bytes: int) -> Mine:
        made.append(smss_bytes)
        if len(made) > 2:  # on trial, and for what is asked before the handshake is over
            raise ValueError("none are left")
        return Mine(smss_bytes)

    async def main() -> None:
        async with transfer(congestion=once) as rig:
            rig.send(1 << 20)
            await until(lambda: rig.client.info().state is pystack.TcpState.CLOSED)
            with pytest.raises(trio.BrokenResourceError, match="none are left"):
                await rig.client.receive_some()

    pystack.run(main)


def test_a_window_with_a_fraction_and_an_infinite_rate_are_taken() -> None:
    class Smooth(Mine):
        name = "smooth"
        pacing_bps = math.inf

        def on_ack(self, sample: AckSample) -> None:
            self.cwnd_bytes *= 1.001  # type: ignore[assignment]

    async def main() -> None:
        async with transfer(congestion=Smooth, limit=400) as rig:
            rig.send(1 << 18, eof=True)
            await rig.ended.wait()
            assert rig.got == PATTERN[: 1 << 18]
            info = rig.client.info()
            assert type(info.cwnd_bytes) is int
            assert info.cwnd_bytes > 20 * 1448
            assert info.pacing_bps is None

    pystack.run(main)


class Bare:
    """Has what it needs, and nothing that a control must have besides."""

    name = "bare"
    cwnd_bytes = 5000

    def __init__(self, smss_bytes: int) -> None: ...
    def on_ack(self, sample: AckSample) -> None: ...


class Windowless(ControlDefaults):
    name = "windowless"

    def __init__(self, smss_bytes: int) -> None: ...
    def on_ack(self, sample: AckSample) -> None: ...
    def on_loss(self, sample: LossSample) -> None: ...
    def on_rto(self, now: float, flight_size_bytes: int) -> None: ...


@pytest.mark.parametrize(
    ("control", "why"),
    [
        (Bare, "congestion bare: it has no 'on_established': inherit"),
        (Windowless, "congestion windowless: it has no 'cwnd_bytes'"),
        (type("Zero", (Mine,), {"name": "zero", "cwnd_bytes": property(lambda _: 0)}), "zero"),
        (type("Nameless", (Mine,), {"name": None}), "its `name` is None"),
    ],
)
def test_what_a_control_lacks_is_said_when_it_is_asked_for(control: type, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        pystack.TcpConfig(congestion=control)


def test_it_is_told_in_this_order() -> None:
    told: list[str] = []

    class Told(Mine):
        name = "told"

        def on_established(self, opening: Opening) -> None:
            told.append("established")

        def on_idle(self, now: float, idle_s: float, rto_s: float) -> None:
            told.append("idle")

        def on_sent(self, sent_bytes: int, now: float) -> None:
            told.append("sent")

        def on_ack(self, sample: AckSample) -> None:
            told.append("recovering" if sample.in_recovery else "ack")

        def on_loss(self, sample: LossSample) -> None:
            told.append("loss")

        def on_recovery_exit(self, now: float) -> None:
            told.append("recovered")

    async def main() -> None:
        async with transfer(congestion=Told, limit=6) as rig:
            rig.send(100_000, eof=True)
            await rig.ended.wait()

    pystack.run(main)
    # A row of the same is one: the sequence of a slow start into a short queue
    row = [what for at, what in enumerate(told) if at == 0 or told[at - 1] != what]
    assert row[:5] == ["established", "idle", "sent", "ack", "sent"]
    assert row[row.index("loss") :][:2] == ["loss", "recovering"] or "sent" in row
    assert row.index("loss") < row.index("recovered")


FROM_A_PROPERTY = {
    "wants_ecn": ("yes", "wants_ecn is 'yes': it is True or False"),
    "owns_recovery": (None, "owns_recovery is None: it is True or False"),
    "ect": (math.nan, "its `ect` is nan: it is 2 for ECT(0), or 1 for ECT(1)"),
    "pacing_bps": (math.nan, "pacing_bps is nan"),
    "send_quantum_bytes": (0, "send_quantum_bytes is 0"),
}


@pytest.mark.parametrize("raises", [False, True])
@pytest.mark.parametrize(("asked", "answer", "why"), [(k, *v) for k, v in FROM_A_PROPERTY.items()])
def test_what_a_control_wishes_may_turn_wrong_too(
    asked: str, answer: object, why: str, raises: bool
) -> None:
    good: dict[str, object] = {"pacing_bps": 8e6, "ect": 2, "send_quantum_bytes": 3000}

    class Turns(Mine):
        pacing_bps: float | None = 8e6

        @property
        def name(self) -> str:  # type: ignore[override]
            if self.acks > 20:
                raise ValueError("not that either")
            return "turns"

    def turned(self: Mine) -> object:
        if self.acks <= 20:
            return good.get(asked, False)
        if raises:
            raise ValueError("not any more")
        return answer

    setattr(Turns, asked, property(turned))
    config = pystack.TcpConfig(ecn="accurate", send_buffer_bytes=1 << 16)

    async def main() -> str:
        async with transfer(loss="0.5%", limit=400) as rig:
            client = rig.client._host
            client.tcp.config = config
            rig.server._host.tcp.config = config
            (listener,) = await rig.server._host.open_tcp_listeners(10)
            stream = await client.open_tcp_stream("server", 10, congestion=Turns)
            rig.send(1 << 16, eof=True)
            rig.nursery.start_soon(read, await listener.accept())
            with pytest.raises(trio.BrokenResourceError) as caught:
                await stream.send_all(bytes(2 << 20))
            await rig.ended.wait()
            assert rig.got == PATTERN[: 1 << 16]
            return str(caught.value)

    said = pystack.run(main)
    assert "congestion control turns: " in said
    assert (f"{asked} raised ValueError: not any more" if raises else why) in said


def test_a_window_without_an_end_is_as_good_as_the_largest() -> None:
    async def main() -> None:
        async with transfer(limit=400, congestion=Mine) as rig:
            control = rig.client._socket.connection.congestion
            vars(control.inner)["cwnd_bytes"] = 10**400  # type: ignore[attr-defined]
            rig.send(1 << 18, eof=True)
            await rig.ended.wait()
            assert rig.client.info().cwnd_bytes == sys.maxsize

    pystack.run(main)


def test_a_rate_that_it_names_later_holds_from_then_on_and_none_ends_it() -> None:
    class Late(Mine):
        name = "late"

        def on_ack(self, sample: AckSample) -> None:
            self.pacing_bps = 1e6 if 1.0 < sample.now < 2.0 else None

    async def main() -> list[float]:
        async with transfer(limit=400, congestion=Late) as rig:
            rig.send(8 << 20)
            rates = []
            for _ in range(3):
                before = len(rig.got)
                await trio.sleep(1.0)
                rates.append((len(rig.got) - before) * 8 / 1e6)
            return rates

    before, paced, after = pystack.run(main)
    assert before > 2
    assert 0.95 < paced < 1.35  # the window that was under way comes first
    assert after > 2


def test_a_rate_that_cannot_be_is_found_where_nothing_was_paced_before() -> None:
    class Bad(Mine):
        name = "bad"
        go_wrong = setting("pacing_bps", math.nan)

    async def main() -> str:
        async with transfer(limit=400, congestion=Bad) as rig:
            with pytest.raises(trio.BrokenResourceError) as caught:
                await rig.client.send_all(bytes(4 << 20))
            return str(caught.value)

    assert "congestion control bad: pacing_bps is nan" in pystack.run(main)


def test_an_async_method_is_refused_when_it_is_asked_for() -> None:
    class Waits(Mine):
        async def on_ack(self, sample: AckSample) -> None:  # type: ignore[override]
            pass

    with pytest.raises(ConfigError, match="its 'on_ack' is async: nobody awaits it"):
        pystack.TcpConfig(congestion=Waits)  # type: ignore[arg-type]
