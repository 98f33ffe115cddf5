"""What a type checker says of a user's program: `mypy --strict`, as it is installed."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

pytest.importorskip("mypy", reason="mypy is in the extra `test`")

ROOT: Final = Path(__file__).parents[2]
PROGRAM: Final = """
from random import Random

import pystack
import pystack.events
import pystack.plugins


class Polite(pystack.plugins.ControlDefaults):
    name = "polite"
    cwnd_bytes = ssthresh_bytes = 10_000

    def __init__(self, smss_bytes: int) -> None:
        self.smss_bytes = smss_bytes

    def on_ack(self, sample: pystack.plugins.AckSample) -> None: ...
    def on_loss(self, sample: pystack.plugins.LossSample) -> None: ...
    def on_marks(self, sample: pystack.plugins.MarkSample) -> None: ...
    def on_rto(self, now: float, flight_size_bytes: int) -> None: ...


class Watcher:
    def __init__(self, scene: pystack.plugins.Scene | None = None) -> None: ...

    def on_event(self, event: pystack.events.Event) -> None:
        match event:
            case pystack.events.Dropped(reason=reason):
                print(reason.upper(), event.at)
            case pystack.events.TcpRetransmitted():
                print(event.local[0], event.seq + 1)


class Queue:
    report: pystack.plugins.Report = pystack.plugins.ignore
    backlog_bytes = 0

    def __init__(self, rng: Random) -> None: ...
    def enqueue(self, frame: pystack.Frame, now: float) -> None: ...
    def dequeue(self, now: float) -> pystack.Frame | None: return None
    def next_at(self, now: float) -> float: return now
    def drain(self, now: float) -> list[pystack.Frame]: return []
    def __len__(self) -> int: return 0


async def main() -> None:
    async with pystack.Network(seed=7) as net:
        a, b = net.host("a"), net.host("b")
        link = net.link(a, b, delay="20ms", loss=0.01, a_to_b={"rate": "1mbit", "limit": 50})
        link.set(loss="30%", b_to_a={"loss": None})
        {line}

pystack.run(main)
"""


def complaints(folder: Path, *lines: str) -> list[list[str]]:
    """Return what mypy has to say of each line in a program, in one run for all."""
    programs = [folder / f"program{number}.py" for number in range(len(lines))]
    for program, line in zip(programs, lines, strict=True):
        program.write_text(PROGRAM.replace("{line}", line))
    # In the project's folder: there mypy remembers what it knows of the package.
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", *map(str, programs)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    # By their names alone: of what it knows already, it names the folder of the run before.
    return [
        [said for said in done.stdout.splitlines() if f"{program.name}:" in said]
        for program in programs
    ]


STREAM: Final = "(await a.open_tcp_stream('b', 80))"
EX: Final = "import pystack.experiments as ex"
# Lines that are wrong, and what is named in the one error about each.
WRONG: Final = {
    'net.link(a, b, dely="20ms")': 'keyword argument "dely" for "link" of "Network"',
    "net.link(a, b, loss=object())": '"loss" to "link" of "Network"',
    'net.link(a, b, a_to_b={"rte": "1mbit"})': '"a_to_b" to "link" of "Network"',
    'link.set(los="1%")': 'keyword argument "los" for "set" of "Link"',
    "link.set(ecn=5)": '"ecn" to "set" of "Link"',
    'net.dns("ns1", serch="test")': 'keyword argument "serch" for "dns" of "Network"',
    'net.host("c", dns={"servers": ["b"], "tries": 2})': '"dns" to "host" of "Network"',
    "net.host('c', tcp=pystack.TcpConfig(tll=5))": 'keyword argument "tll" for "TcpConfig"',
    "net.host('c', congestion=5)": '"congestion" to "host" of "Network"',
    "net.observe(5)": 'Argument 1 to "observe" of "BareNetwork"',
    "await pystack.serve(a, 'http', rooot='x')": 'keyword argument "rooot" for "serve"',
    "pystack.events.Droped": 'has no attribute "Droped"',
    "net.link(a, 'udp://192.0.2.2', vnii=7)": 'keyword argument "vnii" for "link" of "Network"',
    f"{STREAM}.steer(cwnd=30_000)": 'keyword argument "cwnd" for "steer" of "TcpStream"',
    f"{STREAM}.watch(evry='1s')": 'keyword argument "evry" for "watch" of "TcpStream"',
    f"{STREAM}.watch().taken()[0].cwnd": '"TcpSample" has no attribute "cwnd"',
    f"{STREAM}.set_congestion(5)": '"set_congestion" of "TcpStream"',
    "import pystack.gym; pystack.gym.CongestionEnv(action='warp')": '"action" to "CongestionEnv"',
    f"{EX}; ex.Experiment(ex.dumbbell, seed=5)": 'keyword argument "seed" for "Experiment"',
    f"{EX}; ex.run(ex.from_file('x.toml'), too='out')": 'keyword argument "too" for "run"',
    f"{EX}; ex.load('out', as_='panda')": '"as_" to "load"',
    f"{EX}; ex.plot.cdf('out', bye='rate')": 'keyword argument "bye" for "cdf"',
    f"{EX}; ex.Results('out').rows[0].measure": '"Row" has no attribute "measure"',
}
RIGHT: Final = (
    "link.set(qdisc='fq_codel limit 100', rate=1e6, drop=[3, 5])",
    "link.set(drop=lambda packet: packet.dst_port == 53)",
    "net.dns('ns1', search='test', timeout='1s')",
    "net.host('c', dns={'servers': [a, 'b'], 'attempts': 2}, tcp=pystack.TcpConfig(ttl=5))",
    "net.host('c', congestion=Polite, tcp_limits=pystack.TcpLimits(syn_cookies=2))",
    "net.observe(Watcher()); net.observe(Watcher); net.observe('log packets')",
    "net.link(a, b, rate='1mbit', qdisc=lambda rng: Queue(rng))",
    "link.network.host('c'); net.links[0].network.power_off(net.hosts['a'])",
    "class Star(pystack.Network): rays = 3\n        async with Star() as star: star.rays += 1",
    "net.link(a, 'udp://192.0.2.2', vni=7, key_file='lab.key', delay='20ms', mtu_bytes=1400)",
    f"print([sample.cwnd_bytes + 1 async for sample in {STREAM}.watch('100ms', link)])",
    f"watch: pystack.Watch = {STREAM}.watch(); watch.close()",
    f"{STREAM}.watch(link=link.a_to_b, on_sample=lambda sample: print(sample.now + 1.0))",
    f"{STREAM}.steer(cwnd_bytes=30_000, pacing_bps=4e6); {STREAM}.set_congestion(Polite)",
    "import pystack.gym; env = pystack.gym.CongestionEnv(rate='1mbit', reward=lambda step: "
    "step.throughput_bps); print(env.reset(seed=1)[0].sum(), env.step([0.5])[1])",
    f"{EX}; axes = [{{'rtt': ex.span(1, 9)}}, ex.sample(9, rate=ex.log_span('1mbit', '1gbit'))]; "
    "e = ex.Experiment(ex.dumbbell, axes, seeds=5, measure=['goodput', 'rtt p50'], "
    "series=ex.SeriesSpec(('cwnd',)), limits=ex.Limits(time_s=5), "
    "compare=ex.Compare('goodput_bps', 'rtt', 1)); "
    "print(e.point(0).seed + 1, ex.run(e, to='out', processes=2).rows[0].measures['x'])",
    f"{EX}; lab: ex.Source = ex.lab('x.toml', {{'links.a-b.rate': '{{rate}}'}}, for_='5s'); "
    "rows: tuple[ex.Row, ...] = ex.Results('out').failed; print(rows[0].error.upper(), lab.folder)",
    f"{EX}; print(ex.plot.cdf('out', 'rtt_p95', by='control').save('x.svg').name, "
    "ex.statistics.jain([1.0, 2.0]), ex.load('out', as_='polars'))",
)


def test_a_program_that_misspells_a_word_is_refused(tmp_path: Path) -> None:
    said = complaints(tmp_path, *RIGHT, *WRONG)
    for line, found in zip((*RIGHT, *WRONG), said, strict=True):
        if line in RIGHT:
            assert found == [], line
        else:
            errors = [each for each in found if ": error: " in each]
            assert [WRONG[line] in each for each in errors] == [True], line
