"""The command `pystack explain`: what it takes, what it refuses in a sentence, where it writes."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pystack.apps.explain.asked import Asked, changed, usual_url
from pystack.cli.main import main
from pystack.core.errors import ConfigError

Here = Callable[..., tuple[int, str, str]]
LAB = """
seed = 3
[hosts.client]
[hosts.other]
[routers.r1]
[hosts.server]
serve = ["http", "echo"]
[[links]]
between = ["client", "r1"]
delay = "5ms"
[[links]]
between = ["other", "r1"]
[[links]]
between = ["r1", "server"]
delay = "20ms"
"""


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """Return the command as a function in this process: its status, and what it printed."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pystack", "explain", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        assert isinstance(caught.value.code, int)
        return caught.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    path = tmp_path / "lab.toml"
    path.write_text(LAB)
    return path


def test_a_url_is_told_as_text(here: Here) -> None:
    status, out, err = here("http://server/")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[:3] == [
        "GET http://server/ over HTTP/1.1",
        "In the laboratory, in virtual time; nothing left this machine.",
        "200, 10,000 bytes, after 84.4 ms; closed after 115.4 ms",
    ]
    assert "server is 198.51.100.10" in out


def test_from_the_shell_it_is_the_same(here: Here) -> None:
    command = [sys.executable, "-m", "pystack", "explain", "http://server/"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == here("http://server/")[1]


def test_other_words_tell_another_story(here: Here) -> None:
    assert "after 555.4 ms" in here("http://server/", "--delay", "50ms")[1].splitlines()[2]
    assert "[SYN" not in here("udp://server/hi", "-6")[1]
    assert here("echo://server/hi", "--protocol", "udp")[1] != here("echo://server/hi")[1]


def test_json_is_for_tools(here: Here) -> None:
    status, out, _ = here("http://server/", "--json")
    assert status == 0
    told = json.loads(out)
    assert told["title"] == "GET http://server/ over HTTP/1.1"
    assert here("http://server/", "--format", "json")[1] == out


@pytest.mark.parametrize("url", ["http://server/\udcff?\udcfe", "echo://server/\udcff"])
def test_bytes_of_the_command_line_that_are_no_text_are_sent_as_they_are(
    here: Here, url: str
) -> None:
    status, out, _ = here(url, "--depth", "bytes")
    assert status == 0
    assert "\\udcff" in out.splitlines()[0]


@pytest.mark.parametrize("form", ["text", "json"])
def test_where_nothing_can_be_written_is_said_in_one_sentence(form: str) -> None:
    argv = [sys.executable, "-m", "pystack", "explain", "http://server/", "--format", form]
    with open("/dev/full", "w") as full:
        done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, check=False, text=True)
    sentence = "pystack: cannot write to standard output: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, sentence)
    closed = ["sh", "-c", 'exec "$@" >&-', "sh", *argv]
    done = subprocess.run(closed, stderr=subprocess.PIPE, check=False, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_files_are_written_and_nothing_else_is_printed(here: Here, tmp_path: Path) -> None:
    html, markdown = tmp_path / "out.html", tmp_path / "out.md"
    status, out, err = here("http://server/", "--html", html, "--markdown", markdown)
    assert (status, out) == (0, "")
    assert err == f"written: {html}\nwritten: {markdown}\n"
    assert html.read_text().lower().startswith("<!doctype html>")
    assert markdown.read_text().startswith("# ")
    status, out, _ = here("http://server/", "--html", html, "--format", "text")
    assert out.startswith("GET http://server/")
    assert here("http://server/", "--html", tmp_path / "no" / "x")[0] == 2


@pytest.mark.parametrize(
    ("option", "begins"), [("--html", "<!doctype html>"), ("--markdown", "# ")]
)
def test_a_dash_is_standard_output(
    here: Here, option: str, begins: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = here("http://server/", option, "-")
    assert (status, err) == (0, "")
    assert out.lower().startswith(begins)
    assert not list(tmp_path.iterdir())


def test_what_is_meant_is_said_where_a_learner_errs(here: Here) -> None:
    assert here("http:/server")[2] == "pystack: http:/server: a URL is written http://server/\n"
    assert "tcpdump -i lo -w lo.pcap" in here("localhost:8080")[2]


def test_a_capture_of_it_is_explained_again(here: Here, tmp_path: Path) -> None:
    path = tmp_path / "run.pcapng"
    assert here("http://server/", "--pcap", path)[0] == 0
    status, out, err = here(path)
    assert (status, err) == (0, "")
    assert "GET" in out
    assert here(path, "--flow", "1")[0] == 0
    status, _, err = here(path, "--flow", "99")
    assert (status, err) == (2, f"pystack: --flow 99: {path} has 2 conversations\n")
    assert here("https://server/", "--pcap", tmp_path / "old.pcap")[0] == 0
    status, _, err = here("http://server/", "--pcap", tmp_path / "no" / "x.pcapng")
    assert (status, err.count("\n")) == (2, 1)
    status, _, err = here(path, "--loss", "1%")
    assert (status, err) == (2, "pystack: --loss is for a run of our own, not a capture\n")


def test_two_runs_are_compared(here: Here) -> None:
    status, out, _ = here("http://server/", "--compare", "loss=0", "loss=5%")
    assert status == 0
    assert out.startswith("loss=0 and loss=5%\n")
    assert here("--compare", "tcp", "udp")[1].startswith("tcp and udp\n")
    assert here("--compare", "http", "https")[1].startswith("http and https\n")
    assert here("--compare", "http/1.1", "h2")[1].startswith("http/1.1 and h2\n")


def test_on_a_host_of_a_lab(here: Here, lab: Path) -> None:
    status, out, err = here("http://server/bytes/100", "--lab", lab)
    assert (status, err) == (0, "")
    assert out.splitlines()[1].startswith("200, 100 bytes")
    assert "client ── r1 ── server" in out
    assert "other ── r1 ── server" in here("udp://server/hi", "--lab", lab, "--from", "other")[1]


def test_a_lab_has_the_versions_that_it_has(here: Here, lab: Path) -> None:
    def peer(*words: str) -> str:
        told = json.loads(here("http://server/bytes/1", "--lab", lab, "--json", *words)[1])
        (syn,) = [step for step in told["steps"] if step["kind"] == "syn"]
        return "IPv6" if any("IPv6" in str(frame["boxes"]) for frame in syn["frames"]) else "IPv4"

    assert [peer(), peer("-4"), peer("-6")] == ["IPv4", "IPv4", "IPv6"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("http://nobody/",), "http://nobody/: the lab has no host 'nobody'"),
        (("http://server/", "--from", "clint"), "has no such host; did you mean 'client'?"),
        (("http://server/", "--loss", "1%"), "--loss is for the small laboratory, not --lab"),
        (("http://server/", "--size", "1"), "--size is for the small laboratory, not --lab"),
    ],
)
def test_what_a_lab_has_not(here: Here, lab: Path, words: tuple[str, ...], sentence: str) -> None:
    status, out, err = here(*words, "--lab", lab)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert sentence in err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "say what to explain: http://server/, a capture file, --tap -- COMMAND"),
        (("http://server/", "http://other/"), "one URL is explained, and here are 2 words"),
        (("gopher://server/",), "there is no scheme 'gopher' to explain"),
        (("http://server/", "--depth", "fild"), "there is no such; did you mean 'fields'?"),
        (("http://server/", "--format", "htm"), "there is no such; did you mean 'html'?"),
        (("http://server/", "--only", "handshak"), "handshak"),
        (("http://server/", "--los", "1%"), "No such option: --los"),
        (("http://server/", "--loss", "x"), "loss = 'x' is not possible"),
        (("http://server/", "--preset", "adsl"), "did you mean 'dsl'?"),
        (("http://server/", "-4", "-6"), "-4 and -6: use only one of them"),
        (("http://[2001:db8::1]/", "-4"), "that is an address of IPv6, and IPv4 was asked for"),
        (("http://10.1.2.3/", "-6"), "that is an address of IPv4, and IPv6 was asked for"),
        (("http://10.1.2.3/", "--compare", "ipv4", "ipv6"), "that is an address of IPv4"),
        (("http://server/", "-4", "--dual-stack"), "--dual-stack is IPv4 and IPv6"),
        (("http://server/", "--flow", "1"), "--flow is for a capture file"),
        (("http://server/", "--serve", "ftp"), "--serve is for --tap"),
        (("http://server/", "--from", "x"), "--from is for --lab"),
        (("--tap",), "--tap needs a command"),
        (("--tap", "http://server/"), "--tap runs a command, as in --tap -- curl http://server/"),
        (("--tap", "--repeat", "2", "--", "true"), "--repeat is for a URL"),
        (("--tap", "--", "no-such-command"), "there is no program 'no-such-command'"),
        (("--compare", "tcp", "upd"), "--compare: 'upd' is no protocol"),
        (("--compare", "loss=0", "los=1%"), "does not know the word 'los'"),
        (("--compare", "loss=0", ""), "--compare takes two sides"),
        (("--compare", "repeat=x", "repeat=2"), "repeat=x: it takes a whole number"),
        (("none.pcap",), "cannot read the capture none.pcap"),
        (("/etc/passwd",), "/etc/passwd is not a capture"),
        (("http://ser\udcffver/",), "is not a URL: no host, or a letter that none may have"),
        (("http://\udcff@server/",), "is not a URL: no host, or a letter that none may have"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(
    here: Here, words: tuple[str, ...], sentence: str
) -> None:
    status, out, err = here(*words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("pystack: ")
    assert sentence in err


def test_the_sides_of_a_comparison_change_one_thing_each() -> None:
    asked = Asked(url="http://server/")
    assert changed(asked, "https").url == "https://server/"
    assert changed(asked, "ipv6").version == 6
    assert changed(asked, "loss=1% delay=5ms").line.words == {"loss": "1%", "delay": "5ms"}
    assert changed(asked, "preset=dsl mtu=1400").line.preset == "dsl"
    assert changed(asked, "preset=dsl mtu=1400").line.mtu_bytes == 1400
    assert changed(asked, "size=1kb post=5 repeat=2 seed=9 congestion=bbr") == Asked(
        url="http://server/", size_bytes=1024, post_bytes=5, repeat=2, seed=9, congestion="bbr"
    )
    assert changed(Asked(url="udp://server/x"), "tcp").target.over == "tcp"
    with pytest.raises(ConfigError, match="there is no scheme"):
        _ = changed(Asked(url="nothing://server"), "loss=1%").target
    assert usual_url("tcp udp") == "echo://server/hello"
    assert usual_url("loss=0 loss=1%") == "http://server/"


def test_what_a_story_of_http_does_not_need_is_not_imported() -> None:
    """What takes long to import is left out: the command is to end in under a second."""
    code = (
        "import sys\n"
        "sys.argv = ['pystack', 'explain', 'http://server/']\n"
        "from pystack.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(*sorted(sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = set(done.stderr.split())
    assert "pystack.observe.explain.telling" in loaded
    heavy = {
        *("rich", "jinja2", "dpkt", "trustme", "cryptography", "wsproto", "httpx"),
        *("pystack.apps.http.site", "pystack.apps.http.page", "pystack.apps.http.http2"),
        *("pystack.apps.tls", "pystack.apps.hosting", "pystack.topology.file"),
        *("pystack.cli.vantage", "pystack.cli.explain_tap", "pystack.apps.explain.command"),
        *("pystack.runtime.lab.lab", "pystack.observe.explain.page"),
        *(
            "pystack.observe.captures.pcapng",
            "pystack.observe.captures.as_recording",
            "pystack.observe.ladder.svg",
            "pystack.runtime.iperf3",
        ),
    }
    assert not heavy & loaded


def test_the_help_has_lines_to_copy(here: Here) -> None:
    """Each stands on a line of its own, and what is said there is possible."""
    lines = [line.strip() for line in here("--help")[1].splitlines()]
    examples = [line for line in lines if line.startswith("pystack explain ")]
    assert len(examples) == 5
    assert here(*examples[0].split()[2:])[0] == 0
    assert here(*examples[2].split()[2:])[0] == 0
