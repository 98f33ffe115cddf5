"""The table of calls: names, arguments with their types and ranges, and what they are for.

`pystack ctl --help`, docs/control.md and the sentences about wrong calls come from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from pystack.core.ranges import COUNT, PORT, Range
from pystack.link.link import DIRECTIONS
from pystack.runtime.control import acts, seen
from pystack.runtime.control.errors import ControlError
from pystack.runtime.control.table import Argument, Call
from pystack.tcp.states import TcpState
from pystack.topology.partition import ANSWERS

_HOST: Final = Argument("host", "text", "This host alone; all, if it is not said.")
_LIMIT: Final = Argument(
    "limit",
    "number",
    f"So many at most, up to {seen.MOST_ROWS}; {seen.DEFAULT_LIMIT} if it is not said.",
    within=Range(1, seen.MOST_ROWS),
)
_OFFSET: Final = Argument("offset", "number", "Without the first so many.", within=COUNT)
_LINK: Final = Argument("link", "text", "The link's name, such as client-server.", needed=True)
_DIRECTION: Final = Argument(
    "direction", "text", "One direction alone; both, if it is not said.", among=DIRECTIONS
)
_NODE: Final = Argument("node", "text", "A host, a router or a switch.", needed=True)
_PAGED: Final = (_HOST, _LIMIT, _OFFSET)

_TABLE: Final = (
    Call("info", "What runs: version, seed, time, how many hosts and connections.", seen.info),
    Call("hosts", "Hosts and routers, with their addresses.", seen.hosts),
    Call(
        "ss",
        "TCP connections, as ss -ti: state, ends, queues, RTT, windows, timers, what limits each.",
        seen.ss,
        (
            _HOST,
            Argument(
                "state",
                "text",
                "Those in this state.",
                among=tuple(state.value for state in TcpState),
            ),
            Argument("port", "number", "Those with this port, at either end.", within=PORT),
            Argument(
                "order",
                "text",
                "Which come first; the oldest, if it is not said.",
                among=("oldest", "newest", *seen.ORDERS),
            ),
            Argument("detail", "switch", "Every variable there is."),
            _LIMIT,
            _OFFSET,
        ),
        example="port=80 order=active limit=10",
    ),
    Call("listening", "Listeners of TCP and sockets of UDP, as ss -lun.", seen.listening, _PAGED),
    Call("routes", "Routing tables, as ip route.", seen.routes, _PAGED, example="host=client"),
    Call("neighbors", "Neighbour tables, as ip neigh.", seen.neighbors, _PAGED),
    Call("addresses", "Interfaces and their addresses, as ip address.", seen.addresses, (_HOST,)),
    Call(
        "counters",
        "What was counted: packets, and every drop by its name.",
        seen.counters,
        (_HOST, Argument("explain", "switch", "With a sentence about each.")),
        example="explain=yes",
    ),
    Call("links", "Links: how they behave, what waits, what was counted.", seen.links),
    Call(
        "link set",
        "Change words of tc-netem(8) of a link; a word with the value none is taken back.",
        acts.link_set,
        (
            _LINK,
            Argument("words", "words", 'Words and values: {"delay": "50ms"}.', needed=True),
            _DIRECTION,
        ),
        changes=True,
        example="client-server delay=50ms loss=1%",
    ),
    Call(
        "link down",
        "Cut a link: what is on its way is lost.",
        acts.link_down,
        (_LINK, _DIRECTION),
        changes=True,
        example="client-server",
    ),
    Call(
        "link up",
        "Mend a link.",
        acts.link_up,
        (_LINK, _DIRECTION),
        changes=True,
        example="client-server direction=a_to_b",
    ),
    Call(
        "power off",
        "Cut a node's power: silence, its programs end.",
        acts.power_off,
        (
            _NODE,
            Argument("crash", "switch", "Whether programs end without cleaning up."),
        ),
        changes=True,
        example="server",
    ),
    Call(
        "power on",
        "Restore a node's power: its memory is empty.",
        acts.power_on,
        (_NODE,),
        changes=True,
        example="server",
    ),
    Call(
        "partition",
        "Let nothing through between groups of nodes.",
        acts.partition,
        (
            Argument("groups", "groups", 'Groups: [["a", "b"], ["c"]].', needed=True),
            Argument("answer", "text", "What who sends into it is told.", among=ANSWERS),
            Argument("spare_established", "switch", "Whether connections that exist go on."),
        ),
        changes=True,
        example="a,b c answer=reject",
    ),
    Call("heal", "End all partitions.", acts.heal, changes=True),
    Call(
        "capture start",
        "Write frames to a file for Wireshark: all, or those of a node or a link.",
        acts.capture_start,
        (
            Argument("file", "text", "Where to: pcapng, or classic pcap by its name.", needed=True),
            Argument("node", "text", "What this host sees."),
            Argument("link", "text", "What is put on this link."),
        ),
        changes=True,
        files=True,
        example="out.pcapng node=server",
    ),
    Call(
        "capture stop",
        "End a capture; all of them, if none is named.",
        acts.capture_stop,
        (Argument("file", "text", "The one that goes there."),),
        changes=True,
        files=True,
        example="out.pcapng",
    ),
    Call(
        "pause",
        "Let time stand still: nothing arrives, no timer goes off.",
        acts.pause,
        changes=True,
    ),
    Call("resume", "Let time go on from where it stands.", acts.resume, changes=True),
    Call(
        "step",
        "While time stands still: let one event happen; say which, and what came of it.",
        acts.step,
        changes=True,
    ),
)

WATCH: Final = "watch"
UPDATES_A_SECOND: Final = Range(0.01, 20, whole=False)
# Of the socket alone, which makes the calls that are named here
WATCHED: Final = Call(
    WATCH,
    "The same calls again and again, so many times a second; told where something changed.",
    lambda _world, _given: None,
    (
        Argument(
            "calls", "words", 'Calls with their arguments: {"ss": {"port": 80}}.', needed=True
        ),
        Argument(
            "per_s",
            "number",
            "Updates in a second, at most; 4 if it is not said.",
            within=UPDATES_A_SECOND,
        ),
    ),
)

CALLS: Final[Mapping[str, Call]] = {call.name: call for call in _TABLE}


def check_watched(names: Iterable[str]) -> None:
    """Refuse to make calls again and again that change something. Raises ControlError."""
    for name in names:
        if name in CALLS and CALLS[name].changes:
            raise ControlError(f"{name} changes something: only what looks can be watched")
