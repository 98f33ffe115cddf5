"""Accurate ECN between hosts: each mark is told, whatever becomes of ACKs."""

from dataclasses import replace

import pytest
import trio

import pystack
from pystack.tcp.config import TcpConfig
from pystack.tcp.info import TcpInfo

BYTES = 300_000


def transfer(
    control: str,
    *,
    ip: str = "4",
    ecn: str = "accept_accurate",
    server_ecn: str = "accept_accurate",
    qdisc: str = "dualpi2",
    back: dict[str, object] | None = None,
    forth: dict[str, object] | None = None,
) -> tuple[TcpInfo, TcpInfo]:
    """Send so much over a line of 5 Mbit/s; return what both ends say when all is acknowledged."""
    ends: list[TcpInfo] = []

    async def main() -> None:
        async with pystack.Network(seed=3, ip=ip) as net, trio.open_nursery() as nursery:
            config = TcpConfig(ecn=ecn, congestion=control)  # type: ignore[arg-type]
            client = net.host("client", tcp=config)
            server = net.host("server", tcp=replace(config, ecn=server_ecn, congestion="cubic"))  # type: ignore[arg-type]
            net.link(
                client,
                server,
                a_to_b={"rate": "5mbit", "delay": "10ms", "qdisc": qdisc, **(forth or {})},
                b_to_a={"delay": "10ms", **(back or {})},
            )
            (listener,) = await server.open_tcp_listeners(80)

            async def serve() -> None:
                stream = await listener.accept()
                left = BYTES
                while left:
                    left -= len(await stream.receive_some())
                await trio.sleep(1)
                ends.append(stream.info())

            nursery.start_soon(serve)
            stream = await client.open_tcp_stream("server", 80)
            await stream.send_all(bytes(BYTES))
            await trio.sleep(3)
            ends.append(stream.info())
            nursery.cancel_scope.cancel()

    pystack.run(main, seed=3)
    taken, sent = ends
    return sent, taken


@pytest.mark.rfc("9768", "3.2")
@pytest.mark.parametrize("ip", ["4", "6"])
@pytest.mark.parametrize(("control", "ecn"), [("prague", "off"), ("dctcp", "accurate")])
def test_each_mark_is_told(ip: str, control: str, ecn: str) -> None:
    qdisc = (
        "dualpi2" if control == "prague" else "red limit 100kb min 6kb max 18kb probability 1 ecn"
    )
    sent, taken = transfer(control, ip=ip, ecn=ecn, qdisc=qdisc)
    assert sent.accurate_ecn
    assert taken.accurate_ecn
    assert sent.accurate_ecn_option
    assert sent.ce_delivered == taken.ce_received > 10
    assert sent.ce_delivered_bytes == taken.ce_received_bytes > 10_000
    ect = taken.ect1_received_bytes if control == "prague" else taken.ect0_received_bytes
    assert ect + taken.ce_received_bytes == BYTES
    assert sent.retransmits == 0


@pytest.mark.rfc("9768", "3.2.3.3")
def test_acks_that_are_lost_hide_no_marks() -> None:
    sent, taken = transfer("prague", back={"loss": 0.3})
    assert sent.ce_delivered == taken.ce_received > 10
    assert sent.ce_delivered_bytes == taken.ce_received_bytes


def test_text_that_is_lost_is_sent_again_and_counted_once_where_it_came() -> None:
    sent, taken = transfer("prague", forth={"loss": 0.02})
    assert sent.retransmits > 0
    assert sent.ce_delivered == taken.ce_received > 10
    assert taken.ect1_received_bytes + taken.ce_received_bytes >= BYTES


@pytest.mark.parametrize(
    ("server_ecn", "ecn", "marked"), [("accept", True, True), ("off", False, False)]
)
def test_where_the_peer_knows_less_prague_goes_to_the_other_queue(
    server_ecn: str, ecn: bool, marked: bool
) -> None:
    sent, taken = transfer("prague", server_ecn=server_ecn)
    assert (sent.ecn, sent.accurate_ecn, sent.ce_delivered) == (ecn, False, 0)
    assert taken.ecn_seen == ecn
    assert (taken.ce_received > 0) == marked


def test_a_control_that_knows_rfc_3168_answers_once_a_window() -> None:
    sent, taken = transfer("cubic", ecn="accurate", qdisc="codel ecn")
    assert sent.accurate_ecn
    assert sent.ce_delivered == taken.ce_received > 0
    assert sent.retransmits == 0
