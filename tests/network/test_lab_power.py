"""What runs on a host of a lab when its power goes, and when it comes back."""

from lab_runs import Run

PROGRAMS = "lab_programs_for_tests"
LAB = f"""\
seed = 7
[hosts.a]
programs = [{{ run = "{PROGRAMS}:calls", args = ["b", 6] }}]
[hosts.b]
serve = ["echo"]
programs = [
    {{ run = "{PROGRAMS}:echo", args = [7000] }},
    {{ run = "{PROGRAMS}:says_hello" }},
    {{ run = "{PROGRAMS}:counts", args = [3] }},
]
%s
[[links]]
between = ["a", "b"]
delay = "20ms"
[[timeline]]
at = 1.7
power_off = "b"
[[timeline]]
at = 3.7
power_on = "b"
"""
READY = 3


def test_services_and_what_was_cut_off_start_again_and_what_had_ended_does_not(run: Run) -> None:
    lines = run(LAB % "")[READY:]
    # Which of two programs that begin at one instant is first, the seed says.
    assert sorted(lines[:2]) + lines[2:] == [
        "0.0 b counts 1",
        "0.0 b says hello",
        "0.2 a: b answers on 7, 7000",  # ARP, then two calls
        "1.0 b counts 2",
        "1.2 a: b answers on 7, 7000",
        "1.7 s: power off b",
        f"b has no power: {PROGRAMS}:counts ended",
        "2.5 a: b is silent",
        "3.5 a: b is silent",
        "3.7 s: power on b",
        "3.7 b counts 1",
        "4.2 a: b answers on 7, 7000",
        "4.7 b counts 2",
        "5.2 a: b answers on 7, 7000",
        "5.7 b counts 3",
    ]


def test_without_restart_nothing_starts_by_itself(run: Run) -> None:
    assert run(LAB % "restart = false")[-4:] == [
        "3.5 a: b is silent",
        "3.7 s: power on b",
        "4.3 a: b refuses",  # over IPv4, and then over IPv6
        "5.1 a: b refuses",
    ]


def test_power_that_goes_and_comes_at_one_instant_cuts_programs_too(run: Run) -> None:
    lines = run((LAB % "").replace("at = 3.7", "at = 1.7"))
    assert lines.count("1.7 b counts 1") == 1
    assert lines[-1] == "5.2 a: b answers on 7, 7000"


def test_power_that_is_there_already_changes_nothing(run: Run) -> None:
    lines = run((LAB % "").replace("at = 1.7", "at = 3.7").replace("power_off", "power_on"))
    assert [line for line in lines if "counts" in line] == [
        "0.0 b counts 1",
        "1.0 b counts 2",
        "2.0 b counts 3",
    ]


def test_power_may_go_again_before_all_has_started(run: Run) -> None:
    twice = '[[timeline]]\nat = 3.7\npower_off = "b"\n[[timeline]]\nat = 4.7\npower_on = "b"\n'
    lines = run(LAB % "" + twice)
    assert "4.7 b counts 1" in lines
    assert lines[-2:] == ["5.7 b counts 2", "6.7 b counts 3"]
