"""What observers are told: `net.observe(observer)`, `host.observe(observer)`.

`Event` is any of them. All have `at`, the world's time in seconds, and `host`, the name of the host
or the link that it is about. An event is made only where somebody looks, and is told at its
instant, in the order of things.
"""

from pystack.core.tcp_events import (
    TcpMeasured,
    TcpRepair,
    TcpRetransmitted,
    TcpSoftError,
    TcpStateChanged,
)
from pystack.observe.observer import (
    AddressChanged,
    Dropped,
    Event,
    FellBehind,
    FrameSeen,
    LookUp,
    Milestone,
    NeighborChanged,
    Observer,
    RouteChosen,
)
from pystack.observe.passage import Change, Passage, PassageWatcher
from pystack.wire.frame import Frame

__all__ = [
    "AddressChanged",
    "Change",
    "Dropped",
    "Event",
    "FellBehind",
    "Frame",
    "FrameSeen",
    "LookUp",
    "Milestone",
    "NeighborChanged",
    "Observer",
    "Passage",
    "PassageWatcher",
    "RouteChosen",
    "TcpMeasured",
    "TcpRepair",
    "TcpRetransmitted",
    "TcpSoftError",
    "TcpStateChanged",
]
