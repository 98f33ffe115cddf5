"""Faults: what goes wrong in a network, and when, as values whose `repr` makes them again.

    net.apply(Faults([LinkDown("client-server", at_s=2, for_s=1), PowerCut("server", at_s=5)]))

Each begins `at_s` after the schedule was applied and ends `for_s` later; without `for_s` it lasts.
Where several of one kind overlap, what was before is back when the last has ended. They touch
nothing before their time and draw no chance of their own, so a schedule with one fault less is the
same run up to that fault. `pystack.testing.faults` draws schedules with Hypothesis.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pystack.core.errors import ConfigError
from pystack.core.ranges import Range
from pystack.core.scheduler import Handle
from pystack.core.suggest import suggest
from pystack.link.link import DIRECTIONS
from pystack.link.said import words_of
from pystack.link.words import as_words

if TYPE_CHECKING:
    from pystack.link.config import PipeConfig
    from pystack.runtime.host import Host
    from pystack.runtime.network import Network
    from pystack.runtime.network_link import NetworkLink

_INSTANT: Final = Range(0, math.inf, whole=False)
_DURATION: Final = Range(0, math.inf, whole=False, above=True)

Key = tuple[object, ...]
Undo = Callable[[], None]


@dataclass(frozen=True, repr=False)
class Fault:
    """One thing that goes wrong, from `at_s` on, for `for_s`: seconds; infinity is for ever."""

    at_s: float = field(default=0, kw_only=True)
    for_s: float = field(default=math.inf, kw_only=True)

    # Where another one lasts already: what was before is there again, before this one holds
    _renews: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Raise ConfigError for a time that cannot be."""
        _INSTANT.check("at_s", self.at_s)
        _DURATION.check("for_s", self.for_s)

    @property
    def keys(self) -> tuple[Key, ...]:
        """Return what it happens to; faults with a key in common may overlap."""
        raise NotImplementedError

    def check(self, net: Network) -> None:
        """Raise ConfigError where it cannot happen in a network."""
        raise NotImplementedError

    def before(self, net: Network, key: Key) -> Undo:
        """Return what makes a thing again as it is now: the first fault on it begins."""
        raise NotImplementedError

    def hold(self, net: Network, key: Key) -> None:
        """Have a thing be as this fault has it."""
        raise NotImplementedError

    def __repr__(self) -> str:
        """Return what makes it again."""
        said = [(each, getattr(self, each.name)) for each in fields(self)]
        parts = [_written(value) for each, value in said if not each.kw_only]
        parts += [
            f"{each.name}={_written(value)}"
            for each, value in said
            if each.kw_only and (each.name == "at_s" or value != each.default)
        ]
        return f"{type(self).__name__}({', '.join(parts)})"


@dataclass(frozen=True, repr=False)
class _OfLink(Fault):
    link: str  # its name: "client-server"; "client-server#2" is a second one between the two

    _renews: ClassVar[bool] = True

    @property
    def keys(self) -> tuple[Key, ...]:
        """Return that of the link."""
        return ((type(self).__name__, self.link),)

    def check(self, net: Network) -> None:
        """Raise ConfigError where there is no such link, or it cannot be so."""
        config = _link(net, self.link).a_to_b.config
        if words := self.words(config):
            type(config).parse(**as_words(words))

    def before(self, net: Network, key: Key) -> Undo:
        """Return what sets the link's word to what it is now, in each direction."""
        link = _link(net, self.link)
        was = [self.words_now(pipe.config) for pipe in (link.a_to_b, link.b_to_a)]
        return partial(_set, link, *was)

    def hold(self, net: Network, key: Key) -> None:
        """Set it to this fault's."""
        link = _link(net, self.link)
        _set(link, *(self.words(pipe.config) for pipe in (link.a_to_b, link.b_to_a)))

    def words(self, config: PipeConfig) -> dict[str, object]:
        """Return the words of a direction while it lasts."""
        return {}

    def words_now(self, config: PipeConfig) -> dict[str, object]:
        """Return the same words as they are without it; None: none."""
        return {}


@dataclass(frozen=True, repr=False)
class LinkDown(_OfLink):
    """A link is cut, in both directions, or in one: "a_to_b", "b_to_a"."""

    direction: str | None = field(default=None, kw_only=True)

    _renews: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Raise ConfigError for a direction that there is not."""
        super().__post_init__()
        if self.direction is not None and self.direction not in DIRECTIONS:
            hint = suggest(str(self.direction), DIRECTIONS)
            raise ConfigError(f"a link has no direction {self.direction!r}{hint}")

    @property
    def keys(self) -> tuple[Key, ...]:
        """Return one for each direction."""
        directions = DIRECTIONS if self.direction is None else (self.direction,)
        return tuple([("LinkDown", self.link, direction) for direction in directions])

    def before(self, net: Network, key: Key) -> Undo:
        """Return what repairs it, unless it is down already."""
        link, direction = _link(net, self.link), str(key[2])
        pipe = link.a_to_b if direction == DIRECTIONS[0] else link.b_to_a
        return _nothing if pipe.is_down else partial(link.up, direction)

    def hold(self, net: Network, key: Key) -> None:
        """Cut it."""
        _link(net, self.link).down(str(key[2]))


@dataclass(frozen=True, repr=False)
class Delayed(_OfLink):
    """A link takes so much longer, in each direction."""

    extra_s: float

    def __post_init__(self) -> None:
        """Raise ConfigError for what is no time."""
        super().__post_init__()
        _DURATION.check("extra_s", self.extra_s)

    def words(self, config: PipeConfig) -> dict[str, object]:
        """Return its delay. Overlapping ones do not add up: the last to begin holds."""
        return {"delay": config.delay_s + self.extra_s}

    def words_now(self, config: PipeConfig) -> dict[str, object]:
        """Return what it is."""
        return {"delay": config.delay_s or None}


@dataclass(frozen=True, repr=False)
class Lossy(_OfLink):
    """A link loses frames: "30%", or any other loss of tc-netem(8), or a share of 1."""

    loss: str | float

    def words(self, config: PipeConfig) -> dict[str, object]:
        """Return its loss."""
        return {"loss": self.loss}

    def words_now(self, config: PipeConfig) -> dict[str, object]:
        """Return what it is."""
        return {"loss": words_of(config).get("loss")}


@dataclass(frozen=True, repr=False)
class Slowed(_OfLink):
    """A link has a lower rate: "100kbit", or bits a second."""

    rate: str | float

    def words(self, config: PipeConfig) -> dict[str, object]:
        """Return its rate."""
        return {"rate": self.rate}

    def words_now(self, config: PipeConfig) -> dict[str, object]:
        """Return what it is."""
        return {"rate": config.rate_bps}


@dataclass(frozen=True, repr=False)
class PowerCut(Fault):
    """A host, a router or a switch has no power. See `Host.power_off`; `crash`: likewise."""

    node: str
    crash: bool = field(default=False, kw_only=True)

    @property
    def keys(self) -> tuple[Key, ...]:
        """Return that of the node."""
        return (("PowerCut", self.node),)

    def check(self, net: Network) -> None:
        """Raise ConfigError where there is no such node, or its power is not the network's."""
        net.topology.check_power(self.node)

    def before(self, net: Network, key: Key) -> Undo:
        """Return what gives it its power back, unless it has none already."""
        return (
            partial(net.power_on, self.node) if net.topology.node(self.node).powered else _nothing
        )

    def hold(self, net: Network, key: Key) -> None:
        """Cut its power."""
        net.power_off(self.node, crash=self.crash)


@dataclass(frozen=True, repr=False)
class Parted(Fault):
    """Groups of nodes cannot reach each other. See `Network.partition`, for `answer` too."""

    groups: tuple[tuple[str, ...], ...]
    answer: str = field(default="silence", kw_only=True)
    spare_established: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        """Take any iterables of names. Raises ConfigError where they are no groups."""
        super().__post_init__()
        groups: object = self.groups
        if isinstance(groups, str) or not isinstance(groups, Iterable):
            raise ConfigError(f"groups of nodes are like [['a'], ['b', 'c']], not {groups!r}")
        made = []
        for group in groups:
            names = [group] if isinstance(group, str) else list(group)
            if not names or not all(isinstance(name, str) for name in names):
                raise ConfigError(f"a group is the names of nodes, not {group!r}")
            made.append(tuple(sorted(names) if isinstance(group, set | frozenset) else names))
        object.__setattr__(self, "groups", tuple(made))

    @property
    def keys(self) -> tuple[Key, ...]:
        """Return one of its own: partitions do not get in each other's way."""
        return (("Parted", self),)

    def check(self, net: Network) -> None:
        """Raise ConfigError where there are no such nodes."""
        net.topology.check_partition(
            self.groups, answer=self.answer, spare_established=self.spare_established
        )

    def before(self, net: Network, key: Key) -> Undo:
        """Part them; return what ends that."""
        return net.partition(
            *self.groups,
            answer=self.answer,
            spare_established=self.spare_established,
        ).heal

    def hold(self, net: Network, key: Key) -> None:
        """They are parted already."""


class Faults(tuple[Fault, ...]):
    """A schedule of faults: a value, empty or not, for `net.apply`."""

    __slots__ = ()

    def __new__(cls, faults: Iterable[Fault] = ()) -> Faults:
        """Take them in any order. Raises ConfigError for what is no fault."""
        made = super().__new__(cls, faults)
        for fault in made:
            if not isinstance(fault, Fault):
                raise ConfigError(f"{fault!r} is no fault, as LinkDown('client-server', at_s=1) is")
        return made

    def on(self, net: Network, *, restart: Callable[[Host], object] | None = None) -> Applied:
        """Let them happen in a network. See `Network.apply`. Raises ConfigError."""
        return Applied(net, self, restart)

    def __repr__(self) -> str:
        """Return what makes it again."""
        return f"Faults([{', '.join(map(repr, self))}])"


class Applied:
    """A schedule that happens in a network."""

    def __init__(
        self, net: Network, faults: Faults, restart: Callable[[Host], object] | None
    ) -> None:
        for fault in faults:
            fault.check(net)
        self._net = net
        self._restart = restart
        self._lasting: dict[Key, tuple[list[Fault], Undo]] = {}  # what has begun, and its undoing
        now = net.now()
        self._handles: list[Handle] = []
        # Those that end at an instant do so before others begin: they would overlap for no time.
        ends = [(fault.at_s + fault.for_s, 0, fault) for fault in faults]
        begins = [(fault.at_s, 1, fault) for fault in faults]
        for at_s, begins_now, fault in sorted(ends + begins, key=lambda each: each[:2]):
            if at_s < math.inf:
                do = self._begin if begins_now else self._end
                self._handles.append(net.at(now + at_s, partial(do, fault)))

    @property
    def lasting(self) -> Faults:
        """Return those that have begun and not ended."""
        found = dict.fromkeys(fault for faults, _ in self._lasting.values() for fault in faults)
        return Faults(found)

    def cancel(self) -> None:
        """Undo what lasts, and let nothing more happen."""
        for handle in self._handles:
            handle.cancel()
        for fault in self.lasting:
            self._end(fault)

    def _begin(self, fault: Fault) -> None:
        for key in fault.keys:
            if key not in self._lasting:
                self._lasting[key] = [], fault.before(self._net, key)
            faults, undo = self._lasting[key]
            if faults and fault._renews:
                undo()
            faults.append(fault)
            fault.hold(self._net, key)

    def _end(self, fault: Fault) -> None:
        for key in fault.keys:
            faults, undo = self._lasting[key]
            faults.remove(fault)
            if not faults or fault._renews:
                undo()
            if faults:
                faults[-1].hold(self._net, key)
                continue
            del self._lasting[key]
            host = self._net.hosts.get(fault.node) if isinstance(fault, PowerCut) else None
            if host is not None and self._restart is not None and undo is not _nothing:
                self._restart(host)

    def __repr__(self) -> str:
        """Return it for an assertion's message."""
        return f"<Applied, lasting: {list(self.lasting)}>"


def _nothing() -> None:
    """Undo nothing: it was so before."""


def _link(net: Network, name: str) -> NetworkLink:
    links = {link.name: link for link in net.links}
    if name not in links:
        raise ConfigError(f"there is no link {name!r}{suggest(str(name), links)}")
    return links[name]


def _set(link: NetworkLink, a_to_b: dict[str, Any], b_to_a: dict[str, Any]) -> None:
    link.set(a_to_b=as_words(a_to_b), b_to_a=as_words(b_to_a))


def _written(value: object) -> str:
    """Return a value as it is written by hand: 2 and not 2.0, a list and not a tuple."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, float):
        if value == math.inf:
            return "float('inf')"
        return repr(int(value)) if value == int(value) else repr(value)
    return repr(value)
