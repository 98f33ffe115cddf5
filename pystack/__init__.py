"""A network you control, in Python: a TCP/IP stack in user space and a network emulator, on Trio.

A map of the package, each layer importing only from those above it in this list::

    core       values and time: the scheduler's heap, addresses, units, chance, counters
    wire       bytes to values and back: Ethernet, ARP, IPv4, ICMP, UDP, TCP, DNS
    dns        names: who asks for them and who answers, sans-IO
    tcp        the TCP engine, sans-IO: RFC 9293 in files that follow its sections
    observe    what was seen: events, captures, one line per packet
    link       what frames travel on: ports, links in memory
    stack      one host's layers: the way in, the way out, tables
    dns        names: the resolver's and the server's side, sans-IO
    topology   many hosts: switches, routers, addresses and routes for all, files, timelines
    runtime    the Trio boundary: real and virtual time, TAP devices, streams
    apps       services on a host: HTTP, echo and the like
    cli        the command
    testing    the pytest plug-in, packetdrill scripts (it imports all but the command)

The way of a packet in: `runtime/device/tap.py` or `link/pipe.py`, `stack/ingress.py` from top to
bottom, `stack/tcp_table.py`, `tcp/arrives.py`, `runtime/streams.py`. The way out:
`runtime/streams.py`, `stack/tcp_table.py` (the pump), `tcp/output.py`, `stack/egress.py` from top
to bottom, the port.
"""

import os
import sys
import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pystack.apps.hosting import serve
    from pystack.core.errors import ConfigError, DeviceError, PystackError, WireError
    from pystack.runtime.datagrams import UdpSocket
    from pystack.runtime.device.tap_config import TapHostConfig
    from pystack.runtime.device.tap_host import tap_host
    from pystack.runtime.driver.virtual import DeadlockError, VirtualTimeoutError, run
    from pystack.runtime.host import TrioHost
    from pystack.runtime.iperf3.client import Iperf3Result
    from pystack.runtime.iperf3.protocol import Iperf3Error
    from pystack.runtime.lab.attach import Namespace, TapNode
    from pystack.runtime.network import Network
    from pystack.runtime.socket.seal import SealedError, unsealed
    from pystack.runtime.streams import TcpListener, TcpStream
    from pystack.tcp.info import TcpInfo
    from pystack.tcp.states import TcpState

__version__ = "0.1.0"

__all__ = [
    "ConfigError",
    "DeadlockError",
    "DeviceError",
    "Iperf3Error",
    "Iperf3Result",
    "Namespace",
    "Network",
    "PystackError",
    "SealedError",
    "TapHostConfig",
    "TapNode",
    "TcpInfo",
    "TcpListener",
    "TcpState",
    "TcpStream",
    "TrioHost",
    "UdpSocket",
    "VirtualTimeoutError",
    "WireError",
    "__version__",
    "run",
    "serve",
    "tap_host",
    "unsealed",
]

# The names are looked up when they are first used: the whole takes a third of a second to import,
# and the pytest plug-in, which is in this package, is there in every run of pytest.
_HOMES: Final = {
    "ConfigError": "pystack.core.errors",
    "DeadlockError": "pystack.runtime.driver.virtual",
    "DeviceError": "pystack.core.errors",
    "Iperf3Error": "pystack.runtime.iperf3.protocol",
    "Iperf3Result": "pystack.runtime.iperf3.client",
    "Namespace": "pystack.runtime.lab.attach",
    "Network": "pystack.runtime.network",
    "PystackError": "pystack.core.errors",
    "SealedError": "pystack.runtime.socket.seal",
    "TapHostConfig": "pystack.runtime.device.tap_config",
    "TapNode": "pystack.runtime.lab.attach",
    "TcpInfo": "pystack.tcp.info",
    "TcpListener": "pystack.runtime.streams",
    "TcpState": "pystack.tcp.states",
    "TcpStream": "pystack.runtime.streams",
    "TrioHost": "pystack.runtime.host",
    "UdpSocket": "pystack.runtime.datagrams",
    "VirtualTimeoutError": "pystack.runtime.driver.virtual",
    "WireError": "pystack.core.errors",
    "run": "pystack.runtime.driver.virtual",
    "serve": "pystack.apps.hosting",
    "tap_host": "pystack.runtime.device.tap_host",
    "unsealed": "pystack.runtime.socket.seal",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Return one of the public names, from the module that it is in."""
        if name not in _HOMES:
            raise AttributeError(f"module 'pystack' has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value

    def __dir__() -> list[str]:
        """Return what there is, looked up already or not."""
        return sorted({*globals(), *_HOMES})


def _namesakes() -> list[str]:
    """Return what is installed of PyPI's `pystack`, which has our import name, by its metadata."""
    found: list[str] = []
    for folder in sys.path:
        if os.path.basename(folder) in ("site-packages", "dist-packages"):
            try:
                names = os.listdir(folder)
            except OSError:
                continue
            found += [
                os.path.join(folder, name)
                for name in names
                if name.startswith("pystack-") and name.endswith(".dist-info")
            ]
    return found


if _namesakes():
    warnings.warn(
        f"this is the pystack of the distribution pystack-net, from {os.path.dirname(__file__)}; "
        "the distribution pystack, whose import name is the same, is installed too: have each in "
        "an environment of its own",
        stacklevel=2,
    )
