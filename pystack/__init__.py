"""A network you control, in Python: a TCP/IP stack in user space and a network emulator, on Trio.

A map of the package, each layer importing only from those above it in this list::

    core       values and time: the scheduler's heap, addresses, units, chance, counters
    wire       bytes to values and back: Ethernet, ARP, IPv4, ICMP, UDP, TCP
    tcp        the TCP engine, sans-IO: RFC 9293 in files that follow its sections
    observe    what was seen: events, captures, one line per packet
    link       what frames travel on: ports, links in memory
    stack      one host's layers: the way in, the way out, tables
    runtime    the Trio boundary: real and virtual time, TAP devices, streams
    apps       services on a host: HTTP, echo and the like
    cli        the command

The way of a packet in: `runtime/tap.py` or `link/pipe.py`, `stack/ingress.py` from top to bottom,
`stack/tcp_table.py`, `tcp/arrives.py`, `runtime/streams.py`. The way out: `runtime/streams.py`,
`stack/tcp_table.py` (the pump), `tcp/output.py`, `stack/egress.py` from top to bottom, the port.
"""

from pystack.core.errors import ConfigError, DeviceError, PystackError, WireError
from pystack.runtime.datagrams import UdpSocket
from pystack.runtime.host import TrioHost
from pystack.runtime.network import Network
from pystack.runtime.streams import TcpListener, TcpStream
from pystack.runtime.tap_host import TapHostConfig, tap_host
from pystack.runtime.virtual import DeadlockError, run
from pystack.tcp.info import TcpInfo
from pystack.tcp.states import TcpState

__version__ = "0.1.0"

__all__ = [
    "ConfigError",
    "DeadlockError",
    "DeviceError",
    "Network",
    "PystackError",
    "TapHostConfig",
    "TcpInfo",
    "TcpListener",
    "TcpState",
    "TcpStream",
    "TrioHost",
    "UdpSocket",
    "WireError",
    "__version__",
    "run",
    "tap_host",
]
