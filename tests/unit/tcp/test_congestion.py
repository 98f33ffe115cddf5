"""Slow start and what all controls with a window share: RFC 5681, 6928, 7661, 8511, 4015."""

import pytest
from controls import MSS, grown, one_window, sample
from script import Script

from pystack.core.errors import ConfigError
from pystack.tcp.config import TcpConfig
from pystack.tcp.congestion.base import LossSample, Opening
from pystack.tcp.congestion.cubic import Cubic
from pystack.tcp.congestion.dctcp import Dctcp
from pystack.tcp.congestion.fixed import Fixed
from pystack.tcp.congestion.newreno import NewReno
from pystack.tcp.congestion.registry import CONTROLS
from pystack.tcp.congestion.window import WindowControl

Control = type[NewReno | Cubic | Dctcp]
KINDS = [NewReno, Cubic, Dctcp]
every_control = pytest.mark.parametrize("control", KINDS)


@pytest.mark.rfc("6928", "2")
@pytest.mark.parametrize("mss", [(536, 5360), (1460, 14600), (4000, 14600), (8960, 17920)])
@every_control
def test_the_initial_window(control: Control, mss: tuple[int, int]) -> None:
    assert control(mss[0]).cwnd_bytes == mss[1]


@pytest.mark.rfc("6928", "2")
def test_ten_segments_go_out_before_the_first_ack(tcp: Script) -> None:
    tcp.established()
    tcp.write(30_000)
    assert [len(segment.payload) for segment in tcp.drain()] == [MSS] * 10


@pytest.mark.rfc("5681", "3.1")
@every_control
def test_after_a_lost_syn_a_control_begins_with_one_segment(control: Control) -> None:
    made = control(MSS)
    made.on_established(Opening(0.0, None, syn_lost=True, sack=True, seed=1))
    assert made.cwnd_bytes == MSS


@pytest.mark.rfc("5681", "3.1")
def test_after_a_lost_syn_one_segment_goes_out(tcp: Script) -> None:
    tcp.connect()
    tcp.expect("+0 > S 0:0(0)")
    tcp.expect("+1 > S 0:0(0)")
    tcp.inject("+0.1 < S. 0:0(0) ack 1 win 65535 <mss 1460>")
    tcp.expect("+0 > . 1:1(0) ack 1")
    tcp.write(30_000)
    assert [len(segment.payload) for segment in tcp.drain()] == [MSS]


@pytest.mark.rfc("9293", "MUST-19")
@pytest.mark.rfc("5681", "3.1")
def test_in_slow_start_each_ack_lets_two_segments_out(tcp: Script) -> None:
    tcp.established()
    tcp.write(30_000)
    tcp.drain()
    tcp.inject("+0.1 < . 1:1(0) ack 1461 win 65535")
    tcp.expect("+0 > . 14601:16061(1460) ack 1")
    tcp.expect("+0 > . 16061:17521(1460) ack 1")


@every_control
def test_in_slow_start_a_window_doubles_each_round_trip(control: Control) -> None:
    made = control(MSS)
    one_window(made, 0.0)
    assert made.cwnd_bytes == 20 * MSS


@pytest.mark.rfc("9293", "MUST-19")
@pytest.mark.rfc("5681", "3.1")
@pytest.mark.parametrize("control", [NewReno, Dctcp])
def test_in_congestion_avoidance_a_window_grows_by_a_segment_each_round_trip(
    control: Control,
) -> None:
    made = control(MSS)
    made.on_loss(LossSample(0.0, 40 * MSS))
    assert made.cwnd_bytes == made.ssthresh_bytes == 20 * MSS
    for turn in range(1, 6):
        one_window(made, 0.1 * turn)
        assert made.cwnd_bytes == (20 + turn) * MSS


@pytest.mark.rfc("5681", "3.1")
def test_a_window_with_a_part_of_a_segment_grows_as_fast() -> None:
    control = NewReno(MSS)
    control.on_loss(LossSample(0.0, 15 * MSS))
    for turn in range(1, 6):
        assert control.cwnd_bytes / MSS == 6.5 + turn
        one_window(control, 0.1 * turn)


@pytest.mark.rfc("3465", "2.1")
def test_who_splits_acks_gains_nothing() -> None:
    whole, split = NewReno(MSS), NewReno(MSS)
    for control, pieces in ((whole, 1), (split, 10)):
        control.on_loss(LossSample(0.0, 20 * MSS))
        for _ in range(100 * pieces):
            control.on_ack(sample(0.1, MSS // pieces))
    assert split.cwnd_bytes == whole.cwnd_bytes > 10 * MSS


@pytest.mark.rfc("5681", "3.1")
@every_control
def test_the_threshold_is_two_segments_at_least(control: Control) -> None:
    made = control(MSS)
    made.on_loss(LossSample(0.0, MSS))
    assert made.cwnd_bytes == made.ssthresh_bytes == 2 * MSS


@pytest.mark.rfc("5681", "3.1")
@pytest.mark.parametrize(
    ("control", "after"), [(NewReno, 20 * MSS), (Cubic, 28 * MSS), (Dctcp, 20 * MSS)]
)
def test_a_timeout_starts_again_from_one_segment(control: Control, after: int) -> None:
    made = control(MSS)
    made.on_rto(0.0, 40 * MSS)
    assert (made.cwnd_bytes, made.ssthresh_bytes) == (MSS, after)
    made.on_ack(sample(0.1, 10 * MSS))  # one ACK for many, after a time-out
    assert made.cwnd_bytes == 2 * MSS


@pytest.mark.rfc("8511", "3")
@pytest.mark.parametrize(("control", "percent"), [(NewReno, 80), (Cubic, 85)])
def test_a_mark_costs_less_than_a_loss(control: Control, percent: int) -> None:
    made = control(MSS)
    made.on_loss(LossSample(0.0, 100 * MSS, ecn=True))
    assert made.cwnd_bytes == made.ssthresh_bytes == percent * MSS


@pytest.mark.rfc("9438", "4.6")
@pytest.mark.parametrize("control", [NewReno, Cubic])
def test_marks_reduce_a_window_to_one_segment_but_not_the_threshold(control: Control) -> None:
    made = control(MSS)
    made.on_loss(LossSample(0.0, MSS, ecn=True))
    assert (made.cwnd_bytes, made.ssthresh_bytes) == (MSS, 2 * MSS)


@pytest.mark.rfc("5681", "4.1")
@every_control
def test_after_more_than_an_rto_of_silence_a_window_restarts(control: Control) -> None:
    made = control(MSS)
    grown(made, 40)
    made.on_idle(1.0, 0.2, 0.2)
    assert made.cwnd_bytes == 40 * MSS
    made.on_idle(1.0, 0.201, 0.2)
    assert made.cwnd_bytes == 10 * MSS
    assert made.ssthresh_bytes >= 30 * MSS  # slow start leads back


@pytest.mark.rfc("5681", "4.1")
@every_control
def test_silence_makes_no_window_larger(control: Control) -> None:
    made = control(MSS)
    made.on_loss(LossSample(0.0, 8 * MSS))
    before = made.cwnd_bytes, made.ssthresh_bytes
    made.on_idle(100.0, 99.0, 0.2)
    assert (made.cwnd_bytes, made.ssthresh_bytes) == before


@pytest.mark.rfc("7661", "4")
@every_control
def test_a_window_that_was_not_used_does_not_grow(control: Control) -> None:
    made = control(MSS)
    before = made.cwnd_bytes
    made.on_ack(sample(0.0, 5 * MSS, limited=False, flight_size_bytes=5 * MSS))
    assert made.cwnd_bytes == before


@pytest.mark.rfc("7661", "4.4.3")
@every_control
def test_a_window_that_was_not_used_for_five_minutes_is_halved(control: Control) -> None:
    made = control(MSS)
    grown(made, 80)
    little = {"limited": False, "flight_size_bytes": 5 * MSS}
    made.on_ack(sample(1000.0, MSS, **little))  # type: ignore[arg-type]
    made.on_ack(sample(1300.0, MSS, **little))  # type: ignore[arg-type]
    assert made.cwnd_bytes == 80 * MSS
    made.on_ack(sample(1300.1, MSS, **little))  # type: ignore[arg-type]
    assert (made.cwnd_bytes, made.ssthresh_bytes >= 60 * MSS) == (40 * MSS, True)


@pytest.mark.rfc("7661", "4.4")
def test_half_a_window_in_use_validates_it() -> None:
    control = NewReno(MSS)
    grown(control, 80)
    for minute in range(20):
        control.on_ack(sample(60.0 * minute, MSS, limited=False, flight_size_bytes=41 * MSS))
    # In slow start it grows, too, to what it would be if what is used doubled.
    assert control.cwnd_bytes == 82 * MSS


def test_a_sender_with_little_to_say_keeps_its_window(tcp: Script) -> None:
    tcp.established()
    for at in range(1, 2001, 100):
        tcp.write(100)
        tcp.drain()
        tcp.inject(f"+0.1 < . 1:1(0) ack {at + 100} win 65535")
    assert tcp.conn.congestion.cwnd_bytes == 10 * MSS


@pytest.mark.rfc("4015", "3.2")
@every_control
def test_a_mistake_is_undone(control: Control) -> None:
    made = control(MSS)
    made.on_loss(LossSample(0.0, 60 * MSS))
    grown(made, 50, 1.0)
    before = made.cwnd_bytes, made.ssthresh_bytes
    made.on_rto(60.0, 50 * MSS)
    assert made.cwnd_bytes == MSS
    made.on_undo(60.1)
    assert (made.cwnd_bytes, made.ssthresh_bytes) == before


@pytest.mark.rfc("4015", "3.2")
@every_control
def test_undoing_takes_nothing_away_and_works_once(control: Control) -> None:
    made = control(MSS)
    made.on_loss(LossSample(0.0, 40 * MSS))  # with a window of 10
    made.on_undo(0.1)
    assert made.cwnd_bytes >= 20 * MSS
    made.on_rto(1.0, 40 * MSS)
    made.on_undo(1.1)
    made.on_loss(LossSample(2.0, 10 * MSS))
    after = made.cwnd_bytes
    made.on_undo(2.1)
    assert made.cwnd_bytes > after
    made.on_undo(2.2)
    assert made.cwnd_bytes > after


@every_control
def test_in_recovery_the_window_stands_still(control: Control) -> None:
    made = control(MSS)
    before = made.cwnd_bytes
    made.on_ack(sample(0.0, MSS, in_recovery=True))
    assert made.cwnd_bytes == before


@pytest.mark.parametrize("made", [Fixed(MSS, segments=5), CONTROLS.recall("fixed:5")(MSS)])
def test_a_fixed_window_stays(made: Fixed) -> None:
    made.on_established(Opening(0.0, 0.1, syn_lost=True, sack=True, seed=1))
    made.on_sent(MSS, 0.0)
    made.on_ack(sample(0.0, MSS))
    made.on_loss(LossSample(0.0, MSS))
    made.on_rto(0.0, MSS)
    made.on_idle(10.0, 9.0, 0.2)
    made.on_undo(10.0)
    assert made.cwnd_bytes == 5 * MSS


def test_a_fixed_window_is_set_by_the_configuration() -> None:
    tcp = Script(TcpConfig(congestion="fixed:3"))
    tcp.established()
    tcp.write(30_000)
    assert len(tcp.drain()) == 3
    assert tcp.conn.info().congestion == "fixed"


@pytest.mark.rfc("9293", "MAY-18")
def test_the_controls_have_names() -> None:
    kinds = {"newreno": NewReno, "cubic": Cubic, "dctcp": Dctcp, "fixed": Fixed}
    for name, control in kinds.items():
        assert CONTROLS.recall(name)(MSS).name == name
        assert isinstance(CONTROLS.recall(name)(MSS), control)


def test_a_name_that_nobody_has_is_a_config_error_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'cubic'"):
        CONTROLS.recall("cubik")


@pytest.mark.parametrize("name", ["fixed:", "fixed:0", "fixed:-1", "fixed:many", "fixed:1.5"])
def test_a_setting_that_makes_no_window_is_a_config_error(name: str) -> None:
    with pytest.raises(ConfigError, match="a number of segments"):
        CONTROLS.recall(name)


def test_a_setting_for_a_control_without_any_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="'cubic' has nothing to set"):
        CONTROLS.recall("cubic:1")


@every_control
def test_a_control_is_one_object_without_a_dictionary(control: type[WindowControl]) -> None:
    assert not hasattr(control(MSS), "__dict__")
