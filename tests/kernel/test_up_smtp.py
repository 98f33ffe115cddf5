"""Mailers that others wrote against `pystack up --serve smtp` on a real TAP."""

import mailbox
import shutil
import socket
import subprocess
import sys
import time
from email.message import Message
from pathlib import Path

import pytest
from netns import TIMEOUT_S, NetworkNamespace, read_line
from up import StackUp, needs

pytestmark = pytest.mark.kernel

HOST = "10.77.0.2"
TEXT = b"Subject: hello\r\n\r\none\r\n.\r\n..two\r\n\r\nthree\r\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    return root


@pytest.fixture
def ca(stack_up: StackUp, root: Path, tmp_path: Path) -> Path:
    """Start the server; return the certificate that says whom to trust."""
    ca = tmp_path / "ca.pem"
    stack_up("--serve", "smtp", "--root", str(root), "--ca", str(ca))
    return ca


def mails(root: Path) -> list[Message]:
    """Return the messages in the order of their coming."""
    found = mailbox.Maildir(root / "Maildir", create=False)
    return [
        found[name] for name in sorted(found.keys(), key=lambda name: int(name.split("Q")[1][:-8]))
    ]


@pytest.mark.parametrize("tls", [False, True])
def test_smtplib(netns: NetworkNamespace, ca: Path, root: Path, tls: bool) -> None:
    assert netns.python("smtp_library", HOST, ca if tls else "-") == "all\n"
    big, plain, half, utf8 = mails(root)
    text, attachment = big.get_payload()
    assert text.get_payload(decode=True) == b"one\n.\n..two\n\nthree\n"
    assert attachment.get_payload(decode=True) == bytes(range(256)) * 400
    assert big["Return-Path"] == "<ann@client.example>"
    assert f"with {'ESMTPS' if tls else 'ESMTP'} id" in big["Received"]
    assert "([10.77.0.1])" in big["Received"]
    assert plain["Return-Path"] == "<>"
    assert plain.get_all("Delivered-To") == [f"root@[{HOST}]", "bob@pystack"]
    assert half.get_all("Delivered-To") == ["bob@pystack"]
    assert "UTF8SMTP" in str(utf8["Received"])


CURL = {
    "clear": [],
    "tls": ["--ssl-reqd"],
    "tls 1.2": ["--ssl-reqd", "--tlsv1.2", "--tls-max", "1.2"],
}


@needs("curl")
@pytest.mark.parametrize("way", CURL)
def test_curl(netns: NetworkNamespace, ca: Path, root: Path, way: str) -> None:
    words = ["--cacert", str(ca), *CURL[way]] if CURL[way] else []
    words += ["--mail-from", "a@client.example", "--upload-file", "-"]
    words += ["--mail-rcpt", "bob@pystack", "--mail-rcpt", "carol@pystack"]
    netns.run(["curl", "-sSv", f"smtp://{HOST}/client.example", *words], data=TEXT)
    (mail,) = mails(root)
    assert mail.get_payload() == "one\n.\n..two\n\nthree\n"
    assert mail.get_all("Delivered-To") == ["bob@pystack", "carol@pystack"]
    assert f"with {'ESMTPS' if CURL[way] else 'ESMTP'} id" in mail["Received"]


@needs("curl")
def test_curl_is_told_why(netns: NetworkNamespace, ca: Path, root: Path) -> None:
    words = ["curl", "-sS", f"smtp://{HOST}", "--mail-from", "a@b", "--upload-file", "-"]
    denied = netns.run([*words, "--mail-rcpt", "eve@else.example"], data=TEXT, expect=55)
    assert b"550" in denied.stderr
    # A file of this system's: without --crlf its lines end with LF alone.
    spoiled = [*words, "--mail-rcpt", "bob@pystack"]
    netns.run(spoiled, data=TEXT.replace(b"\r\n", b"\n"), expect=None)
    assert mails(root) == []
    netns.run([*spoiled, "--crlf"], data=TEXT.replace(b"\r\n", b"\n"))
    assert len(mails(root)) == 1


def has_tls() -> bool:
    """Tell whether swaks can do TLS."""
    return subprocess.run(["perl", "-MNet::SSLeay", "-e1"], capture_output=True).returncode == 0


SWAKS = {"clear": [], "tls": ["--tls"], "pipelined": ["--pipeline"], "helo": ["--protocol", "SMTP"]}


@needs("swaks")
@pytest.mark.parametrize("way", SWAKS)
def test_swaks(netns: NetworkNamespace, ca: Path, root: Path, way: str) -> None:
    if way == "tls" and not has_tls():
        pytest.skip("swaks has no TLS here: Net::SSLeay is not installed")
    words = ["--server", HOST, "--from", "a@b", "--to", "bob@pystack,carol@pystack", *SWAKS[way]]
    said = netns.run(["swaks", *words, "--helo", "client.example", "--body", "one\n.\ntwo"]).stdout
    assert b"Message kept" in said
    (mail,) = mails(root)
    assert str(mail.get_payload()).rstrip() == "one\n.\ntwo"  # it ends with blank lines of its own
    protocol = {"tls": "ESMTPS", "helo": "SMTP"}.get(way, "ESMTP")
    assert f"from client.example ([10.77.0.1])\n\tby pystack with {protocol} id" in mail["Received"]


def test_any_mail_is_taken_by_a_sink(netns: NetworkNamespace, stack_up: StackUp) -> None:
    """And without a root it stays in memory."""
    stack_up("--serve", "smtp:2525", "--mail-for", "*")
    with netns.entered():
        client = socket.create_connection((HOST, 2525), timeout=TIMEOUT_S)
    with client, client.makefile("rwb") as file:
        file.write(
            b"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<x@anywhere.example>\r\nDATA\r\n.\r\nQUIT\r\n"
        )
        file.flush()
        lines = file.read().splitlines()
    assert b"250 2.1.5 x@anywhere.example OK" in lines
    assert lines[-1] == b"221 2.0.0 Bye"


def test_a_thousand_silent_clients_do_not_keep_mail_out(
    netns: NetworkNamespace, ca: Path, root: Path
) -> None:
    with netns.entered():
        crowd = [socket.create_connection((HOST, 25), timeout=TIMEOUT_S) for _ in range(1000)]
    try:
        # It has a minute; one that is silent may stay for minutes.
        assert netns.python("smtp_library", HOST, "-") == "all\n"
    finally:
        for client in crowd:
            client.close()
    assert len(mails(root)) == 4


def test_files_belong_to_who_the_program_is(
    netns: NetworkNamespace, stack_up: StackUp, tmp_path: Path
) -> None:
    shared = Path("/var/tmp") / f"smtp-{tmp_path.name}-{time.monotonic_ns()}"
    shared.mkdir()
    try:
        shutil.chown(shared, "nobody")
        stack_up("--serve", "smtp", "--root", str(shared), "--user", "nobody")
        assert netns.python("smtp_library", HOST, "-") == "all\n"
        owners = {path.owner() for path in shared.rglob("*")}
        assert owners == {"nobody"}
    finally:
        shutil.rmtree(shared)


def test_a_directory_that_no_mail_can_go_into_is_told_at_the_start(
    netns: NetworkNamespace, tmp_path: Path
) -> None:
    shared = Path("/var/tmp") / f"smtp-{tmp_path.name}-{time.monotonic_ns()}"
    shared.mkdir()  # root's
    try:
        words = ["--serve", "smtp", "--root", str(shared), "--user", "nobody"]
        said = netns.run([sys.executable, "-m", "pystack", "up", "tap0", *words], expect=2).stderr
    finally:
        shared.rmdir()
    complaint = "there can be no Maildir: [Errno 13] Permission denied: 'Maildir'"
    assert said.decode() == f"pystack: {complaint}\n"


def test_killed_in_the_middle_it_has_kept_all_that_it_said_and_nothing_by_halves(
    netns: NetworkNamespace, stack_up: StackUp, root: Path
) -> None:
    stack = stack_up("--serve", "smtp", "--root", str(root))
    client = netns.popen_python("smtp_many")
    said = [read_line(client) for _ in range(100)]
    stack.process.kill()
    stack.wait()
    out, _ = client.communicate(timeout=60)
    said += out.decode().split()
    kept = mails(root)
    texts = {str(mail["Subject"]): str(mail.get_payload()) for mail in kept}
    assert len(texts) == len(kept)
    assert all(texts[number] == f"{number}\n" * 500 + "end\n" for number in texts)
    assert {number.strip() for number in said} <= texts.keys()
