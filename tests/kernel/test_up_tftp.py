"""TFTP with the clients that people have: curl and tftp-hpa's."""

import shutil
from pathlib import Path
from random import Random

import pytest
from netns import NetworkNamespace
from up import StackUp

pytestmark = pytest.mark.kernel

SIZES = (0, 511, 512, 100_000)


def written(root: Path, name: str, size: int) -> bytes:
    data = Random(size).randbytes(size)
    (root / name).write_bytes(data)
    return data


@pytest.mark.parametrize("block", [(), ("--tftp-blksize", "1400"), ("--tftp-no-options",)])
def test_curl_fetches_and_brings(
    netns: NetworkNamespace, stack_up: StackUp, tmp_path: Path, offload: str, block: tuple[str, ...]
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    stack_up("--serve", "tftp", "--root", str(root), "--writable", offload)
    for size in SIZES:
        data = written(root, "here", size)
        got = netns.run(["curl", "-sS", *block, "tftp://10.77.0.2/here"]).stdout
        assert got == data
        (tmp_path / "mine").write_bytes(data)
        netns.run(["curl", "-sS", *block, "-T", str(tmp_path / "mine"), "tftp://10.77.0.2/there"])
        assert (root / "there").read_bytes() == data


def test_curl_says_what_the_server_says(
    netns: NetworkNamespace, stack_up: StackUp, tmp_path: Path
) -> None:
    stack_up("--serve", "tftp", "--root", str(tmp_path))
    assert netns.run(["curl", "-s", "tftp://10.77.0.2/none"], expect=68).stdout == b""
    netns.run(["curl", "-s", "-T", __file__, "tftp://10.77.0.2/new"], expect=69)


@pytest.mark.skipif(shutil.which("tftp") is None, reason="no tftp (Debian's tftp-hpa) here")
@pytest.mark.parametrize("mode", ["octet", "netascii"])
def test_tftp_hpa_fetches_and_brings(
    netns: NetworkNamespace, stack_up: StackUp, tmp_path: Path, mode: str
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    stack_up("--serve", "tftp", "--root", str(root), "--writable")
    data = b"one\ntwo\n\nlast\r\n" * 2000
    (root / "here").write_bytes(data)
    mine = tmp_path / "mine"
    netns.run(["tftp", "-m", mode, "10.77.0.2", "-c", "get", "here", str(mine)])
    assert mine.read_bytes() == data
    netns.run(["tftp", "-m", mode, "10.77.0.2", "-c", "put", str(mine), "there"])
    assert (root / "there").read_bytes() == data
