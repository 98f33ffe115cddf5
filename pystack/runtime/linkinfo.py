"""What a stream can tell about the link below it, as text for people."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LinkInfo:
    """The link on which a connection's frames travel."""

    interface: str
    local_mac: str
    remote_mac: str | None  # None: not resolved, or a link without such addresses
    mtu_bytes: int  # largest IP packet
    via: str | None  # the gateway's address; None: the peer is on this link
