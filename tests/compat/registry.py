"""All probes, in the order and under the titles of the page."""

from __future__ import annotations

from typing import Final

from probe import Probe
from probes import (
    brokers,
    mail_and_files,
    refused,
    remote,
    sdks,
    sql,
    standard,
    stores,
    web_clients,
    web_servers,
)

GROUPS: Final[dict[str, tuple[Probe, ...]]] = {
    "The standard library, and retries": standard.PROBES,
    "Clients of HTTP and WebSocket": web_clients.PROBES,
    "Servers and frameworks of the web": web_servers.PROBES,
    "Stores": stores.PROBES,
    "SQL": sql.PROBES,
    "Brokers": brokers.PROBES,
    "Mail and files": mail_and_files.PROBES,
    "Shells, RPC, QUIC, DNS, machines": remote.PROBES,
    "SDKs with addresses of their own": sdks.PROBES,
    "Sockets made in C": refused.PROBES,
}
PROBES: Final[tuple[Probe, ...]] = tuple(probe for group in GROUPS.values() for probe in group)
