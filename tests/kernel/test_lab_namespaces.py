"""Real programs in network namespaces that are nodes of a lab."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from lab import serve_with_nginx, serve_with_python, until_listening
from netns import NetworkNamespace, least_ms, read_line, wait_until

import pystack

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("_labs_allowed")]

CLIENTS = Path(__file__).parent / "clients"


def run(main: Callable[[pystack.Network], Awaitable[None]]) -> None:
    """Run a test in an open network, in real time, with a bound."""

    async def bounded() -> None:
        with trio.fail_after(60):
            async with pystack.Network(seed=7) as net:
                await main(net)

    trio.run(bounded)


def satellite(net: pystack.Network) -> tuple[pystack.Namespace, pystack.Namespace]:
    """Return a browser and a web server, a router and 300 ms of delay between them."""
    browser, router, web = net.namespace("browser"), net.router("r1"), net.namespace("web")
    net.link(browser, router, delay="300ms")
    net.link(router, web)
    return browser, web


def test_curl_reaches_nginx_by_name_through_a_satellite_link_and_a_router(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    page = "a page\n" * 1000
    (tmp_path / "site" / "page.txt").write_text(page)

    async def main(net: pystack.Network) -> None:
        browser, web = satellite(net)
        # Python's own server has to do where there is no nginx (apt-get install nginx-light).
        start = serve_with_nginx if shutil.which("nginx") else serve_with_python
        await start(web, tmp_path)
        times = "%{stderr}%{time_namelookup} %{time_connect} %{time_starttransfer} %{remote_ip}"
        # The first word to the router also asks for its MAC address, which takes a round trip.
        await browser.run(["getent", "hosts", "web"])
        steps = []
        for _ in range(3):  # a busy machine delays some
            done = await browser.run(["curl", "-sS", "-w", times, "http://web/page.txt"])
            assert done.stdout == page
            *texts, address = done.stderr.split()
            lookup, connect, first = map(float, texts)
            assert address == "10.0.1.2"
            steps.append((lookup, connect - lookup, first - connect))
        # A round trip each: query and answer of DNS, SYN and SYN-ACK, request and first byte.
        for took in zip(*steps, strict=True):
            assert 0.6 <= min(took) < 1.2

    run(main)


def test_ping_shows_the_delay_of_the_link_and_what_a_router_takes_off_the_ttl() -> None:
    async def main(net: pystack.Network) -> None:
        browser, web = satellite(net)
        await web.up()
        await browser.run(
            ["ping", "-4", "-c", "1", "-W", "9", "web"]
        )  # for ARP, which takes as long
        done = await browser.run(["ping", "-4", "-n", "-c", "3", "-i", "0.2", "-W", "9", "web"])
        replies = [line for line in done.stdout.splitlines() if "icmp_seq" in line]
        assert len(replies) == 3
        assert all("64 bytes from 10.0.1.2" in line and "ttl=63" in line for line in replies)
        assert 600 <= least_ms(done.stdout) < 1000

    run(main)


@pytest.mark.parametrize("gateway", [True, False])
def test_programs_know_the_names_of_the_lab_and_no_others(gateway: bool) -> None:
    async def main(net: pystack.Network) -> None:
        client, peer = net.namespace("Client"), net.host("peer")
        if gateway:
            router = net.router("r1")
            net.link(client, router)
            net.link(router, peer)
        else:
            net.link(client, peer)

        async def look_up(*words: str) -> list[str]:
            done = await client.run(["getent", *words], check=False)
            return done.stdout.split()[:2]

        assert await look_up("ahostsv4", "peer") == [peer.address, "STREAM"]
        assert await look_up("ahostsv6", "peer") == [peer.address6, "STREAM"]
        # `hosts` asks for IPv6 first, and stops there.
        assert await look_up("hosts", "PEER") == [peer.address6, "PEER"]
        assert await look_up("hosts", "client") == [client.address6, "client"]
        for own in (peer.address, peer.address6):
            assert await look_up("hosts", str(own)) == [own, "peer"]
        assert await look_up("ahostsv6", "nobody") == []
        assert await look_up("hosts", "example.org") == []
        assert await look_up("hosts", "localhost") == ["127.0.0.1", "localhost"]
        assert (await client.run(["hostname"])).stdout == "Client\n"

    run(main)


def test_a_program_and_a_host_of_ours_talk_in_both_directions(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "blob").write_bytes(bytes(300_000))

    async def answer(stream: pystack.TcpStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.0 200 OK\r\n\r\n" + bytes(300_000))

    async def main(net: pystack.Network) -> None:
        machine, host = net.namespace("machine"), net.host("host")
        net.link(machine, host, delay="5ms", loss="2%")
        await serve_with_python(machine, tmp_path)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, answer, await host.open_tcp_listeners(80))
            size = ["-o", os.devnull, "-w", "%{size_download}"]
            assert (await machine.run(["curl", "-sS", *size, "http://host/"])).stdout == "300000"
            nursery.cancel_scope.cancel()
        async with await host.open_tcp_stream("machine", 80) as stream:
            await stream.send_all(b"GET /blob HTTP/1.0\r\n\r\n")
            assert sum([len(part) async for part in stream]) > 300_000

    run(main)


def test_a_change_of_the_lab_reaches_the_next_program() -> None:
    async def main(net: pystack.Network) -> None:
        machine, switch, near = net.namespace("machine"), net.switch("sw"), net.host("near")
        net.link(machine, switch)
        net.link(switch, near)
        assert (await machine.run(["ip", "route", "show", "default"])).stdout == ""
        router, far = net.router("r1"), net.host("far")
        net.link(switch, router)
        net.link(router, far)
        assert "via 10.0.0.3 dev eth0" in (await machine.run(["ip", "route"])).stdout
        await machine.run(["ping", "-c", "1", "-W", "9", "far"])

    run(main)


def test_the_example_fetches_a_page_over_the_satellite() -> None:
    example = Path(__file__).resolve().parents[2] / "examples" / "curl_through_lab.py"
    done = subprocess.run(
        [sys.executable, str(example)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    page, times = done.stdout.strip().splitlines()
    assert page == "Hello from the other side of the sky"
    # Two round trips for the name (the router's MAC address comes first), then one each for the
    # connection and the page.
    name, connection, everything = (float(word) for word in times.split() if word[0].isdigit())
    assert name >= 1.2
    assert connection - name >= 0.6
    assert everything - connection >= 0.6


def test_a_program_is_run_as_subprocess_and_trio_would(tmp_path: Path) -> None:
    async def main(net: pystack.Network) -> None:
        machine = net.namespace("machine")
        with pytest.raises(pystack.ConfigError, match="machine has no link yet"):
            await machine.run(["true"])
        net.link(machine, net.host("host"))
        done = await machine.run(["cat"], input="söme\n")
        assert (done.args, done.returncode, done.stdout, done.stderr) == (["cat"], 0, "söme\n", "")
        assert (await machine.run(["pwd"], cwd=tmp_path)).stdout == f"{tmp_path}\n"
        env = {"PATH": os.environ["PATH"], "WHO": "me"}
        assert (await machine.run(["sh", "-c", "echo $WHO"], env=env)).stdout == "me\n"
        done = await machine.run(["sh", "-c", "echo no >&2; exit 7"], check=False)
        assert (done.returncode, done.stderr) == (7, "no\n")
        with pytest.raises(subprocess.CalledProcessError, match="exit status 7"):
            await machine.run(["sh", "-c", "exit 7"])
        done = await machine.run(["sh", "-c", "kill -TERM $$"], check=False)
        assert done.returncode == -signal.SIGTERM
        with pytest.raises(FileNotFoundError, match="no program 'no-such-program'"):
            await machine.run(["no-such-program"])
        with pytest.raises(pystack.ConfigError, match="a list of words"):
            await machine.run("true")
        process = await machine.open_process(["sleep", "1000"])
        with trio.move_on_after(0.2) as scope:
            await process.wait()
        assert scope.cancelled_caught
        process.terminate()
        assert await process.wait() == -signal.SIGTERM

    run(main)


def test_what_runs_inside_ends_with_the_network_and_leaves_nothing() -> None:
    before = os.listdir("/proc/self/fd")
    pids: list[int] = []

    async def main(net: pystack.Network) -> None:
        machine = net.namespace("machine")
        net.link(machine, net.host("host"))
        # A daemon that is nobody's child any more, and a program that does not want to end.
        done = await machine.run(["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & echo $!"])
        pids.append(int(done.stdout))
        stubborn = await machine.open_process(
            [
                sys.executable,
                "-c",
                "import signal, time\nsignal.signal(15, signal.SIG_IGN)\n"
                "print('ready', flush=True)\ntime.sleep(1000)",
            ],
            stdout=subprocess.PIPE,
        )
        assert stubborn.stdout is not None
        await stubborn.stdout.receive_some()
        await stubborn.stdout.aclose()
        pids.append(stubborn.pid)
        assert all(map(is_running, pids))

    run(main)
    assert not any(map(is_running, pids))
    assert os.listdir("/proc/self/fd") == before


def is_running(pid: int) -> bool:
    """Tell whether a process is there, and not just waiting for its parent to notice its end."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_when_the_lab_is_killed_everything_in_it_ends() -> None:
    argv = [sys.executable, str(CLIENTS / "lab_killed.py")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as lab:
        pids = [int(text) for text in read_line(lab).split()]
        assert len(pids) == 3
        assert all(map(is_running, pids))
        lab.kill()
        wait_until(lambda: not any(map(is_running, pids)), "the end of all that ran in the lab")


def test_the_machine_itself_is_left_as_it_was(netns: NetworkNamespace) -> None:
    def state() -> bytes:
        paths = ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"]
        files = b"".join(Path(path).read_bytes() for path in paths if os.path.exists(path))
        shown = netns.run(["ip", "address"]).stdout + netns.run(["ip", "route"]).stdout
        return files + shown + Path("/proc/self/mountinfo").read_bytes()

    before = state()

    async def main(net: pystack.Network) -> None:
        machine = net.namespace("machine")
        net.link(machine, net.host("host"))
        with netns.entered():
            await machine.run(["true"])
            assert state() == before

    run(main)
    assert state() == before


def test_a_namespace_without_dns_leaves_programs_with_the_machines_files() -> None:
    async def main(net: pystack.Network) -> None:
        machine = net.namespace("machine", dns=False)
        net.link(machine, net.host("host"))
        same = await trio.run_process(["cat", "/etc/resolv.conf"], capture_stdout=True)
        assert (await machine.run(["cat", "/etc/resolv.conf"])).stdout == same.stdout.decode()
        mounts = await machine.run(["readlink", "/proc/self/ns/mnt"])
        assert mounts.stdout.strip() == os.readlink("/proc/self/ns/mnt")

    run(main)


def test_a_router_that_was_off_answers_for_names_again() -> None:
    async def main(net: pystack.Network) -> None:
        machine, router = net.namespace("machine"), net.router("r1")
        net.link(machine, router)
        await machine.run(["getent", "hosts", "r1"])
        router.power_off()
        router.power_on()
        await machine.run(["getent", "hosts", "r1"])

    run(main)


def test_the_offload_of_a_namespace_passes_bulk_both_ways(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "blob").write_bytes(bytes(3_000_000))

    async def main(net: pystack.Network) -> None:
        one, other = net.namespace("one", offload=True), net.namespace("other", offload=True)
        net.link(one, other, rate="400mbit")
        await serve_with_python(other, tmp_path)
        await until_listening(other, 80)
        size = ["-o", os.devnull, "-w", "%{size_download}"]
        assert (await one.run(["curl", "-sS", *size, "http://other/blob"])).stdout == "3000000"

    run(main)
