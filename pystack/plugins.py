"""What can be plugged in: the Protocols, what they are told, and how one asks for them.

There are seven kinds: `Port`, `Impairment`, `Qdisc`, `CongestionControl`, `LossRecovery`, `Service`
and `Observer`. Each is asked for in the same ways, which its `...Like` names: by name with words,
in a mapping, as a class or what makes one, and itself where one may serve alone. docs/plug-ins.md
has an example of each.
"""

from pystack.apps.base import Service
from pystack.apps.options import ServiceOptions
from pystack.apps.service import ServiceLike
from pystack.link.impair.base import Departures, Impairment, ImpairmentLike
from pystack.link.impair.packet import Packet
from pystack.link.port import FrameSink, Port, PortBase
from pystack.link.qdisc.base import Qdisc, QdiscLike, Report, ignore
from pystack.observe.observer import Observer
from pystack.observe.registry import ClosingObserver, ObserverLike
from pystack.observe.scene import Scene
from pystack.runtime.ports import PortContext, PortLike, RunningPort
from pystack.tcp.congestion.base import (
    AckSample,
    CongestionControl,
    ControlDefaults,
    LossSample,
    LostSegment,
    MarkSample,
    Opening,
    RateSample,
)
from pystack.tcp.congestion.guarded import ControlError
from pystack.tcp.congestion.registry import ControlLike
from pystack.tcp.recovery.base import LossRecovery, Lost, RecoveryInfo
from pystack.tcp.recovery.registry import RecoveryLike
from pystack.wire.frame import Frame

__all__ = [
    "AckSample",
    "ClosingObserver",
    "CongestionControl",
    "ControlDefaults",
    "ControlError",
    "ControlLike",
    "Departures",
    "Frame",
    "FrameSink",
    "Impairment",
    "ImpairmentLike",
    "LossRecovery",
    "LossSample",
    "Lost",
    "LostSegment",
    "MarkSample",
    "Observer",
    "ObserverLike",
    "Opening",
    "Packet",
    "Port",
    "PortBase",
    "PortContext",
    "PortLike",
    "Qdisc",
    "QdiscLike",
    "RateSample",
    "RecoveryInfo",
    "RecoveryLike",
    "Report",
    "RunningPort",
    "Scene",
    "Service",
    "ServiceLike",
    "ServiceOptions",
    "ignore",
]
