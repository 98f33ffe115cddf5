"""What `pystack up` shows of itself: captures and logs of real traffic."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import dpkt
import pytest
from netns import NetworkNamespace, read_line, wait_until
from up import URL, StackUp

from pystack.observe.captures.capture_file import CaptureFile
from pystack.observe.summary import summarize
from pystack.wire import ethernet, ipv4, tcp

pytestmark = pytest.mark.kernel


def captured(path: Path) -> list[tuple[float, bytes]]:
    with path.open("rb") as file:
        return [(float(stamp), data) for stamp, data in dpkt.pcap.Reader(file)]


def segment_of(frame: bytes) -> tcp.Segment:
    """Return it. WireError: its checksum is wrong; that of a super-frame the device fills in."""
    is_super = len(frame) > ethernet.HEADER_BYTES + 1500
    packet = memoryview(frame)[ethernet.HEADER_BYTES :]
    return tcp.parse(ipv4.parse(packet, checksum_good=is_super))


def test_a_capture_has_both_directions_and_right_checksums(
    netns: NetworkNamespace, stack_up: StackUp, tmp_path: Path, offload: str
) -> None:
    path = tmp_path / "run.pcap"
    stack = stack_up("--pcap", str(path), offload)
    netns.run(["curl", "-sSf", "-o", "/dev/null", f"{URL}/bytes/1000000"])
    assert stack.stop() == 0
    frames = [data for _, data in captured(path)]
    lines = [summarize(frame) for frame in frames]
    assert any("10.77.0.2.80: Flags [S]," in line for line in lines)
    assert any("> 10.77.0.1." in line and "Flags [S.]," in line for line in lines)
    assert any("ARP, Reply 10.77.0.2 is-at 02:00:00:00:00:02" in line for line in lines)
    assert any("GET /bytes/1000000 HTTP/1.1" in line for line in lines)
    sent = {
        (segment.seq, bytes(segment.payload))
        for frame, line in zip(frames, lines, strict=True)
        if line.startswith("IP 10.77.0.2.80 > ")
        for segment in [segment_of(frame)]
    }
    assert sum(len(payload) for _, payload in sent) > 1_000_000


def test_tcpdump_reads_a_capture(
    netns: NetworkNamespace, stack_up: StackUp, tmp_path: Path, offload: str
) -> None:
    if shutil.which("tcpdump") is None:
        pytest.skip("tcpdump is not installed")
    path = tmp_path / "run.pcap"
    stack = stack_up("--pcap", str(path), offload)
    netns.run(["curl", "-sSf", "-o", "/dev/null", f"{URL}/bytes/1000000"])
    assert stack.stop() == 0
    # From standard input: it gives up its privileges before it opens a file by its name.
    argv = ["tcpdump", "-n", "-t", "-vv", "-r", "-", "tcp"]
    result = netns.run(argv, data=path.read_bytes(), expect=None)
    if b"Couldn't change to" in result.stderr:
        pytest.skip("tcpdump, run by root, insists on becoming a user that is not here")
    assert result.returncode == 0, result.stderr
    assert b"cksum" in result.stdout
    # What it says of its own captures where the device fills in the checksums of super-frames
    for line in result.stdout.decode().splitlines():
        if "(incorrect" in line:
            assert int(line.rpartition("length ")[2].partition(":")[0]) > 1460
    assert b"bad cksum" not in result.stdout
    assert b"truncated" not in result.stdout


def test_a_capture_has_the_time_of_day_and_is_whole_while_it_runs(
    netns: NetworkNamespace, stack_up: StackUp, tmp_path: Path
) -> None:
    path = tmp_path / "run.pcap"
    before = time.time()
    stack_up("--pcap", str(path))
    netns.run(["curl", "-sSf", f"{URL}/bytes/5"])
    after = time.time()
    wanted = b"GET /bytes/5 HTTP/1.1"
    # It is written by a thread of its own, some milliseconds later, and whole at any time.
    wait_until(lambda: any(wanted in data for _, data in captured(path)), "the capture has it")
    records = captured(path)
    stamps = [stamp for stamp, _ in records]
    assert stamps == sorted(stamps)
    # The wall clock may be corrected meanwhile, but hardly by a minute.
    assert before - 60 < stamps[0] <= stamps[-1] < after + 60


def test_a_capture_says_what_befell_a_frame_on_the_way_to_the_kernel(
    netns: NetworkNamespace, stack_up: StackUp, tmp_path: Path
) -> None:
    path = tmp_path / "run.pcapng"
    stack = stack_up("--pcap", str(path), "--loss", "20%", "--delay", "1ms", "--seed", "3")
    netns.run(["ping", "-c", "20", "-i", "0.01", "-W", "1", "10.77.0.2"], expect=None)
    assert stack.stop() == 0
    file = CaptureFile(path)
    frames = list(file)
    assert [interface.name for interface in file.interfaces] == ["pystack/tap0"]
    assert file.names["10.77.0.2"] == "pystack"
    assert {frame.direction for frame in frames} == {"in", "out"}
    lost = [frame for frame in frames if "lost: by chance (loss)" in frame.comments]
    assert lost
    assert {frame.direction for frame in lost} == {"out"}  # what comes in was there


def test_a_kill_leaves_all_but_the_last_moment_to_be_read(
    netns: NetworkNamespace, stack_up: StackUp, tmp_path: Path
) -> None:
    path = tmp_path / "run.pcapng"
    stack = stack_up("--pcap", str(path))
    netns.run(["curl", "-sSf", f"{URL}/bytes/5"])
    wanted = b"GET /bytes/5 HTTP/1.1"
    # What is written when it is killed stays; what was seen in the last moment may be lost.
    wait_until(lambda: wanted in path.read_bytes(), "the capture has it")
    stack.process.kill()
    stack.wait()
    file = CaptureFile(path)
    assert any(wanted in frame.data for frame in file)
    assert file.trouble == ""


def test_v_tells_what_happens_and_vv_every_packet(
    netns: NetworkNamespace, stack_up: StackUp
) -> None:
    quiet, packets = (
        stack_up("-v"),
        stack_up(
            "-vv", "--address", "10.78.0.2/24", "--host-address", "10.78.0.1/24", interface="tap1"
        ),
    )
    for address in ("10.77.0.2", "10.78.0.2"):
        netns.run(["curl", "-sSf", f"http://{address}/bytes/5"])
    assert quiet.stop() == 0
    assert packets.stop() == 0
    assert "-> ESTABLISHED" in quiet.log
    assert "Flags [S]" not in quiet.log
    assert "-> ESTABLISHED" in packets.log
    assert " tap1  In  IP 10.78.0.1." in packets.log
    assert " tap1  Out IP 10.78.0.2.80 > " in packets.log


def test_a_log_that_nobody_reads_any_more_ends_it_as_sigterm_does(
    netns: NetworkNamespace, tmp_path: Path
) -> None:
    pcap = tmp_path / "run.pcap"
    argv = [sys.executable, "-m", "pystack", "up", "tap0", "-vv", "--pcap", str(pcap)]
    process = netns.popen(argv, stderr=subprocess.PIPE)
    assert read_line(process).startswith("ready:")
    assert process.stderr is not None
    connection = netns.popen_python("hold", 80)
    assert read_line(connection) == "connected"
    process.stderr.close()
    netns.run(["ping", "-c", "1", "10.77.0.2"], expect=None)
    assert process.wait(30) == 128 + signal.SIGPIPE
    assert any("Flags [F.]" in summarize(data) for _, data in captured(pcap))
