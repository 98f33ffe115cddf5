"""`pystack dig`: dig's words, sections and exit statuses, at instants of virtual time."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pystack
from pystack.apps.clients.digging import read_request
from pystack.cli.main import main

Here = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def dig(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """Return the command as a function in this process."""

    def run(*arguments: str | Path) -> tuple[int, list[str], str]:
        monkeypatch.setattr(sys, "argv", ["pystack", "dig", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        assert isinstance(caught.value.code, int)
        shown, said = capsys.readouterr()
        return caught.value.code, shown.splitlines(), said

    return run


RECORDS = (
    "--record",
    "www.example.test 300 A 10.0.0.9",
    "--record",
    "www.example.test 300 MX 5 mx",
)


def test_an_answer_has_digs_sections_and_the_worlds_time(dig: Here) -> None:
    status, lines, said = dig("www.example.test", "@ns", *RECORDS, "--delay", "40ms")
    assert (status, said) == (0, "")
    [ident] = [line.rpartition(" ")[2] for line in lines if "HEADER" in line]
    assert lines == [
        "",
        f"; <<>> DiG of pystack {pystack.__version__} <<>> www.example.test @ns",
        ";; global options: +cmd",
        ";; Got answer:",
        f";; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: {ident}",
        ";; flags: qr aa rd ra; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 1",
        "",
        ";; OPT PSEUDOSECTION:",
        "; EDNS: version: 0, flags:; udp: 1232",
        ";; QUESTION SECTION:",
        ";www.example.test.\t\tIN\tA",
        "",
        ";; ANSWER SECTION:",
        "www.example.test.\t300\tIN\tA\t10.0.0.9",
        "",
        ";; Query time: 160 msec",  # 80 for ARP, 80 for the query
        ";; SERVER: 10.0.0.2#53(10.0.0.2) (UDP)",
        ";; WHEN: Thu Jan 01 00:00:00 UTC 2026",
        ";; MSG SIZE  rcvd: 61",
        "",
    ]


def test_short_is_the_data_alone(dig: Here) -> None:
    assert dig("www.example.test", "+short", *RECORDS)[1] == ["10.0.0.9"]
    [mail] = dig("mx", "www.example.test", "+short", *RECORDS)[1]
    assert mail.startswith("5 mx")
    assert dig("-x", "10.0.0.1", "+short")[1] == ["client."]
    assert dig("client", "-t", "a", "+short", "-p", "5353")[1] == ["10.0.0.1"]
    assert dig("client", "+short", "--dns", "ns1")[1] == ["10.0.0.1"]


def test_by_tcp_it_is_told_so_and_takes_a_handshake_more(dig: Here) -> None:
    status, lines, _ = dig("client", "+tcp", "+noedns", "+norecurse", "--delay", "40ms")
    assert status == 0
    assert ";; Query time: 240 msec" in lines
    assert ";; SERVER: 10.0.0.2#53(10.0.0.2) (TCP)" in lines
    assert not any("EDNS" in line for line in lines)
    assert any(line.startswith(";; flags: qr aa ra;") for line in lines)


def test_no_such_name_is_an_answer(dig: Here) -> None:
    status, lines, _ = dig("nobody.example", "+noall", "+comments")
    assert status == 0
    assert "status: NXDOMAIN" in lines[1]


def test_sections_can_be_chosen(dig: Here) -> None:
    assert dig("www.example.test", "+noall", "+answer", *RECORDS)[1] == [
        "www.example.test.\t300\tIN\tA\t10.0.0.9"
    ]
    lines = dig("www.example.test", "+nostats", "+nocmd", "+nocomments", *RECORDS)[1]
    assert lines == [
        ";; QUESTION SECTION:",
        ";www.example.test.\t\tIN\tA",
        "",
        "www.example.test.\t300\tIN\tA\t10.0.0.9",
    ]
    # Columns are counted without the semicolon, as BIND's dig does.
    lines = dig("_sip._tcp.example.test", "SRV", "+noall", "+question", *RECORDS)[1]
    assert ";_sip._tcp.example.test.\t\tIN\tSRV" in lines


def test_silence_is_9(dig: Here) -> None:
    status, lines, _ = dig("x", "+time=1", "+tries=2", "--loss", "100%")
    assert status == 9
    assert lines[-2:] == [
        ";; communications error to server#53: timed out",
        ";; no servers could be reached",
    ]
    status, [line], _ = dig("x", "+time=1", "--loss", "100%", "--json")
    assert status == 9
    assert "no answer from server" in json.loads(line)["error"]


def test_faults_are_seen(dig: Here) -> None:
    fault = ("--dns-fault", "www.example.test late 2s")
    assert ";; Query time: 2000 msec" in dig("www.example.test", *RECORDS, *fault)[1]
    fault = ("--dns-fault", "* servfail")
    assert "status: SERVFAIL" in dig("www.example.test", *RECORDS, *fault, "+nocmd")[1][1]


def test_json_has_all_of_it(dig: Here) -> None:
    _, [line], _ = dig("www.example.test", "--json", *RECORDS, "--delay", "5ms")
    found = json.loads(line)
    assert found["answer"] == [
        {"name": "www.example.test", "ttl_s": 300, "kind": "A", "text": "10.0.0.9"}
    ]
    assert found["took_s"] == pytest.approx(0.02)
    assert (found["over"], found["sent"]) == ("udp", 1)


def test_a_host_of_a_lab_asks_its_own_server(dig: Here, tmp_path: Path) -> None:
    lab = tmp_path / "lab.toml"
    lab.write_text(
        '[hosts.client]\ndns = "ns1"\n[hosts.ns1]\nserve = ["dns"]\n[hosts.bare]\n[switches.s]\n'
        + "".join(f'[[links]]\nbetween = ["{name}", "s"]\n' for name in ("client", "ns1", "bare"))
    )
    status, lines, said = dig("bare", "+short", "--lab", lab)
    assert (status, lines, said) == (0, ["10.0.0.3"], "")
    status, _, said = dig("bare", "--lab", lab, "--from", "bare")
    assert (status, said) == (2, "pystack: bare has no name server: name one to ask\n")
    assert dig("bare", "+short", "@ns1", "--lab", lab, "--from", "bare")[1] == ["10.0.0.3"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "no name to look up was given"),
        (("x", "y"), "'y' is not a type, and a name to ask for was already given"),
        (("x", "+shrt"), "there is no +shrt; did you mean '+short'?"),
        (("x", "+time=0"), "+time=0: it takes a number"),
        (("x", "+time"), "+time=: it takes a number"),
        (("x", "+short=1"), "there is no +short=1"),
        (("x", "-t", "AAAAA"), "-t AAAAA: there is no such type"),
        (("-x", "10.0.0"), "10.0.0"),
        (("x" * 64,), "x" * 64),
        (("x", "-p", "0"), "Invalid value for '-p'"),
        (("x", "--record", "x"), "x"),
    ],
)
def test_what_cannot_be_is_one_sentence(dig: Here, words: tuple[str, ...], sentence: str) -> None:
    status, lines, said = dig(*words)
    assert (status, lines) == (2, [])
    assert sentence in said
    assert said.count("\n") == 1


@given(st.lists(st.text(max_size=12), max_size=5))
def test_any_words_are_a_request_or_one_sentence(words: list[str]) -> None:
    try:
        request = read_request(words, reverse=None, kind=None, port=None)
    except pystack.ConfigError as error:
        said = str(error)
    else:
        said = request.name
    assert said
