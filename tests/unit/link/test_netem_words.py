"""netem's words where two of them meet: duplicate and loss, ecn, seed, tables by name."""

from pathlib import Path

import pytest

from pystack.core.errors import ConfigError
from pystack.core.scheduler import Scheduler
from pystack.link.config import PipeConfig
from pystack.link.impair import distribution
from pystack.link.link import Link
from pystack.wire import ecn
from pystack.wire.frame import Frame

IPV4 = (
    bytes(12) + b"\x08\x00" + bytes.fromhex("4500002800010000400600000a0000010a000002") + bytes(20)
)


def arrivals(count: int, **words: object) -> list[int]:
    """Return which of so many frames arrived, once for each time that it did."""
    scheduler = Scheduler(0.0)
    link = Link(scheduler, 7, "a-b", PipeConfig.parse(**words))
    arrived: list[int] = []
    link.b.attach(lambda frame, now: arrived.append(int.from_bytes(frame.data[:4], "big")))
    for number in range(count):
        link.a.send(Frame(number.to_bytes(4, "big") + bytes(60)), scheduler.now)
    scheduler.run_due(1e9)
    return arrived


def test_a_loss_takes_one_of_the_two_that_duplicate_makes() -> None:
    assert arrivals(1000, loss="100%", duplicate="100%") == list(range(1000))


@pytest.mark.parametrize("loss", ["10%", "gemodel 10% 90%", "state 10% 90%"])
def test_of_two_copies_each_is_drawn_for_by_itself(loss: str) -> None:
    # As Linux 6.1 does it: 8 % of the packets never arrive (lost, and not doubled), 16.2 % twice.
    count = 20_000
    arrived = arrivals(count, loss=loss, duplicate="20%")
    times = [0] * count
    for number in arrived:
        times[number] += 1
    assert times.count(0) / count == pytest.approx(0.08, abs=0.006)
    assert times.count(2) / count == pytest.approx(0.162, abs=0.008)


def test_without_loss_every_copy_arrives() -> None:
    assert len(arrivals(100, duplicate="100%")) == 200


@pytest.mark.parametrize("loss", ["100%", "gemodel 100% 0% 100% 100%", "state 100% 0%"])
def test_ecn_marks_what_it_can_and_loses_the_rest(loss: str) -> None:
    scheduler = Scheduler(0.0)
    link = Link(scheduler, 7, "a-b", PipeConfig.parse(loss=loss, ecn=True))
    arrived: list[Frame] = []
    link.b.attach(lambda frame, now: arrived.append(frame))
    for codepoint in (ecn.NOT_ECT, ecn.ECT_0, ecn.ECT_1, ecn.CE):
        data = bytearray(IPV4)
        data[15] |= codepoint
        link.a.send(Frame(bytes(data)), 0.0)
    scheduler.run_due(1.0)
    assert [ecn.codepoint(frame) for frame in arrived] == [ecn.CE] * 3
    assert link.counters == {"loss": 1, "loss_mark": 3}


def test_ecn_without_a_loss_is_refused() -> None:
    with pytest.raises(ConfigError, match="it marks what would be lost: give a loss"):
        PipeConfig.parse(ecn=True)


def losses(seed: int, name: str, own: object) -> list[list[int]]:
    """Return what a link lost in each direction."""
    scheduler = Scheduler(0.0)
    config = PipeConfig.parse(loss="50%", seed=own)
    link = Link(scheduler, seed, name, config, config)
    arrived: list[list[int]] = [[], []]
    link.b.attach(lambda frame, now: arrived[0].append(frame.data[0]))
    link.a.attach(lambda frame, now: arrived[1].append(frame.data[0]))
    for number in range(64):
        for port in link.ports:
            port.send(Frame(bytes([number]) * 60), 0.0)
    scheduler.run_due(1.0)
    return arrived


def test_a_seed_of_its_own_gives_the_same_chance_on_each_link_but_not_in_both_directions() -> None:
    forth, back = losses(1, "a-b", 5)
    assert losses(2, "c-d", 5) == [forth, back]
    assert forth != back
    assert losses(1, "a-b", 6) != [forth, back]
    assert losses(1, "a-b", None) != losses(2, "c-d", None)


def test_a_seed_that_is_set_begins_the_numbers_anew() -> None:
    scheduler = Scheduler(0.0)
    link = Link(scheduler, 7, "a-b", PipeConfig.parse(loss="50%", rate="1mbit", seed=5))
    arrived: list[int] = []
    link.b.attach(lambda frame, now: arrived.append(frame.data[0]))

    def lost() -> list[int]:
        arrived.clear()
        for number in range(64):
            link.a.send(Frame(bytes([number]) * 60), scheduler.now)
        scheduler.run_due(scheduler.now + 1.0)
        return list(arrived)

    first = lost()
    assert lost() != first
    link.set(seed=6)
    other = lost()
    link.set(seed=5)
    assert lost() == first != other


@pytest.mark.parametrize("seed", [-1, 1.5, "x"])
def test_a_seed_is_a_whole_number(seed: object) -> None:
    with pytest.raises(ConfigError, match="seed"):
        PipeConfig.parse(loss="1%", seed=seed)


def test_a_table_is_found_by_its_name_where_tc_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distribution, "TC_DIRECTORIES", (str(tmp_path),))
    with pytest.raises(ConfigError, match="a file of iproute2, and in none of"):
        PipeConfig.parse(delay="9ms 1ms", distribution="experimental")
    (tmp_path / "experimental.dist").write_text("# of a measurement\n-8192 0 4096\n")
    (tmp_path / "mine.dist").write_text("8192\n")
    tables = [
        PipeConfig.parse(delay="9ms 1ms", distribution=name).distribution
        for name in ("experimental", "mine")
    ]
    assert tables == [(-1.0, 0.0, 0.5), (1.0,)]
