"""The recorder: what is kept, in which order, and what has no room any more."""

from pystack.observe.observer import FrameSeen, Milestone
from pystack.observe.passage import ARRIVED, Passage
from pystack.observe.recording import Recorder, Recording
from pystack.wire.frame import Frame


def passage(at: float) -> Passage:
    return Passage("a-b", "a", "b", Frame(bytes(60)), at)


def test_passages_are_numbered_when_they_begin_and_kept_once() -> None:
    recorder = Recorder()
    first, second = passage(0.0), passage(1.0)
    recorder.on_passage(first)
    recorder.on_event(Milestone(0.5, "a", "request"))
    recorder.on_passage(second)
    first.end = ARRIVED
    recorder.on_passage(first)
    kept = recorder.items()
    assert [type(item) for item in kept] == [Passage, Milestone, Passage]
    assert (first.number, second.number) == (1, 2)
    assert list(Recording(items=kept).passages()) == [first, second]


def test_frames_are_passages_and_nothing_else() -> None:
    recorder = Recorder()
    recorder.on_event(FrameSeen(0.0, "a", "eth0", True, Frame(bytes(60))))
    assert recorder.items() == []


def test_the_oldest_go_when_there_is_no_room() -> None:
    recorder = Recorder(3)
    for number in range(5):
        recorder.on_event(Milestone(number, "a", str(number)))
    assert [item.what for item in recorder.items() if isinstance(item, Milestone)] == [
        "2",
        "3",
        "4",
    ]
    assert recorder.left_out == 2
    recorder.clear()
    assert recorder.items() == []


def test_the_first_may_stay_while_the_middle_goes() -> None:
    recorder = Recorder(4, first=2)
    for number in range(9):
        recorder.on_event(Milestone(number, "a", str(number)))
    kept = [item.what for item in recorder.items() if isinstance(item, Milestone)]
    assert kept == ["0", "1", "7", "8"]
    assert recorder.left_out == 5
