"""Fault schedules as strategies of Hypothesis: drawn, and shrunk to the one fault that matters.

    @given(schedule=faults(links=["client-server"], nodes=["server"], within_s=30))
    async def test_it_recovers(net, schedule): ...

Shrinking goes to fewer faults, to the kinds named first, to earlier and to round numbers: an
instant is drawn as a count of milliseconds and how many decimals are kept of it, fewer first, and a
duration from a list of round ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import combinations, islice
from typing import TYPE_CHECKING, Final, TypeAlias

from pystack.core.errors import ConfigError
from pystack.core.extras import need
from pystack.core.ranges import Range
from pystack.core.suggest import suggest
from pystack.runtime.faults import (
    Delayed,
    Fault,
    Faults,
    LinkDown,
    Lossy,
    Parted,
    PowerCut,
    Slowed,
)
from pystack.runtime.network_link import NetworkLink
from pystack.topology.partition import ANSWERS

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

    from pystack.runtime.host import Host
    from pystack.runtime.network import Network
    from pystack.topology.switch import Switch

    NodeLike: TypeAlias = Host | Switch | str

Shape: TypeAlias = Callable[..., Fault]  # of its times

# In the order in which shrinking prefers them
KINDS: Final = ("down", "loss", "delay", "rate", "partition", "power", "crash")
_OF_LINKS: Final = frozenset({"down", "loss", "delay", "rate"})

# The first of each is what shrinking prefers
_LOSSES: Final = ("100%", "50%", "20%", "10%", "5%", "1%")
_RATES: Final = ("1mbit", "100kbit", "10kbit", "10mbit")
_DELAYS_S: Final = (1, 2, 5, 10, 30, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
_DURATIONS_S: Final = (
    *(1, 2, 3, 5, 10, 20, 30, 60, 120, 300, 600, 3600),
    *(0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001),
)
_DECIMALS: Final = (0, 1, 2, 3)  # that are kept of an instant in seconds
_MOST_SPLITS: Final = 64
_WHAT: Final = "a strategy for faults"
_WITHIN: Final = Range(0, 1e6, whole=False, above=True)
_MOST: Final = Range(0, 100)


def faults(
    net: Network | None = None,
    *,
    links: Iterable[NetworkLink | str] = (),
    nodes: Iterable[NodeLike] = (),
    within_s: float,
    kinds: Sequence[str] = KINDS,
    most: int = 3,
) -> SearchStrategy[Faults]:
    """Return a strategy for schedules of up to `most` faults, 0 to 100, none among them.

    What they happen to: `links` and `nodes` (hosts, routers, switches), by name or themselves, or
    all that a network `net` has now. All have ended `within_s`: seconds, more than 0. `kinds`, the
    simplest first: "down", "loss", "delay", "rate" (of links), "partition" (of two nodes or more),
    "power", "crash" (of nodes). Those that nothing here can have are left out, where `kinds` is
    not given. Needs Hypothesis. Raises ConfigError.
    """
    st = need("hypothesis.strategies", _WHAT)
    _WITHIN.check("within_s", within_s)
    _MOST.check("most", most)
    link_names = _names(links, "links")
    node_names = _names(nodes, "nodes")
    if net is not None:
        link_names += [link.name for link in net.links if link.name not in link_names]
        known = (*net.hosts, *net.switches)
        node_names += [name for name in known if name not in node_names]
    shapes = [
        _shapes(kind, link_names if kind in _OF_LINKS else node_names, within_s)
        for kind in _chosen(kinds, link_names, node_names)
    ]
    if not shapes:
        raise ConfigError(
            "there is nothing for faults to happen to: name links and nodes, like "
            "faults(links=['client-server'], nodes=['server'], within_s=10)"
        )
    one = st.composite(_one_fault)(_evenly(shapes), within_s)
    schedules: SearchStrategy[Faults] = st.lists(one, max_size=most).map(Faults)
    return schedules


def _chosen(kinds: Sequence[str], links: Sequence[str], nodes: Sequence[str]) -> Iterable[str]:
    """Return the kinds that may be drawn, in their order. Raises ConfigError."""
    if isinstance(kinds, str) or not isinstance(kinds, Sequence):
        raise ConfigError(f"kinds is a list of kinds of faults, like ['down'], not {kinds!r}")
    chosen = []
    for kind in dict.fromkeys(kinds):
        if kind not in KINDS:
            raise ConfigError(f"there is no fault of the kind {kind!r}{suggest(str(kind), KINDS)}")
        least = 2 if kind == "partition" else 1
        if len(links if kind in _OF_LINKS else nodes) >= least:
            chosen.append(kind)
        elif kinds is not KINDS:
            what = "links: name some" if kind in _OF_LINKS else f"{least} or more nodes: name them"
            raise ConfigError(f"faults of the kind {kind!r} happen to {what}")
    return chosen


def _names(things: Iterable[object], word: str) -> list[str]:
    if isinstance(things, str) or not isinstance(things, Iterable):
        raise ConfigError(f"{word} is a list of them, or of their names, not {things!r}")
    names = [thing if isinstance(thing, str) else getattr(thing, "name", None) for thing in things]
    for name, thing in zip(names, things, strict=False):
        if not isinstance(name, str):
            raise ConfigError(f"{thing!r} in {word} has no name")
    return list(dict.fromkeys(map(str, names)))


def _shapes(kind: str, names: Sequence[str], within_s: float) -> list[Shape]:
    """Return all that faults of a kind may be, but for their times; the simplest first."""
    match kind:
        case "down":
            return [partial(LinkDown, name) for name in names]
        case "loss":
            return [partial(Lossy, name, loss) for loss in _LOSSES for name in names]
        case "delay":
            extras = [extra_s for extra_s in _DELAYS_S if extra_s <= within_s]
            return [partial(Delayed, name, extra_s) for extra_s in extras for name in names]
        case "rate":
            return [partial(Slowed, name, rate) for rate in _RATES for name in names]
        case "partition":
            return [
                partial(Parted, groups, answer=answer, spare_established=spare)
                for answer in ANSWERS
                for spare in (False, True)
                for groups in _splits(names)
            ]
        case _:
            return [partial(PowerCut, name, crash=kind == "crash") for name in names]


def _splits(names: Sequence[str]) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Yield ways to part nodes in two: one from the rest, then two from the rest, and so on."""
    rest_of = range(1, len(names) // 2 + 1)
    chosen = (group for size in rest_of for group in combinations(names, size))
    for group in islice(chosen, _MOST_SPLITS):
        yield group, tuple(name for name in names if name not in group)


def _evenly(shapes: Sequence[Sequence[Shape]]) -> list[Shape]:
    """Return all shapes of all kinds, in order, each kind as often as any other."""
    length = max(map(len, shapes))
    return [of_kind[at % len(of_kind)] for of_kind in shapes for at in range(length)]


def _one_fault(draw: DrawFn, shapes: Sequence[Shape], within_s: float) -> Fault:
    """Draw a fault, in four steps: a longer one is not taken out of a list by shrinking.

    (Hypothesis takes away five choices in a row at most, and one tells that the list goes on.)
    """
    st = need("hypothesis.strategies", _WHAT)
    shape: Shape = draw(st.sampled_from(shapes))
    decimals = draw(st.sampled_from(_DECIMALS))
    count = draw(st.integers(0, max(round(within_s * 1000) - 1, 0)))
    at_s = count // 10 ** (3 - decimals) / 10**decimals
    left_s = round(within_s - at_s, 3)
    durations = [for_s for for_s in _DURATIONS_S if for_s <= left_s] or [0.001]
    for_s: float = draw(st.sampled_from(durations))
    return shape(at_s=_short(at_s), for_s=for_s)


def _short(seconds: float) -> float:
    """Return it as it is written shortest."""
    return int(seconds) if seconds == int(seconds) else seconds
