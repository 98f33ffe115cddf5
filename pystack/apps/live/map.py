"""The map of a lab: the same places as `pystack lab show --svg` gives its boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pystack.apps.live.world import HostWorld, NetworkWorld
from pystack.core.addresses import format_ip
from pystack.runtime.control.control import Control
from pystack.topology.drawing import Box, Drawing, Line
from pystack.topology.layout import lay_out

if TYPE_CHECKING:
    from pystack.apps.live.world import World
    from pystack.runtime.network import Network

_MARGIN: Final = 24
_SHOWN: Final = 3  # addresses of a node
_LINE_PX: Final = 16
_KINDS: Final = {"TapNode": "tap", "Namespace": "namespace", "PortNode": "port"}


def map_of(world: World, control: Control) -> dict[str, object]:
    """Return boxes and lines with their places in pixels, and the size of the whole."""
    links = control.call("links")
    if isinstance(world, HostWorld):
        boxes = {world.title: Box(world.title, "host", world.of.addresses[:_SHOWN])}
        for link in links:
            boxes.setdefault(link["b"], Box(link["b"], "kernel", ()))
    else:
        assert isinstance(world, NetworkWorld)
        boxes = _boxes(world.of)
    # The words are those at the time of asking, for the room that they need.
    lines = [Line(link["a"], link["b"], _words(link)) for link in links]
    placed = lay_out(Drawing(world.title, boxes, tuple(lines)))
    for each in placed.values():
        each.x += _MARGIN
        each.y += _MARGIN
    return {
        "width": max(each.x + each.width / 2 for each in placed.values()) + _MARGIN,
        "height": max(each.y + each.height / 2 for each in placed.values()) + _MARGIN,
        "boxes": [
            {
                "name": name,
                "kind": box.kind,
                "rows": [name, *box.addresses],
                "x": placed[name].x,
                "y": placed[name].y,
                "width": placed[name].width,
                "height": placed[name].height,
            }
            for name, box in boxes.items()
        ],
        "lines": [
            {
                "name": link["name"],
                "a": link["a"],
                "b": link["b"],
                "x1": placed[link["a"]].x,
                "y1": placed[link["a"]].y,
                "x2": placed[link["b"]].x,
                "y2": placed[link["b"]].y,
            }
            for link in links
        ],
    }


def _boxes(network: Network) -> dict[str, Box]:
    network.settle()
    found = {}
    for name, node in network.topology.nodes.items():
        attached = network.attached.get(name)
        kind = "router" if node.is_router else "switch" if node.is_switch else "host"
        if attached is not None:
            kind = _KINDS.get(type(attached).__name__, "port")
        addresses = [f"{format_ip(address)}/{prefix.length}" for address, prefix in node.given]
        found[name] = Box(name, kind, tuple(addresses[:_SHOWN]))
    return found


def _words(link: dict[str, dict[str, dict[str, str]]]) -> tuple[str, ...]:
    words = link["a_to_b"]["words"]
    return (", ".join(f"{name} {value}" for name, value in words.items()),) if words else ()
