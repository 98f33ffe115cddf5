"""A network you control, in Python: a TCP/IP stack in user space and a network emulator, on Trio.

A map of the package, each layer importing only from those above it in this list::

    core       values and time: the scheduler's heap, addresses, units, chance, counters
    wire       bytes to values and back: Ethernet, ARP, IPv4, IPv6, ICMP, ND, UDP, TCP, DNS
    dns        names: the resolver's and the server's side, sans-IO
    tcp        the TCP engine, sans-IO: RFC 9293 in files that follow its sections
    observe    what was seen: events, captures, one line per packet
    link       what frames travel on: ports, links in memory
    stack      one host's layers: the way in, the way out, tables
    topology   many hosts: switches, routers, addresses and routes for all, files, timelines
    runtime    the Trio boundary: real and virtual time, TAP devices, streams
    apps       services on a host: HTTP, echo and the like
    experiments  sweeps of many runs, their measures, results and plots
    gym        networks as environments of reinforcement learning
    cli        the command
    testing    the pytest plug-in, packetdrill scripts (it imports all but the command)

The names here, in `pystack.events` and in `pystack.plugins` are public; all else may change.

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
    from pystack.apps.base import Service
    from pystack.apps.hosting import serve
    from pystack.apps.words import ServiceWords
    from pystack.core.errors import ConfigError, DeviceError, PystackError, WireError
    from pystack.link.link import Link
    from pystack.link.words import NetemWords
    from pystack.observe.ladder import Ladder
    from pystack.observe.observer import Event, Observer
    from pystack.runtime.aio.loop import EventLoop
    from pystack.runtime.aio.top import run_asyncio
    from pystack.runtime.datagrams import UdpSocket
    from pystack.runtime.device.tap_config import TapHostConfig
    from pystack.runtime.device.tap_host import tap_host
    from pystack.runtime.driver.virtual import DeadlockError, VirtualTimeoutError, run
    from pystack.runtime.host import Host, Router
    from pystack.runtime.iperf3.client import Iperf3Result
    from pystack.runtime.iperf3.protocol import Iperf3Error
    from pystack.runtime.lab.attach import Namespace, PortNode, TapNode
    from pystack.runtime.names.name_servers import NameServer
    from pystack.runtime.network import Network
    from pystack.runtime.network_link import NetworkLink
    from pystack.runtime.outside.outside import Outside
    from pystack.runtime.outside.published import PublishSpec
    from pystack.runtime.socket.seal import SealedError, unsealed
    from pystack.runtime.streams import TcpStream
    from pystack.runtime.tcp_listener import TcpListener
    from pystack.runtime.watching import Watch
    from pystack.stack.advertise import AdvertiseConfig
    from pystack.stack.ip6_config import Ip6Config
    from pystack.tcp.config import TcpConfig, TcpLimits
    from pystack.tcp.info import TcpInfo
    from pystack.tcp.live import TcpSample
    from pystack.tcp.states import TcpState
    from pystack.testing.determinism import NondeterminismError, check_determinism
    from pystack.topology.nodes import Station
    from pystack.topology.partition import Partition
    from pystack.topology.switch import Switch
    from pystack.wire.frame import Frame

__version__ = "0.1.0"

__all__ = [
    "AdvertiseConfig",
    "ConfigError",
    "DeadlockError",
    "DeviceError",
    "Event",
    "EventLoop",
    "Frame",
    "Host",
    "Ip6Config",
    "Iperf3Error",
    "Iperf3Result",
    "Ladder",
    "Link",
    "NameServer",
    "Namespace",
    "NetemWords",
    "Network",
    "NetworkLink",
    "NondeterminismError",
    "Observer",
    "Outside",
    "Partition",
    "PortNode",
    "PublishSpec",
    "PystackError",
    "Router",
    "SealedError",
    "Service",
    "ServiceWords",
    "Station",
    "Switch",
    "TapHostConfig",
    "TapNode",
    "TcpConfig",
    "TcpInfo",
    "TcpLimits",
    "TcpListener",
    "TcpSample",
    "TcpState",
    "TcpStream",
    "UdpSocket",
    "VirtualTimeoutError",
    "Watch",
    "WireError",
    "__version__",
    "check_determinism",
    "run",
    "run_asyncio",
    "serve",
    "tap_host",
    "unsealed",
]

# The names are looked up when they are first used: the whole takes a third of a second to import,
# and the pytest plug-in, which is in this package, is there in every run of pytest.
_HOMES: Final = {
    name: f"pystack.{module}"
    for module, names in (
        ("apps.base", "Service"),
        ("apps.hosting", "serve"),
        ("apps.words", "ServiceWords"),
        ("core.errors", "ConfigError DeviceError PystackError WireError"),
        ("link.link", "Link"),
        ("link.words", "NetemWords"),
        ("observe.ladder", "Ladder"),
        ("observe.observer", "Event Observer"),
        ("runtime.aio.loop", "EventLoop"),
        ("runtime.aio.top", "run_asyncio"),
        ("runtime.datagrams", "UdpSocket"),
        ("runtime.device.tap_config", "TapHostConfig"),
        ("runtime.device.tap_host", "tap_host"),
        ("runtime.driver.virtual", "DeadlockError VirtualTimeoutError run"),
        ("runtime.host", "Host Router"),
        ("runtime.iperf3.client", "Iperf3Result"),
        ("runtime.iperf3.protocol", "Iperf3Error"),
        ("runtime.lab.attach", "Namespace PortNode TapNode"),
        ("runtime.names.name_servers", "NameServer"),
        ("runtime.network", "Network"),
        ("runtime.network_link", "NetworkLink"),
        ("runtime.outside.outside", "Outside"),
        ("runtime.outside.published", "PublishSpec"),
        ("runtime.socket.seal", "SealedError unsealed"),
        ("runtime.streams", "TcpStream"),
        ("runtime.tcp_listener", "TcpListener"),
        ("runtime.watching", "Watch"),
        ("stack.advertise", "AdvertiseConfig"),
        ("stack.ip6_config", "Ip6Config"),
        ("tcp.config", "TcpConfig TcpLimits"),
        ("tcp.info", "TcpInfo"),
        ("tcp.live", "TcpSample"),
        ("tcp.states", "TcpState"),
        ("testing.determinism", "NondeterminismError check_determinism"),
        ("topology.nodes", "Station"),
        ("topology.partition", "Partition"),
        ("topology.switch", "Switch"),
        ("wire.frame", "Frame"),
    )
    for name in names.split()
}
# These are modules of public names too.
_MODULES: Final = ("events", "plugins")

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Return one of the public names, from the module that it is in."""
        if name in _MODULES:
            return import_module(f"pystack.{name}")
        if name not in _HOMES:
            raise AttributeError(f"module 'pystack' has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value

    def __dir__() -> list[str]:
        """Return what there is, looked up already or not."""
        return sorted({*globals(), *_HOMES, *_MODULES})


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
