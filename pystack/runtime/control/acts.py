"""The calls that change something: links, power, partitions, captures, time."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

from pystack.core.suggest import suggest
from pystack.link.link import A_TO_B
from pystack.link.words import as_words
from pystack.observe.log import LogObserver
from pystack.runtime.control import seen
from pystack.runtime.control.errors import ControlError
from pystack.runtime.device.privileges import as_who_called_sudo
from pystack.runtime.network_link import NetworkLink

if TYPE_CHECKING:
    from pystack.observe.captures.capture import Capture
    from pystack.runtime.control.table import Given, Json
    from pystack.runtime.control.world import World
    from pystack.runtime.network import Network


def link_set(world: World, given: Given) -> Json:
    """Change words of tc-netem(8) of a link; return how it behaves now."""
    joined = world.link(given["link"])
    direction = given.get("direction")
    words = {word: _value(value) for word, value in given.get("words", {}).items()}
    if not words:
        raise ControlError('link set needs words, like {"delay": "50ms"}')
    said = as_words(words)
    if direction is None:
        joined.link.set(**said)
    elif direction == A_TO_B:
        joined.link.set(a_to_b=said)
    else:
        joined.link.set(b_to_a=said)
    return seen.link_row(joined)


def link_down(world: World, given: Given) -> Json:
    """Cut a link, or one direction of it."""
    joined = world.link(given["link"])
    joined.link.down(given.get("direction"))
    return seen.link_row(joined)


def link_up(world: World, given: Given) -> Json:
    """Mend it."""
    joined = world.link(given["link"])
    joined.link.up(given.get("direction"))
    return seen.link_row(joined)


def power_off(world: World, given: Given) -> Json:
    """Cut a node's power."""
    node = _node(world, given["node"])
    _network(world, "power off").power_off(node, crash=given.get("crash", False))
    return {"node": given["node"], "powered": False}


def power_on(world: World, given: Given) -> Json:
    """Restore it."""
    restore = world.power_on or _network(world, "power on").power_on
    restore(_node(world, given["node"]))
    return {"node": given["node"], "powered": True}


def partition(world: World, given: Given) -> Json:
    """Part groups of nodes from each other."""
    for group in given["groups"]:
        for name in group:
            _node(world, name)
    words = {word: given[word] for word in ("answer", "spare_established") if word in given}
    _network(world, "partition").partition(*given["groups"], **words)
    return {"groups": given["groups"]}


def heal(world: World, _given: Given) -> Json:
    """End all partitions."""
    _network(world, "heal").heal()
    return {"groups": []}


def capture_start(world: World, given: Given) -> Json:
    """Begin to write frames to a file: of all, of a node, or of a link."""
    path = os.path.abspath(given["file"])
    node, link = given.get("node"), given.get("link")
    if path in world.captures:
        raise ControlError(f"{path} is being written already; capture stop ends that")
    if node is not None and link is not None:
        raise ControlError("a capture is of a node or of a link, not of both")
    with as_who_called_sudo():
        world.captures[path] = _begun(world, path, node, link)
    return {"file": path, "captures": sorted(world.captures)}


def _begun(world: World, path: str, node: str | None, link: str | None) -> Capture:
    if link is not None:
        joined = world.link(link)
        if isinstance(joined.link, NetworkLink):
            return joined.link.capture(path)
        return next(iter(world.hosts.values())).capture(path)
    if node is not None:
        return world.host(node).capture(path)
    if world.network is not None:
        return world.network.capture(path)
    return next(iter(world.hosts.values())).capture(path)


def capture_stop(world: World, given: Given) -> Json:
    """End it; without a file, all of them."""
    named = given.get("file")
    stopped = sorted(world.captures) if named is None else [os.path.abspath(named)]
    if named is not None and stopped[0] not in world.captures:
        hint = suggest(stopped[0], world.captures) if world.captures else ": there is none"
        raise ControlError(f"no capture goes to {stopped[0]}{hint}")
    for path in stopped:
        world.captures.pop(path).close()
    return {"stopped": stopped, "captures": sorted(world.captures)}


def pause(world: World, _given: Given) -> Json:
    """Let time stand still."""
    world.driver.pause()
    return {"at": world.driver.now(), "paused": True}


def resume(world: World, _given: Given) -> Json:
    """Let it go on."""
    world.driver.resume()
    return {"at": world.driver.now(), "paused": False}


def step(world: World, _given: Given) -> Json:
    """Let one event happen; return which, and all that came of it at once."""
    driver = world.driver
    lines: list[str] = []
    log = LogObserver(lines.append, packets=True, hosts=True)
    told = [host.stack.observers for host in world.hosts.values()]
    told += [joined.link.observers for joined in world.links()]
    for observers in told:
        observers.append(log)
    try:
        done = driver.step()
    finally:
        for observers in told:
            observers.remove(log)
    next_at = driver.scheduler.next_at()
    return {
        "at": done.at,
        "kind": done.kind,
        "what": done.what,
        "happened": lines,
        "next_at": next_at if next_at < math.inf else None,
    }


def _value(value: object) -> object:
    """Return what a word of a command means: there every value is a text."""
    if value in ("yes", "no", "none"):
        return True if value == "yes" else None
    return value


def _network(world: World, call: str) -> Network:
    if world.network is None:
        raise ControlError(f"{call}: there is no network here, but one host on its device")
    return world.network


def _node(world: World, name: str) -> str:
    net = world.network
    if net is not None and name not in net.topology.nodes:
        raise ControlError(f"there is no node {name!r}{suggest(name, net.topology.nodes)}")
    return name
