"""What `pystack up` shows of itself: captures and logs of real traffic."""

import shutil
import time
from pathlib import Path

import dpkt
import pytest
from netns import NetworkNamespace
from up import URL, StackUp

pytestmark = pytest.mark.kernel


def tcpdump(netns: NetworkNamespace, path: Path, *options: str) -> list[str]:
    if shutil.which("tcpdump") is None:
        pytest.skip("tcpdump is not installed")
    # It would become another user before it reads; in a user namespace there is none.
    argv = ["tcpdump", "-Z", "root", "-n", "-t", "-r", "-", *options]
    return netns.run(argv, data=path.read_bytes()).stdout.decode().splitlines()


def test_a_capture_has_both_directions_and_right_checksums(
    netns: NetworkNamespace, stack_up: StackUp, tmp_path: Path, offload: str
) -> None:
    path = tmp_path / "run.pcap"
    stack = stack_up("--pcap", str(path), offload)
    netns.run(["curl", "-sSf", "-o", "/dev/null", f"{URL}/bytes/1000000"])
    assert stack.stop() == 0
    lines = tcpdump(netns, path)
    assert any("10.77.0.2.80: Flags [S]," in line for line in lines)
    assert any("> 10.77.0.1." in line and "Flags [S.]," in line for line in lines)
    assert any("ARP, Reply 10.77.0.2 is-at 02:00:00:00:00:02" in line for line in lines)
    assert any("GET /bytes/1000000 HTTP/1.1" in line for line in lines)
    details = tcpdump(netns, path, "-vv", "tcp")
    assert any("cksum" in line for line in details)
    assert not [line for line in details if "incorrect" in line]


def test_a_capture_has_the_time_of_day_and_is_whole_while_it_runs(
    netns: NetworkNamespace, stack_up: StackUp, tmp_path: Path
) -> None:
    path = tmp_path / "run.pcap"
    before = time.time()
    stack_up("--pcap", str(path))
    netns.run(["curl", "-sSf", f"{URL}/bytes/5"])
    after = time.time()
    with path.open("rb") as file:
        records = list(dpkt.pcap.Reader(file))
    assert any(b"GET /bytes/5 HTTP/1.1" in data for _, data in records)
    stamps = [float(stamp) for stamp, _ in records]
    assert stamps == sorted(stamps)
    # The wall clock may be corrected meanwhile, but hardly by a minute.
    assert before - 60 < stamps[0] <= stamps[-1] < after + 60


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
