"""Who `pystack up` is once its device is open: the user behind sudo, or one that is named."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from netns import NetworkNamespace, read_line
from up import URL, StackUp

from pystack.runtime.device.privileges import is_the_machines_root

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(
        not is_the_machines_root(), reason="only the machine's root can become another user"
    ),
]

SOMEBODY: Final = 54321  # nobody's by name
NO_CAPABILITIES: Final = "0" * 16

UpAs = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder that others can get at, which pytest's are not."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def up_behind_sudo(netns: NetworkNamespace) -> UpAs:
    """Return a function that starts `pystack up tap0 ARGUMENTS` as sudo would."""

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        sudo = ["env", f"SUDO_UID={SOMEBODY}", f"SUDO_GID={SOMEBODY}"]
        return netns.popen([*sudo, sys.executable, "-m", "pystack", "up", "tap0", *arguments])

    return start


def status_of(process: subprocess.Popen[bytes]) -> dict[str, str]:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return {name: " ".join(value.split()) for name, _, value in (x.partition(":") for x in lines)}


def end(process: subprocess.Popen[bytes]) -> str:
    """End it in order; return what it said on standard error."""
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    return said.decode()


def has_tap(netns: NetworkNamespace) -> bool:
    return netns.run(["ip", "link", "show", "tap0"], expect=None).returncode == 0


def test_behind_sudo_it_is_who_called(netns: NetworkNamespace, up_behind_sudo: UpAs) -> None:
    process = up_behind_sudo()
    assert read_line(process).startswith("ready:")
    status = status_of(process)
    assert status["Uid"] == status["Gid"] == " ".join([str(SOMEBODY)] * 4)
    assert status["Groups"] == str(SOMEBODY)
    assert status["NoNewPrivs"] == "1"
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert status[kind] == NO_CAPABILITIES
    netns.run(["curl", "-sSf", "-o", "/dev/null", f"{URL}/bytes/100000"])
    assert end(process) == ""
    assert not has_tap(netns)


def test_what_it_writes_belongs_to_that_user(
    netns: NetworkNamespace, up_behind_sudo: UpAs, folder: Path
) -> None:
    os.chown(folder, SOMEBODY, SOMEBODY)
    process = up_behind_sudo("--pcap", str(folder / "run.pcap"))
    assert read_line(process).startswith("ready:")
    netns.run(["curl", "-sSf", f"{URL}/bytes/5"])
    assert end(process) == ""
    found = (folder / "run.pcap").stat()
    assert (found.st_uid, found.st_gid) == (SOMEBODY, SOMEBODY)
    assert found.st_size > 1000


def test_what_its_services_write_belongs_to_that_user(
    netns: NetworkNamespace, up_behind_sudo: UpAs, folder: Path
) -> None:
    (folder / "files").mkdir()
    for path in (folder, folder / "files"):
        os.chown(path, SOMEBODY, SOMEBODY)
    ca, keys = folder / "ca.pem", folder / "keys"
    words = ["--root", str(folder / "files"), "--writable", "--ca", str(ca), "--keylog", str(keys)]
    serve = ["--serve", "https", "--serve", "ftp", "--serve", "smtp"]
    process = up_behind_sudo(*serve, *words)
    assert read_line(process).startswith("ready:")
    curl = ["curl", "-sSf", "--cacert", str(ca)]
    netns.run([*curl, "https://10.77.0.2/bytes/5"])
    letter = folder / "letter"
    letter.write_text("Subject: one\r\n\r\none\r\n")
    netns.run([*curl, "-T", str(letter), "ftp://10.77.0.2/uploaded"])
    mail = ["--mail-from", "a@example.com", "--mail-rcpt", "b@pystack"]
    netns.run([*curl, *mail, "-T", str(letter), "smtp://10.77.0.2"])
    end(process)
    (message,) = (folder / "files" / "Maildir" / "new").iterdir()
    for written in (ca, keys, folder / "files" / "uploaded", message, message.parent):
        found = written.stat()
        assert (found.st_uid, found.st_gid) == (SOMEBODY, SOMEBODY), written
        assert found.st_size > 0
    assert keys.stat().st_mode & 0o077 == 0  # who reads them reads everything


@pytest.mark.parametrize("virtual", [[], ["--virtual"]])
def test_so_does_what_a_lab_writes(
    netns: NetworkNamespace, folder: Path, virtual: list[str]
) -> None:
    os.chown(folder, SOMEBODY, SOMEBODY)
    lab = folder / "lab.toml"
    lab.write_text('[hosts.a]\n[hosts.b]\n[[links]]\nbetween = ["a", "b"]\n')
    sudo = ["env", f"SUDO_UID={SOMEBODY}", f"SUDO_GID={SOMEBODY}"]
    argv = [sys.executable, "-m", "pystack", "lab", "run", str(lab), "--for", "10ms"]
    netns.run([*sudo, *argv, "--pcap", str(folder / "run.pcap"), *virtual])
    assert (folder / "run.pcap").stat().st_uid == SOMEBODY
    roots = folder / "roots.pcap"
    roots.touch(0o600)
    said = netns.run([*sudo, *argv, "--pcap", str(roots), *virtual], expect=2).stderr
    assert said.decode() == f"pystack: cannot write the capture {roots}: Permission denied\n"


def test_a_planted_link_leads_nowhere(
    netns: NetworkNamespace, up_behind_sudo: UpAs, folder: Path
) -> None:
    (folder / "roots").write_text("precious")
    link = folder / "run.pcap"
    link.symlink_to(folder / "roots")
    os.lchown(link, SOMEBODY + 1, SOMEBODY + 1)
    process = up_behind_sudo("--pcap", str(link))
    assert b"cannot write the capture" in process.communicate(timeout=60)[1]
    assert process.returncode == 2
    argv = [sys.executable, "-m", "pystack", "up", "tap0", "--user", "root", "--pcap", str(link)]
    said = netns.run(argv, expect=2).stderr
    assert b"a symbolic link of another user" in said
    assert (folder / "roots").read_text() == "precious"
    assert not has_tap(netns)


def test_files_of_others_are_not_served(
    netns: NetworkNamespace, up_behind_sudo: UpAs, folder: Path
) -> None:
    for name, mode in (("open", 0o644), ("shut", 0o600), ("none", 0)):
        (folder / name).write_text(name)
        (folder / name).chmod(mode)
    process = up_behind_sudo("--root", str(folder))
    assert read_line(process).startswith("ready:")
    assert netns.run(["curl", "-sSf", f"{URL}/open"]).stdout == b"open"
    for name in ("shut", "none"):
        assert netns.run(["curl", "-sf", f"{URL}/{name}"], expect=22).stdout == b""
    assert end(process) == ""


def test_a_root_that_the_user_may_not_read_is_one_sentence(
    netns: NetworkNamespace, up_behind_sudo: UpAs, folder: Path
) -> None:
    folder.chmod(0o700)
    _, said = (process := up_behind_sudo("--root", str(folder))).communicate(timeout=60)
    assert process.returncode == 1
    assert said.decode() == f"pystack: {SOMEBODY} may not read the directory {folder}\n"
    assert not has_tap(netns)


def test_a_user_can_be_named(netns: NetworkNamespace, stack_up: StackUp) -> None:
    stack = stack_up("--user", str(nobody := 65534))
    assert status_of(stack.process)["Uid"] == " ".join([str(nobody)] * 4)
    netns.run(["curl", "-sSf", f"{URL}/bytes/5"])
    assert stack.stop() == 0
    assert stack.log == ""


def test_a_user_that_there_is_not_is_a_wrong_word(netns: NetworkNamespace) -> None:
    argv = [sys.executable, "-m", "pystack", "up", "tap0", "--user", "no-such-user"]
    assert b"there is no user 'no-such-user'" in netns.run(argv, expect=2).stderr


def test_root_alone_stays_root_without_its_powers_and_says_so(
    netns: NetworkNamespace, folder: Path
) -> None:
    (folder / "none").write_text("none")
    (folder / "none").chmod(0)
    argv = ["env", "-u", "SUDO_UID", sys.executable, "-m", "pystack", "up", "tap0"]
    process = netns.popen([*argv, "--root", str(folder)])
    assert read_line(process).startswith("ready:")
    assert status_of(process)["CapEff"] == NO_CAPABILITIES
    assert netns.run(["curl", "-sf", f"{URL}/none"], expect=22).stdout == b""
    said = end(process)
    assert said == "running as root, without capabilities; --user NAME lets it be another\n"
