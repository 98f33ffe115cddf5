"""`pystack packetdrill`: its words, its lines, its exit status."""

import subprocess
import sys
from pathlib import Path

import pytest

GOOD = """
0  socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 65535 <mss 1000>
+0 > S. 0:0(0) ack 1 <...>
"""
BAD = GOOD.replace("ack 1", "ack 2")


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    (tmp_path / "good.pkt").write_text(GOOD)
    (tmp_path / "bad.pkt").write_text(BAD)
    (tmp_path / "unreadable.pkt").write_text("0 > nonsense")
    return tmp_path


def packetdrill(*words: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "pystack", "packetdrill", *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_scripts_that_pass_end_with_0(scripts: Path) -> None:
    done = packetdrill(scripts / "good.pkt")
    assert (done.returncode, done.stdout) == (0, f"{scripts}/good.pkt: ok\n")


def test_one_that_fails_makes_it_1(scripts: Path) -> None:
    done = packetdrill(scripts)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0] == f"{scripts}/bad.pkt:6: FAILED: ack: 2 expected, 1 came"
    assert f"{scripts}/good.pkt: ok" in lines
    assert f"{scripts}/unreadable.pkt:1: FAILED: " in done.stdout
    assert lines[-1] == "3 scripts: 1 passed, 2 failed"


def test_a_trace_shows_calls_and_packets(scripts: Path) -> None:
    done = packetdrill("--verbose", scripts / "good.pkt")
    assert "    0.000000    call +0 listen(3, 1) = 0\n" in done.stdout
    assert "    0.000000  inject < S 0:0(0) win 65535 <mss 1000>\n" in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("nowhere.pkt",),
        ("--mtu=7", "good.pkt"),
        ("-D", "x", "."),
        ("--mtu=1400",),
        ("--nonsense",),
        ("--nonsense=1", "good.pkt"),
    ],
)
def test_wrong_words_end_with_2_and_one_sentence(scripts: Path, words: tuple[str, ...]) -> None:
    done = packetdrill(*words)
    assert done.returncode == 2
    assert done.stderr.startswith("pystack: ")
    assert len(done.stderr.splitlines()) == 1


def test_the_original_s_options_are_taken(scripts: Path) -> None:
    done = packetdrill("--tolerance_usecs=10", "--mtu=1000", "--speed=5", scripts / "good.pkt")
    assert (done.returncode, done.stderr) == (0, "ignored: --speed has no meaning here\n")
    assert packetdrill("--dry_run", scripts / "bad.pkt").returncode == 0
