"""What we write of IPv6, as Wireshark reads it."""

import shutil
import subprocess
from pathlib import Path

import pytest
from packets6 import GLOBAL, A, B, Header, destination, hop_by_hop, packet6

from pystack.core.addresses import Mac, Prefix, parse_ip6
from pystack.observe.captures.output import open_capture
from pystack.observe.captures.pcap import PcapWriter
from pystack.wire import ethernet, icmpv6, ipv6, mld, nd, tcp, udp
from pystack.wire.frame import Frame
from pystack.wire.ip import cut6
from pystack.wire.ipv6_ext import FRAGMENT, HOP_BY_HOP

MAC = Mac(bytes.fromhex("020000000001"))
GROUP = parse_ip6("ff02::fb")
ALERT: Header = (HOP_BY_HOP, mld.ROUTER_ALERT[1:])
DATAGRAM = udp.pack(A, B, 5000, 7777, bytes(at & 0xFF for at in range(4000)))

SAID = nd.RouterAdvertisement(
    64,
    True,
    False,
    1,
    1800,
    30_000,
    1000,
    nd.NdOptions(
        source_mac=MAC,
        mtu_bytes=1400,
        prefixes=[nd.PrefixInformation(Prefix.of(GLOBAL, 64), True, True, 86400, nd.FOR_EVER)],
        routes=[nd.RouteInformation(Prefix.of(GLOBAL, 48), -1, 600)],
        rdnss=[nd.Rdnss(600, (GLOBAL, A))],
        dnssl=[nd.Dnssl(700, ("lab.example", "b.example"))],
    ),
)


def read(path: Path, packets: list[bytes], *fields: str) -> list[dict[str, str]]:
    """Return fields of packets, as tshark names them; "" where a packet has none such."""
    tshark = shutil.which("tshark")
    if tshark is None:
        pytest.skip("tshark is not installed: nobody to read beside us")
    writer = PcapWriter(open_capture(str(path)))
    for packet in packets:
        writer.write(Frame(ethernet.pack(MAC, MAC, ethernet.IPV6, packet)), 0.0)
    writer.close()
    always = ("_ws.malformed", "icmpv6.checksum.status", "udp.checksum.status")
    wanted = [word for field in (*always, *fields) for word in ("-e", field)]
    options = ["-T", "fields", "-E", "separator=|", "-o", "udp.check_checksum:TRUE"]
    result = subprocess.run(
        [tshark, "-r", str(path), *options, *wanted], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    rows = [line.split("|") for line in result.stdout.splitlines()]
    found = [dict(zip((*always, *fields), row, strict=True)) for row in rows]
    for row in found:
        assert row["_ws.malformed"] == ""
        assert row["icmpv6.checksum.status"] in ("", "1")  # none, or good
        assert row["udp.checksum.status"] in ("", "1")
    return found


def message(data: bytes, headers: list[Header] | None = None) -> bytes:
    return packet6(headers or [], ipv6.ICMPV6, data, src=A, dst=B, ttl=1 if headers else 255)


def test_a_router_advertisement(tmp_path: Path) -> None:
    fields = {
        "icmpv6.nd.ra.cur_hop_limit": "64",
        "icmpv6.nd.ra.router_lifetime": "1800",
        "icmpv6.nd.ra.reachable_time": "30000",
        "icmpv6.nd.ra.retrans_timer": "1000",
        "icmpv6.nd.ra.flag.prf": "1",
        "icmpv6.opt.linkaddr": "02:00:00:00:00:01",
        "icmpv6.opt.mtu": "1400",
        "icmpv6.opt.prefix": "2001:db8::,2001:db8::",
        "icmpv6.opt.prefix.length": "64,48",
        "icmpv6.opt.prefix.valid_lifetime": "86400",
        "icmpv6.opt.prefix.preferred_lifetime": str(nd.FOR_EVER),
        "icmpv6.opt.route_info.flag.route_preference": "3",
        "icmpv6.opt.route_lifetime": "600",
        "icmpv6.opt.rdnss": "2001:db8::1,fe80::a",
        "icmpv6.opt.rdnss.lifetime": "600",
        "icmpv6.opt.dnssl": "lab.example,b.example",
        "icmpv6.opt.dnssl.lifetime": "700",
    }
    packet = message(nd.pack_router_advertisement(A, B, SAID))
    (row,) = read(tmp_path / "ra.pcap", [packet], *fields)
    assert {name: row[name] for name in fields} == fields


def test_other_messages_of_discovery_and_of_listeners(tmp_path: Path) -> None:
    packets = [
        message(nd.pack_neighbor_solicitation(A, B, GLOBAL, source_mac=MAC, nonce=b"123456")),
        message(
            nd.pack_neighbor_advertisement(
                A, B, GLOBAL, mac=MAC, router=True, solicited=False, override=True
            )
        ),
        message(nd.pack_router_solicitation(A, B, source_mac=MAC)),
        message(
            nd.pack_redirect(
                A, B, nd.Redirect(A, GLOBAL, nd.NdOptions(redirected=packet6([], 59, bytes(8))))
            )
        ),
        message(mld.pack_query(A, B, mld.MldQuery(10.0, GROUP, 1)), [ALERT]),
        message(mld.pack_query(A, B, mld.MldQuery(60.0, GROUP, 2, (GLOBAL,))), [ALERT]),
        message(mld.pack_report1(A, B, GROUP), [ALERT]),
        message(mld.pack_report(A, B, [(mld.MODE_IS_EXCLUDE, GROUP)], (GLOBAL,)), [ALERT]),
    ]
    rows = read(
        tmp_path / "nd.pcap",
        packets,
        "icmpv6.nd.ns.target_address",
        "icmpv6.nd.na.target_address",
        "icmpv6.nd.na.flag",
        "icmpv6.rd.na.destination_address",
        "icmpv6.mld.multicast_address",
        "icmpv6.mldr.mar.multicast_address",
        "icmpv6.opt.nonce",
    )
    assert [list(row.values())[3:] for row in rows] == [
        ["2001:db8::1", "", "", "", "", "", "313233343536"],
        ["", "2001:db8::1", "0xa0000000", "", "", "", ""],
        ["", "", "", "", "", "", ""],
        ["", "", "", "2001:db8::1", "", "", ""],
        ["", "", "", "", "ff02::fb", "", ""],
        ["", "", "", "", "ff02::fb", "", ""],
        ["", "", "", "", "ff02::fb", "", ""],
        ["", "", "", "", "", "ff02::fb", ""],
    ]


@pytest.mark.parametrize("mtu_bytes", [1280, 1500])
def test_fragments_are_put_together(tmp_path: Path, mtu_bytes: int) -> None:
    headers = [hop_by_hop(), destination()]
    pieces = [
        packet6([(FRAGMENT, header[1:])], 17, text, src=A, dst=B)
        for header, text in cut6(DATAGRAM, mtu_bytes, 17, 0xDEADBEEF)
    ]
    assert max(map(len, pieces)) <= mtu_bytes
    whole = packet6(headers, 17, DATAGRAM, src=A, dst=B)
    rows = read(tmp_path / "frag.pcap", [*pieces, whole], "udp.length", "udp.checksum.status")
    assert [row["udp.length"] for row in rows] == [*[""] * (len(pieces) - 1), "4008", "4008"]


def test_errors_with_what_they_quote(tmp_path: Path) -> None:
    segment = tcp.Segment(5, 7, 1, 0, tcp.SYN, 1000, b"", b"")
    quote = packet6([], 6, tcp.pack_header(segment, B, A), src=B, dst=A)
    packets = [
        message(icmpv6.pack(A, B, icmpv6.PACKET_TOO_BIG, 0, 1300, quote)),
        message(icmpv6.pack(A, B, icmpv6.PARAMETER_PROBLEM, 3, 40, quote)),
    ]
    rows = read(tmp_path / "errors.pcap", packets, "icmpv6.mtu", "icmpv6.pointer", "tcp.dstport")
    assert [list(row.values())[3:] for row in rows] == [["1300", "", "7"], ["", "40", "7"]]
