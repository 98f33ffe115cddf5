"""Control: calls by name, over networks in virtual time."""

import json
from collections.abc import Awaitable, Callable, Mapping

import pytest
import trio

import pystack
from pystack.link.config import PipeConfig
from pystack.link.said import words_of
from pystack.runtime.control.calls import CALLS
from pystack.runtime.control.control import Control, ControlError
from pystack.runtime.control.table import find_call

Program = Callable[[pystack.Network, Control], Awaitable[None]]


def run(program: Program, *, may_change: bool = True) -> None:
    """Run a program beside a client and a server, which sends it 100,000 bytes on port 80."""

    async def main() -> None:
        async with pystack.Network(seed=7) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, delay="20ms", rate="10mbit")
            await server.start(serve, server)
            control = Control(net, may_change=may_change)
            async with await client.open_tcp_stream("server", 80) as stream:
                await stream.send_all(b"GET")
                got = 0
                while got < 50_000:
                    got += len(await stream.receive_some())
                await program(net, control)

    pystack.run(main)


async def serve(
    host: pystack.Host, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    (listener,) = await host.open_tcp_listeners(80)
    task_status.started()
    stream = await listener.accept()
    await stream.receive_some()
    await stream.send_all(bytes(100_000))
    await trio.sleep_forever()


def refused(text: str, name: str, arguments: Mapping[str, object] | None = None) -> None:
    async def program(_net: pystack.Network, control: Control) -> None:
        with pytest.raises(ControlError) as caught:
            control.call(name, arguments)
        assert text in str(caught.value)
        assert "\n" not in str(caught.value)

    run(program)


def test_ss_shows_what_a_connection_knows() -> None:
    async def program(net: pystack.Network, control: Control) -> None:
        answer = control.call("ss", {"host": "server"})
        (row,) = answer["connections"]
        assert answer["total"] == 1
        assert answer["next"] is None
        (known,) = net.hosts["server"].connections()
        assert row["state"] == "ESTABLISHED"
        assert (row["local_address"], row["local_port"]) == ("10.0.0.2", 80)
        assert row["remote_address"] == "10.0.0.1"
        assert row["srtt_s"] == known.srtt_s
        assert row["cwnd_bytes"] == known.cwnd_bytes
        assert row["send_q_bytes"] == 100_000 - known.bytes_acked
        assert row["limited_by"] in ("cwnd", "app")
        assert 0 < row["timers_s"]["retransmit"] < known.rto_s + 0.02
        assert "reordering" not in row
        detailed = control.call("ss", {"host": "server", "detail": True})
        assert detailed["connections"][0]["reordering"] == 3

    run(program)


def test_every_answer_is_of_what_json_has() -> None:
    async def program(_net: pystack.Network, control: Control) -> None:
        for call in CALLS.values():
            if not call.changes:
                arguments = {"detail": True} if call.name == "ss" else {}
                json.dumps(control.call(call.name, arguments), allow_nan=False)

    run(program)


def test_ss_is_chosen_and_cut() -> None:
    async def program(net: pystack.Network, control: Control) -> None:
        client, server = net.hosts["client"], net.hosts["server"]
        (listener,) = await server.open_tcp_listeners(81)
        streams = []
        for _ in range(5):
            streams.append(await client.open_tcp_stream("server", 81))
            streams.append(await listener.accept())
        assert control.call("ss")["total"] == 12
        assert control.call("ss", {"port": 80})["total"] == 2
        assert control.call("ss", {"state": "CLOSE-WAIT"})["total"] == 0
        first = control.call("ss", {"host": "client", "port": 81, "limit": 3})
        assert (len(first["connections"]), first["total"], first["next"]) == (3, 5, 3)
        second = control.call("ss", {"host": "client", "port": 81, "limit": 3, "offset": 3})
        assert (len(second["connections"]), second["next"]) == (2, None)
        ports = [row["local_port"] for row in first["connections"] + second["connections"]]
        assert sorted(ports) == sorted(s.local_address[1] for s in streams[::2])
        (most,) = control.call("ss", {"host": "server", "order": "bytes", "limit": 1})[
            "connections"
        ]
        assert most["local_port"] == 80
        newest = control.call("ss", {"host": "server", "order": "newest", "limit": 1})
        assert newest["connections"][0]["remote_port"] == streams[-1].remote_address[1]

    run(program)


def test_hosts_routes_neighbors_addresses_and_counters_are_told() -> None:
    async def program(net: pystack.Network, control: Control) -> None:
        assert [row["name"] for row in control.call("hosts")] == ["client", "server"]
        routes = control.call("routes", {"host": "client"})["rows"]
        assert {"10.0.0.0/24", "fd00::/64"} <= {row["destination"] for row in routes}
        (neighbor,) = control.call("neighbors", {"host": "client"})["rows"]
        assert (neighbor["address"], neighbor["state"]) == ("10.0.0.2", "REACHABLE")
        names = {row["interface"] for row in control.call("addresses", {"host": "client"})}
        assert names == {"lo", "eth0"}
        counted = control.call("counters", {"explain": True})
        assert counted["hosts"]["client"] == net.hosts["client"].counters
        assert "sentence" in counted["explanations"]["tcp_segments_in"]
        waiting = control.call("listening")["rows"]
        assert [(row["host"], row["local_port"]) for row in waiting] == [("server", 80)]
        assert control.call("info")["virtual"] is True

    run(program)


def test_a_link_is_changed_cut_and_mended() -> None:
    async def program(net: pystack.Network, control: Control) -> None:
        (before,) = control.call("links")
        assert before["a_to_b"]["words"] == {"delay": "20ms", "rate": "10mbit"}
        words = {"delay": "50ms", "loss": "1%", "rate": "none"}
        after = control.call("link set", {"link": "client-server", "words": words})
        assert after["b_to_a"]["words"] == {"delay": "50ms", "loss": "1%"}
        one = control.call(
            "link set",
            {"link": "server-client", "words": {"delay": "1ms"}, "direction": "a_to_b"},
        )
        assert one["a_to_b"]["words"]["delay"] == "1ms"
        assert one["b_to_a"]["words"]["delay"] == "50ms"
        control.call("link down", {"link": "client-server"})
        assert net.links[0].a_to_b.is_down
        control.call("link up", {"link": "client-server", "direction": "a_to_b"})
        assert (net.links[0].a_to_b.is_down, net.links[0].b_to_a.is_down) == (False, True)

    run(program)


def test_power_and_partitions() -> None:
    async def program(net: pystack.Network, control: Control) -> None:
        control.call("partition", {"groups": [["client"], ["server"]]})
        with pytest.raises(TimeoutError):
            await net.hosts["client"].ping("server", timeout_s=1)
        control.call("heal")
        assert await net.hosts["client"].ping("server") == pytest.approx(0.04, rel=0.1)
        control.call("power off", {"node": "server"})
        assert control.call("hosts")[1]["powered"] is False
        control.call("power on", {"node": "server"})
        assert control.call("hosts")[1]["powered"] is True

    run(program)


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("there is no call 'sss'; did you mean 'ss'?", "sss", {}),
        ("there is no call 7", 7, {}),
        ("ss does not know 'hots'; did you mean 'host'?", "ss", {"hots": "a"}),
        ("there is no host 'clint'; did you mean 'client'?", "ss", {"host": "clint"}),
        ("limit is 1001: it must be a whole number, 1 to 1000", "ss", {"limit": 1001}),
        ("limit is True", "ss", {"limit": True}),
        ("state cannot be 'ESTABLISHD'; did you mean 'ESTABLISHED'", "ss", {"state": "ESTABLISHD"}),
        ("host is 7: it must be a text", "ss", {"host": 7}),
        ("link set needs link", "link set", {"words": {"delay": "1ms"}}),
        ("link set needs words", "link set", {"link": "client-server"}),
        ("needs words", "link set", {"link": "client-server", "words": {}}),
        (
            "'dely'; did you mean 'delay'?",
            "link set",
            {"link": "client-server", "words": {"dely": 1}},
        ),
        ("did you mean 'client-server'?", "link down", {"link": "client-serve"}),
        ("there is no node 'serve'; did you mean 'server'?", "power off", {"node": "serve"}),
        ("groups is []", "partition", {"groups": []}),
        ("groups is 'ab'", "partition", {"groups": "ab"}),
        ("arguments are words with values", "ss", [1]),
        ("heal does not know 'all': it takes no arguments", "heal", {"all": True}),
    ],
)
def test_a_wrong_call_is_one_sentence(
    text: str, name: str, arguments: Mapping[str, object]
) -> None:
    refused(text, name, arguments)


def test_a_long_wrong_value_is_not_said_whole() -> None:
    refused("'" + "x" * 59 + "...", "ss", {"state": "x" * 10_000_000})


def test_what_only_looks_changes_nothing() -> None:
    async def program(net: pystack.Network, control: Control) -> None:
        with pytest.raises(ControlError, match="only for looking"):
            control.call("link down", {"link": "client-server"})
        assert not net.links[0].a_to_b.is_down
        assert control.call("ss")["total"] == 2

    run(program, may_change=False)


@pytest.mark.parametrize(
    ("words", "name", "arguments"),
    [
        ("ss", "ss", {}),
        ("ss client", "ss", {"host": "client"}),
        ("ss port=80 detail=yes", "ss", {"port": 80, "detail": True}),
        (
            "link set client-server delay=50ms loss=1% ecn",
            "link set",
            {"link": "client-server", "words": {"delay": "50ms", "loss": "1%", "ecn": True}},
        ),
        (
            "link set a-b direction=a_to_b rate=none",
            "link set",
            {"link": "a-b", "direction": "a_to_b", "words": {"rate": "none"}},
        ),
        ("power off server", "power off", {"node": "server"}),
        ("partition a,b c", "partition", {"groups": [["a", "b"], ["c"]]}),
        (
            "partition a c answer=reject spare_established=yes",
            "partition",
            {"groups": [["a"], ["c"]], "answer": "reject", "spare_established": True},
        ),
        ("power off server crash=yes", "power off", {"node": "server", "crash": True}),
    ],
)
def test_a_command_is_read(words: str, name: str, arguments: Mapping[str, object]) -> None:
    call, rest = find_call(CALLS, words.split())
    assert (call.name, call.read(rest)) == (name, arguments)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("", "there is no call ''"),
        ("link", "there are: link set, link down, link up"),
        ("set tap0", "there is no call 'set'; did you mean 'link set'?"),
        ("link donw x", "there is no call 'link donw'; did you mean 'link down'?"),
        ("ss port=http", "port is 'http': it must be a whole number"),
        ("ss detail=perhaps", "it must be yes or no"),
        ("ss prt=80", "did you mean 'port'?"),
        ("heal now", "heal has no use for 'now'"),
    ],
)
def test_a_wrong_command_is_one_sentence(words: str, text: str) -> None:
    def read() -> object:
        call, rest = find_call(CALLS, words.split())
        return call.read(rest)

    with pytest.raises(ControlError) as caught:
        read()
    assert text in str(caught.value)


def test_every_example_of_the_table_can_be_read() -> None:
    for call in CALLS.values():
        assert find_call(CALLS, call.name.split())[0] is call
        call.checked(call.read(call.example.split()))


@pytest.mark.parametrize(
    "words",
    [
        {},
        {"delay": "50ms", "jitter": "5ms", "loss": "1%", "rate": "10mbit", "limit": "50"},
        {"delay": "1.5s", "reorder": "25% 50%", "gap": "5", "duplicate": "1%", "corrupt": "0.1%"},
        {"loss": "gemodel 1% 10% 70% 0.1%"},
        {"loss": "1% 25%", "mtu": "1400", "seed": "7", "rate": "999bit"},
        {"rate": "1gbit", "overhead": "20", "cell_size": "48", "cell_overhead": "5"},
    ],
)
def test_the_words_of_a_link_say_the_same_again(words: Mapping[str, str]) -> None:
    config = PipeConfig.parse(**words)  # type: ignore[arg-type]
    assert PipeConfig.parse(**words_of(config)) == config  # type: ignore[arg-type]
