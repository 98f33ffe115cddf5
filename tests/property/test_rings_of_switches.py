"""Whatever happens to the links and switches of a network: no frame goes round, none comes twice,
and who is joined at all reaches everybody at once.
"""

from collections import Counter
from collections.abc import Iterable
from itertools import combinations

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

import pystack
from pystack.observe.observer import Event, FrameSeen
from pystack.runtime.network_link import NetworkLink
from pystack.wire import ethernet
from pystack.wire.frame import Frame

BROADCAST = b"\xff" * 6
EXPERIMENTAL = 0x88B5  # IEEE 802: for local use
ACTIONS = ("down", "up", "power_off", "power_on", "cut", "heal", "add", "down_one_way")

step = st.tuples(
    st.sampled_from(ACTIONS),
    st.integers(0, 1000),
    # Most of them at one instant, or within the time that a frame needs.
    st.sampled_from([0.0, 0.0, 0.003, 0.011, 0.5]),
)
worlds = st.tuples(
    st.integers(2, 7),
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12),
    st.lists(step, max_size=12),
    st.integers(0, 2**32 - 1),
)


class World:
    """Switches, each with one host, joined at random by links that take 1 to 20 ms."""

    def __init__(self, net: pystack.Network, count: int) -> None:
        self.net = net
        self.switches = [net.switch(f"s{number}") for number in range(count)]
        self.hosts = [net.host(f"h{number}") for number in range(count)]
        self.links: list[tuple[int, int, NetworkLink]] = []
        for host, switch in zip(self.hosts, self.switches, strict=True):
            net.link(host, switch, delay="1ms")
        self.off: set[int] = set()
        self.cut: set[int] = set()  # the switches that are in the first group of a partition
        self.came: Counter[tuple[str, bytes]] = Counter()
        self.sent = 0
        net.observe(self)

    def on_event(self, event: Event) -> None:
        if isinstance(event, FrameSeen) and not event.sent and _is_ours(event.frame):
            self.came[event.host, event.frame.data] += 1

    def join(self, one: int, other: int) -> None:
        one, other = one % len(self.switches), other % len(self.switches)
        if one != other:
            delay_s = (1 + (7 * one + 3 * other + len(self.links)) % 20) / 1000
            link = self.net.link(self.switches[one], self.switches[other], delay=delay_s)
            self.links.append((one, other, link))

    def act(self, action: str, number: int) -> None:
        if action in ("down", "up", "down_one_way") and self.links:
            link = self.links[number % len(self.links)][2]
            if action == "up":
                link.up()
            else:
                link.down("a_to_b" if action == "down_one_way" else None)
        elif action == "power_off":
            self.off.add(number % len(self.switches))
            self.net.power_off(self.switches[number % len(self.switches)])
        elif action == "power_on":
            self.off.discard(number % len(self.switches))
            self.net.power_on(self.switches[number % len(self.switches)])
        elif action == "cut" and not self.cut:
            middle = 1 + number % (len(self.switches) - 1)
            self.cut = set(range(middle))
            self.net.partition(self.switches[:middle], self.switches[middle:])
        elif action == "heal":
            self.cut = set()
            self.net.heal()
        elif action == "add":
            self.join(number, number // 7)

    def islands(self) -> list[set[int]]:
        """Return which switches with power reach each other in both directions."""
        islands = [{number} for number in range(len(self.switches)) if number not in self.off]
        for one, other, link in self.links:
            pipes = (link.a_to_b, link.b_to_a)
            if any(pipe.is_down for pipe in pipes) or {one, other} & self.off:
                continue
            if self.cut and (one in self.cut) != (other in self.cut):
                continue
            mine = next(island for island in islands if one in island)
            its = next(island for island in islands if other in island)
            if mine is not its:
                mine |= its
                islands.remove(its)
        return islands

    def send(self, sender: int, to: bytes) -> bytes:
        """Let a host send a frame; return it."""
        self.sent += 1
        interface = self.hosts[sender].stack.interfaces[1]
        payload = self.sent.to_bytes(4, "big") + bytes(46)
        data = ethernet.pack(to, bytes(interface.mac), EXPERIMENTAL, payload)  # type: ignore[arg-type]
        interface.port.send(Frame(data), self.net.driver.now())
        return data

    def mac(self, number: int) -> bytes:
        return bytes(self.hosts[number].stack.interfaces[1].mac)


def _is_ours(frame: Frame) -> bool:
    return frame.data[12:14] == EXPERIMENTAL.to_bytes(2, "big")


async def lives(world: World, steps: Iterable[tuple[str, int, float]]) -> None:
    """Let everything happen while all talk to all, and look after each change."""
    pairs = list(combinations(range(len(world.hosts)), 2))

    def chatter() -> None:
        for number, (one, other) in enumerate(pairs):
            world.send(one, BROADCAST if number % 3 == 0 else world.mac(other))
            world.send(other, world.mac(one))

    chatter()
    await trio.sleep(0.2)
    for action, number, wait_s in steps:
        chatter()  # under way while it happens
        world.act(action, number)
        await trio.sleep(wait_s)
    world.net.settle()
    expected: list[tuple[str, bytes]] = []
    for island in world.islands():
        for one in island:
            others = island - {one}
            expected += [(f"h{other}", world.send(one, world.mac(other))) for other in others]
            wide = world.send(one, BROADCAST)
            expected += [(f"h{other}", wide) for other in others]
    await trio.sleep(1)
    lost = [(host, data[14:18].hex()) for host, data in expected if not world.came[host, data]]
    assert not lost
    twice = [(host, data[14:18].hex()) for (host, data), n in world.came.items() if n > 1]
    assert not twice
    # Quiet: nothing is on its way any more.
    before = sum(switch.counters["frames_in"] for switch in world.switches)
    await trio.sleep(1)
    assert sum(switch.counters["frames_in"] for switch in world.switches) == before


@settings(max_examples=200)
@given(worlds)
def test_rings_that_break_and_mend(
    world: tuple[int, list[tuple[int, int]], list[tuple[str, int, float]], int],
) -> None:
    count, joins, steps, seed = world

    async def main() -> None:
        async with pystack.Network(seed=seed) as net:
            made = World(net, count)
            for one, other in joins:
                made.join(one, other)
            net.settle()
            await lives(made, steps)

    pystack.run(main)
