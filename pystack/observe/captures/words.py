"""What a capture tells of where it was taken, and what nobody can know from it, in sentences."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from pystack.observe.amounts import count
from pystack.observe.flows import Flow

CLIENT: Final = "the client's side"
SERVER: Final = "the server's side"
BETWEEN: Final = "between the two"
# How frames of several places belong together
ONE_PLACE: Final = "one place"
PAIRED: Final = "paired"  # the same frame was seen at two places
EACH_ONCE: Final = "each once"  # of ours: where it entered the network
EACH_LINK: Final = "each link"  # of ours: on each link that it went over
_NEAR: Final = 0.15  # of the round trip: who answers within that is near
_LEAST_RTT_S: Final = 0.0005  # below it, everything is near


def vantage_of(flow: Flow, *, from_here: bool | None) -> str:
    """Return at whose side frames were seen; "" where nothing tells.

    `from_here`: whether the file calls what the client sent outgoing; None: it says nothing.
    """
    if from_here is not None:
        return CLIENT if from_here else SERVER
    handshake = flow.handshake
    rtt_s, client_s, server_s = handshake.rtt_s, handshake.client_side_s, handshake.server_side_s
    if rtt_s is None or client_s is None or server_s is None or rtt_s < _LEAST_RTT_S:
        return ""
    if client_s < _NEAR * rtt_s:
        return CLIENT
    return SERVER if server_s < _NEAR * rtt_s else BETWEEN


def unknown_of(
    flow: Flow,
    *,
    vantage: str,
    how: str,
    has: Collection[str],
    link_names: Sequence[str],
    conversations: int,
    cut: int,
    dropped: int,
    has_secrets: bool,
    trouble: str,
) -> list[str]:
    """Return what cannot be known, and why, in sentences."""
    told = [
        "A capture shows frames, not what hosts think: states, timers and congestion windows are "
        "concluded from them."
    ]
    if how == EACH_ONCE:
        told.append(
            "Each frame is in the file once, where it entered the network: what it did on links "
            "further on is known by what the file says of it alone."
        )
    elif how == ONE_PLACE:
        where = f"at one place, {vantage}" if vantage else "at one place, and nothing tells where"
        told.append(
            f"Frames were seen {where}: how long each was on its way, what queued it, and where a "
            "missing one was lost is not in the file."
        )
    if flow.protocol == "tcp":
        told += _of_tcp(flow)
        if 443 in (flow.a[1], flow.b[1]) and not has_secrets:
            told.append("What TLS has encrypted cannot be read: the file has no secrets for it.")
    told += _of_neighbors(has)
    if cut:
        told.append(
            f"Of {count(cut, 'frame')} the beginning alone was kept: what programs said is not "
            "all here."
        )
    if dropped:
        told.append(
            f"Whoever captured lost {count(dropped, 'frame')}: what seems lost may have arrived."
        )
    if link_names:
        told.append(
            f"The capture has no Ethernet headers ({', '.join(link_names)}): what is shown of them "
            "is made up."
        )
    if conversations > 1:
        told.append(f"This is one of {conversations:,} conversations in the file.")
    return [*told, trouble[:1].upper() + trouble[1:] + "."] if trouble else told


def _of_tcp(flow: Flow) -> list[str]:
    told = []
    handshake = flow.handshake
    if handshake.syn_at is None and handshake.syn_ack_at is None:
        told.append(
            "The connection began before the capture: which options were agreed on is not known, "
            "nor by how much windows are to be scaled."
        )
    elif not handshake.is_whole:
        told.append("Of the handshake not all three segments are in the capture.")
    if not flow.closed_by:
        told.append("The connection had not ended when the capture did.")
    return told


def _of_neighbors(has: Collection[str]) -> list[str]:
    told = []
    if "dns" not in has:
        told.append("No look-up of a name is in the capture: the address was known, or given.")
    if "arp" not in has:
        told.append(
            "No ARP or Neighbor Discovery is in the capture: the next station was known already."
        )
    return told
