"""What a world of ours writes into a capture, and what is read of it again."""

from functools import partial
from pathlib import Path

import pytest
import trio
from fetching import fetch

import pystack
from pystack.observe.captures.as_recording import recording_of
from pystack.observe.explain.telling import tell
from pystack.observe.passage import ARRIVED, LOST, SEEN, Passage
from pystack.observe.recording import Recording
from pystack.wire.frame import completed


async def serve(stream: trio.SocketStream) -> None:
    await stream.receive_some(100)
    await stream.send_all(bytes(40_000))
    await stream.aclose()


def run(path: Path, *, links: bool = False, host: str = "") -> Recording:
    """Return what a world knew of a download, of which `path` is a capture."""
    told: list[Recording] = []

    async def main() -> None:
        async with pystack.Network(seed=3) as net:
            client, home, server = net.host("client"), net.router("home"), net.host("server")
            net.link(client, home, delay="1ms")
            net.link(home, server, delay="20ms", loss="3%", rate="10mbit")
            if host:
                net.hosts[host].capture(path)
            else:
                net.capture(path, links=links)
            net.record()
            await server.start(partial(trio.serve_tcp, serve, 80))
            await client.run(fetch)
            await trio.sleep(3)
            told.append(net.recording())

    pystack.run(main)
    return told[0]


def of_tcp(recording: Recording) -> list[Passage]:
    return [each for each in recording.passages() if each.frame.data[23] == 6]


def test_a_capture_of_each_link_is_read_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    truth = of_tcp(run(path, links=True))
    recording = recording_of(path)
    found = of_tcp(recording)
    assert recording.order == ["client", "home", "server"]
    assert recording.links == [("client", "home", ""), ("home", "server", "")]
    began_at = truth[0].entered_at - found[0].entered_at
    assert len(found) == len(truth) > 100
    for mine, real in zip(found, truth, strict=True):
        assert mine.frame.data == completed(real.frame).data
        assert mine.entered_at + began_at == pytest.approx(real.entered_at, abs=1e-8)
        assert (mine.place, mine.sender, mine.receiver) == (real.place, real.sender, real.receiver)
        if (mine.place, mine.receiver) == ("client-home", "client"):
            # Nothing was worth a word there, and nobody passes it on: nobody can know.
            assert (mine.end, mine.arrives_at) == (SEEN, None)
            continue
        assert (mine.end, mine.lost) == (real.end, real.lost)
        if real.end == ARRIVED:
            assert mine.arrives_at is not None
            assert real.arrives_at is not None
            assert mine.arrives_at + began_at == pytest.approx(real.arrives_at, abs=2e-5)
    assert sum(each.end == LOST for each in found) >= 2


def test_what_is_told_of_such_a_capture_counts_what_the_world_counted(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    live = run(path, links=True)
    recording = recording_of(path)
    told, known = tell(recording.items, recording), tell(live.items, live)
    for fact in ("segments", "sent again"):
        assert told.facts[fact] == known.facts[fact]


def test_a_capture_of_each_packet_once_goes_from_end_to_end(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    truth = [each for each in of_tcp(run(path)) if each.sender != "home"]
    recording = recording_of(path)
    found = of_tcp(recording)
    assert [(each.sender, each.frame.data) for each in found] == [
        (each.sender, completed(each.frame).data) for each in truth
    ]
    assert {(each.sender, each.receiver) for each in found} == {
        ("client", "server"),
        ("server", "client"),
    }
    assert sum(each.end == LOST for each in found) >= 2
    for each in found:
        if each.end == ARRIVED:
            assert each.arrives_at is not None
            assert 0.021 <= each.arrives_at - each.entered_at < 0.2
    assert any("entered the network" in sentence for sentence in recording.unknown)


@pytest.mark.parametrize("host", ["client", "server"])
def test_a_capture_of_one_host_knows_whose_side_it_is(tmp_path: Path, host: str) -> None:
    path = tmp_path / "x.pcapng"
    run(path, host=host)
    recording = recording_of(path)
    assert recording.vantage == f"the {host}'s side"
    assert (recording.client, recording.server) == ("client", "server")
