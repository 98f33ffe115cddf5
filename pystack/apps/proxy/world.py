"""What all proxies of a process share: their network, and those who wait for the machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pystack.runtime.device.limits import open_files

if TYPE_CHECKING:
    from pystack.apps.proxy.endpoints import Names
    from pystack.apps.proxy.lanes import Lanes
    from pystack.core.counters import Counters
    from pystack.runtime.driver.driver import Driver
    from pystack.runtime.network import Network
    from pystack.runtime.splice.poller import Poller


@dataclass(slots=True)
class World:
    """It is there while `Proxies` run."""

    net: Network
    driver: Driver
    poller: Poller
    names: Names
    lanes: Lanes
    on_over: Callable[[], None]  # called whenever a connection or session has ended
    counters: Counters
    sessions: int = 0  # of all proxies of UDP
    # A crowd of these, whom nobody can tell from forged ones, is to leave files for the others
    most_sessions: float = field(default_factory=lambda: open_files() // 4)
