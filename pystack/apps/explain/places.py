"""What was recorded of a network, and who is who in it: the order of nodes, links, a title."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final, Required, TypedDict, Unpack

from pystack.observe.observer import Milestone
from pystack.observe.recording import Item, Recorder, Recording
from pystack.runtime.network import Network

# Of long runs, whose middle finds no room: it is there that names and neighbours are asked for
_KEPT_OF_THE_BEGINNING: Final = 20_000


def recorder_of(net: Network) -> Recorder:
    """Record what happens in a network from now on."""
    recorder = Recorder(first=_KEPT_OF_THE_BEGINNING)
    net.observe(recorder)
    return recorder


def recording_of(
    net: Network, recorder: Recorder, client: str, server: str, **known: Unpack[_Known]
) -> Recording:
    """Return what was recorded, with all that the network knows of it."""
    return Recording(
        items=recorder.items(),
        names=net.topology.names_by_address(),
        order=_order_of(net, client, server),
        left_out=recorder.left_out,
        left_out_after=_KEPT_OF_THE_BEGINNING,
        client=client,
        server=server,
        links=[(*link.ends, link.said) for link in net.links],
        **known,
    )


class _Known(TypedDict, total=False):
    """What only who was there knows."""

    began_at: Required[float]
    title: Required[str]
    outcome: Required[str]
    wall_clock_offset_s: float
    unknown: list[str]


def _order_of(net: Network, first: str, last: str) -> list[str]:
    """Return the nodes from left to right: the shortest way between two, and then the others.

    Those follow by how far they are from the first.
    """
    beside: dict[str, list[str]] = {name: [] for name in net.topology.nodes}
    for cable in net.topology.cables:
        a, b = cable.a.node.name, cable.b.node.name
        beside[a].append(b)
        beside[b].append(a)
    before: dict[str, str] = {first: first}  # for each node, the one that leads to the first
    edge = deque([first])
    while edge:
        name = edge.popleft()
        for other in beside.get(name, ()):
            if other not in before:
                before[other] = name
                edge.append(other)
    way = [last] if last in before else []
    while way and way[-1] != first:
        way.append(before[way[-1]])
    return list(dict.fromkeys([*reversed(way), *before, *net.topology.nodes]))


def title_of(url: str, items: Iterable[Item]) -> str:
    """Return what was done: "GET http://server/ over HTTP/1.1"."""
    request = next(_requests(items), "").split()
    if len(request) == 3 and url.startswith(("http:", "https:", "ws:", "wss:")):
        return f"{request[0]} {url} over {request[2]}"
    return url


def _requests(items: Iterable[Item]) -> Iterator[str]:
    return (it.detail for it in items if isinstance(it, Milestone) and it.what == "request")
