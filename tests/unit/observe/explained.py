"""A story made by hand, small and with everything in it that renderers must show."""

from __future__ import annotations

import struct

from pystack.observe.explain.story import (
    Box,
    Comparison,
    Difference,
    Header,
    Shown,
    Span,
    Step,
    Story,
)

REQUEST = b"GET / HTTP/1.1\r\nHost: server\r\n\r\n"
CLIENT_MAC = "02:00:00:00:00:01"
ROUTER_MAC = "02:00:00:00:00:fe"


def request_frame(payload: bytes = REQUEST) -> bytes:
    """Return an Ethernet frame with `payload` in TCP over IPv4."""
    tcp = struct.pack("!HHIIHHHH", 49152, 80, 1, 1, 0x5018, 64240, 0, 0)
    length = 20 + len(tcp) + len(payload)
    ip = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, length, 7, 0x4000, 64, 6, 0, b"\x0a\0\0\x01", b"\x0a\0\1\x02"
    )
    return bytes.fromhex("0200000000fe0200000000010800") + ip + tcp + payload


def boxes(payload: bytes = REQUEST, title: str = "HTTP/1.1 request") -> list[Box]:
    """Return the envelopes of that frame, from outside to inside."""
    inside = len(payload)
    ethernet = [
        Header("destination", ROUTER_MAC, "the router's: the next hop, not the server", 0, 48),
        Header("source", CLIENT_MAC, "ours", 48, 48),
        Header("type", "0x0800", "IPv4", 96, 16),
    ]
    ip = [
        Header("version", "4", "", 112, 4),
        Header("header length", "5", "20 bytes", 116, 4),
        Header("DSCP and ECN", "0", "", 120, 8),
        Header("total length", str(40 + inside), "", 128, 16),
        Header("identification", "7", "", 144, 16),
        Header("flags", "DF", "routers must not cut it", 160, 3),
        Header("fragment offset", "0", "", 163, 13),
        Header("time to live", "64", "hops left", 176, 8),
        Header("protocol", "6", "TCP", 184, 8),
        Header("header checksum", "0x0000", "", 192, 16),
        Header("source address", "10.0.0.1", "client", 208, 32),
        Header("destination address", "10.0.1.2", "server", 240, 32),
    ]
    tcp = [
        Header("source port", "49152", "ephemeral", 272, 16),
        Header("destination port", "80", "http", 288, 16),
        Header("sequence number", "1", "", 304, 32),
        Header("acknowledgment number", "1", "", 336, 32),
        Header("data offset", "5", "20 bytes", 368, 4),
        Header("flags", "PSH, ACK", "", 372, 12),
        Header("window", "64240", "bytes that we can still take", 384, 16),
        Header("checksum", "0x0000", "", 400, 16),
        Header("urgent pointer", "0", "", 416, 16),
    ]
    line = Header(
        "request line", payload.split(b"\r\n")[0].decode("latin-1"), "", 432, 8 * min(14, inside)
    )
    return [
        Box("data link", (2,), "Ethernet frame", 14, 40 + inside, 0, ethernet),
        Box("network", (3,), "IPv4 packet", 20, 20 + inside, 14, ip),
        Box("transport", (4,), "TCP segment", 20, inside, 34, tcp),
        Box("application", (7,), title, inside, 0, 54, [line] if inside else []),
    ]


def shown(payload: bytes = REQUEST, *, number: int = 7, fate: str = "arrived after 20 ms") -> Shown:
    """Return the frame as a step shows it."""
    return Shown(
        number,
        100.1,
        "client",
        "router",
        "client.49152 > server.80: Flags [P.], length 33",
        boxes(payload),
        request_frame(payload),
        fate,
    )


def resolve_step() -> Step:
    return Step(
        kind="resolve",
        at=100.0,
        until=100.04,
        title="client asks resolver for the address of server: 10.0.1.2",
        text="The program has a name and needs an address. It asked 10.0.0.53 over UDP;"
        " the answer took one round trip of 40 ms and may be kept for 60 s.",
        layer5="application",
        layer7=(7,),
        actors=("client", "resolver"),
        details=[("answer", "A 10.0.1.2", "an IPv4 address"), ("time to live", "60 s", "")],
        owner="the library and a resolver",
        sources=["RFC 1034 section 3.7", "RFC 1035 section 4"],
        commands=[("dig +noall +answer server", "the record, and how long it may be kept")],
        in_node="dns.lookup runs getaddrinfo in a thread",
        in_python="loop.getaddrinfo runs it in a thread too",
    )


def request_step(payload: bytes = REQUEST) -> Step:
    return Step(
        kind="request",
        at=100.1,
        until=100.14,
        title="client sends the request: 33 bytes in one segment",
        text="GET / with one header field goes out as one TCP segment of 33 bytes.",
        layer5="transport",
        layer7=(4, 5),
        actors=("client", "server"),
        details=[("in flight", "33 bytes", "of a window of 64,240")],
        frames=[shown(payload)],
        states=[("client", "ESTABLISHED, 33 bytes in flight"), ("server", "ESTABLISHED")],
        owner="the kernel",
        sources=["RFC 9293 section 3.8"],
        commands=[("ss -tin", "the window, the round-trip time, what is in flight")],
        in_python="writer.write copies to the socket's buffer",
    )


def loss_step() -> Step:
    return Step(
        kind="repair",
        at=100.14,
        until=100.34,
        title="The answer is lost, and sent again after 200 ms",
        text="No acknowledgment came; the retransmission timer ran out.",
        layer5="transport",
        layer7=(4,),
        actors=("server",),
        frames=[shown(b"", number=8, fate="lost: loss")],
        owner="the kernel",
        is_trouble=True,
    )


def story() -> Story:
    """Return the story of a request over a line that loses."""
    return Story(
        title="GET http://server/ over HTTP/1.1",
        places=["client", "router", "server"],
        links=[("client", "router", "a wire"), ("router", "server", "20 ms each way, 1 % lost")],
        began_at=100.0,
        ended_at=100.4,
        steps=[resolve_step(), request_step(), loss_step()],
        waterfall=[
            Span("dns", 100.0, 100.04, 0.04, [Span("propagation", 100.0, 100.04, 0.04)]),
            Span("connect", 100.04, 100.1, 0.06, [Span("propagation", 100.04, 100.1, 0.06)]),
            Span(
                "waiting", 100.1, 100.4, 0.3,
                [
                    Span("propagation", 100.1, 100.4, 0.08),
                    Span("retransmission", 100.1, 100.4, 0.2, text="one time-out"),
                    Span("serialization", 100.1, 100.4, 0.02),
                ],
                "for the first byte of the answer",
            ),
        ],
        facts={"round trips": "4", "frames lost": "1"},
        unknown=["What the server did between two frames."],
        outcome="200, 14,023 bytes",
    )  # fmt: skip


def comparison() -> Comparison:
    """Return that story beside one without the loss."""
    right = story()
    left = story()
    del left.steps[2]
    left.ended_at = 100.2
    left.waterfall[2].end, left.waterfall[2].seconds = 100.2, 0.1
    left.waterfall[2].parts = [Span("propagation", 100.1, 100.2, 0.1)]
    left.facts["frames lost"] = "0"
    left.unknown = []
    return Comparison(
        left,
        right,
        ("loss=0", "loss=1%"),
        [
            Difference("total", "200 ms", "400 ms", "one time-out of 200 ms"),
            Difference("frames lost", "0", "1"),
        ],
        [(0, 0), (1, 1), (None, 2)],
        "One lost frame doubles the time.",
    )
