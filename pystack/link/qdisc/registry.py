"""The queues by name, and their configuration in tc's words.

`parse_qdisc("fq_codel limit 1000 target 5ms noecn")` and
`parse_qdisc({"kind": "fq_codel", "limit": 1000, "target": "5ms", "ecn": False})` mean the same.
How words are read is in `core/plugins.py`.
"""

from collections.abc import Callable, Mapping
from typing import Final

from pystack.core.errors import ConfigError
from pystack.core.plugins import Chosen, Group
from pystack.core.rng import Random, component_rng
from pystack.link.qdisc import words
from pystack.link.qdisc.base import Qdisc, QdiscLike
from pystack.link.qdisc.codel import Codel, codel
from pystack.link.qdisc.dualpi2 import DualPi2, dualpi2
from pystack.link.qdisc.fifo import Fifo, bfifo, pfifo, pfifo_head_drop
from pystack.link.qdisc.fq_codel import FqCodel, fq_codel
from pystack.link.qdisc.pie import Pie, pie
from pystack.link.qdisc.prio import DEFAULT_BANDS, DEFAULT_PRIOMAP, Prio, check_bands
from pystack.link.qdisc.red import Red, red
from pystack.link.qdisc.tbf import tbf
from pystack.link.qdisc.words import Word

# What a configuration may hold: text or a number; a flag; several of them, or other queues.
Value = object


def prio(
    rng: Random,
    *,
    bands: Word = DEFAULT_BANDS,
    priomap: tuple[Word, ...] = DEFAULT_PRIOMAP,
    qdiscs: tuple[str | Mapping[str, Value], ...] = (),
) -> Prio:
    """`prio [bands N] [priomap B0 ... B15] [qdiscs "QDISC" "QDISC" ...]`, tc-prio(8).

    `qdiscs`: the queue of each band, from band 0 on; the others are a pfifo each.
    """
    number = words.count("bands", bands)
    check_bands(number)  # before that many are made
    if len(qdiscs) > number:
        raise ConfigError(f"{len(qdiscs)} qdiscs for {number} bands")
    inner = [*qdiscs, *["pfifo"] * (number - len(qdiscs))]
    return Prio(
        [parse_qdisc(value)(Random(rng.getrandbits(64))) for value in inner],
        [words.count("priomap", band, least=0) for band in priomap],
    )


BUILT_IN: Final[dict[str, Callable[..., Qdisc]]] = {
    "pfifo": pfifo,
    "pfifo_head_drop": pfifo_head_drop,
    "bfifo": bfifo,
    "tbf": tbf,
    "red": red,
    "codel": codel,
    "fq_codel": fq_codel,
    "pie": pie,
    "dualpi2": dualpi2,
    "prio": prio,
}


QDISCS: Final = Group[Qdisc](
    "qdisc",
    BUILT_IN,
    "enqueue",
    trial=(component_rng(0, "qdisc/check"),),
    each="direction of a link",
    name_words=("kind", "name"),  # tc's word first
)

# What gives a frame whenever it has one, and is asked
_WORK_CONSERVING: Final = (Fifo, Red, Codel, FqCodel, Pie, DualPi2)


def is_work_conserving(qdisc: Qdisc) -> bool:
    """Tell whether a queue never holds a frame back by itself; False where that is not known."""
    if isinstance(qdisc, Prio):
        return all(is_work_conserving(band) for band in qdisc.bands)
    return type(qdisc) in _WORK_CONSERVING


def parse_qdisc(value: QdiscLike) -> Chosen[Qdisc]:
    """Return what makes the queue, each time it is called with a random source. ConfigError."""
    return QDISCS.read(value)
