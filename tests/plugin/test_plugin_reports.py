"""What the plug-in tells of failures, keeps of them, and takes as words."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import dpkt
import pytest

from pystack.observe.captures.capture_file import CaptureFile

Words = tuple[str, ...]
Run = Callable[..., tuple[pytest.RunResult, dict[str, int]]]

LOSSY = """
@pytest.mark.parametrize("word", [b"hello"], ids=["hello"])
async def test_talk(net, word):
    client, server = two_hosts(net, delay="20ms", loss="2%")
    await server.start(trio.serve_tcp, echo, 7)
    assert await client.run(ask, word) == b"hullo"
"""


def report(result: pytest.RunResult) -> list[str]:
    """Return the lines of the first section that is ours."""
    lines = [str(line) for line in result.outlines]
    start = next(number for number, line in enumerate(lines) if "- pystack -" in line) + 1
    end = next(
        number
        for number, line in enumerate(lines[start:], start)
        if line.startswith(("__", "==", "----"))
    )
    return lines[start:end]


def test_a_failure_shows_seed_replay_capture_and_ladder(run: Run) -> None:
    result, outcomes = run(LOSSY, "--pystack-seed=5")
    assert outcomes == {"failed": 1}
    lines = report(result)
    assert lines[0] == "seed: 5"
    assert re.fullmatch(r"again: pytest '\S+\.py::test_talk\[hello\]' --pystack-seed=5", lines[1])
    assert lines[2].startswith("pcap: ")
    assert re.fullmatch(r"ended: at \d\.\d{6} s of virtual time", lines[3])
    assert lines[4:7] == ["the last that was seen:", "", "time         client        server"]
    assert lines[7] == (
        "0.000000        |------------>|    ARP, Request who-has server tell client, length 28"
    )
    assert any(
        re.search(r"client\.\d+ > server\.7: Flags \[P\.\], .* length 5$", line) for line in lines
    )
    capture = CaptureFile(lines[2].removeprefix("pcap: "))
    frames = list(capture)
    assert len(frames) > 10
    assert any("lost: by chance (loss)" in frame.comments for frame in frames)
    assert [interface.name for interface in capture.interfaces] == ["client-server"]


def test_the_replay_repeats_the_failure_to_the_letter(run: Run) -> None:
    result, outcomes = run(LOSSY, "--pystack-seeds=3", "--pystack-seed=5")
    assert outcomes == {"failed": 1}  # the first that fails is the last that runs
    first = report(result)
    assert first[:2][0] == "seed: 5"
    test = shlex.split(first[1].removeprefix("again: pytest "))
    again, outcomes = run(LOSSY, *test)
    assert outcomes == {"failed": 1}
    different = {2}  # the name of the capture
    assert [line for number, line in enumerate(report(again)) if number not in different] == [
        line for number, line in enumerate(first) if number not in different
    ]


def test_seeds_run_each_test_with_each_of_them(run: Run) -> None:
    result, outcomes = run(
        """
async def test_net(net):
    print("NET", net.seed)

@pytest.mark.pystack(seed=40)
async def test_marked(pystack_seed):
    print("MARKED", pystack_seed)

def test_other():
    print("OTHER")
""",
        "--pystack-seeds=3",
        "--pystack-jobs=1",
        "-s",
        "-v",
    )
    assert outcomes == {"passed": 7}
    said = re.findall(r"(?:NET|MARKED|OTHER)(?: \d+)?", result.stdout.str())
    assert said == ["NET 0", "NET 1", "NET 2", "MARKED 40", "MARKED 41", "MARKED 42", "OTHER"]
    result.stdout.fnmatch_lines(["*PASSED (3 seeds)*", "*PASSED (3 seeds)*", "*PASSED*"])


def test_the_command_line_goes_before_the_marker_and_another_seed_is_another_run(run: Run) -> None:
    source = """
@pytest.mark.pystack(seed=1)
async def test_net(net):
    client, server = two_hosts(net, delay="20ms", jitter="10ms")
    print("RTT", net.seed, await client.ping("server"))
"""
    said = []
    for args in ((), ("--pystack-seed=1",), ("--pystack-seed=2",)):
        result, outcomes = run(source, "-s", *args)
        assert outcomes == {"passed": 1}
        said += re.findall(r"RTT .*", result.stdout.str())
    assert said[0] == said[1]
    assert said[2].startswith("RTT 2 ")
    assert said[2].split()[2] != said[0].split()[2]


@pytest.mark.parametrize(
    ("choice", "kept"),
    [((), {"fails"}), (("--pystack-pcap=always",), {"fails", "passes"}),
     (("--pystack-pcap=never",), set())],
)  # fmt: skip
def test_captures_are_kept_as_wanted(
    run: Run, tmp_path: Path, choice: Words, kept: set[str]
) -> None:
    folder = tmp_path / "new" / "captures"
    result, outcomes = run(
        """
async def test_fails(net):
    client, _ = two_hosts(net)
    await client.ping("server")
    assert 0

async def test_passes(net):
    client, _ = two_hosts(net)
    await client.ping("server")
""",
        f"--pystack-pcap-dir={folder}",
        *choice,
    )
    assert outcomes == {"passed": 1, "failed": 1}
    found = {path.stem.rpartition("test_")[2] for path in folder.glob("*.pcapng")}
    assert found == kept
    assert ("pcap: " in result.stdout.str()) == bool(kept)
    for path in folder.glob("*.pcapng"):
        assert len(list(CaptureFile(path))) == 4
    for path in folder.glob("*.pcap"):  # the same for tools that know no other format
        with path.open("rb") as file:
            assert len(list(dpkt.pcap.Reader(file))) == 4  # ARP and echo, once each


@pytest.mark.parametrize(
    ("mark", "sentence"),
    [
        ("seeds=3", "the marker pystack has no word 'seeds'; did you mean 'seed'?"),
        ("7", "the marker pystack takes words with names only"),
        ("seed='7'", "a seed is a whole number, not '7'"),
    ],
)
def test_a_wrong_marker_is_one_sentence(run: Run, mark: str, sentence: str) -> None:
    result, _ = run(f"@pytest.mark.pystack({mark})\nasync def test_net(net): pass\n")
    assert result.ret != 0
    assert sentence in result.stdout.str() + result.stderr.str()


@pytest.mark.parametrize("mark", ["subnet='10.0.0.1/24'", "timeout_s=0"])
def test_a_wrong_value_is_an_error_of_that_test(run: Run, mark: str) -> None:
    result, outcomes = run(f"@pytest.mark.pystack({mark})\nasync def test_net(net): pass\n")
    assert outcomes == {"errors": 1}
    result.stdout.fnmatch_lines(["E*ConfigError: *"])


@pytest.mark.parametrize("count", ["0", "x", "100001"])
def test_the_number_of_seeds_is_checked(run: Run, count: str) -> None:
    result, _ = run("", f"--pystack-seeds={count}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--pystack-seeds" in result.stderr.str()


def test_the_marker_is_described(run: Run) -> None:
    result, _ = run("", "--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.pystack(seed=0, *"])
