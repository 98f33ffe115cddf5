"""FTP clients that others wrote against `pystack up --serve ftp` on a real TAP."""

import hashlib
import os
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from netns import TIMEOUT_S, NetworkNamespace, read_line
from up import StackUp, needs

from pystack.runtime.device.privileges import is_the_machines_root

pytestmark = pytest.mark.kernel

HOST = "10.77.0.2"
URL = f"ftp://{HOST}"
BIG = bytes(range(251)) * 40_000  # ten million bytes


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "big").write_bytes(BIG)
    (root / "a b").write_bytes(b"blank")
    (root / "sub" / "ü").write_bytes(b"umlaut")
    for number in range(30):
        (root / "sub" / "deep" / f"file-{number}").write_bytes(bytes([number]) * number * 1000)
    (root / ".hidden").write_bytes(b"hidden")
    return root


@pytest.fixture
def up(stack_up: StackUp, root: Path, tmp_path: Path) -> Path:
    """Start the server; return the certificate that says whom to trust."""
    ca = tmp_path / "ca.pem"
    stack_up("--serve", "ftp", "--root", str(root), "--writable", "--ca", str(ca))
    return ca


def curl(netns: NetworkNamespace, *arguments: str, expect: int | None = 0) -> bytes:
    return netns.run(["curl", "-sS", *arguments], expect=expect).stdout


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).digest()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


WAYS = {
    "epsv": [],
    "pasv": ["--disable-epsv"],
    "eprt": ["--ftp-port", "-"],
    "port": ["--ftp-port", "-", "--disable-eprt"],
}


@pytest.mark.parametrize("secret", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_curl_down_and_up(
    netns: NetworkNamespace, up: Path, root: Path, tmp_path: Path, way: str, *, secret: bool
) -> None:
    if secret and way in ("eprt", "port") and curl(netns, "--version")[5:9] in (b"7.87", b"7.88"):
        pytest.skip("curl 7.87 and 7.88 begin no TLS on active data connections (its issue 10666)")
    options = [*WAYS[way], *(["--ssl-reqd", "--cacert", str(up)] if secret else [])]
    assert curl(netns, *options, f"{URL}/big") == BIG
    assert curl(netns, *options, f"{URL}/a%20b") == b"blank"
    assert curl(netns, *options, "-r", "1000000-1000009", f"{URL}/big") == BIG[1000000:1000010]
    (tmp_path / "file").write_bytes(BIG)
    curl(netns, *options, "-T", str(tmp_path / "file"), f"{URL}/sub/new")
    assert (root / "sub" / "new").read_bytes() == BIG
    names = curl(netns, *options, "-l", f"{URL}/sub/").decode().split()
    assert names == ["deep", "new", "ü"]


def test_curl_goes_on_with_what_was_broken_off(
    netns: NetworkNamespace, up: Path, root: Path, tmp_path: Path
) -> None:
    part = tmp_path / "part"
    part.write_bytes(BIG[:3_000_000])
    curl(netns, "-C", "-", "-o", str(part), f"{URL}/big")
    assert part.read_bytes() == BIG
    (root / "half").write_bytes(BIG[:7_000_000])
    curl(netns, "-C", "-", "-T", str(part), f"{URL}/half")
    assert (root / "half").read_bytes() == BIG


def test_curl_is_told_what_is_not_to_be_had(netns: NetworkNamespace, up: Path) -> None:
    for path in ("nothing", ".hidden", "..%2f..%2fetc/passwd", "%2f..%2f..%2fetc%2fpasswd"):
        assert curl(netns, f"{URL}/{path}", expect=None) == b""
    curl(netns, "-Q", "MKD made", "-Q", "-RMD made", f"{URL}/a%20b")
    said = netns.run(["curl", "-sS", "-v", "--ftp-method", "nocwd", f"{URL}/nothing"], expect=78)
    assert b"550" in said.stderr


@pytest.mark.parametrize("secret", [False, True])
def test_ftplib(netns: NetworkNamespace, up: Path, *, secret: bool) -> None:
    assert "221" in netns.python("ftp_library", HOST, up if secret else "-")


@needs("lftp")
@pytest.mark.parametrize("secret", [False, True])
def test_lftp_mirrors_both_ways(
    netns: NetworkNamespace, up: Path, root: Path, tmp_path: Path, *, secret: bool
) -> None:
    settings = "set net:max-retries 1; set net:timeout 60; set ftp:sync-mode off;"
    if secret:
        settings += f"set ftp:ssl-force yes; set ftp:ssl-protect-data yes; set ssl:ca-file {up};"
    here = tmp_path / "here"
    netns.run(["lftp", "-c", f"{settings} open {URL}; mirror --parallel=4 / {here}"])
    assert contents(here) == contents(root)
    netns.run(["lftp", "-c", f"{settings} open {URL}; mirror -R --parallel=4 {here} /copy"])
    assert contents(root / "copy") == contents(here)
    old = here / "sub" / "deep" / "file-1"
    old.chmod(0o600)
    os.utime(old, (1.5e9, 1.5e9))
    netns.run(["lftp", "-c", f"{settings} open {URL}; mirror -R {here} /again"])
    status = (root / "again" / "sub" / "deep" / "file-1").stat()
    assert (status.st_mode & 0o777, status.st_mtime) == (0o600, 1.5e9)
    again = netns.run(["lftp", "-c", f"{settings} open {URL}; mirror -R -v {here} /again"])
    assert b"Transferring" not in again.stdout


@needs("tnftp")
def test_tnftp(netns: NetworkNamespace, up: Path, root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(BIG)
    script = f"""open {HOST}
user anonymous me@
lcd {tmp_path}
get big here
put file sub/there
cd sub/deep
mget file-1*
ls
passive
get file-2
append file-2 file-2
mkdir x
rename x y
rmdir y
delete file-3
bye
"""
    argv = ["tnftp", "-n", "-i", "-v"]
    said = netns.run(argv, data=script.encode()).stdout.decode()
    assert (tmp_path / "here").read_bytes() == BIG, said
    assert (root / "sub" / "there").read_bytes() == BIG, said
    assert len(list(tmp_path.glob("file-1*"))) == 11, said
    assert (root / "sub" / "deep" / "file-2").read_bytes() == bytes([2]) * 4000, said
    assert not (root / "sub" / "deep" / "file-3").exists(), said


def test_a_full_disk_is_said_and_what_fits_stays(netns: NetworkNamespace, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    # More than the buffers of both ends hold: curl still sends when the disk is full.
    (tmp_path / "file").write_bytes(BIG * 8)
    python = shlex.quote(sys.executable)
    up = f"{python} -m pystack up tap0 --user root --serve ftp --writable --root {small}"
    script = f"mount -t tmpfs -o size=3m none {small} && exec {up}"
    process = netns.popen(["unshare", "--mount", "sh", "-c", script])
    assert read_line(process).startswith("ready:")
    argv = ["curl", "-sSv", "-T", str(tmp_path / "file"), f"{URL}/up"]
    said = netns.run(argv, expect=None).stderr
    assert b"452 No space left on device" in said
    assert curl(netns, f"{URL}/up") == BIG[: 3 << 20]
    process.terminate()
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, out, err) == (0, b"", b"")


def test_many_at_once(netns: NetworkNamespace, up: Path, root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(BIG[:300_000])
    programs = []
    for number in range(40):
        here = tmp_path / f"here-{number}"
        away = ["-T", str(tmp_path / "file"), f"{URL}/up-{number}"]
        programs.append(netns.popen(["curl", "-sS", "-o", str(here), f"{URL}/a%20b"]))
        programs.append(netns.popen(["curl", "-sS", *away]))
    assert [program.wait(TIMEOUT_S) for program in programs] == [0] * 80
    for number in range(40):
        assert (tmp_path / f"here-{number}").read_bytes() == b"blank"
        assert (root / f"up-{number}").read_bytes() == BIG[:300_000]


@pytest.mark.skipif(not is_the_machines_root(), reason="only the machine's root can be another")
def test_uploads_belong_to_whom_the_process_is(netns: NetworkNamespace, tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp())
    os.chown(folder, 54321, 54321)
    argv = [
        "env",
        "SUDO_UID=54321",
        "SUDO_GID=54321",
        sys.executable,
        "-m",
        "pystack",
        "up",
        "tap0",
    ]
    process = netns.popen([*argv, "--serve", "ftp", "--writable", "--root", str(folder)])
    try:
        assert read_line(process).startswith("ready:")
        (tmp_path / "file").write_bytes(b"up")
        curl(netns, "-Q", "MKD made", "-T", str(tmp_path / "file"), f"{URL}/up")
        for name in ("up", "made"):
            assert (folder / name).stat().st_uid == 54321
        process.terminate()
        assert process.wait(TIMEOUT_S) == 0
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_stopped_in_the_middle_it_keeps_what_came(
    netns: NetworkNamespace, stack_up: StackUp, root: Path, tmp_path: Path, direction: str
) -> None:
    stack = stack_up("--serve", "ftp", "--root", str(root), "--writable")
    (tmp_path / "file").write_bytes(BIG)
    way = ["-T", str(tmp_path / "file"), f"{URL}/up"] if direction == "up" else [f"{URL}/big"]
    client = netns.popen(["curl", "-sS", "--limit-rate", "500K", "-o", str(tmp_path / "got"), *way])
    part = root / "up" if direction == "up" else tmp_path / "got"
    while client.poll() is None and not (part.exists() and part.stat().st_size):
        os.sched_yield()
    assert stack.stop() == 0
    assert client.wait(TIMEOUT_S) != 0
    assert BIG.startswith(part.read_bytes())
    assert stack.log == ""
