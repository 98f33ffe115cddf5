"""Partition: groups of nodes that cannot reach each other for a while.

Packets between hosts of different groups are lost at the doors of both, whatever lies between: on
leaving by where they go, on arriving by where they come from. What was on its way when it began is
lost as well, as by a cut. A link that joins nodes of two groups carries nothing at all, so that
switches and routers can be members. A node in no group reaches, and is reached by, all others.

Instead of silence there may be an answer (`stack/refusals.py`), at the door by which a packet would
leave; and what there was may be spared, as by a firewall that accepts ESTABLISHED and RELATED. Both
are about IP packets: ARP and neighbor discovery pass then.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import without_zone
from pystack.core.errors import ConfigError
from pystack.core.ranges import check_switch
from pystack.core.suggest import suggest
from pystack.stack.host import Host
from pystack.stack.refusals import refusal_of
from pystack.topology.doors import Flow, Wall
from pystack.topology.nodes import Cable, End, Node

if TYPE_CHECKING:
    from pystack.core.scheduler import Scheduler
    from pystack.link.link import Link
    from pystack.link.port import FrameSink
    from pystack.wire.frame import Frame

ANSWERS: Final = ("silence", "reject")


class Partition:
    """Lasts from its creation until `heal`, or until the end of a `with` or `async with` block."""

    def __init__(
        self,
        groups: Sequence[Sequence[Node]],
        changed: Callable[[], None],
        *,
        answer: str = "silence",
        spare_established: bool = False,
    ) -> None:
        if answer not in ANSWERS:
            hint = suggest(answer, ANSWERS) if isinstance(answer, str) else ""
            raise ConfigError(f"a partition has no answer {answer!r}{hint}")
        check_switch("spare_established", spare_established)
        self.answer = answer
        self.spare_established = spare_established
        self.spared: frozenset[Flow] | None = None  # flows of UDP that go on, where any do
        if len(groups) < 2 or not all(groups):
            raise ConfigError("a partition separates two or more groups, none of them empty")
        self.groups = [tuple(group) for group in groups]
        self.active = True
        self._changed = changed
        self._group_of: dict[Node, int] = {}
        for number, group in enumerate(groups):
            for node in group:
                if self._group_of.setdefault(node, number) != number:
                    raise ConfigError(f"{node.name} is in two groups of a partition")

    def heal(self) -> None:
        """End it. A second call does nothing."""
        if self.active:
            self.active = False
            self._changed()

    @property
    def is_silent_cut(self) -> bool:
        """Tell whether nothing at all passes, and nobody hears why."""
        return self.answer == "silence" and not self.spare_established

    def parts(self, one: Node, other: Node) -> bool:
        """Tell whether two nodes are in different groups."""
        mine, its = self._group_of.get(one), self._group_of.get(other)
        return mine is not None and its is not None and mine != its

    def others(self, node: Node) -> Iterator[Node]:
        """Iterate over the nodes that it keeps this one from."""
        own = self._group_of.get(node)
        if own is not None:
            for number, group in enumerate(self.groups):
                if number != own:
                    yield from group

    def __enter__(self) -> Partition:
        """It holds already."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Heal it."""
        self.heal()

    async def __aenter__(self) -> Partition:
        """It holds already."""
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Heal it."""
        self.heal()


class Partitions:
    """Those of one topology, and what they put at its doors."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._all: list[Partition] = []

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self._all)

    def add(self, partition: Partition) -> None:
        """Let one begin: `part` puts it into effect."""
        self._all.append(partition)

    def heal(self) -> None:
        """End all."""
        for partition in list(self._all):
            partition.heal()

    def part(self, nodes: Collection[Node], cables: Iterable[Cable]) -> list[Link]:
        """Put guards where they are wanted, and take away those that nobody wants.

        Returns the links that carry nothing now, or something again.
        """
        self._all = [known for known in self._all if known.active]
        for partition in self._all:
            if partition.spare_established and partition.spared is None:
                hosts = [node.device for node in nodes]
                partition.spared = _flows_of(host for host in hosts if isinstance(host, Host))
        walls = {node: tuple(self._walls(node)) for node in nodes if not node.is_switch}
        ends = {end: walls.get(node, ()) for node in nodes for end in node.ends}
        cut: set[End] = set()
        changed: list[Link] = []
        for cable in cables:
            both = cable.a, cable.b
            between = [known for known in self._all if known.parts(cable.a.node, cable.b.node)]
            is_cut = any(partition.is_silent_cut for partition in between)
            if is_cut:
                cut.update(both)
            elif between:
                # A firewall on the link itself: what others send over it does not pass either.
                mine = tuple([self._wall(partition, None) for partition in between])
                ends |= {end: (*mine, *ends[end]) for end in both}
            if cable.a.cut != is_cut:
                changed.append(cable.link)
        for end, wanted in ends.items():
            if end.walls != wanted or end.cut != (end in cut):
                end.walls, end.cut = wanted, end in cut
                end.replug()
        return changed

    def _walls(self, node: Node) -> Iterator[Wall]:
        """Yield what is wanted at the doors of a node, the strictest first."""
        silent = _addresses(node, [known for known in self._all if known.is_silent_cut])
        if silent:
            yield Wall(silent)
        for partition in self._all:
            if not partition.is_silent_cut:
                shut_out = _addresses(node, [partition])
                if shut_out:
                    yield self._wall(partition, shut_out)

    def _wall(self, partition: Partition, addresses: frozenset[int] | None) -> Wall:
        refuse = self._refuse if partition.answer == "reject" else None
        return Wall(addresses, refuse, partition.spared)

    def _refuse(self, frame: Frame, sink: FrameSink) -> None:
        """Answer a frame at this instant, but never from inside its sender."""
        answer = refusal_of(frame)
        if answer is not None:
            self._scheduler.post(self._scheduler.now, sink, answer)


def _addresses(node: Node, partitions: Iterable[Partition]) -> frozenset[int]:
    """Return the addresses of all that partitions keep from a node."""
    return frozenset(
        address
        for partition in partitions
        for other in partition.others(node)
        for address in other.addresses
    )


def _flows_of(hosts: Iterable[Host]) -> frozenset[Flow]:
    """Return the flows of UDP that connected sockets have now, in both directions."""
    flows: set[Flow] = set()
    for host in hosts:
        for sockets in host.udp.sockets.values():
            for socket in sockets:
                if socket.remote is not None:
                    here = without_zone(socket.local), socket.local_port
                    there = without_zone(socket.remote[0]), socket.remote[1]
                    flows |= {(*here, *there), (*there, *here)}
    return frozenset(flows)
