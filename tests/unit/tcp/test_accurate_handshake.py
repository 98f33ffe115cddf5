"""The handshake of accurate ECN, and what it finds out of the path (RFC 9768 section 3.1)."""

import pytest
from accurate import ACCEPT, ASK, FULL, PLAIN, accurate, opened
from script import Script

from pystack.tcp.config import TcpConfig
from pystack.wire import tcp
from pystack.wire.ecn import ECT_0, NOT_ECT


@pytest.mark.rfc("9768", "3.1.1")
@pytest.mark.parametrize(
    ("mark", "flags"), [("noecn", "SW."), ("ect1", "SEW."), ("ect0", "SA."), ("ce", "SWA.")]
)
def test_a_syn_ack_tells_what_the_syn_came_with(mark: str, flags: str) -> None:
    tcp_ = Script(ACCEPT)
    tcp_.listen(f"+0 < [{mark}] SEWA 0:0(0) win 1000 <mss 1000>")
    tcp_.expect(f"+0 > [noecn] {flags} 0:0(0) ack 1 <mss 1460, ECN e0b 1 ceb 0 e1b 1>")
    assert accurate(tcp_).r_cep == 5  # a mark of the SYN is told so, and does not count


@pytest.mark.rfc("9768", "3.1.2")
@pytest.mark.rfc("9768", "3.1.3")
@pytest.mark.parametrize(
    ("ecn", "flags", "answer", "kind"),
    [
        ("accept_accurate", "SEWA", "SW.", "accurate"),
        ("accurate", "SEWA", "SW.", "accurate"),
        ("accept", "SEWA", "SE.", "classic"),
        ("request", "SEWA", "SE.", "classic"),
        ("off", "SEWA", "S.", "none"),
        ("accept_accurate", "SEW", "SE.", "classic"),
        ("accurate", "SEW", "SE.", "classic"),
        ("accurate", "S", "S.", "none"),
        ("accept_accurate", "SA", "SW.", "accurate"),  # section 3.1.3: no meaning yet
        ("accept_accurate", "SE", "SW.", "accurate"),
        ("accept_accurate", "SWA", "SW.", "accurate"),
    ],
)
def test_a_server_agrees_to_what_it_knows_best(
    ecn: str, flags: str, answer: str, kind: str
) -> None:
    tcp_ = Script(TcpConfig(ecn=ecn, **PLAIN))  # type: ignore[arg-type]
    tcp_.listen(f"+0 < {flags} 0:0(0) win 1000 <mss 1000>")
    tcp_.expect(f"+0 > {answer} 0:0(0) ack 1")
    info = tcp_.conn.info()
    assert (info.ecn, info.accurate_ecn) == (kind != "none", kind == "accurate")


@pytest.mark.rfc("9768", "3.1.2")
@pytest.mark.rfc("9768", "3.1.3")
@pytest.mark.parametrize(
    ("answer", "kind", "ack"),
    [
        ("SW.", "accurate", "W."),
        ("SEA.", "accurate", "W."),  # section 3.1.3: reserved
        ("SE.", "classic", "."),
        ("S.", "none", "."),
        ("SEWA.", "none", "."),  # a peer that copies
    ],
)
def test_a_client_takes_what_the_syn_ack_says(answer: str, kind: str, ack: str) -> None:
    tcp_ = Script(ASK)
    tcp_.connect()
    tcp_.expect("+0 > [noecn] SEWA 0:0(0)")
    tcp_.inject(f"+0.1 < {answer} 0:0(0) ack 1 win 1000 <mss 1000>")
    tcp_.expect(f"+0 > {ack} 1:1(0) ack 1")
    info = tcp_.conn.info()
    assert (info.ecn, info.accurate_ecn) == (kind != "none", kind == "accurate")
    tcp_.write(10)
    (text,) = tcp_.drain()
    assert text.ecn == (NOT_ECT if kind == "none" else ECT_0)


@pytest.mark.rfc("9768", "3.2.2.1")
@pytest.mark.parametrize(
    ("mark", "flags", "count"),
    [("noecn", "W.", 5), ("ect1", "EW.", 5), ("ect0", "A.", 5), ("ce", "WA.", 6)],
)
def test_the_ack_of_a_syn_ack_tells_what_that_came_with(mark: str, flags: str, count: int) -> None:
    tcp_ = Script(ASK)
    tcp_.connect()
    tcp_.expect("+0 > SEWA 0:0(0)")
    tcp_.inject(f"+0.1 < [{mark}] SW. 0:0(0) ack 1 win 65535 <{FULL}>")
    tcp_.expect(f"+0 > [noecn] {flags} 1:1(0) ack 1 <ECN e0b 1 ceb 0 e1b 1>")
    assert accurate(tcp_).r_cep == count
    tcp_.write(10)
    tcp_.expect(f"+0 > [ect0] {'PEA.' if count == 5 else 'PWA.'} 1:11(10) ack 1")
    # The ACK was lost: the SYN-ACK comes again, and is told again (but its mark counts once).
    tcp_.inject(f"+0.1 < [{mark}] SW. 0:0(0) ack 1 win 65535 <{FULL}>")
    again = [each for each in tcp_.drain() if not each.payload]
    assert again[0].flags == tcp.ACK | _flags(flags)
    assert accurate(tcp_).r_cep == count


def _flags(letters: str) -> int:
    known = {"E": tcp.ECE, "W": tcp.CWR, "A": tcp.AE, ".": 0}
    return sum(known[letter] for letter in letters)


@pytest.mark.rfc("9768", "3.2.2.1")
@pytest.mark.rfc("9768", "3.2.3.2.1")
def test_text_that_is_ready_follows_a_bare_ack() -> None:
    tcp_ = Script(ASK)
    tcp_.connect()
    tcp_.expect("+0 > SEWA 0:0(0)")
    tcp_.write(10)
    tcp_.inject(f"+0.1 < SW. 0:0(0) ack 1 win 65535 <{FULL}>")
    tcp_.expect("+0 > W. 1:1(0) ack 1 <ECN e0b 1 ceb 0 e1b 1>")
    tcp_.expect("+0 > [ect0] PEA. 1:11(10) ack 1 <ECN e0b 1 ceb 0 e1b 1>")


@pytest.mark.rfc("9768", "3.1.4.1 number")
@pytest.mark.rfc("9768", "3.1.4.1")
def test_a_syn_asks_twice_and_then_no_more() -> None:
    tcp_ = Script(ASK)
    tcp_.connect()
    tcp_.expect("+0 > SEWA 0:0(0)")
    tcp_.expect("+1 > SEWA 0:0(0)")
    tcp_.expect("+2 > S 0:0(0)")
    tcp_.inject(f"+0.1 < SW. 0:0(0) ack 1 win 65535 <{FULL}>")  # of an earlier one
    tcp_.expect("+0 > W. 1:1(0) ack 1")
    assert tcp_.conn.info().accurate_ecn
    tcp_.write(10)
    tcp_.expect("+0 > [ect0] PEA. 1:11(10) ack 1")  # a client may, where a server may not


@pytest.mark.rfc("9768", "3.2.3.2.2")
@pytest.mark.rfc("9768", "3.1.5")
def test_a_syn_ack_goes_without_the_option_then_without_ecn_and_ect_never_again() -> None:
    tcp_ = Script(ACCEPT)
    tcp_.listen("+0 < SEWA 0:0(0) win 65535 <mss 1000>")
    tcp_.expect("+0 > SW. 0:0(0) ack 1 <mss 1460, ECN e0b 1 ceb 0 e1b 1>")
    tcp_.expect("+1 > SW. 0:0(0) ack 1 <mss 1460>")
    tcp_.expect("+2 > S. 0:0(0) ack 1 <mss 1460>")
    tcp_.inject("+0.1 < W. 1:1(0) ack 1 win 65535")
    assert tcp_.conn.info().accurate_ecn  # what was agreed on stays
    assert tcp_.drops == ["tcp_accecn_syn_without"]
    tcp_.write(10)
    tcp_.expect("+0 > [noecn] PEA. 1:11(10) ack 1")
    tcp_.inject("+0.1 < [ce] PEA. 1:11(10) ack 11 win 65535")
    tcp_.expect("+0 > [noecn] WA. 11:11(0) ack 11")  # and what comes in is told


@pytest.mark.rfc("9768", "3.1.5")
def test_a_second_syn_is_answered_without_the_option_by_what_it_came_with() -> None:
    tcp_ = Script(ACCEPT)
    tcp_.listen("+0 < SEWA 0:0(0) win 65535 <mss 1000>")
    tcp_.expect("+0 > SW. 0:0(0) ack 1")
    tcp_.inject("+0.1 < [ect0] SEWA 0:0(0) win 65535 <mss 1000>")
    tcp_.expect("+0 > SA. 0:0(0) ack 1 <mss 1460>")
    tcp_.inject("+0.1 < S 0:0(0) win 65535 <mss 1000>")
    tcp_.expect("+0 > SW. 0:0(0) ack 1 <mss 1460>")
    assert tcp_.conn.info().accurate_ecn_silent == "tcp_accecn_syn_without"


@pytest.mark.rfc("9768", "3.1.5")
@pytest.mark.parametrize(("first", "second"), [("SEWA", "SEW"), ("SEW", "SEWA")])
def test_a_peer_that_asks_for_both_kinds_is_reset(first: str, second: str) -> None:
    tcp_ = Script(ACCEPT)
    tcp_.listen(f"+0 < {first} 0:0(0) win 65535 <mss 1000>")
    tcp_.drain()
    tcp_.inject(f"+0.1 < {second} 0:0(0) win 65535 <mss 1000>")
    (reset,) = tcp_.drain()
    assert reset.flags & tcp.RST
    assert "tcp_accecn_mixed_syns" in tcp_.drops


@pytest.mark.rfc("9768", "3.1.2")
@pytest.mark.parametrize(("flags", "answer"), [("SEWA", "SW."), ("SEW", "SE."), ("S", "S.")])
def test_simultaneous_open_answers_as_a_server_would(flags: str, answer: str) -> None:
    tcp_ = Script(ASK)
    tcp_.connect()
    tcp_.expect("+0 > SEWA 0:0(0)")
    tcp_.inject(f"+0.1 < {flags} 0:0(0) win 1000 <mss 1000>")
    tcp_.expect(f"+0 > {answer} 0:0(0) ack 1")
    assert tcp_.conn.info().accurate_ecn == (flags == "SEWA")


# mangling


@pytest.mark.rfc("9768", "3.2.2.3 feedback")
@pytest.mark.rfc("9768", "3.2.2.3")
@pytest.mark.parametrize("answer", ["SEW.", "SA.", "SWA."])
def test_a_syn_that_changed_on_the_way_makes_a_client_send_without_ect(answer: str) -> None:
    tcp_ = Script(ASK)
    tcp_.connect()
    tcp_.expect("+0 > [noecn] SEWA 0:0(0)")
    tcp_.inject(f"+0.1 < {answer} 0:0(0) ack 1 win 65535 <{FULL}>")
    tcp_.expect("+0 > W. 1:1(0) ack 1")
    tcp_.write(10)
    tcp_.expect("+0 > [noecn] PEA. 1:11(10) ack 1")
    assert tcp_.drops == ["tcp_accecn_mangled"]
    tcp_.inject("+0.1 < [ce] PEA. 1:11(10) ack 11 win 65535")
    tcp_.expect("+0 > [noecn] WA. 11:11(0) ack 11")  # which it goes on telling


@pytest.mark.rfc("9768", "3.2.2.1")
@pytest.mark.parametrize(
    ("flags", "silent"),
    [
        ("W.", ""),
        ("EW.", "tcp_accecn_mangled"),
        ("A.", "tcp_accecn_mangled"),
        ("WA.", "tcp_accecn_mangled"),
        (".", "tcp_accecn_zeroed"),
        ("E.", ""),
        ("EA.", ""),
        ("EWA.", ""),
    ],
)
def test_a_server_reads_the_ack_of_its_syn_ack(flags: str, silent: str) -> None:
    tcp_ = Script(ACCEPT)
    tcp_.listen("+0 < SEWA 0:0(0) win 65535 <mss 1000>")
    tcp_.expect("+0 > SW. 0:0(0) ack 1")
    tcp_.inject(f"+0.1 < {flags} 1:1(0) ack 1 win 65535")
    assert tcp_.conn.info().accurate_ecn_silent == silent
    assert accurate(tcp_).s_cep == (6 if flags == "WA." else 5)
    tcp_.write(10)
    tcp_.expect(f"+0 > [{'noecn' if silent else 'ect0'}] PEA. 1:11(10) ack 1")


@pytest.mark.rfc("9768", "3.2.2.4")
def test_flags_that_are_cleared_on_the_way_are_believed_no_more() -> None:
    tcp_ = opened()
    tcp_.write(10)
    tcp_.expect("+0 > [ect0] PEA. 1:11(10) ack 1")
    cwnd = tcp_.conn.congestion.cwnd_bytes
    tcp_.inject("+0.1 < . 1:1(0) ack 11 win 65535")
    tcp_.write(10)
    tcp_.expect("+0 > [noecn] PEA. 11:21(10) ack 1")
    tcp_.inject("+0.1 < EWA. 1:1(0) ack 21 win 65535")
    assert tcp_.conn.info().ce_delivered == 0
    assert tcp_.conn.congestion.cwnd_bytes >= cwnd
    assert tcp_.drops == ["tcp_accecn_zeroed"]


@pytest.mark.rfc("9768", "3.2.3.2.4")
@pytest.mark.parametrize("counts", ["ECN e0b 0 ceb 0 e1b 1", "ECN e0b 1 ceb 0 e1b 0"])
def test_an_option_that_is_cleared_on_the_way_is_ignored(counts: str) -> None:
    tcp_ = opened(options=f"mss 1000,{counts}")
    assert tcp_.drops == ["tcp_accecn_option_zeroed"]
    assert not tcp_.conn.info().accurate_ecn_option
    tcp_.write(10)
    tcp_.expect("+0 > [ect0] PEA. 1:11(10) ack 1")


@pytest.mark.rfc("9768", "3.2.2.2 handshake")
@pytest.mark.parametrize("control", ["newreno", "cubic", "prague", "bbr"])
def test_a_marked_syn_makes_the_first_window_a_small_one(control: str) -> None:
    tcp_ = Script(TcpConfig(**{**PLAIN, "ecn": "accurate", "congestion": control}))  # type: ignore[arg-type]
    tcp_.connect()
    tcp_.expect("+0 > [noecn] SEWA 0:0(0)")
    tcp_.inject(f"+0.1 < SWA. 0:0(0) ack 1 win 65535 <{FULL}>")
    assert tcp_.conn.congestion.cwnd_bytes == 1000
    assert accurate(tcp_).s_cep == 5


@pytest.mark.rfc("9768", "3.2.2.2 handshake")
@pytest.mark.parametrize(("flags", "window", "count"), [("WA.", 1000, 6), ("W.", 10_000, 5)])
def test_a_marked_syn_ack_makes_the_first_window_a_small_one(
    flags: str, window: int, count: int
) -> None:
    tcp_ = Script(ACCEPT)
    tcp_.listen("+0 < SEWA 0:0(0) win 65535 <mss 1000>")
    tcp_.drain()
    tcp_.inject(f"+0.1 < {flags} 1:1(0) ack 1 win 65535")
    assert tcp_.conn.congestion.cwnd_bytes == window
    assert accurate(tcp_).s_cep == count
