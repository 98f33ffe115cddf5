"""What a way remembers of its neighbour is never older than what the neighbour table knows."""

import pytest
from stack_bench import HERE, HERE_MAC, OTHER_MAC, PEER, PEER_MAC, Bench, arp_frame

from pystack.core.addresses import UNSPECIFIED, Ip, Mac
from pystack.stack.neighbors import MAX_PROBES, TABLE_ENTRIES, NeighborTable
from pystack.stack.udp_socket import UdpSocket
from pystack.wire import arp, ethernet


class World(Bench):
    """A host with a socket that has sent to its neighbour already: the way is known."""

    def __init__(self) -> None:
        super().__init__()
        self.know_peer()
        self.socket: UdpSocket = self.host.udp.bind(UNSPECIFIED, 5000)
        self.stations()

    @property
    def table(self) -> NeighborTable:
        assert self.interface.neighbors is not None
        return self.interface.neighbors

    def stations(self) -> list[bytes]:
        """Send a datagram; return whom datagrams went to at once: [] where the station is asked."""
        self.socket.send_to(b"x", PEER, 7, self.scheduler.now)
        frames = [frame.data for frame in self.taken()]
        return [data[ethernet.DST] for data in frames if data[ethernet.TYPE] == ethernet.IS_IPV4]

    def answer(self, mac: Mac) -> None:
        self.arrive(arp_frame(arp.REPLY, mac, PEER, HERE, HERE_MAC, dst=HERE_MAC))


@pytest.fixture
def world() -> World:
    return World()


def test_a_way_goes_to_the_station_that_answered(world: World) -> None:
    assert world.stations() == [PEER_MAC]
    world.answer(PEER_MAC)
    assert world.stations() == [PEER_MAC]


@pytest.mark.parametrize("is_answer", [True, False], ids=["reply", "request"])
def test_a_neighbour_that_moves_is_followed_at_once(world: World, is_answer: bool) -> None:
    world.answer(PEER_MAC)
    assert world.stations() == [PEER_MAC]
    if is_answer:
        world.answer(OTHER_MAC)
    else:
        world.arrive(arp_frame(arp.REQUEST, OTHER_MAC, PEER, HERE))
        world.taken()
    assert world.stations() == [OTHER_MAC]


def test_a_neighbour_that_is_silent_is_given_up(world: World) -> None:
    world.table.doubt(PEER, world.scheduler.now)
    assert world.stations() == [PEER_MAC]  # while it is asked
    world.run(world.scheduler.now + MAX_PROBES + 0.5)
    assert world.stations() == []


def test_a_reachable_neighbour_is_asked_again_after_its_time(world: World) -> None:
    world.answer(PEER_MAC)
    world.stations()
    world.run(46.0)  # it was believed for 45 s at most
    world.stations()
    entry = world.table.find(PEER)
    assert entry is not None
    assert entry.state.value == "DELAY"


def test_what_the_table_forgets_the_way_does_too(world: World) -> None:
    world.answer(PEER_MAC)
    world.stations()
    world.table.clear()
    assert world.stations() == []


def test_a_neighbour_that_gives_way_to_others_is_asked_for(world: World) -> None:
    world.stations()  # never proven: the first to go
    for number in range(TABLE_ENTRIES):
        world.table.heard(Ip(PEER + 10 + number), OTHER_MAC, world.scheduler.now, create=True)
    assert world.table.find(PEER) is None
    assert world.stations() == []
