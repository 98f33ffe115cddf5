"""The command `pystack get`: what is written where, and what it ends with."""

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from pystack.cli.main import main
from pystack.core.extras import how_to_get


def command(
    *arguments: str | Path, cwd: Path | None = None, data: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pystack", "get", *map(str, arguments)],
        input=data,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=cwd,
    )


Here = Callable[..., tuple[int, str, str]]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """Return the command as a function in this process, which is faster."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pystack", "get", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        assert isinstance(caught.value.code, int)
        return caught.value.code, *capsys.readouterr()

    return run


def test_the_link_and_the_server_are_made_as_the_url_asks() -> None:
    done = command(
        *("http://shop:8080/bytes/10", "--delay", "40ms", "-o", "/dev/null"),
        *("-w", r"%{http_code} %{time_connect} %{time_total} %{remote_ip}:%{remote_port}\n"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "200 0.160000 0.240000 10.0.0.2:8080\n"


def test_the_body_goes_to_standard_output_and_verbose_beside_it() -> None:
    done = command("http://server/bytes/5", "-sv", "--http1.1")
    assert (done.returncode, len(done.stdout)) == (0, 5)
    assert done.stderr.splitlines()[2].endswith(" > GET /bytes/5 HTTP/1.1")


def test_files_are_named_by_their_urls_and_several_urls_by_o(tmp_path: Path) -> None:
    done = command("http://a/bytes/7", "http://b/bytes/9", "-o", "first", "-O", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {path.name: path.stat().st_size for path in tmp_path.iterdir()} == {"first": 7, "9": 9}


def test_a_root_is_served_and_a_file_uploaded(tmp_path: Path) -> None:
    (tmp_path / "page").write_text("a page")
    words = ("http://server/page", "--root", tmp_path)
    assert command(*words).stdout == "a page"
    assert command(*words, "-r", "2-").stdout == "page"
    done = command("http://server/upload", "-T", tmp_path / "page")
    assert done.returncode == 0
    assert json.loads(done.stdout)["bytes"] == 6
    assert json.loads(command("http://server/upload", "-T", "-", data="abc").stdout)["bytes"] == 3


def test_an_upload_into_a_directory_keeps_its_name(here: Here, tmp_path: Path) -> None:
    (tmp_path / "a b").write_text("text")
    (tmp_path / "root").mkdir()
    words = ("--root", tmp_path / "root", "--writable", "-T", tmp_path / "a b")
    assert here("ftp://server/", *words) == (0, "", "")
    assert (tmp_path / "root" / "a b").read_text() == "text"


def test_the_worlds_own_certificates_are_trusted_unless_others_are(
    here: Here, tmp_path: Path
) -> None:
    words = ("https://server/bytes/5", "-o", "/dev/null", "-w", "%{http_version}")
    assert here(*words) == (0, "2", "")
    assert here(*words, "--ca", tmp_path / "ca.pem", "--cacert", tmp_path / "ca.pem")[0] == 0
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    assert here(*words, "--cacert", tmp_path / "other.pem")[0] == 60
    assert here(*words, "--cacert", "/none")[0] == 77
    certificate = trustme.CA().issue_cert("server")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "cert.pem")
    assert here(*words, "--cert", tmp_path / "cert.pem")[0] == 60
    assert here(*words, "--cert", tmp_path / "cert.pem", "-k")[:2] == (0, "2")


def test_a_clear_conversation_needs_no_certificate(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)  # as where that is not installed
    (tmp_path / "letter").write_text("hello")
    ftp = "ftp://server/letter", "--root", tmp_path
    assert here(*ftp) == (0, "hello", "")
    mail = (
        "smtp://server",
        "-T",
        tmp_path / "letter",
        "--mail-from",
        "a@b",
        "--mail-rcpt",
        "c@server",
    )
    assert here(*mail) == (0, "", "")
    status, _, error = here(*ftp, "--ssl-reqd")
    assert (status, error) == (
        2,
        f"pystack: TLS without a certificate of your own needs trustme: {how_to_get('tls')}\n",
    )


def test_names_can_be_asked_for_by_packets(here: Here) -> None:
    words = ("http://shop/bytes/5", "-o", "/dev/null", "--dns", "ns1", "--delay", "40ms")
    format_ = ("-w", "%{time_namelookup} %{time_connect} %{time_total} %{remote_ip}")
    assert here(*words, *format_) == (0, "0.160000 0.320000 0.400000 10.0.0.2", "")
    assert here(*words, "--dns-fault", "* nxdomain")[0] == 6
    assert here(*words, "--dns-fault", "* late 1s", *format_)[1].startswith("1.160000 ")
    two = ("--record", "shop A 10.0.0.77", "--record", "shop A 10.0.0.2")
    status, shown, _ = here(*words, *two, *format_)
    assert (status, shown) == (0, "0.160000 3.320000 3.400000 10.0.0.2")
    # Of one that is dead, nothing else is left.
    assert here(*words, *two[:2])[0] == 7


def test_json_takes_the_place_of_the_body(tmp_path: Path) -> None:
    done = command("http://server/bytes/50", "http://server/none", "--json", "--delay", "10ms")
    first, second = map(json.loads, done.stdout.splitlines())
    assert (first["http_code"], first["size_download"], first["time_connect"]) == (200, 50, 0.04)
    assert (second["http_code"], second["num_connects"], second["urlnum"]) == (404, 0, 1)


def test_what_is_posted_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "form").write_text("b=2\n")
    url = "http://server/upload"
    done = command(url, "-d", "a=1", "-d", f"@{tmp_path / 'form'}", "-o", "-")
    assert json.loads(done.stdout)["bytes"] == len("a=1&b=2")
    done = command(url, "--data-binary", "@-", data="x\ny\n")
    assert json.loads(done.stdout)["bytes"] == 4


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (("gopher://server/",), 1, "(1) Protocol 'gopher' is not one of http, https, ws, wss"),
        (("http://server:x/",), 3, "(3) http://server:x/: "),
        (("http://server/none", "-f"), 22, "(22) The requested URL returned error: 404"),
        (("http://server/", "-o", "/none/x"), 23, "(23) cannot write /none/x: No such file"),
        (("http://server/", "-O"), 23, "(23) Remote file name has no length"),
        (("http://server/", "-T", "/none"), 26, "(26) cannot open '/none': No such file"),
        (("http://server/", "-d", "@/none"), 26, "(26) cannot open '/none': No such file"),
        (
            ("http://server/", "--loss", "100%", "-m", "2"),
            28,
            "(28) Operation timed out after 2000",
        ),
        (("http://localhost/",), 7, "(7) Failed to connect to localhost port 80 after 0 ms"),
    ],
)
def test_exit_statuses_are_curls(
    here: Here, words: tuple[str, ...], status: int, sentence: str
) -> None:
    found, _, said = here(*words)
    assert found == status, said
    assert said.startswith(f"pystack get: {sentence}")
    assert said.count("\n") == 1
    assert here(*words, "-s")[::2] == (status, "")
    assert here(*words, "-sS")[2] == said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("http://server/", "--colour"), "No such option: --colour"),
        ((), "Missing argument 'URL...'"),
        (("http://server/", "-o", "a", "-o", "b"), "there are more -o than URLs"),
        (("http://server/", "-I", "-d", "x"), "say one"),
        (("http://server/", "-T", "x", "-d", "x"), "use only one of them"),
        (("http://server/", "--http1.1", "--http2"), "use only one of them"),
        (("http://server/", "-m", "soon"), "'soon' is not a time"),
        (("http://server/", "-w", "@/none"), "-w @/none: cannot read it"),
        (("http://server/", "-H", "none"), "-H 'none' is no header"),
        (("http://server/", "--writable"), "--writable is for ftp or tftp"),
        (("http://server/", "--via", "tap0", "--root", "x"), "--root is for a virtual link"),
    ],
)
def test_what_cannot_be_is_one_sentence(here: Here, words: tuple[str, ...], sentence: str) -> None:
    status, shown, said = here(*words)
    assert (status, shown) == (2, "")
    assert sentence in said
    assert said.count("\n") == 1


def test_a_lab_serves_what_its_file_says(tmp_path: Path) -> None:
    lab = tmp_path / "lab.toml"
    lab.write_text(
        '[hosts.client]\n[hosts.server]\nserve = ["http"]\n'
        '[[links]]\nbetween = ["client", "server"]\ndelay = "25ms"\n'
    )
    words = ("http://server/bytes/3", "--lab", lab, "-o", "/dev/null", "-w", "%{time_total}")
    done = command(*words)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0.150000", "")
    done = command(*words, "--real-time")
    assert done.returncode == 0, done.stderr
    assert 0.15 < float(done.stdout) < 10


_SILENT = """
import trio

async def hang(stream):
    await trio.sleep_forever()

async def silent(host, *, task_status):
    await trio.serve_tcp(hang, 80, task_status=task_status)

async def broken(host, *, task_status):
    task_status.started()
    await trio.sleep(1)
    raise KeyError("a bug")
"""
_LAB = """
[hosts.client]
[hosts.server]
programs = [{ run = "%s:%s" }]
[[links]]
between = ["client", "server"]
[[timeline]]
at = "5s"
%s
"""


@pytest.mark.parametrize(
    ("program", "event", "status", "last"),
    [
        ("silent", "heal = true", 28, "nothing can ever happen again"),
        ("silent", 'power_off = "client"', 1, "lab.toml: client has lost its power"),
        ("broken", "heal = true", 1, ":broken on server failed"),
    ],
)
def test_a_lab_that_ends_before_the_transfer_does_is_one_sentence(
    here: Here, tmp_path: Path, program: str, event: str, status: int, last: str
) -> None:
    module = f"silent_program_{program}_{event[:4]}"
    (tmp_path / f"{module}.py").write_text(_SILENT)
    (tmp_path / "lab.toml").write_text(_LAB % (module, program, event))
    url = "http://server/" if program == "silent" else "http://10.0.0.99/"  # 3 s of ARP
    found, shown, said = here(url, "--lab", tmp_path / "lab.toml")
    assert (found, shown) == (status, "")
    assert last in said.splitlines()[-1]
    # Of the user's own program there is its traceback, too.
    assert ("Traceback" in said) == (program == "broken")


def test_nobody_reads_any_more() -> None:
    python = shlex.quote(sys.executable)
    line = f"{python} -m pystack get http://server/bytes/3000000 | head -c 10 | wc -c"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("10\n", "")
