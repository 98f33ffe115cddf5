"""The same seed gives the same run to the byte; nothing else has a part in it."""

import hashlib
import struct
from itertools import chain

from pystack.core.scheduler import Scheduler
from pystack.link.config import PipeConfig
from pystack.link.link import Link
from pystack.wire.frame import Frame

BAD = PipeConfig.parse(
    delay="20ms 5ms 25%",
    distribution="paretonormal",
    loss="gemodel 2% 20%",
    duplicate="1% 10%",
    corrupt="1%",
    reorder="5% 50%",
    rate="10mbit",
    limit=50,
    reorder_by_jitter=True,
)
SLOTTED = PipeConfig.parse(delay="5ms", slot="5ms 20ms packets 10", qdisc="fq_codel", loss="1%")


def run(seed: int, names: tuple[str, ...] = ("x",)) -> dict[str, str]:
    """Return the digest of each link: all that arrives at both ends, when, and all counters."""
    scheduler = Scheduler()
    links = {name: Link(scheduler, seed, name, BAD, SLOTTED) for name in names}
    digests = {name: hashlib.sha256() for name in names}
    for name, link in links.items():
        for end in link.ports:

            def take(frame: Frame, now: float, name: str = name) -> None:
                digests[name].update(struct.pack("!d", now) + frame.data)

            end.attach(take)
    for number in range(5000):
        now = number * 0.0009
        scheduler.run_due(now)
        for port in chain.from_iterable(link.ports for link in links.values()):
            port.send(Frame(number.to_bytes(4, "big") + bytes(600 + number % 800)), now)
    scheduler.run_due(float("inf"))
    for name, link in links.items():
        digests[name].update(repr(sorted(link.counters.items())).encode())
    return {name: digest.hexdigest() for name, digest in digests.items()}


def test_the_same_seed_gives_the_same_digest() -> None:
    assert run(7)["x"] == "723c38a739742143cd88fabdf1b0b9e44ced012d01a1c0d52b5aec92bb6ff542"


def test_another_seed_gives_another_digest() -> None:
    assert run(8)["x"] != run(7)["x"]


def test_adding_a_link_changes_no_number_of_the_others() -> None:
    alone, together = run(7), run(7, ("before", "x", "after"))
    assert together["x"] == alone["x"]
    assert len(set(together.values())) == 3
