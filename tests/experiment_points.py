"""What experiments of the tests run: good points, and such as a sweep has to survive."""

import ctypes
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import trio

import pystack
from pystack.experiments import Run

ONE_MIB = 1 << 20


async def transfer(delay_ms: int, run: Run) -> dict[str, float]:
    """Send some text through a lossy link; return how long that takes."""
    async with pystack.Network(seed=run.seed) as net:
        a, b = net.host("a"), net.host("b")
        net.link(a, b, delay=f"{delay_ms}ms", rate="10mbit", loss="3%")
        listeners = await b.open_tcp_listeners(80)
        stream = await a.open_tcp_stream("b", 80)
        other = await listeners[0].accept()
        sizes = run.series("received", "bytes")
        received = 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, bytes(50_000))
            while received < 50_000:
                received += len(await other.receive_some())
                sizes.add(trio.current_time(), received)
        return {"took_s": trio.current_time(), "drawn": random.random()}


def anything(**values: object) -> float:
    """Take any parameters; what it comes to is made up by tests."""
    return float(len(values))


def in_order(**values: object) -> dict[str, str]:
    return {"order": " ".join(values)}


def square(x: int, seed: int) -> dict[str, float]:
    return {"square": x * x, "by": seed}


def recovering(x: int, run: Run) -> float:
    """Fail in one point until the machine, which is the environment here, is well."""
    if x == 2 and "PYSTACK_TEST_IS_WELL" not in os.environ:
        run.series("tried", "s").add(0.0, 1.0)
        raise OSError("the machine is not well")
    return 1.0


def slow(x: int, wait_s: float = 0.1) -> dict[str, float]:
    """Take a while; from the fifth point on until a file is there, if the environment names one."""
    time.sleep(wait_s)
    if x >= 4 and (gate := os.environ.get("PYSTACK_TEST_GATE")):
        while not Path(gate).exists():
            time.sleep(0.01)
    return {"x_squared": x * x}


def bad(what: str) -> dict[str, float]:
    """Misbehave."""
    print(f"about to {what}", flush=True)
    match what:
        case "raise":
            raise ValueError("no such thing")
        case "exit":
            sys.exit(4)
        case "exit at once":
            os._exit(3)
        case "exit and leave a process":
            if os.fork() == 0:
                time.sleep(1000)  # and its ends of the pipes are open
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "kill its parent":
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(1000)
        case "crash":
            ctypes.string_at(0)
        case "hang":
            time.sleep(1000)
        case "hang with children":
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
            if hangs := os.environ.get("PYSTACK_TEST_HANGS"):
                Path(hangs).touch()
            time.sleep(1000)
        case "eat at once":
            bytearray(1 << 40)
        case "eat":
            eaten = []
            while True:
                eaten.append(b"x" * ONE_MIB)
        case "flood":
            for _ in range(200):
                print("x" * 65536)
    return {"fine": 1}


def messy(what: str) -> dict[str, float | str]:
    """Leave something behind, and say what there was at first."""
    found = {
        "threads": threading.active_count(),
        "folder": str(Path.cwd().name),
        "variable": os.environ.get("LEFT", ""),
        "known to others": subprocess.run(["sh", "-c", "exit ${LEFT:-0}"]).returncode,
        "environment": isinstance(os.environ, dict),
        "handled": signal.getsignal(signal.SIGUSR1) != signal.SIG_DFL,
        "path": sys.path.count("/left"),
        "output": sys.stdout.fileno(),
        "input": len(sys.stdin.read()),
        "process": 0,
    }
    match what:
        case "thread":
            threading.Thread(target=time.sleep, args=(1000,)).start()
        case "process":
            left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
            found["process"] = left.pid
        case "daemon":
            reading, writing = os.pipe()
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    os.write(writing, str(os.getpid()).encode())
                    time.sleep(1000)
                os._exit(0)
            os.wait()
            found["process"] = int(os.read(reading, 100))
        case "network":
            pystack.run(_leave_a_network)
        case "folder":
            os.chdir("/")
        case "variable":
            os.environ["LEFT"] = "1"
        case "environment":
            os.environ = {"LEFT": "1"}  # type: ignore[assignment] # noqa: B003
        case "handler":
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        case "path":
            sys.path.insert(0, "/left")
    return found


async def _leave_a_network() -> None:
    network = pystack.Network(seed=1)
    _left.append(network)
    with trio.CancelScope():
        await network.__aenter__()
        network.nursery.cancel_scope.cancel()
        await network._opened().end_programs(None, None, None, None)


_left: list[object] = []
