"""What is said of each kind of step beside the run: true RFCs and sections, and nothing missing."""

import ast
import asyncio
import re
from pathlib import Path

import pytest

import pystack
from pystack.observe.explain.knowledge import table

EXPLAIN = Path(pystack.__file__).parent / "observe" / "explain"
# Sections by their titles, as the RFCs have them; "": the RFC as a whole, which has no numbers.
TITLES = {
    "RFC 768": {"": "User Datagram Protocol"},
    "RFC 792": {"": "Internet Control Message Protocol"},
    "RFC 826": {"": "An Ethernet Address Resolution Protocol"},
    "RFC 894": {"": "A Standard for the Transmission of IP Datagrams over Ethernet Networks"},
    "RFC 959": {"4.1": "FTP Commands", "4.2": "FTP Replies"},
    "RFC 1034": {"5.3.1": "Stub resolvers"},
    "RFC 1035": {"4.1": "Format", "7.4": "Using the cache"},
    "RFC 1122": {
        "2.3.2": "Address Resolution Protocol -- ARP",
        "3.3.1": "Routing Outbound Datagrams",
        "4.2.3.9": "ICMP Messages",
    },
    "RFC 1191": {"3": "Host Specification"},
    "RFC 1812": {"5.2.4": "Determining the Next Hop Address", "5.3.1": "Time to Live (TTL)"},
    "RFC 2018": {"2": "Sack-Permitted Option", "3": "Sack Option Format"},
    "RFC 2428": {"3": "The EPSV Command"},
    "RFC 2464": {"3": "Frame Format"},
    "RFC 2883": {"4": "Use of the SACK option for reporting a duplicate segment"},
    "RFC 3168": {"5": "Explicit Congestion Notification in IP", "6.1": "TCP"},
    "RFC 3522": {"3.2": "The Algorithm"},
    "RFC 4015": {"3": "The Eifel Response Algorithm"},
    "RFC 4443": {"3": "ICMPv6 Error Messages"},
    "RFC 4861": {"7.2": "Address Resolution"},
    "RFC 5246": {
        "7.3": "Handshake Protocol Overview",
        "7.4.1.3": "Server Hello",
        "7.4.2": "Server Certificate",
        "7.4.9": "Finished",
    },
    "RFC 5321": {
        "3.3": "Mail Transactions",
        "4.1.1": "Command Semantics and Syntax",
        "4.2": "SMTP Replies",
    },
    "RFC 5681": {
        "3.1": "Slow Start and Congestion Avoidance",
        "3.2": "Fast Retransmit/Fast Recovery",
        "4.2": "Generating Acknowledgments",
    },
    "RFC 6066": {"3": "Server Name Indication"},
    "RFC 6298": {"2": "The Basic Algorithm", "5": "Managing the RTO Timer"},
    "RFC 6455": {"4.1": "Client Requirements", "5.2": "Base Framing Protocol"},
    "RFC 6582": {"3.2": "Specification"},
    "RFC 6675": {"5": "Algorithm Details"},
    "RFC 6724": {"6": "Destination Address Selection"},
    "RFC 6928": {"2": "TCP Modification"},
    "RFC 7301": {"3.1": "The Application-Layer Protocol Negotiation Extension"},
    "RFC 7323": {"1.3": "Using TCP Options", "2.2": "Window Scale Option"},
    "RFC 7567": {"1": "Introduction"},
    "RFC 8085": {"3": "UDP Usage Guidelines"},
    "RFC 8200": {"3": "IPv6 Header Format"},
    "RFC 8201": {"4": "Protocol Requirements"},
    "RFC 8290": {"1": "Introduction"},
    "RFC 8305": {"5": "Connection Attempts"},
    "RFC 8446": {
        "2": "Protocol Overview",
        "4.1.2": "Client Hello",
        "4.1.3": "Server Hello",
        "4.4": "Authentication Messages",
        "4.4.4": "Finished",
        "5.2": "Record Payload Protection",
        "6.1": "Closure Alerts",
    },
    "RFC 8985": {
        "6.2": "RACK: detection of loss",
        "7.2": "Scheduling a Loss Probe",
        "7.3": "Sending a Loss Probe upon PTO Expiration",
    },
    "RFC 9110": {
        "4.2.2": "https URI Scheme",
        "7.8": "Upgrade",
        "9.3": "Method Definitions",
        "15": "Status Codes",
    },
    "RFC 9112": {"3": "Request Line", "4": "Status Line", "9.3": "Persistence"},
    "RFC 9113": {
        "3.4": "HTTP/2 Connection Preface",
        "4.1": "Frame Format",
        "5.2": "Flow Control",
    },
    "RFC 9293": {
        "3.4": "Sequence Numbers",
        "3.4.1": "Initial Sequence Number Selection",
        "3.5": "Establishing a Connection",
        "3.5.2": "Reset Generation",
        "3.5.3": "Reset Processing",
        "3.6": "Closing a Connection",
        "3.7": "Segmentation",
        "3.7.1": "Maximum Segment Size Option",
        "3.8.1": "Retransmission Timeout",
        "3.8.3": "TCP Connection Failures",
        "3.8.4": "TCP Keep-Alives",
        "3.8.6": "Managing the Window",
        "3.8.6.1": "Zero-Window Probing",
        "3.8.6.3": "Delayed Acknowledgments -- When to Send an ACK Segment",
        "3.9.1": "User/TCP Interface",
        "3.10.4": "CLOSE Call",
        "3.10.7.1": "CLOSED STATE",
        "3.10.8": "Timeouts",
    },
}


@pytest.mark.parametrize("kind", table())
def test_every_source_is_a_section_that_there_is(kind: str) -> None:
    for source in table()[kind].sources:
        found = re.fullmatch(r"(RFC \d+)(?: section (\d+(?:\.\d+)*))?", source)
        assert found is not None, source
        assert TITLES[found[1]][found[2] or ""], source


def test_no_title_is_kept_of_a_section_that_nobody_names() -> None:
    named = {source for known in table().values() for source in known.sources}
    kept = {
        f"{rfc} section {section}".removesuffix(" section ")
        for rfc, sections in TITLES.items()
        for section in sections
    }
    assert kept == named


@pytest.mark.parametrize("kind", table())
def test_every_kind_says_all_that_is_to_be_said(kind: str) -> None:
    known = table()[kind]
    assert known.owner
    assert known.sources
    assert known.commands
    assert known.node
    assert known.python
    assert known.layer7


def test_every_kind_that_the_telling_uses_is_in_the_table() -> None:
    calls = [
        node
        for path in EXPLAIN.glob("telling/*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]
    used = {
        call.args[0].value
        for call in calls
        if call.func.attr == "step" and isinstance(call.args[0], ast.Constant)  # type: ignore[attr-defined]
    }
    assert len(used) > 20
    assert used - set(table()) == set()


def test_asyncio_stops_reading_where_it_is_said() -> None:
    class Transport(asyncio.ReadTransport):
        paused = False

        def pause_reading(self) -> None:
            self.paused = True

    async def main() -> None:
        reader, transport = asyncio.StreamReader(), Transport()
        reader.set_transport(transport)
        reader.feed_data(bytes(128 * 1024))
        assert not transport.paused
        reader.feed_data(b"x")
        assert transport.paused

    asyncio.run(main())
    assert "more than 128 KiB" in table()["answer"].python
