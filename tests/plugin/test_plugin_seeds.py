"""Many seeds of one test: spread over processes, up to the first that fails, which is kept."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

Run = Callable[..., tuple[pytest.RunResult, dict[str, int]]]

CACHE = ("-p", "cacheprovider", "-o", "cache_dir=.pytest_cache")
SPREAD = "--pystack-jobs=3"

FAILS_FROM_7_ON = """
async def test_net(net):
    print("SEED", net.seed)
    client, server = two_hosts(net, delay="20ms")
    await client.ping("server")
    assert net.seed < 7
"""
LOSSY = """
async def test_talk(net):
    client, server = net.host("client"), net.host("server")
    link = net.link(client, server, delay="20ms")
    await client.ping("server")
    link.set(loss="3%")
    await server.start(trio.serve_tcp, echo, 7)
    with trio.fail_after(0.21):
        assert await client.run(ask, b"hello") == b"hello"
"""


def sections(result: pytest.RunResult) -> dict[str, list[str]]:
    """Return the sections of reports by their titles."""
    found: dict[str, list[str]] = {}
    title = ""
    for line in map(str, result.outlines):
        if heading := re.fullmatch(r"[-=_]+ (.*?) [-=_]+", line):
            title = heading[1]
        found.setdefault(title, []).append(line)
    return {title: lines[1:] for title, lines in found.items()}


def kept(folder: Path) -> dict[str, list[int]]:
    """Return the seeds in pytest's cache."""
    found: dict[str, list[int]] = json.loads((folder / ".pytest_cache/v/pystack/seeds").read_text())
    return found


@pytest.mark.parametrize("jobs", ["--pystack-jobs=1", SPREAD])
def test_the_first_seed_that_fails_is_the_last_and_all_before_it_have_passed(
    run: Run, jobs: str
) -> None:
    result, outcomes = run(FAILS_FROM_7_ON, "--pystack-seeds=40", jobs)
    assert outcomes == {"failed": 1, "passed": 7}
    found = sections(result)
    assert found["pystack"][0] == "seed: 7"
    assert found["pystack"][1].endswith("::test_net --pystack-seed=7")
    assert found["pystack seeds"] == ["seed 7 fails; 7 passed before it"]
    assert found["Captured stdout call"] == ["SEED 7"]
    assert re.search(r"^8 seeds in \d+\.\d\d s: \d+ a second", result.stdout.str(), re.MULTILINE)


def test_all_seeds_count_and_the_pace_is_told(run: Run) -> None:
    result, outcomes = run(
        """
@pytest.mark.parametrize("size", [1, 2])
async def test_net(net, size):
    assert net.seed < 50

def test_other():
    pass

async def test_skips(net):
    if net.seed == 3:
        pytest.skip("because")

@pytest.mark.xfail(reason="seeds above 9", strict=False)
async def test_expected(net):
    assert net.seed < 10
""",
        "--pystack-seeds=50",
        SPREAD,
        "-v",
    )
    assert outcomes == {"passed": 150, "skipped": 1, "xfailed": 40, "xpassed": 10}
    result.stdout.fnmatch_lines(
        [
            "*::test_net[[]1[]] PASSED (50 seeds)*",
            "200 seeds in *s: * a second in 3 processes",
        ]
    )


def test_a_single_seed_is_called_one(run: Run) -> None:
    result, _ = run("async def test_net(net): raise ValueError", "--pystack-seeds=40", SPREAD)
    result.stdout.re_match_lines([r"1 seed in \d+\.\d\d s: \d+ a second"])


def test_what_became_of_those_before_the_one_that_fails_is_counted(run: Run) -> None:
    result, outcomes = run(
        """
async def test_net(net):
    if net.seed % 3 == 2:
        pytest.skip("because")
    assert net.seed < 30
""",
        *("--pystack-seeds=100", SPREAD, "-rA"),
    )
    assert outcomes == {"failed": 1, "passed": 20, "skipped": 10}
    # Each of the three is in the summary of the test that failed, and no seed is listed for itself.
    assert result.stdout.str().count("::test_net") == 2


def test_where_the_failing_run_leaves_the_last_that_passes_is_told(run: Run) -> None:
    result, outcomes = run(LOSSY, "--pystack-seed=1", "--pystack-seeds=100", SPREAD)
    assert outcomes["failed"] == 1
    parting = sections(result)["pystack: where it leaves the last seed that passes"]
    assert re.fullmatch(
        r"they part in what is sent, or what befalls it: at 0\.\d{6} s, on client-server, "
        r"with frame \d+ from (client to server|server to client)",
        parting[0],
    )
    seed = int(sections(result)["pystack"][0].removeprefix("seed: "))
    assert f"seed {seed - 1}, which passes:" in parting
    there = parting.index(f"seed {seed}, which fails:")
    assert any("(by chance (loss))" in line for line in parting[there:])


def test_where_only_instants_differ_that_is_told(run: Run) -> None:
    result, outcomes = run(
        """
async def test_ping(net):
    client, server = two_hosts(net, delay="20ms", jitter="5ms")
    await client.ping("server")
    assert net.seed != 2
""",
        "--pystack-seeds=3",
    )
    assert outcomes == {"failed": 1, "passed": 2}
    parting = sections(result)["pystack: where it leaves the last seed that passes"]
    assert parting[0].startswith("they part in when it is sent alone: at 0.0")


def test_a_seed_that_fails_is_kept_and_goes_first_and_is_forgotten_when_it_passes(
    run: Run, pytester: pytest.Pytester
) -> None:
    args = ("--pystack-seeds=20", SPREAD, *CACHE)
    run(FAILS_FROM_7_ON, *args)
    ((name, seeds),) = kept(pytester.path).items()
    assert name.endswith("::test_net")
    assert seeds == [7]
    result, outcomes = run(FAILS_FROM_7_ON, *args)
    assert outcomes == {"failed": 1}
    assert sections(result)["pystack seeds"] == [
        "seed 7 fails (it had failed before, and went first); 0 passed before it"
    ]
    result, outcomes = run(FAILS_FROM_7_ON.replace("< 7", "< 19"), *args)
    assert outcomes == {"failed": 1, "passed": 19}
    assert list(kept(pytester.path).values()) == [[19]]
    _, outcomes = run(FAILS_FROM_7_ON.replace("< 7", "< 20"), *args)
    assert outcomes == {"passed": 20}
    assert kept(pytester.path) == {}


def test_a_run_with_one_seed_is_what_it_always_was(run: Run, pytester: pytest.Pytester) -> None:
    run(FAILS_FROM_7_ON, "--pystack-seeds=20", *CACHE)
    for args in ((), ("--pystack-twice",)):
        result, outcomes = run(FAILS_FROM_7_ON, *args, *CACHE)
        assert outcomes == {"passed": 1}
        assert "seeds" not in result.stdout.str()


def test_fixtures_of_a_module_are_made_once_and_those_of_a_test_for_each_seed(
    run: Run, tmp_path: Path
) -> None:
    _, outcomes = run(
        f"""
PLACE = {str(tmp_path)!r}

def note(what):
    with open(PLACE + "/log", "a") as file:
        file.write(what + "\\n")

@pytest.fixture(scope="module")
def whole():
    note("module")
    yield
    note("end of module")

@pytest.fixture
def single(whole):
    note("test")
    yield
    note("end of test")

class TestIt:
    async def test_net(self, net, single, tmp_path):
        assert not hasattr(self, "used")
        self.used = True
        assert not list(tmp_path.iterdir())
        (tmp_path / "file").write_text("x")

def test_other(whole):
    note("other")
""",
        "--pystack-seeds=12",
        SPREAD,
    )
    assert outcomes == {"passed": 13}
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[:3] == ["module", "test", "end of test"]
    assert lines[-2:] == ["other", "end of module"]
    assert lines.count("module") == 1
    assert lines.count("test") == lines.count("end of test") == 12


def test_a_fixture_of_a_module_that_fails_at_its_end_is_an_error(run: Run) -> None:
    _, outcomes = run(
        """
@pytest.fixture(scope="module")
def whole():
    yield
    raise KeyError("at the end")

async def test_net(net, whole):
    pass
""",
        "--pystack-seeds=5",
        SPREAD,
    )
    assert outcomes == {"passed": 5, "errors": 1}


def test_a_process_that_ends_by_itself_is_a_failure_that_names_its_seeds(run: Run) -> None:
    result, outcomes = run(
        """
import os

async def test_net(net):
    if net.seed == 5:
        os._exit(3)
""",
        "--pystack-seeds=6",
        SPREAD,
    )
    assert outcomes["failed"] == 1
    result.stdout.fnmatch_lines(
        ["the process that ran seeds 5 to 5 ended by itself, with status 3*"]
    )


def test_what_fails_once_and_passes_then_is_told_to_be_nothing_that_can_be_repeated(
    run: Run, tmp_path: Path
) -> None:
    result, outcomes = run(
        f"""
from pathlib import Path

async def test_net(net):
    first = Path({str(tmp_path)!r}, str(net.seed))
    if net.seed == 3 and not first.exists():
        first.touch()
        assert 0
""",
        "--pystack-seeds=6",
    )
    assert outcomes == {"failed": 1, "passed": 3}
    result.stdout.fnmatch_lines(["it passed when it was run again with the same seed: *"])


@pytest.mark.parametrize("beside", [(), ("-p", "pytest_trio.plugin")], ids=["alone", "trio"])
def test_captures_are_kept_of_the_seed_that_fails_alone(
    run: Run, tmp_path: Path, beside: tuple[str, ...]
) -> None:
    run(FAILS_FROM_7_ON, "--pystack-seeds=20", f"--pystack-pcap-dir={tmp_path}", SPREAD, *beside)
    assert [path.stem.rpartition("_")[2] for path in tmp_path.glob("*.pcapng")] == ["7"]


def test_xdist_counts_and_keeps_them_too(run: Run, pytester: pytest.Pytester) -> None:
    result, outcomes = run(
        FAILS_FROM_7_ON + "\nasync def test_passes(net):\n    pass\n",
        "--pystack-seeds=20",
        *("-p", "xdist.plugin", "-n", "1", *CACHE),
        in_process=False,
    )
    assert outcomes == {"failed": 1, "passed": 27}
    assert list(kept(pytester.path).values()) == [[7]]
    result.stdout.fnmatch_lines(["28 seeds in *"])


def test_a_terminal_sees_how_far_it_has_got(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    path = pytester.makepyfile("async def test_net(net):\n    import time; time.sleep(0.01)\n")
    master, slave = os.openpty()
    command = [sys.executable, "-m", "pytest", str(path), "-p", "pystack.testing.plugin"]
    with subprocess.Popen(
        [*command, "-p", "no:cacheprovider", "--color=no", "--pystack-seeds=60", SPREAD],
        stdout=slave,
        stderr=slave,
        stdin=slave,
    ) as child:
        os.close(slave)
        said = b""
        with suppress(OSError):  # the terminal has gone with the child
            while data := os.read(master, 1 << 16):
                said += data
        os.close(master)
    assert child.returncode == 0
    text = said.decode()
    assert re.search(r"\n\rtest_net [━─]{24} \d+ of 60 seeds, [\d,]+ a second\x1b\[K", text)
    # It goes back to behind the name of the file, where the dot belongs.
    assert re.search(rf"\r\x1b\[K\x1b\[A\x1b\[{len(path.name) + 1}C\.", text)
    assert "60 passed" in text


@pytest.mark.parametrize("jobs", ["0", "x"])
def test_the_number_of_processes_is_checked(run: Run, jobs: str) -> None:
    result, _ = run("", f"--pystack-jobs={jobs}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--pystack-jobs" in result.stderr.str()


def test_no_process_is_left(run: Run) -> None:
    run(FAILS_FROM_7_ON, "--pystack-seeds=40", SPREAD)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
