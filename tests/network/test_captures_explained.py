"""What a capture beside one end tells of a line that overtakes, copies and loses, and of TLS."""

import ssl
from functools import partial
from pathlib import Path

import pytest
import trio
import trustme
from fetching import fetch

import pystack
from pystack.apps.explain.record import record
from pystack.observe.captures.as_recording import recording_of
from pystack.observe.explain.story import Story
from pystack.observe.explain.telling import tell

BODY = bytes(150_000)


async def serve(stream: trio.SocketStream) -> None:
    await stream.receive_some(100)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    await stream.send_all(head + BODY)
    await stream.aclose()


def told(path: Path, at: str, **words: float | str) -> tuple[Story, dict[str, int]]:
    """Tell a classic capture, which has no comments; with the counters of the server."""
    counters: dict[str, int] = {}

    async def main() -> None:
        async with pystack.Network(seed=5) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, delay="20ms", **words)
            net.hosts[at].capture(path)
            await server.start(partial(trio.serve_tcp, serve, 80))
            await client.run(fetch)
            await trio.sleep(3)
            counters.update(server.counters)

    pystack.run(main)
    recording = recording_of(path)
    return tell(recording.items, recording), counters


def sent_again(counters: dict[str, int]) -> int:
    return sum(count for name, count in counters.items() if name.startswith("tcp_retransmits_"))


@pytest.mark.parametrize("at", ["client", "server"])
def test_what_was_overtaken_was_not_sent_again(tmp_path: Path, at: str) -> None:
    story, counters = told(tmp_path / "x.pcap", at, reorder="10%")
    assert story.facts["sent again"] == str(sent_again(counters))
    late = [step for step in story.steps if step.kind == "reordering"]
    assert len(late) == (at == "client")
    if late:
        assert "came late, overtaken by others," in late[0].title


@pytest.mark.parametrize("at", ["client", "server"])
def test_copies_of_the_line_were_not_sent_again(tmp_path: Path, at: str) -> None:
    story, counters = told(tmp_path / "x.pcap", at, duplicate="10%")
    assert story.facts["sent again"] == str(sent_again(counters)) == "0"
    # Copies of ACKs are not told of.
    assert any(step.kind == "duplicate" for step in story.steps) == (at == "client")


@pytest.mark.parametrize("at", ["client", "server"])
def test_what_was_lost_before_it_came_here_is_part_of_the_answer(tmp_path: Path, at: str) -> None:
    story, _ = told(tmp_path / "x.pcap", at, loss="10%")
    (answer,) = (step for step in story.steps if step.kind == "answer")
    assert answer.title == "fd00::2: 200 OK, 150,043 bytes"
    repairs = [step for step in story.steps if step.title.startswith("Sent again (")]
    assert repairs
    before = [step for step in repairs if "did not come by here: it was lost before" in step.text]
    assert bool(before) == (at == "client")


def test_repairs_are_part_of_the_transfer_in_a_capture_beside_the_sender(tmp_path: Path) -> None:
    spans: dict[str, dict[str, float]] = {}
    for at in ("client", "server"):
        story, _ = told(tmp_path / f"{at}.pcap", at, loss="10%")
        spans[at] = {span.name: span.seconds for span in story.waterfall}
    # The same run, seen at both ends: half a round trip apart.
    assert spans["server"]["transfer"] == pytest.approx(spans["client"]["transfer"], abs=0.021)


@pytest.mark.parametrize(
    ("version", "kinds", "tls_s"),
    [
        # The client's Finished and its request go together: a round trip.
        (ssl.TLSVersion.TLSv1_3, ["tls_hello", "tls_answer", "tls_finished"], 0.04),
        (ssl.TLSVersion.TLSv1_2, ["tls_hello", "tls_answer", "tls_finished", "tls_finished"], 0.08),
    ],
    ids=["1.3", "1.2"],
)
def test_the_handshake_of_tls_is_over_when_its_last_finished_is_there(
    tmp_path: Path, version: ssl.TLSVersion, kinds: list[str], tls_s: float
) -> None:
    authority, path = trustme.CA(), tmp_path / "x.pcap"
    at_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("server").configure_cert(at_server)
    at_client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(at_client)
    at_client.maximum_version = version

    async def over_tls(stream: trio.SocketStream) -> None:
        secure = trio.SSLStream(stream, at_server, server_side=True)
        await secure.receive_some(100)
        await trio.sleep(0.5)
        await secure.send_all(bytes(2000))
        await stream.aclose()

    async def main() -> None:
        async with pystack.Network(seed=5) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, delay="20ms")
            client.capture(path)
            await server.start(partial(trio.serve_tcp, over_tls, 443))

            async def fetch() -> None:
                stream = await trio.open_tcp_stream("server", 443)
                async with trio.SSLStream(
                    stream, at_client, server_hostname="server", https_compatible=True
                ) as secure:
                    await secure.send_all(b"GET / HTTP/1.1\r\n\r\n")
                    async for _ in secure:
                        pass

            await client.run(fetch)

    pystack.run(main)
    recording = recording_of(path)
    story = tell(recording.items, recording)
    assert [step.kind for step in story.steps if step.kind.startswith("tls")] == kinds
    spans = [(span.name, span.seconds) for span in story.waterfall]
    (tls,) = (seconds for name, seconds in spans if name == "tls")
    assert tls == pytest.approx(tls_s, abs=0.001)
    waited = [seconds for name, seconds in spans if name == "waiting"]
    assert sum(waited) == pytest.approx(0.54, abs=0.041)  # of 1.3: until the tickets, and longer


def explained(path: Path, line: dict[str, str], **words: int) -> tuple[Story, Story]:
    """Return the story of a run, and that of its capture."""
    live = record("http://server/", line, pcap=str(path), **words)
    read = recording_of(path)
    return tell(live.items, live), tell(read.items, read)


def titles(story: Story, kind: str) -> list[str]:
    return [step.title for step in story.steps if step.kind == kind]


def test_what_was_too_large_for_the_path_is_cut_anew_in_a_capture_too(tmp_path: Path) -> None:
    live, read = explained(tmp_path / "x.pcapng", {}, mtu_bytes=600, size_bytes=50_000)
    assert titles(read, "repair_mtu") == titles(live, "repair_mtu") != []
    assert not titles(read, "spurious")


@pytest.mark.parametrize("name", ["x.pcapng", "x.pcap"])
def test_copies_that_a_capture_has_in_words_alone_are_told_of(tmp_path: Path, name: str) -> None:
    live, read = explained(tmp_path / name, {"duplicate": "5%"}, size_bytes=200_000)
    # Of TCP, as it is told of; the file has a word for each, in both directions.
    assert titles(live, "duplicate") == ["12 copies made on the line from provider to home"]
    found = [title.split()[0] for title in titles(read, "duplicate")]
    assert found == (["12"] if name == "x.pcapng" else [])
