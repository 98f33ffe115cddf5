"""`pystack ladder FILE`: text, a drawing, JSON; and one sentence for each thing that is wrong."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
import trio

import pystack
from pystack.cli.main import make_app
from pystack.core.errors import PystackError


async def answer(stream: trio.abc.Stream) -> None:
    await stream.receive_some()
    await stream.send_all(bytes(6000))


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the capture of two conversations, of which the second is the longer one."""
    path = tmp_path_factory.mktemp("ladder") / "run.pcapng"

    async def main() -> None:
        async with pystack.Network(seed=4, ip="4") as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, delay="20ms", loss="5%", rate="10mbit")
            net.capture(path)
            await server.start(trio.serve_tcp, answer, 80)
            async with await client.open_tcp_stream("server", 80):
                pass
            async with await client.open_tcp_stream("server", 80) as stream:
                await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
                async for _ in stream:
                    pass

    pystack.run(main)
    return path


def ladder(*words: str | Path) -> None:
    make_app("ladder")(["ladder", *map(str, words)], standalone_mode=False)


def test_it_draws_the_longest_conversation_and_says_that_there_are_others(
    capture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ladder(capture)
    said, told = capsys.readouterr()
    lines = said.splitlines()
    assert lines[0].split()[:3] == ["time", "client", "server"]
    assert any("GET / HTTP/1.1" in line for line in lines)
    assert "(loss)" in said
    assert told.startswith("conversation 2 of 2: 10.0.0.1:")
    assert told.endswith("(--flow N for another)\n")


def test_another_conversation_a_part_of_the_time_and_a_scale_can_be_asked_for(
    capture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ladder(capture, "--flow", "1", "--scale", "10ms", "--width", "100")
    said, told = capsys.readouterr()
    assert "GET" not in said
    assert told == ""
    assert any(line.strip() in ("| |", "\u2502             \u2502") for line in said.splitlines())
    ladder(capture, "--to", "50ms", "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["nodes"] == ["client", "server"]
    assert found["frames"] == len(found["arrows"])
    assert all(arrow["sent_at"] - found["origin"] <= 0.05 for arrow in found["arrows"])


def test_it_is_drawn_into_a_file_or_to_standard_output(
    capture: Path, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    out = tmp_path / "run.svg"
    ladder(capture, "--svg", out, "--scale", "2ms")
    ElementTree.fromstring(out.read_text("utf-8"))
    ladder(capture, "--svg", "-", "--most", "5")
    root = ElementTree.fromstring(capsysbinary.readouterr().out)
    assert root.get("role") == "img"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--flow", "3"], "--flow 3: .* has 2 conversations"),
        (["--scale", "x"], "'x' is not a time"),
        (["--scale", "0"], "scale_s is 0"),
        (["--most", "0"], "most is 0"),
        (["--width", "5"], "width is 5"),
        (["--from", "later"], "'later' is not a time"),
        (["--json", "--svg", "-"], "--json and --svg"),
        (["--svg", "/no/such/folder/x.svg"], "cannot write /no/such/folder/x.svg: No such file"),
    ],
)
def test_wrong_words_are_one_sentence(capture: Path, words: list[str], sentence: str) -> None:
    with pytest.raises(PystackError, match=sentence):
        ladder(capture, *words)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (None, "cannot read the capture"),
        (b"", "is empty|is not a capture"),
        (b"GIF89a" + bytes(100), "is not a capture"),
        (bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000"), "no conversation"),
    ],
)
def test_what_is_no_capture_is_one_sentence(
    tmp_path: Path, data: bytes | None, sentence: str
) -> None:
    file = tmp_path / "x.pcap"
    if data is not None:
        file.write_bytes(data)
    with pytest.raises(PystackError, match=sentence):
        ladder(file)
