"""A story is made of its run: change the line, the version, the way, and it says something else."""

import pytest
import trio
from stories import VERSIONS, detail, kinds, ns, step, story

import pystack
from pystack import NetemWords, TcpConfig
from pystack.apps.explain.laboratory import Line
from pystack.apps.explain.record import Asked, record, record_asked
from pystack.core.tcp_events import TcpRetransmitted
from pystack.observe.amounts import duration
from pystack.observe.explain.compare import compare
from pystack.observe.explain.story import Story
from pystack.observe.explain.telling import tell
from pystack.observe.passage import LOST
from pystack.observe.recording import Recording
from pystack.tcp.info import TcpInfo


@VERSIONS
def test_a_clean_run_is_told_from_the_name_to_time_wait(version: int) -> None:
    told = story(version=version)
    neighbor = "neighbor" if version == 4 else "neighbor6"
    wanted = ["resolve", "route", neighbor, "syn", "hop", "syn_ack", "handshake", "request"]
    wanted += ["answer", "close", "time_wait"]
    found = kinds(told)
    places = [found.index(kind) for kind in wanted]
    assert places == sorted(places)
    assert not [each.title for each in told.steps if each.is_trouble]
    assert told.facts["sent again"] == "0"


def test_ipv6_asks_by_neighbor_discovery_and_ipv4_by_arp() -> None:
    assert "neighbor6" not in kinds(story(version=4))
    assert "neighbor" not in kinds(story(version=6))


@pytest.mark.parametrize(("delay", "handshake"), [("10ms", "20.8 ms"), ("50ms", "100.8 ms")])
def test_the_handshake_takes_the_round_trip_of_this_line(delay: str, handshake: str) -> None:
    told = step(story(line=f"delay={delay}"), "handshake")
    assert told.title == f"ACK: the connection is established after {handshake}"


def test_an_address_needs_no_name_server() -> None:
    assert "resolve" not in kinds(story("http://198.51.100.10/"))


@VERSIONS
@pytest.mark.parametrize("line", ["", "loss=5%", "loss=20%,delay=3ms", "rate=1mbit,limit=5"])
def test_the_waterfall_adds_up_to_the_nanosecond(version: int, line: str) -> None:
    told = story(line=line, version=version)
    total = round((told.ended_at - told.began_at) * 1e9)
    assert sum(ns(span) for span in told.waterfall) == total
    for span in told.waterfall:
        assert sum(ns(part) for part in span.parts) == ns(span)
    for before, after in zip(told.waterfall, told.waterfall[1:], strict=False):
        assert before.end == after.begin


# comparing


def test_a_story_compared_with_itself_does_not_differ() -> None:
    comparison = compare(story(), story(), ("one", "other"))
    assert comparison.differences == []
    assert comparison.pairs == [(number, number) for number in range(len(story().steps))]
    assert comparison.text == "one and other are the same, step by step and to the nanosecond."


def test_what_a_loss_changes_is_the_repair_and_its_wait() -> None:
    left, right = story(version=6), story(line="loss=5%", version=6)
    comparison = compare(left, right, ("loss=0", "loss=5%"))
    told = {each.name: (each.left, each.right) for each in comparison.differences}
    assert told["frames lost"] == ("0", right.facts["frames lost"])
    assert told["total"] == (left.facts["total"], right.facts["total"])
    lone = [right.steps[other].kind for one, other in comparison.pairs if one is None]
    assert "loss" in lone
    assert "repair_rto" in lone
    assert "loss=5% alone has this step: Lost on home to provider" in comparison.text


# mutations: what changes in the run changes in the story


def test_a_lost_segment_is_told_where_it_was_lost_and_how_it_was_repaired() -> None:
    told = story(line="drop=30", size_bytes=60_000)
    lost = step(told, "loss")
    assert lost.title.startswith("Lost on ")
    assert {"repair_rack", "repair_tlp", "repair_rto"} & set(kinds(told))


def transfer(tcp: TcpConfig, words: NetemWords, size: int, seed: int, version: int = 4) -> Story:
    """Return the story of a server that sends so many bytes to whoever connects."""

    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(bytes(size))

    async def main() -> Recording:
        async with pystack.Network(seed=seed, ip="4" if version == 4 else "6") as net:
            client, server = net.host("client", tcp=tcp), net.host("server", tcp=tcp)
            router = net.router("router")
            net.link(client, router, delay="1ms")
            net.link(router, server, **words)
            net.record()
            await server.start(trio.serve_tcp, serve, 80)
            await client.run(fetch)
            return net.recording()

    async def fetch() -> None:
        async with await trio.open_tcp_stream("server", 80) as stream:
            assert sum([len(data) async for data in stream]) == size

    recording = pystack.run(main)
    return tell(recording.items, recording)


@pytest.mark.parametrize(
    ("tcp", "kind"),
    [
        (TcpConfig(), "repair_rack"),
        (TcpConfig(recovery="sack"), "repair_sack"),
        (TcpConfig(sack=False), "repair_dupack"),
    ],
    ids=["rack", "sack", "none"],
)
def test_another_loss_recovery_repairs_in_another_way(tcp: TcpConfig, kind: str) -> None:
    told = transfer(tcp, {"delay": "20ms", "rate": "20mbit", "loss": "2%"}, 200_000, seed=2)
    repairs = {each for each in kinds(told) if each.startswith("repair")}
    assert kind in repairs
    assert repairs <= {kind, "repair_rto", "repair_tlp"}
    agreed = detail(step(told, "handshake"), "SACK")
    assert agreed == ("yes" if tcp.sack else "no")


@VERSIONS
def test_a_smaller_mtu_makes_more_and_smaller_segments(version: int) -> None:
    whole = story(version=version)
    recording = record_asked(
        Asked(url="http://server/", version=version, line=Line(mtu_bytes=1300))
    )
    told = tell(recording.items, recording)
    assert "icmp" not in kinds(whole)
    assert "1,300 bytes" in step(told, "icmp").title
    assert "in smaller segments" in step(told, "repair_mtu").title
    assert int(told.facts["segments"]) > int(whole.facts["segments"])


def test_a_second_request_needs_no_name_and_no_handshake() -> None:
    told = story(repeat=2)
    found = kinds(told)
    assert (found.count("resolve"), found.count("syn"), found.count("reuse")) == (1, 1, 1)
    assert found.count("answer") == 2


def test_udp_has_no_handshake_and_says_what_is_missing() -> None:
    told = story("udp://server:7")
    found = set(kinds(told))
    assert not found & {"syn", "handshake", "close", "time_wait"}
    assert "no handshake" in step(told, "datagram").text


def test_tls_shows_what_an_onlooker_sees_and_what_not() -> None:
    told = story("https://server/")
    hello = step(told, "tls_hello")
    assert detail(hello, "server_name (SNI)") == "server"
    assert "TLS 1.3" in detail(hello, "versions")
    assert "encrypted" in step(told, "request").title
    assert [span.name for span in told.waterfall].count("tls") == 1


def test_nobody_listens_is_a_refusal() -> None:
    async def main() -> Recording:
        async with pystack.Network(seed=1) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, delay="7ms")
            net.record()
            with pytest.raises(OSError, match="attempts to connect"):
                await client.run(trio.open_tcp_stream, server.address, 80)
            return net.recording()

    recording = pystack.run(main)
    told = tell(recording.items, recording)
    refused = step(told, "refused")
    assert refused.is_trouble
    assert "nothing listens on port 80" in refused.title
    assert "knows after 14 ms" in refused.text
    assert "handshake" not in kinds(told)


@pytest.mark.parametrize(
    ("url", "wanted", "words"),
    [
        ("ws://server/", {"upgrade", "message"}, ["101", "close frame"]),
        ("smtp://server/", {"request", "answer"}, ["MAIL FROM", "354"]),
        ("ftp://server/x", {"request", "answer"}, ["RETR", "EPSV"]),
        ("dns://resolver/server", {"resolve"}, ["198.51.100.10"]),
        ("tcp://server:7", {"request", "answer"}, ["5 bytes"]),
    ],
)
def test_each_protocol_is_told_with_its_own_words(
    url: str, wanted: set[str], words: list[str]
) -> None:
    told = story(url)
    assert wanted <= set(kinds(told))
    assert all(each.text and each.title for each in told.steps)
    titles = " ".join(each.title for each in told.steps)
    for word in {
        "ws": ["101", "close frame"],
        "smtp": ["MAIL FROM", "354"],
        "ftp": ["RETR", "EPSV"],
    }.get(url.split(":")[0], []):
        assert word in titles


# what the numbers are checked with


@VERSIONS
@pytest.mark.parametrize("line", ["", "loss=4%", "rate=2mbit,limit=20"])
def test_the_facts_are_what_the_links_and_the_segments_say(version: int, line: str) -> None:
    pairs = dict(word.split("=", 1) for word in line.split(",") if word)
    recording = record("http://server/", pairs, version=version, size_bytes=80_000)
    told = tell(recording.items, recording)
    passages = list(recording.passages())
    assert told.facts["frames on links"] == f"{len(passages):,}"
    assert told.facts["frames lost"] == str(sum(passage.end == LOST for passage in passages))
    again = [each for each in recording.items if isinstance(each, TcpRetransmitted)]
    assert told.facts["sent again"] == str(len(again))
    total = sum(len(passage.frame) for passage in passages)
    assert told.facts["bytes on links"] == f"{total:,} bytes"
    layers = ("application", "transport headers", "IP headers", "link headers", "ARP, ND, ICMP")
    parts = [told.facts[f"of these {layer}"] for layer in layers]
    assert sum(int(part.split()[0].replace(",", "")) for part in parts) == total


@VERSIONS
def test_every_repair_is_told_with_the_figures_of_its_sender(version: int) -> None:
    recording = record("http://server/", {"loss": "8%"}, version=version, size_bytes=80_000, seed=5)
    told = tell(recording.items, recording)
    events = [each for each in recording.items if isinstance(each, TcpRetransmitted)]
    repairs = [each for each in told.steps if each.kind.startswith(("repair", "spurious"))]
    assert sum(len(each.frames) for each in repairs) == len(events)
    for event in events:
        mine = [each for each in repairs if any(shown.at == event.at for shown in each.frames)]
        assert len(mine) >= 1
        if event.reason == "rto":
            assert any(duration(event.timer_s) in each.text for each in mine)


def test_the_critical_path_of_a_clean_run_is_the_links_own_times() -> None:
    """Two UDP datagrams over four links, whose delay and rate are known."""
    told = story("udp://198.51.100.10:7")
    spent: dict[str, int] = {}
    for span in told.waterfall:
        for part in span.parts:
            spent[part.name] = spent.get(part.name, 0) + ns(part)
    one_way = 200_000 + 10_000_000 + 50_000 + 50_000
    asked_for = 2 * 200_000 + 2 * 10_000_000 + 2 * 2 * 50_000  # ARP on each hop, there and back
    assert spent["propagation"] == 2 * one_way + asked_for
    assert spent.get("queueing", 0) == 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_figures_are_those_of_the_connections_themselves(seed: int) -> None:
    """`host.connections()` at the end of a lossy transfer counts what the story tells."""
    found: list[TcpInfo] = []

    async def main() -> Recording:
        async with pystack.Network(seed=seed) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, delay="15ms", rate="20mbit", loss="3%")
            net.record()

            async def serve(stream: trio.SocketStream) -> None:
                await stream.send_all(bytes(150_000))
                await stream.receive_some()
                found.extend(server.connections())

            async def fetch() -> None:
                async with await trio.open_tcp_stream("server", 80) as stream:
                    got = 0
                    while got < 150_000:
                        got += len(await stream.receive_some())
                    await trio.sleep(1)  # until all of it is acknowledged
                    await stream.send_all(b"done")
                    await trio.sleep(1)

            await server.start(trio.serve_tcp, serve, 80)
            await client.run(fetch)
            return net.recording()

    recording = pystack.run(main)
    told = tell(recording.items, recording)
    info = next(each for each in found if each.bytes_sent)
    repairs = [each for each in told.steps if each.kind.startswith(("repair", "spurious"))]
    mine = [shown for each in repairs for shown in each.frames if shown.sender == "server"]
    assert len(mine) == info.retransmits > 0
    agreed = step(told, "handshake")
    assert f"carries {info.snd_mss_bytes} bytes" in next(
        meaning for name, _, meaning in agreed.details if name == "MSS"
    )
    assert "150,000 bytes" in step(told, "answer").title
    srtt_ms = [value for each in repairs for name, value, _ in each.details if name == "SRTT"]
    assert all(29 < float(value.removesuffix(" ms")) < 120 for value in srtt_ms)
