"""The small laboratory of `pystack explain`: what is recorded of each kind of URL, to the instant.

The line is the usual one: 10 ms, 50 Mbit/s. Over IPv6 all is a little later, for its header has 20
bytes more.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from pystack.apps.explain.record import record
from pystack.apps.explain.target import read_target
from pystack.core.errors import ConfigError
from pystack.core.tcp_events import TcpRetransmitted, TcpStateChanged
from pystack.observe.observer import Dropped, LookUp, Milestone, NeighborChanged, RouteChosen
from pystack.observe.passage import ARRIVED, LOST, Passage
from pystack.observe.recording import Recording

VERSIONS = pytest.mark.parametrize("version", [4, 6])
Instants = dict[str, float]
SEED_OF_A_LOSS = 12  # of a datagram, after the name was resolved
SERVER = {4: "198.51.100.10", 6: "2001:db8:0:3::a"}
RESOLVER = {4: "198.51.100.53", 6: "2001:db8:0:3::35"}


def milestones(recording: Recording) -> list[tuple[float, str, str]]:
    return [
        (round(event.at, 6), event.what, event.detail)
        for event in recording.items
        if isinstance(event, Milestone) and event.host == "client"
    ]


def states(recording: Recording, host: str = "client") -> list[tuple[float, str]]:
    return [
        (round(event.at, 6), event.new)
        for event in recording.items
        if isinstance(event, TcpStateChanged) and event.host == host
    ]


def instants(recording: Recording, *wanted: str) -> list[float]:
    told = milestones(recording)
    return [next(at for at, what, _ in told if what == name) for name in wanted]


# When what happens, by the URL: over IPv4 and over IPv6. The name is resolved after 41 ms, of which
# 20 are ARP or ND on the line; a handshake takes 21.
STEPS: Sequence[tuple[str, str, Sequence[str], Sequence[float], Sequence[float]]] = [
    (
        "http://server/",
        "200, 10,000 bytes",
        ("connect", "connected", "request", "first_byte", "done", "close"),
        (0.041247, 0.062075, 0.062075, 0.08299, 0.084444, 0.084444),
        (0.041272, 0.06211, 0.06211, 0.083031, 0.084512, 0.084512),
    ),
    (
        "ws://server/chat",
        "101, 5 bytes",
        ("connect", "connected", "request", "open", "message", "done", "close"),
        (0.041247, 0.062075, 0.062075, 0.082779, 0.082779, 0.124054, 0.124054),
        (0.041272, 0.06211, 0.06211, 0.082827, 0.082827, 0.124124, 0.124124),
    ),
    (
        "ftp://server/file.txt",
        "226, 10,000 bytes",
        ("connect", "connected", "reply", "command", "first_byte", "done", "close"),
        (0.041247, 0.062075, 0.082707, 0.082707, 0.206796, 0.208227, 0.228876),
        (0.041272, 0.06211, 0.082749, 0.082749, 0.206888, 0.208358, 0.229018),
    ),
    (
        "smtp://server",
        "250, 370 bytes",
        ("connect", "connected", "reply", "command", "message", "close"),
        (0.041247, 0.062075, 0.082704, 0.082704, 0.165282, 0.206614),
        (0.041272, 0.06211, 0.082746, 0.082746, 0.16536, 0.20671),
    ),
    (
        "echo://server/hello",
        "5 bytes came back",
        ("connect", "connected", "request", "first_byte", "done", "close"),
        (0.041247, 0.062075, 0.062075, 0.082722, 0.082722, 0.082722),
        (0.041272, 0.06211, 0.06211, 0.082771, 0.082771, 0.082771),
    ),
    (
        "udp://server/hello",
        "5 bytes came back",
        ("request", "done"),
        (0.041247, 0.062065),
        (0.041272, 0.0621),
    ),
]


@VERSIONS
@pytest.mark.parametrize(("url", "outcome", "what", "at4", "at6"), STEPS, ids=[s[0] for s in STEPS])
def test_what_a_client_gets_to_and_when(
    url: str,
    outcome: str,
    what: Sequence[str],
    at4: Sequence[float],
    at6: Sequence[float],
    version: int,
) -> None:
    recording = record(url, version=version)
    assert recording.outcome == outcome
    assert instants(recording, *what) == list(at4 if version == 4 else at6)
    assert (recording.client, recording.server) == ("client", "server")


@VERSIONS
@pytest.mark.parametrize(
    ("url", "alpn"), [("https://server/", "h2"), ("wss://server/", "http/1.1")]
)
def test_tls_is_seen_from_its_hello_to_its_end(url: str, alpn: str, version: int) -> None:
    recording = record(url, version=version)
    begin, done, request = instants(recording, "tls_begin", "tls_done", "request")
    # A certificate's signature has 70 to 72 bytes: the instants are never quite the same.
    assert begin == pytest.approx(0.0621, abs=1e-4)
    assert done == request == pytest.approx(0.083, abs=1e-4)
    (agreed,) = [detail for _, what, detail in milestones(recording) if what == "tls_done"]
    assert agreed == f"TLSv1.3 TLS_AES_256_GCM_SHA384 ALPN {alpn}"
    assert "CLIENT_TRAFFIC_SECRET_0" in recording.secrets
    # Both sides have said that no more comes: nobody had to be reset.
    assert [state for _, state in states(recording)][-2:] == ["TIME-WAIT", "CLOSED"]


@VERSIONS
def test_a_name_server_is_asked(version: int) -> None:
    recording = record("dns://resolver/server", version=version)
    assert recording.outcome == f"NOERROR: {SERVER[version]}"
    assert recording.server == "resolver"
    told = [
        (round(event.at, 6), event.what, event.kind, event.server)
        for event in recording.items
        if isinstance(event, LookUp)
    ]
    kind, answered_at = ("A", 0.041247) if version == 4 else ("AAAA", 0.041272)
    assert told == [
        (0.0, "asked", kind, RESOLVER[version]),
        (answered_at, "answered", kind, RESOLVER[version]),
    ]


@VERSIONS
def test_dns_may_go_by_tcp_and_for_other_records(version: int) -> None:
    recording = record("dns:server", version=version, protocol="tcp")
    assert recording.outcome == f"NOERROR: {SERVER[version]}"
    assert [state for _, state in states(recording)][:2] == ["SYN-SENT", "ESTABLISHED"]
    assert record("dns://resolver/server?type=MX").outcome == "NOERROR: no records"
    assert record("dns://resolver/nobody.invalid").outcome == "NXDOMAIN: no records"


@VERSIONS
def test_all_is_recorded_from_the_look_up_to_the_end_of_time_wait(version: int) -> None:
    recording = record("http://server/", version=version)
    assert recording.left_out == 0
    seen = Counter(type(item) for item in recording.items)
    assert seen[Passage] == 130
    assert not seen[Dropped] or version == 6  # a solicited node's group holds several hosts
    assert seen[RouteChosen] == 12
    assert seen[NeighborChanged] > 8
    # Both ends, and TIME-WAIT: twice 30 s
    done = 0.084444 if version == 4 else 0.084512
    acked = 0.105089 if version == 4 else 0.105157
    assert states(recording)[2:] == [
        (done, "FIN-WAIT-1"),
        (acked, "FIN-WAIT-2"),
        (acked, "TIME-WAIT"),
        (round(acked + 60, 6), "CLOSED"),
    ]
    assert [state for _, state in states(recording, "server")][-2:] == ["LAST-ACK", "CLOSED"]


@VERSIONS
def test_who_is_who(version: int) -> None:
    recording = record("http://shop.example/", version=version)
    assert list(recording.order) == [
        *("client", "home", "provider", "switch", "shop.example", "resolver")
    ]
    assert recording.names[SERVER[version]] == "shop.example"
    assert recording.names[RESOLVER[version]] == "resolver"
    assert recording.title == "GET http://shop.example/ over HTTP/1.1"
    links = {(a, b): how for a, b, how in recording.links}
    assert links["home", "provider"] == "delay 10ms, rate 50mbit, limit 100"
    assert links["client", "home"] == "delay 200us, rate 1gbit"
    assert all(passage.end == ARRIVED for passage in recording.passages())


def test_the_line_is_as_it_is_said_to_be() -> None:
    recording = record("http://server/", {"delay": "100ms", "rate": "1mbit"})
    assert ("home", "provider", "delay 100ms, rate 1mbit, limit 100") in recording.links
    assert instants(recording, "connect", "connected") == [0.403238, 0.605227]
    preset = record("http://server/", preset="dsl")
    (line,) = [how for a, b, how in preset.links if (a, b) == ("home", "provider")]
    assert line == (
        "home > provider: delay 20ms, jitter 1ms, rate 1mbit, limit 50; "
        "provider > home: delay 20ms, jitter 1ms, rate 8mbit, limit 150"
    )


@pytest.mark.parametrize(
    ("words", "how"),
    [
        ({"qdisc": "fq_codel"}, "delay 10ms, rate 50mbit, qdisc fq_codel"),  # with its own limit
        ({"slot": "2ms"}, "delay 10ms, rate 50mbit, slot slot, limit 100"),
        ({"delay": "0", "loss": "1%"}, "loss 1%, rate 50mbit, limit 100"),
        ({"trace": "TRACE"}, "delay 10ms, trace trace, limit 100"),  # in the rate's place
    ],
)
def test_words_take_the_place_of_what_is_usual(
    words: dict[str, str], how: str, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    trace.write_text("".join(f"{ms}\n" for ms in range(1, 1000)))
    said = {word: value.replace("TRACE", str(trace)) for word, value in words.items()}
    recording = record("http://server/", said)
    assert recording.outcome == "200, 10,000 bytes"
    (line,) = [it for a, b, it in recording.links if (a, b) == ("home", "provider")]
    assert [each.split()[0] for each in line.split(", ")] == [
        each.split()[0] for each in how.split(", ")
    ]


@VERSIONS
def test_what_is_lost_on_the_line_is_sent_again(version: int) -> None:
    recording = record("http://server/", {"loss": "10%"}, version=version, size_bytes=100_000)
    assert recording.outcome == "200, 100,000 bytes"
    lost = [passage for passage in recording.passages() if passage.end == LOST]
    assert {passage.lost for passage in lost} == {"loss"}
    assert {passage.place for passage in lost} == {"home-provider"}
    again = [event for event in recording.items if isinstance(event, TcpRetransmitted)]
    assert {event.reason for event in again} & {"rto", "rack", "tlp"}


def test_udp_is_sent_again_by_the_program_or_by_nobody() -> None:
    recording = record("udp://server/hello", {"loss": "40%"}, seed=SEED_OF_A_LOSS)
    told = [(what, detail) for _, what, detail in milestones(recording)]
    assert told == [
        ("request", "5 bytes"),
        ("no_answer", "after 1 s"),
        ("again", "5 bytes"),
        ("done", "5 bytes"),
    ]


def test_a_line_that_lets_nothing_through_and_a_name_that_nobody_has() -> None:
    nothing = record("http://server/", {"loss": "100%"})
    assert nothing.outcome == record("http://nobody.invalid/").outcome.replace(
        "nobody.invalid", "server"
    )
    assert nothing.outcome == "Could not resolve host: server"
    udp = record("udp://server/hello", {"loss": "100%"})
    assert udp.outcome == "'server': no answer from resolver"


def test_a_service_that_is_not_there() -> None:
    recording = record("dns://server:5353/server")
    assert recording.outcome == "NOERROR: 198.51.100.10"


@VERSIONS
def test_a_connection_is_kept_for_the_next_request(version: int) -> None:
    recording = record("http://server/", version=version, repeat=3)
    told = [what for _, what, _ in milestones(recording)]
    assert told.count("request") == told.count("done") == 3
    assert told.count("connect") == told.count("close") == 1


def test_sizes_are_what_was_asked_for() -> None:
    assert record("http://server/any/path?x=1", size_bytes=1).outcome == "200, 1 bytes"
    assert record("http://server/", size_bytes=0).outcome == "200, 0 bytes"
    assert record("ftp://server/a/b/c", size_bytes=123).outcome == "226, 123 bytes"
    posted = record("http://server/upload", post_bytes=5000)
    assert posted.title == "POST http://server/upload over HTTP/1.1"


@pytest.mark.parametrize(
    ("scheme", "protocol", "request_line"),
    [
        ("http", None, "GET / HTTP/1.1"),
        ("https", None, "GET / HTTP/2"),
        ("https", "http/1.1", "GET / HTTP/1.1"),
    ],
)
def test_the_protocol_of_http_is_chosen(
    scheme: str, protocol: str | None, request_line: str
) -> None:
    recording = record(f"{scheme}://server/", protocol=protocol)
    requests = [detail for _, what, detail in milestones(recording) if what == "request"]
    assert (recording.outcome, requests) == ("200, 10,000 bytes", [request_line])


def test_a_client_with_both_versions_chooses_by_rfc_6724() -> None:
    recording = record("http://server/", version=None)
    (ordered,) = [it for it in recording.items if isinstance(it, LookUp) and it.what == "ordered"]
    assert ordered.addresses == (SERVER[6], SERVER[4])
    assert ordered.detail == "RFC 6724 section 6 rule 6: it has the higher precedence"
    assert milestones(recording)[0][1:] == ("connect", f"[{SERVER[6]}]:80")


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("http://10.1.2.3/", "10.1.2.3"),
        ("http://198.51.100.53/", "198.51.100.53"),  # where the resolver would be
        ("http://192.0.2.1/", "192.0.2.1"),  # where the home would be
        ("http://[2001:db8:9::7]:8080/", "2001:db8:9::7"),
        ("udp://10.1.2.1/hello", "10.1.2.1"),
        ("dns://9.9.9.9/server", "9.9.9.9"),
    ],
)
def test_a_server_may_be_called_by_its_address(url: str, server: str) -> None:
    recording = record(url)
    assert recording.names[server] == recording.server
    assert recording.outcome in ("200, 10,000 bytes", "5 bytes came back", "NOERROR: 9.9.9.10")
    # Nothing is resolved where there is an address.
    assert url.startswith("dns") or not any(isinstance(it, LookUp) for it in recording.items)


@pytest.mark.parametrize("name", ["client", "home", "provider", "switch", "resolver"])
def test_a_server_may_be_called_as_others_are(name: str) -> None:
    recording = record(f"http://{name}/")
    assert (recording.outcome, recording.server) == ("200, 10,000 bytes", name)


def test_the_same_seed_is_the_same_run() -> None:
    def told(seed: int) -> list[str]:
        recording = record("http://server/", {"loss": "20%"}, seed=seed)
        frames = [f"{it.entered_at!r} {it.end} {it.frame.data!r}" for it in recording.passages()]
        return [*frames, *map(repr, milestones(recording)), *map(repr, states(recording))]

    assert told(3) == told(3)
    assert told(3) != told(4)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("gopher://server/", "gopher://server/: there is no scheme 'gopher' to explain"),
        ("htp://server/", "did you mean 'http'"),
        ("http:///x", "no host"),
        ("http://[::1/", "Invalid IPv6 URL"),
        ("http://server:99999/", "Port out of range"),
        ("http://server:0/", "port 0 cannot be used"),
        ("udp:///hello", "it has no host, as in udp://server/hello"),
        ("udp://server:0/", "port 0 cannot be used"),
        ("dns://resolver/", "it has no name to ask for"),
        ("http://localhost/", "is this very host"),
        ("echo://127.0.0.1/", "is this very host"),
        ("http://[::1]/", "is this very host"),
        ("ftps://server/", "did you mean 'ftp'?"),
        ("udp://server/" + "a" * 2000, "at most 1,200 bytes"),
    ],
)
def test_a_url_that_is_none(url: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        record(url)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "words", "sentence"),
    [
        ("http://server/", {"protocol": "h3"}, "there is no protocol 'h3'; did you mean 'h2'?"),
        ("http://server/", {"protocol": "udp"}, "http://server/ goes by TCP"),
        (
            "http://server/a",
            {"protocol": "h2"},
            "through TLS here, as in browsers: explain https://",
        ),
        ("ftp://server/", {"protocol": "h2"}, "h2 is for http and https, and not for ftp"),
        ("ws://server/", {"post_bytes": 5}, "--post is not for ws"),
        ("http://server/", {"repeat": 0}, "--repeat 0: it is 1 to 1,000"),
        ("http://server/", {"size_bytes": 10**12}, "--size 1000000000000: it is 0 to 100,000,000"),
        ("http://server/", {"preset": "adsl"}, "there is no preset 'adsl'; did you mean 'dsl'?"),
        ("http://server/", {"congestion": "cubik"}, "did you mean 'cubic'"),
        ("http://0.0.0.0/", {}, "is not an address that a server elsewhere can have"),
        ("http://10.1.2.255/", {}, "is not an address that a server elsewhere can have"),
        ("http://224.0.0.1/", {}, "is not an address that a server elsewhere can have"),
        ("http://[fe80::1]/", {}, "is not an address that a server elsewhere can have"),
        ("ftp://server/../x", {}, "a file's name is not that"),
    ],
)
def test_what_cannot_be(url: str, words: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        record(url, **words)
    assert sentence in str(caught.value)


def test_words_of_the_line_are_checked() -> None:
    with pytest.raises(ConfigError, match="does not know the word 'los'; did you mean 'loss'"):
        record("http://server/", {"los": "1%"})


@pytest.mark.parametrize(
    ("text", "payload"),
    [
        ("udp://server", b"hello"),
        ("udp://server/", b"hello"),
        ("udp://server:9/good%20day", b"good day"),
        ("echo://server/a/b?c", b"a/b?c"),
    ],
)
def test_what_is_said_to_an_echo(text: str, payload: bytes) -> None:
    assert read_target(text).payload == payload
