"""The plug-ins of `examples/`, installed as pip would do it: found by their names everywhere."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import trio

import pystack

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
LAB = """\
seed = 7
observe = ["talkers top 1"]
[hosts.client]
congestion = "polite"
programs = [{ run = "asks:asks" }]
[hosts.server]
serve = ["finger"]
[[links]]
between = ["client", "server"]
delay = "20ms"
rate = "1mbit"
qdisc = "lifo limit 5"
impairments = ["microwave mains_hz 500"]
"""
ASKS = """\
import trio

async def asks(host):
    async with await trio.open_tcp_stream("server", 79) as stream:
        print([info.congestion for info in host.connections()])
        await stream.send_all(b"jon\\r\\n")
        print(b"".join([part async for part in stream]).decode().strip())
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return an environment in which the examples are installed: their files and their metadata."""
    site = tmp_path_factory.mktemp("site-packages")
    project = tomllib.loads((EXAMPLES / "pyproject.toml").read_text("utf-8"))["project"]
    metadata = site / f"pystack_examples-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\n")
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(EXAMPLES)])}


def run(environment: dict[str, str], *args: str | Path) -> str:
    """Run Python to its end, and return what it prints."""
    done = subprocess.run(
        [sys.executable, *map(str, args)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(environment: dict[str, str], *args: str | Path) -> str:
    """Run the command, which must refuse to; return its sentence."""
    done = subprocess.run(
        [sys.executable, "-m", "pystack", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=environment,
    )
    assert done.returncode == 2, done.stderr
    return done.stderr.removeprefix("pystack: ").rstrip("\n")


def test_each_group_has_one_and_the_command_says_from_where(environment: dict[str, str]) -> None:
    lines = run(environment, "-m", "pystack", "plugins").splitlines()
    found = {}
    for line in lines:
        if not line.startswith(" "):
            group = line
        elif "pystack-examples" in line:
            found[group] = line.split()
    assert found == {
        "pystack.port": ["udp_tunnel", "pystack-examples:", "custom_port:UdpTunnel"],
        "pystack.impairment": ["microwave", "pystack-examples:", "custom_loss:Microwave"],
        "pystack.qdisc": ["lifo", "pystack-examples:", "custom_qdisc:Lifo"],
        "pystack.congestion": ["polite", "pystack-examples:", "custom_congestion:Polite"],
        "pystack.recovery": ["timer_only", "pystack-examples:", "custom_recovery:TimerOnly"],
        "pystack.service": ["finger", "pystack-examples:", "custom_service:Finger"],
        "pystack.observer": ["talkers", "pystack-examples:", "custom_observer:Talkers"],
    }


def test_a_queue_of_ones_own_lets_a_ping_pass(environment: dict[str, str]) -> None:
    assert run(environment, EXAMPLES / "custom_qdisc.py").splitlines() == [
        "pfifo: 0.800 s, 49 of 150 lost",
        "lifo: 0.016 s, 49 of 150 lost",
    ]


def test_a_polite_congestion_control_gives_way(environment: dict[str, str]) -> None:
    alone, both = run(environment, EXAMPLES / "custom_congestion.py").splitlines()
    rates = [float(rate) for rate in re.findall(r"[\d.]+(?= Mbit/s)", f"{alone} {both}")]
    assert rates[0] > 7
    assert rates[2] > 4 * rates[1]


def test_a_recovery_of_ones_own_waits_for_its_timer(environment: dict[str, str]) -> None:
    output = run(environment, EXAMPLES / "custom_recovery.py")
    found = re.findall(r"(\w+) +([\d.]+) s, (\d+) segments again\n", output)
    assert [name for name, _, _ in found] == ["timer_only", "newreno", "rack"]
    timer_only, newreno, rack = (float(took_s) for _, took_s, _ in found)
    assert timer_only > newreno > rack
    assert all(int(again) > 4 for _, _, again in found)


def test_a_service_of_ones_own_answers(environment: dict[str, str]) -> None:
    assert run(environment, EXAMPLES / "custom_service.py").splitlines() == [
        "Jon Postel, editor of RFC 793",
        "nobody here is called 'bob'",
    ]


def test_an_observer_of_ones_own_tells_who_talked(environment: dict[str, str]) -> None:
    client, server, lost = run(environment, EXAMPLES / "custom_observer.py").splitlines()
    assert re.fullmatch(r"client   sent   2\d{5} bytes", client)
    assert re.fullmatch(r"server   sent     \d{4} bytes", server)
    assert re.fullmatch(r" +\d+ times loss", lost)


def test_a_tunnel_joins_two_networks(environment: dict[str, str]) -> None:
    line = run(environment, EXAMPLES / "custom_port.py")
    assert re.fullmatch(r"bob answers after [\d.]+ ms\n", line)


def test_a_labs_file_asks_for_them_by_their_names(
    environment: dict[str, str], tmp_path: Path
) -> None:
    lab = tmp_path / "lab.toml"
    lab.write_text(LAB)
    (tmp_path / "asks.py").write_text(ASKS)
    lines = run(environment, "-m", "pystack", "lab", "run", "--virtual", lab).splitlines()
    assert lines[3:5] == ["['polite']", "Jon Postel, editor of RFC 793"]
    assert re.fullmatch(r"(client|server) +sent +\d+ bytes", lines[5])


@pytest.mark.parametrize(
    ("right", "wrong", "sentence"),
    [
        ("talkers top", "talkers topp", "2: observer talkers has no word 'topp'; did you mean"),
        ("polite", "polit", "4: there is no congestion 'polit'; did you mean 'polite'?"),
        ("finger", "fingr", "6: server: there is no service 'fingr'; did you mean 'finger'?"),
        ("lifo limit", "lifo limt", "12: qdisc = 'lifo limt 5' is not possible: qdisc lifo has no"),
        ("lifo limit 5", "lifo limit x", "qdisc lifo: invalid literal for int() with base 10: 'x'"),
        ("mains_hz", "mains", "impairment microwave has no word 'mains'; did you mean 'mains_hz'?"),
        ("[hosts.server]", "[ports.server]\nport = 'udp_tunnel'\n[hosts.x]", "needs the word 'loc"),
    ],
)
def test_a_mistake_is_told_as_for_what_is_built_in(
    environment: dict[str, str], tmp_path: Path, right: str, wrong: str, sentence: str
) -> None:
    lab = tmp_path / "lab.toml"
    lab.write_text(LAB.replace(right, wrong))
    assert sentence in refused(environment, "lab", "check", lab)


@pytest.fixture
def tunnel() -> tuple[int, int]:
    """Return two port numbers that hardly anybody else has, for the ends of a tunnel."""
    first = 10_000 + 2 * (os.getpid() % 10_000)
    return first, first + 1


def test_pystack_up_is_a_host_at_the_end_of_a_tunnel(
    environment: dict[str, str], tunnel: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    from custom_port import UdpTunnel

    here, there = tunnel
    words = f"udp_tunnel local {there} remote {here}"
    argv = ["-m", "pystack", "up", "tunnel0", "--port", words, "--serve", "finger"]
    argv += ["--observe", "talkers"]

    async def ask() -> bytes:
        async with pystack.Network(seed=1) as net:
            host = net.host("here", address="10.77.0.1/24")
            net.attach(host, lambda socket: UdpTunnel(socket, local=here, remote=there))
            with trio.fail_after(60):
                async with await host.open_tcp_stream("10.77.0.2", 79) as stream:
                    await stream.send_all(b"van\r\n")
                    return b"".join([part async for part in stream])

    with subprocess.Popen(
        [sys.executable, *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready: tunnel0 10.77.0.2 finger:79 fd77::2\n"
            assert trio.run(ask) == b"Van Jacobson, author of RFC 1323\r\n"
            process.terminate()
            _, told = process.communicate(timeout=300)
        finally:
            process.kill()
    assert process.returncode == 0
    # Drops may follow: in real time, on a machine that is busy, segments are sent twice.
    assert re.search(r"^pystack  sent +\d+ bytes$", told, re.MULTILINE)
