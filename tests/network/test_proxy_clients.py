"""Clients of Toxiproxy, as others wrote them, with our proxies: in Python, in Node, as its CLI."""

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
import trio
from loopback import has_ip6
from proxy_place import ProxyPlace, proxy_place

HERE = Path(__file__).resolve().parent

pytestmark = pytest.mark.trio


def ask(listen: str) -> bytes:
    """Send something through a proxy, and return what comes back."""
    host, _, port = listen.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=60) as sock:
        sock.sendall(b"pandas")
        return sock.recv(100)


# toxiproxy-python


@pytest.fixture
def python_client(monkeypatch: pytest.MonkeyPatch) -> object:
    module = pytest.importorskip("toxiproxy", reason="no toxiproxy-python here")
    from toxiproxy.api import APIConsumer

    monkeypatch.setattr(APIConsumer, "host", APIConsumer.host)
    monkeypatch.setattr(APIConsumer, "port", APIConsumer.port)
    return module.Toxiproxy()


async def test_the_python_client(python_client: object) -> None:
    async with proxy_place() as place:
        await trio.to_thread.run_sync(_use_python_client, python_client, place)


def _use_python_client(
    server: Any,  # noqa: ANN401
    place: ProxyPlace,
) -> None:
    from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists

    server.update_api_consumer("127.0.0.1", place.api_port)
    assert server.running()
    assert json.loads(server.version()) == {"version": "2.12.0"}
    assert server.proxies() == {}

    proxy = server.create(name="redis", upstream=place.upstream)
    assert (proxy.name, proxy.upstream, proxy.enabled) == ("redis", place.upstream, True)
    assert ask(proxy.listen) == b"pandas"
    with pytest.raises(ProxyExists):
        server.create(name="redis", upstream=place.upstream)
    assert server.get_proxy("none") is None

    proxy.add_toxic(type="latency", attributes={"latency": 10, "jitter": 5})
    proxy.add_toxic(type="slow_close", stream="upstream", name="slow", toxicity=0.5)
    toxics = proxy.toxics()
    assert list(toxics) == ["slow", "latency_downstream"]
    assert toxics["slow"].toxicity == 0.5
    assert toxics["slow"].attributes == {"delay": 0}
    assert proxy.get_toxic("latency_downstream").attributes == {"latency": 10, "jitter": 5}
    assert ask(proxy.listen) == b"pandas"
    with pytest.raises(ProxyExists):
        proxy.add_toxic(type="latency")
    with pytest.raises(InvalidToxic):
        proxy.add_toxic(type="sugar")
    assert proxy.destroy_toxic("slow")
    with pytest.raises(NotFound):
        proxy.destroy_toxic("slow")

    with proxy.down():
        assert not server.get_proxy("redis").enabled
        with pytest.raises(ConnectionRefusedError):
            ask(proxy.listen)
    assert server.get_proxy("redis").enabled
    assert ask(proxy.listen) == b"pandas"

    assert server.reset()
    assert proxy.toxics() == {}
    made = server.populate(
        [
            {"name": "redis", "upstream": place.upstream, "listen": proxy.listen},
            {"name": "sql", "upstream": "127.0.0.1:3306", "listen": "127.0.0.1:0"},
        ]
    )
    assert [proxy.name for proxy in made] == ["sql"]
    server.destroy_all()
    assert server.proxies() == {}
    with pytest.raises(NotFound):
        proxy.toxics()


# toxiproxy-node-client


def node_modules() -> str:
    """Return where npm put the client for Node; skip the test where it is not."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("no node and npm here")
    run = subprocess.run([npm, "root", "--global"], capture_output=True, text=True, check=True)
    root = run.stdout.strip()
    if not (Path(root) / "toxiproxy-node-client").is_dir():
        pytest.skip("no toxiproxy-node-client here: sudo scripts/provision gets it")
    return root


async def test_the_node_client() -> None:
    environment = {**os.environ, "NODE_PATH": node_modules()}
    async with proxy_place() as place:
        run = await trio.run_process(
            ["node", str(HERE / "toxiproxy_client.js"), place.api, place.upstream],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            env=environment,
        )
    assert (run.returncode, run.stderr) == (0, b"")
    said = [json.loads(line) for line in run.stdout.splitlines()]
    listen = said[0]["listen"]
    latency = {
        "attributes": {"latency": 10, "jitter": 0},
        "name": "latency_downstream",
        "stream": "downstream",
        "toxicity": 1,
        "type": "latency",
    }
    redis = {"enabled": True, "listen": listen, "name": "redis", "upstream": place.upstream}
    assert not listen.endswith(":0")
    assert said == [
        redis,
        "pandas",
        latency,
        "pandas",
        {**latency, "attributes": {"latency": 20, "jitter": 5}, "toxicity": 0.5},
        {**latency, "attributes": {"latency": 20, "jitter": 5}, "toxicity": 0.5},
        "Request failed with status code 409",
        "Request failed with status code 400",
        "Request failed with status code 404",
        {**redis, "enabled": False},
        "ECONNREFUSED",
        True,
        ["redis", "sql"],
        ["redis", "sql"],
        '{"version": "2.12.0"}\n',
        [],
    ]


# toxiproxy-cli


class Cli:
    """What Toxiproxy's CLI, and its client in Go, ask for."""

    def __init__(self, place: ProxyPlace) -> None:
        self._place = place
        self._session = requests.Session()
        self._session.headers["User-Agent"] = "toxiproxy-cli/2.12.0 linux/amd64"

    def __call__(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        answer = self._session.request(method, self._place.api + path, json=body, timeout=60)
        return answer.status_code, answer.json() if answer.content else None


async def on_a_thread(talk: Callable[["Cli", ProxyPlace], None]) -> None:
    async with proxy_place() as place:
        await trio.to_thread.run_sync(partial(talk, Cli(place), place))


async def test_the_example_of_the_command_line() -> None:
    await on_a_thread(_example_of_the_command_line)


def _example_of_the_command_line(cli: Cli, place: ProxyPlace) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # toxiproxy-cli create -l localhost:26379 -u localhost:6379 redis
    body = {
        "name": "redis",
        "listen": f"localhost:{port}",
        "upstream": place.upstream,
        "enabled": True,
        "toxics": None,
    }
    status, proxy = cli("POST", "/proxies", body)
    assert status == 201
    assert proxy["listen"] == f"127.0.0.1:{port}"
    # toxiproxy-cli list
    assert cli("GET", "/proxies") == (200, {"redis": proxy})
    assert ask(proxy["listen"]) == b"pandas"
    # toxiproxy-cli toxic add -t latency -a latency=1000 redis
    body = {
        "name": "",
        "type": "latency",
        "stream": "downstream",
        "toxicity": 1,
        "attributes": {"latency": 1000},
    }
    status, toxic = cli("POST", "/proxies/redis/toxics", body)
    assert (status, toxic["name"]) == (200, "latency_downstream")
    # toxiproxy-cli toxic update -n latency_downstream -a jitter=5 -a latency=10 redis
    body = {"attributes": {"jitter": 5, "latency": 10}, "toxicity": 1}
    status, toxic = cli("PATCH", "/proxies/redis/toxics/latency_downstream", body)
    assert (status, toxic["attributes"]) == (200, {"latency": 10, "jitter": 5})
    # toxiproxy-cli inspect redis
    assert cli("GET", "/proxies/redis") == (200, {**proxy, "toxics": [toxic]})
    assert ask(proxy["listen"]) == b"pandas"
    # toxiproxy-cli toxic remove -n latency_downstream redis
    assert cli("DELETE", "/proxies/redis/toxics/latency_downstream") == (204, None)
    # toxiproxy-cli toggle redis
    status, shown = cli("PATCH", "/proxies/redis", {**proxy, "enabled": False})
    assert (status, shown) == (200, {**proxy, "enabled": False})
    with pytest.raises(ConnectionRefusedError):
        ask(proxy["listen"])
    # toxiproxy-cli delete redis
    assert cli("DELETE", "/proxies/redis") == (204, None)
    assert cli("GET", "/proxies/redis")[0] == 404


async def test_a_proxy_may_listen_at_ip6() -> None:
    if not has_ip6():
        pytest.skip("this machine has no ::1")
    await on_a_thread(_a_proxy_at_ip6)


def _a_proxy_at_ip6(cli: Cli, place: ProxyPlace) -> None:
    body = {"name": "redis", "listen": "[::1]:0", "upstream": place.upstream}
    _, proxy = cli("POST", "/proxies", body)
    assert re.fullmatch(r"\[::1\]:[1-9]\d+", proxy["listen"])
    assert ask(proxy["listen"]) == b"pandas"
    body["listen"] = proxy["listen"]
    assert cli("POST", "/populate", [body]) == (201, {"proxies": [proxy]})


async def test_the_example_of_a_configuration() -> None:
    await on_a_thread(_example_of_a_configuration)


def _example_of_a_configuration(cli: Cli, place: ProxyPlace) -> None:
    config = [
        {
            "name": "web_dev_frontend_1",
            "listen": "127.0.0.1:0",
            "upstream": place.upstream,
            "enabled": True,
        },
        {
            "name": "web_dev_mysql_1",
            "listen": "127.0.0.1:0",
            "upstream": "database.domain:3306",
            "enabled": True,
        },
    ]
    status, body = cli("POST", "/populate", config)
    assert status == 201
    made = body["proxies"]
    assert [proxy["name"] for proxy in made] == ["web_dev_frontend_1", "web_dev_mysql_1"]
    assert ask(made[0]["listen"]) == b"pandas"
    cli("POST", "/proxies/web_dev_frontend_1/toxics", {"type": "latency"})
    cli("PATCH", "/proxies/web_dev_mysql_1", {"enabled": False})
    # Once more, as an application does when it starts: nothing changes, and nothing is cut.
    again = [{**each, "listen": proxy["listen"]} for each, proxy in zip(config, made, strict=True)]
    host, _, port = made[0]["listen"].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as sock:
        sock.sendall(b"before")
        assert sock.recv(100) == b"before"
        status, body = cli("POST", "/populate", again)
        sock.sendall(b"after")
        assert sock.recv(100) == b"after"
    assert status == 201
    assert [len(proxy["toxics"]) for proxy in body["proxies"]] == [1, 0]
    assert [proxy["enabled"] for proxy in body["proxies"]] == [True, False]
    # Reset brings all back to what they were made for.
    assert cli("POST", "/reset", {}) == (204, None)
    shown = cli("GET", "/proxies")[1].values()
    assert [(proxy["enabled"], proxy["toxics"]) for proxy in shown] == [(True, []), (True, [])]


async def test_a_proxy_may_be_for_udp() -> None:
    await on_a_thread(_a_proxy_for_udp)


def _a_proxy_for_udp(cli: Cli, _place: ProxyPlace) -> None:
    with (
        socket.socket(type=socket.SOCK_DGRAM) as upstream,
        socket.socket(type=socket.SOCK_DGRAM) as client,
    ):
        for sock in (upstream, client):
            sock.bind(("127.0.0.1", 0))
            sock.settimeout(60)
        to = f"127.0.0.1:{upstream.getsockname()[1]}"
        _, proxy = cli("POST", "/proxies", {"name": "dns", "upstream": to, "protocol": "udp"})
        host, _, port = proxy["listen"].rpartition(":")
        client.sendto(b"asked", (host, int(port)))
        data, sender = upstream.recvfrom(100)
        upstream.sendto(b"answered " + data, sender)
        assert client.recv(100) == b"answered asked"
        # What works on the bytes of a connection is refused: there is none.
        status, shown = cli("POST", "/proxies/dns/toxics", {"type": "slicer"})
        assert status == 400
        assert "a UDP proxy has none" in shown["error"]
        assert cli("POST", "/proxies/dns/toxics", {"type": "duplicate"})[0] == 200


async def test_metrics_tell_what_was_carried_and_what_was_lost() -> None:
    await on_a_thread(_metrics)


def _metrics(cli: Cli, place: ProxyPlace) -> None:
    _, proxy = cli("POST", "/proxies", {"name": "redis", "upstream": place.upstream})
    # What ends the handshake is lost, which the data after it makes good.
    cli("PATCH", "/proxies/redis", {"link": {"to_upstream": {"drop": "2"}}})
    assert ask(proxy["listen"]) == b"pandas"
    text = requests.get(f"{place.api}/metrics", timeout=60).text
    values = dict(re.findall(r"^(\w+\{.*\}) (\d+)$", text, re.M))
    labels = f'listener="{proxy["listen"]}",proxy="redis",upstream="{place.upstream}"'
    for direction in ("upstream", "downstream"):
        for way in ("received", "sent"):
            name = f'toxiproxy_proxy_{way}_bytes_total{{direction="{direction}",{labels}}}'
            assert values[name] == "6"
    assert values['pystack_proxy_connections_total{proxy="redis"}'] == "1"
    assert values['pystack_counted_total{counter="drop"}'] == "1"


async def test_changes_hit_live_connections() -> None:
    await on_a_thread(_changes_hit_live_connections)


def _changes_hit_live_connections(cli: Cli, place: ProxyPlace) -> None:
    _, proxy = cli("POST", "/proxies", {"name": "redis", "upstream": place.upstream})
    host, _, port = proxy["listen"].rpartition(":")

    def connected() -> socket.socket:
        sock = socket.create_connection((host, int(port)), timeout=60)
        sock.sendall(b"before")
        assert sock.recv(100) == b"before"
        return sock

    def add(kind: str, **words: object) -> None:
        assert cli("POST", "/proxies/redis/toxics", {"type": kind, **words})[0] == 200

    with connected() as sock:
        add("limit_data", attributes={"bytes": 3})
        sock.sendall(b"pandas")
        assert sock.recv(100) == b"pan"
        assert sock.recv(100) == b""
    cli("POST", "/reset")
    with connected() as sock:
        add("reset_peer", stream="upstream")
        sock.sendall(b"pandas")
        with pytest.raises(ConnectionResetError):
            sock.recv(100)
    cli("POST", "/reset")
    with connected() as sock:
        add("reset_peer", toxicity=0)
        add("timeout", toxicity=0, stream="upstream")
        sock.sendall(b"pandas")
        assert sock.recv(100) == b"pandas"
    with connected() as sock:
        cli("PATCH", "/proxies/redis", {"enabled": False})
        assert sock.recv(100) == b""
    cli("POST", "/reset")
    with connected() as sock:
        cli("DELETE", "/proxies/redis")
        assert sock.recv(100) == b""


async def test_a_port_that_is_taken_fails_and_leaves_nothing() -> None:
    await on_a_thread(_a_port_that_is_taken)


def _a_port_that_is_taken(cli: Cli, place: ProxyPlace) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        body = {"name": "redis", "listen": listen, "upstream": place.upstream}
        sentence = f"listen tcp {listen}: bind: address already in use"
        assert cli("POST", "/proxies", body) == (500, {"error": sentence, "status": 500})
        assert cli("GET", "/proxies") == (200, {})
        other = {"name": "a", "listen": "127.0.0.1:0", "upstream": place.upstream}
        status, shown = cli("POST", "/populate", [other, body])
        assert (status, shown["error"]) == (500, sentence)
        assert [proxy["name"] for proxy in shown["proxies"]] == ["a"]
        before = cli("GET", "/proxies/a")
        assert cli("PATCH", "/proxies/a", {"listen": listen})[0] == 500
        assert cli("GET", "/proxies/a") == before
        assert ask(before[1]["listen"]) == b"pandas"
