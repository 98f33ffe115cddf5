"""A lab's file runs: its programs, its services and its timeline, in virtual and in real time."""

import subprocess
import sys
from pathlib import Path

import dpkt
import pytest
from lab_runs import Run

from pystack.apps.hosting import start_services
from pystack.core.errors import ConfigError
from pystack.runtime.driver.virtual import DeadlockError
from pystack.runtime.lab.functions import ProgramError
from pystack.runtime.lab.lab import LabOptions, run_lab
from pystack.topology.file import load

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent.parent / "examples"
PROGRAMS = "lab_programs_for_tests"
PAIR = """\
seed = 7
[hosts.a]
programs = [%s]
[hosts.b]
%s
[[links]]
between = ["a", "b"]
delay = "20ms"
"""


def program(name: str, *args: object) -> str:
    return f'{{ run = "{PROGRAMS}:{name}", args = {list(args)!r} }}'


def test_programs_run_on_their_hosts_and_the_lab_ends_with_them(run: Run) -> None:
    text = PAIR % (
        program("talk", "b", 7, ["one", "two"]),
        f"programs = [{program('echo', 7)}]",
    )
    assert run(text) == [
        "ready: lab.toml: 2 nodes, 1 link, seed 7, virtual time",
        "  a 10.0.0.1/24 fd00::1/64",
        "  b 10.0.0.2/24 fd00::2/64",
        "a heard one",
        "a heard two",
    ]


def test_a_host_serves_what_pystack_has(run: Run) -> None:
    text = PAIR % (program("fetch", "b"), 'serve = ["http", "echo:7000"]')
    assert run(text)[-1] == "HTTP/1.1 200 OK"


def test_a_host_serves_names_with_faults(run: Run) -> None:
    record, fault = "www.example.test 60 A 10.0.0.2", "www.example.test late 200ms"
    served = f'serve = ["http", {{ name = "dns", records = ["{record}"], faults = ["{fault}"] }}]'
    text = PAIR % (program("fetch", "www.example.test"), served)
    text = text.replace("[hosts.a]", '[hosts.a]\ndns = "b"')
    assert run(text)[-1] == "HTTP/1.1 200 OK"
    with pytest.raises(ConfigError, match="there is no fault 'slow'"):
        run(text.replace(fault, "www.example.test slow"))


TIMELINE = """
[hosts.c]
[[links]]
between = ["b", "c"]
[[timeline]]
at = "0.5s"
link = ["b", "a"]
set = { a_to_b = { delay = "120ms" } }
[[timeline]]
at = 1.5
down = ["a", "b"]
[[timeline]]
at = 2.5
up = ["a", "b"]
[[timeline]]
at = 3.5
partition = [["a"], ["b"]]
spare_established = true
[[timeline]]
at = 4.5
heal = true
[[timeline]]
at = 5.5
power_off = "b"
crash = true
[[timeline]]
at = 6.5
power_on = "b"
[[timeline]]
at = 7.5
down = ["b", "a"]
direction = "b_to_a"
"""


def test_the_timeline_happens_at_its_instants(run: Run) -> None:
    lines = run(PAIR % (program("pings", "b", 9), "") + TIMELINE)
    assert [line for line in lines if not line.startswith(("ready:", "  "))] == [
        "0.000 80 ms",  # with ARP
        "0.5 s: link b - a: -> delay 120ms",
        "1.000 140 ms",  # from b to a, as the entry names them, whatever the link does
        "1.5 s: link a - b: down",
        "2.000 lost",
        "2.5 s: link a - b: up",
        "3.000 140 ms",
        "3.5 s: partition a | b, spare established",
        "4.000 lost",
        "4.5 s: heal",
        "5.000 140 ms",
        "5.5 s: power off b, crash",
        "6.000 lost",
        "6.5 s: power on b",
        "7.000 280 ms",  # b has forgotten who a is, and asks
        "7.5 s: link b - a: down (b_to_a)",
        "8.000 lost",
    ]


def test_the_same_file_runs_the_same_and_another_seed_differs(run: Run) -> None:
    text = (PAIR % (program("pings", "b", 20), "")) + 'jitter = "10ms"\nloss = "20%"\n'
    assert run(text) == run(text)
    assert run(text)[1:] != run(text, seed=8)[1:]
    assert run(text, seed=8)[0].endswith("seed 8, virtual time")


def test_a_lab_ends_when_its_time_is_over(run: Run, tmp_path: Path) -> None:
    pcap = tmp_path / "run.pcap"
    text = PAIR % (program("pings", "b", 9), "")
    assert len(run(text, for_s=2.5, pcap=str(pcap))) == 3 + 3
    with pcap.open("rb") as file:
        assert len(list(dpkt.pcap.Reader(file))) == 2 + 3 * 2  # ARP, echoes; each once


def test_real_time_runs_the_same_file(run: Run) -> None:
    text = PAIR % (program("talk", "b", 7, ["one"]), f"programs = [{program('echo', 7)}]")
    lines = run(text, virtual=False)
    assert lines[0] == "ready: lab.toml: 2 nodes, 1 link, seed 7, real time"
    assert lines[-1] == "a heard one"


def test_a_program_on_a_host_without_power_ends(run: Run) -> None:
    text = PAIR % (program("waits"), "") + '[[timeline]]\nat = 2\npower_off = "a"\n'
    assert run(text)[-2:] == [
        "2 s: power off a",
        f"a has no power: {PROGRAMS}:waits ended",
    ]


def test_a_program_that_fails_is_named_with_its_error(run: Run) -> None:
    with pytest.raises(
        ProgramError, match=rf"lab\.toml:3: the program {PROGRAMS}:fails on a"
    ) as caught:
        run(PAIR % (program("fails"), ""))
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_lab_in_which_nothing_can_happen_is_a_deadlock(run: Run) -> None:
    with pytest.raises(DeadlockError, match="waits"):
        run(PAIR % (program("waits"), ""))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (f"{PROGRAMS}:pingz", "has no 'pingz'; did you mean 'pings'?"),
        (f"{PROGRAMS}:not_async", "not_async is not an async function"),
        ("no_such_module:x", "there is no module 'no_such_module'"),
    ],
)
def test_a_program_that_is_not_there_is_told_before_anything_runs(
    run: Run, name: str, sentence: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        run(PAIR % (f'{{ run = "{name}" }}', ""))
    assert "lab.toml:3: " in str(caught.value)
    assert sentence in str(caught.value)


def test_virtual_time_says_what_it_cannot(run: Run) -> None:
    with pytest.raises(ConfigError, match=r"lab\.toml has no program that ends.* --for"):
        run(PAIR % (program("echo", 7), ""))
    with pytest.raises(ConfigError, match=r"lab\.toml:10: the tap tap7 lives in real time"):
        run(PAIR % (program("waits"), "") + '\n[taps.tap7]\n[[links]]\nbetween = ["a", "tap7"]\n')


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("lab_*.toml")), ids=lambda path: path.stem)
def test_the_examples_are_right(path: Path) -> None:
    assert load(path).nodes


def test_the_outage_of_the_example_can_be_seen(capsys: pytest.CaptureFixture[str]) -> None:
    run_lab(load(EXAMPLES / "lab_outage.toml"), LabOptions(virtual=True), start_services, print)
    lines = capsys.readouterr().out.splitlines()
    took_ms = [int(line.split()[4]) for line in lines if line.startswith("client: answer")]
    assert len(took_ms) == 12
    assert max(took_ms[:3]) < 100  # LTE and 5 ms
    assert max(took_ms) > 2000  # the line is down for two seconds
    assert max(took_ms[-4:]) < 100


def test_the_queue_of_the_example_keeps_the_third_host_fast(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_lab(load(EXAMPLES / "lab_dumbbell.toml"), LabOptions(virtual=True), start_services, print)
    lines = capsys.readouterr().out.splitlines()
    took_ms = [int(line.split()[4]) for line in lines if line.startswith("left3: answer")]
    rates = [float(line.split()[1]) for line in lines if line.endswith("Mbit/s")]
    assert len(took_ms) == 10
    assert max(took_ms) < 80  # 34 ms are the way alone
    assert len(rates) == 2
    assert 8.5 < sum(rates) <= 11


def test_a_service_with_words_finds_its_files_beside_the_lab(tmp_path: Path, run: Run) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / ".page").write_text("a page that is hidden")
    text = PAIR % (
        program("fetches", "b", 8080, "/.page"),
        'serve = [{ name = "http", port = 8080, root = "files", dotfiles = true }]',
    )
    assert "a page that is hidden" in run(text)


@pytest.mark.parametrize(
    ("service", "complaint"),
    [
        ('{ name = "http", rot = "x" }', "services have no word 'rot'; did you mean 'root'?"),
        ("{ port = 80 }", "a service needs its 'name', not None"),
        ("7", "hosts.b.serve #1 must be a text in quotes, not a whole number"),
        ('{ name = "http", root = "nowhere" }', "is not a directory"),
    ],
)
def test_a_wrong_word_of_a_service_is_told_before_anything_runs(
    tmp_path: Path, service: str, complaint: str
) -> None:
    path = tmp_path / "lab.toml"
    path.write_text(PAIR % ("", f"serve = [{service}]"))
    done = subprocess.run(
        [sys.executable, "-m", "pystack", "lab", "check", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert complaint in done.stderr
    assert "lab.toml:" in done.stderr


def test_a_host_of_a_lab_takes_what_its_router_offers(run: Run) -> None:
    lines = run(
        """
ip = "6"
seed = 7
[routers.r]
advertise = true
[hosts.a]
autoconfigure = true
programs = [{ run = "lab_programs_for_tests:addresses_after", args = [5] }]
[[links]]
between = ["r", "a"]
"""
    )
    own = lines[-1].split()
    assert own[:2] == ["a", "fd00::2"]
    assert [text.partition("::")[0] for text in own[2:]].count("fe80") == 1
    assert len([text for text in own if text.startswith("fd00:")]) == 2  # one of its own making
