"""iperf3 between two of our hosts in virtual time: the figures are the link's, always."""

import logging
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio

import pystack
from pystack import Host, Iperf3Error, Network
from pystack.apps.hosting import serve
from pystack.apps.iperf3 import Iperf3
from pystack.apps.options import ServiceOptions
from pystack.runtime.iperf3 import protocol
from pystack.runtime.iperf3.parameters import Parameters
from pystack.runtime.iperf3.protocol import Problem, State

Scenario = Callable[[Host, Host], Awaitable[None]]
COOKIE = b"c" * 36 + b"\0"
ONE_STREAM = {
    **dict.fromkeys(("bytes", "jitter", "errors", "packets", "start_time", "end_time"), 0),
    "id": 1,
    "retransmits": -1,
}


def between(scenario: Scenario, **words: object) -> None:
    """Run a scenario on a client, a server with the service, and a link of these words."""

    async def main() -> None:
        async with Network(seed=7) as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, **words)  # type: ignore[arg-type]
            await serve(server, "iperf3")
            await scenario(client, server)

    pystack.run(main)


@pytest.mark.parametrize("reverse", [False, True])
def test_tcp_fills_the_line(reverse: bool) -> None:
    async def scenario(client: Host, server: Host) -> None:
        result = await client.iperf3("server", time_s=5, reverse=reverse)
        # 1448 or 1460 of 1514 bytes are payload; slow start takes a while.
        assert 8.5e6 < result.received.bitrate_bps < 9.65e6
        assert result.sent.total_bytes >= result.received.total_bytes
        assert len(result.intervals) == 5
        assert sum(i.total_bytes for i in result.intervals) == (
            result.received.total_bytes if reverse else result.sent.total_bytes
        )

    between(scenario, rate="10mbit", delay="5ms")


def test_the_same_seed_gives_the_same_figures() -> None:
    texts = []

    async def scenario(client: Host, server: Host) -> None:
        lines: list[str] = []
        await client.iperf3("server", time_s=2, parallel=2, on_line=lines.append)
        await client.iperf3("server", time_s=2, udp=True, bidirectional=True, on_line=lines.append)
        texts.append("\n".join(lines))

    for _ in range(2):
        between(scenario, rate="10mbit", delay="5ms", jitter="1ms", loss="1%")
    assert texts[0] == texts[1]
    assert texts[0].count("iperf Done.") == 2


def test_an_amount_has_arrived_when_the_test_ends() -> None:
    async def scenario(client: Host, server: Host) -> None:
        result = await client.iperf3("server", time_s=0, total_bytes=1_000_000)
        blocks = -(-1_000_000 // 131_072)
        assert result.sent.total_bytes == result.received.total_bytes == blocks * 131_072
        assert result.received.bitrate_bps == pytest.approx(9.2e6, rel=0.05)
        result = await client.iperf3("server", time_s=0, total_blocks=10, block_bytes=10_000)
        assert result.sent.total_bytes == 100_000
        result = await client.iperf3("server", time_s=0, total_bytes=500_000, reverse=True)
        assert result.received.total_bytes == result.sent.total_bytes == 4 * 131_072

    between(scenario, rate="10mbit", delay="5ms")


def test_parallel_streams_are_counted_each() -> None:
    async def scenario(client: Host, server: Host) -> None:
        result = await client.iperf3("server", time_s=3, parallel=4)
        assert [stream.number for stream in result.here.streams] == [1, 3, 4, 5]
        each = [stream.total_bytes for stream in result.there.streams]
        assert sum(each) == result.received.total_bytes
        assert min(each) > 0.1 * sum(each)
        assert str(result).count("[SUM]") == 2

    between(scenario, rate="10mbit", delay="5ms")


def test_both_directions_at_once_have_a_line_each() -> None:
    async def scenario(client: Host, server: Host) -> None:
        result = await client.iperf3("server", time_s=4, bidirectional=True)
        # The ACKs of each direction wait in the queue of the other: not both fill the line.
        assert max(result.received.bitrate_bps, result.received_back.bitrate_bps) > 8.5e6
        for one in (result.received, result.received_back):
            assert 4e6 < one.bitrate_bps < 9.65e6
        assert result.sent_back.total_bytes >= result.received_back.total_bytes

    between(scenario, rate="10mbit", delay="5ms")


def test_a_rate_is_kept() -> None:
    async def scenario(client: Host, server: Host) -> None:
        for udp in (False, True):
            result = await client.iperf3(
                "server", time_s=4, udp=udp, bitrate_bps=2_000_000, block_bytes=1000
            )
            assert result.sent.bitrate_bps == pytest.approx(2e6, rel=0.01)

    between(scenario, rate="10mbit", delay="5ms")


@pytest.mark.parametrize("reverse", [False, True])
def test_udp_counts_what_the_link_has_lost(reverse: bool) -> None:
    async def main() -> None:
        async with Network(seed=7) as net:
            client, server = net.host("client"), net.host("server")
            await serve(server, "iperf3")
            link = net.link(client, server, delay="5ms")
            # The control connection has no losses to mend, and the count is the datagrams' alone.
            net.at("1s", lambda: link.set(loss="5%"))
            net.at("4s", lambda: link.set(loss="0%"))
            result = await client.iperf3(
                "server", udp=True, time_s=5, bitrate_bps=1_000_000, reverse=reverse
            )
            lost = sum(n for name, n in link.counters.items() if "loss" in name)
            assert lost > 5
            assert result.received.lost_packets == lost
            assert result.received.jitter_s == pytest.approx(0.0, abs=2e-6)

    pystack.run(main)


def test_an_unlimited_sender_of_datagrams_lets_time_pass() -> None:
    async def scenario(client: Host, server: Host) -> None:
        result = await client.iperf3("server", time_s=1, udp=True, bitrate_bps=0)
        assert result.sent.packets == pytest.approx(128_000, rel=0.01)
        assert result.received.lost_packets > 0.9 * 128_000

    between(scenario, rate="10mbit", delay="5ms")


def test_what_is_omitted_does_not_count() -> None:
    async def scenario(client: Host, server: Host) -> None:
        result = await client.iperf3("server", time_s=2, omit_s=1)
        assert [interval.omitted for interval in result.intervals] == [True, False, False]
        assert result.sent.total_bytes == sum(i.total_bytes for i in result.intervals[1:])
        assert result.sent.end_s == pytest.approx(2.0)

    between(scenario, rate="10mbit", delay="5ms")


def test_the_server_reports_in_words_where_it_is_asked() -> None:
    async def scenario(client: Host, server: Host) -> None:
        result = await client.iperf3("server", time_s=2, server_output=True)
        assert "Accepted connection from 10.0.0.1" in result.there.output
        assert "receiver" in str(result).partition("Server output:")[2]
        result = await client.iperf3("server", time_s=1)
        assert result.there.output == ""

    between(scenario, rate="10mbit", delay="5ms")


def test_a_second_client_is_told_to_come_again_later() -> None:
    async def scenario(client: Host, server: Host) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: client.iperf3("server", time_s=3))
            await trio.sleep(1)
            with pytest.raises(Iperf3Error, match="busy") as caught:
                await client.iperf3("server", time_s=1)
            assert caught.value.problem == Problem.ACCESS_DENIED
        await is_free(client)

    between(scenario, delay="5ms", rate="10mbit")


def test_a_server_that_loses_its_power_ends_the_test() -> None:
    async def scenario(client: Host, server: Host) -> None:
        async with trio.open_nursery() as nursery:

            async def test() -> None:
                with pytest.raises(Iperf3Error):
                    await client.iperf3("server", time_s=5, udp=True)

            nursery.start_soon(test)
            await trio.sleep(1)
            server.power_off()

    between(scenario, delay="5ms")


async def opened(client: Host, parameters: dict[str, object]) -> pystack.TcpStream:
    """Begin a test by hand, up to where the streams are to be opened."""
    stream = await client.open_tcp_stream("server", protocol.PORT)
    await stream.send_all(COOKIE)
    await protocol.expect_state(stream, State.PARAM_EXCHANGE)
    await protocol.send_json(stream, parameters)
    return stream


async def is_free(client: Host) -> None:
    """Show that the server takes the next test."""
    result = await client.iperf3("server", time_s=0, total_blocks=1)
    assert result.received.total_bytes


@pytest.mark.parametrize("data", [b"", b"\0\0\0\5{{{{{", b"\xff\xff\xff\xff", b"\0\0\0\2[]"])
def test_parameters_that_are_none_are_an_error_and_the_server_goes_on(data: bytes) -> None:
    async def scenario(client: Host, server: Host) -> None:
        stream = await client.open_tcp_stream("server", protocol.PORT)
        await stream.send_all(COOKIE)
        await protocol.expect_state(stream, State.PARAM_EXCHANGE)
        await stream.send_all(data)
        await stream.send_eof()
        with pytest.raises(Iperf3Error, match=r"unable to receive param|unknown control"):
            await protocol.receive_state(stream)
        await stream.aclose()
        await is_free(client)

    between(scenario, delay="5ms")


def test_a_client_that_says_nothing_more_is_given_up() -> None:
    async def scenario(client: Host, server: Host) -> None:
        stream = await opened(client, Parameters(parallel=2).pack())
        began = trio.current_time()
        await protocol.expect_state(stream, State.CREATE_STREAMS)
        with pytest.raises(Iperf3Error):
            await protocol.receive_state(stream)
        assert trio.current_time() - began == pytest.approx(protocol.STEP_S, abs=0.1)
        await is_free(client)

    between(scenario, delay="5ms")


@pytest.mark.parametrize("said", [b"\x0c", b"\x07", b"\x63", b""])
def test_a_test_that_is_broken_off_leaves_the_server_free(said: bytes) -> None:
    async def scenario(client: Host, server: Host) -> None:
        control = await opened(client, Parameters(reverse=True).pack())
        await protocol.expect_state(control, State.CREATE_STREAMS)
        data = await client.open_tcp_stream("server", protocol.PORT)
        await data.send_all(COOKIE)
        await protocol.expect_state(control, State.TEST_START)
        await protocol.expect_state(control, State.TEST_RUNNING)
        assert await data.receive_some()
        await control.send_all(said)
        await control.send_eof()
        async for _ in data:
            pass
        await is_free(client)

    between(scenario, delay="5ms", rate="10mbit")


@pytest.mark.parametrize("results", [{}, {"streams": 1}, {"streams": [{**ONE_STREAM, "id": 2}]}])
def test_results_that_are_none_leave_the_server_free(results: dict[str, object]) -> None:
    async def scenario(client: Host, server: Host) -> None:
        control = await opened(client, Parameters(udp=True).pack())
        await protocol.expect_state(control, State.CREATE_STREAMS)
        async with await client.open_udp_socket() as socket:
            await socket.send_to(b"9876", ("server", protocol.PORT))
            assert (await socket.receive_from())[0] == b"6789"
        await protocol.expect_state(control, State.TEST_START)
        await protocol.expect_state(control, State.TEST_RUNNING)
        await protocol.send_state(control, State.TEST_END)
        await protocol.expect_state(control, State.EXCHANGE_RESULTS)
        await protocol.send_json(control, results)
        with pytest.raises(Iperf3Error):
            await protocol.receive_state(control)
        await is_free(client)

    between(scenario, delay="5ms")


def test_datagrams_of_no_test_are_counted_and_not_answered() -> None:
    async def main() -> None:
        service = Iperf3(ServiceOptions())
        assert service.answer_udp(b"9876", ("10.0.0.1", 1000), 0.0) is None
        assert service.answer_udp(bytes(16), ("10.0.0.1", 1000), 0.0) is None
        assert service.counters["iperf3_stray"] == 2

    trio.run(main)


def test_no_stranger_joins_a_test() -> None:
    async def main() -> None:
        async with Network(seed=7) as net:
            client, stranger, server = (net.host(name) for name in ("client", "mallory", "server"))
            switch = net.switch("switch")
            for host in (client, stranger, server):
                net.link(host, switch, delay="1ms")
            await serve(server, "iperf3")
            control = await opened(client, Parameters(udp=True).pack())
            await protocol.expect_state(control, State.CREATE_STREAMS)
            async with await stranger.open_udp_socket() as socket:
                await socket.send_to(b"9876", ("server", protocol.PORT))
                with trio.move_on_after(1) as silence:
                    await socket.receive_from()
            assert silence.cancelled_caught
            data = await stranger.open_tcp_stream("server", protocol.PORT)
            await data.send_all(b"d" * 36 + b"\0")
            with pytest.raises(Iperf3Error, match="busy"):
                await protocol.receive_state(data)

    pystack.run(main)


def test_wrong_words_are_refused_before_anything_is_sent() -> None:
    async def scenario(client: Host, server: Host) -> None:
        for words in ({"parallel": 0}, {"interval_s": 0}, {"reverse": True, "bidirectional": True}):
            with pytest.raises(pystack.ConfigError):
                await client.iperf3("server", **words)  # type: ignore[arg-type]
        assert server.counters["frames_in"] == 0

    between(scenario)


async def go_as_far_as(step: int, client: Host) -> list[pystack.TcpStream]:
    """Begin a test by hand; each step is after another message of the protocol."""
    control = await client.open_tcp_stream("server", protocol.PORT)
    streams = [control]
    if step == 0:
        return streams
    await control.send_all(COOKIE[:10] if step == 1 else COOKIE)
    if step == 1:
        return streams
    await protocol.expect_state(control, State.PARAM_EXCHANGE)
    if step == 2:
        return streams
    if step == 3:
        await control.send_all(b"\0\0\0\x20{")
        return streams
    await protocol.send_json(control, Parameters(parallel=2, time_s=9).pack())
    await protocol.expect_state(control, State.CREATE_STREAMS)
    for _ in range(2 if step > 5 else step - 4):
        streams.append(await client.open_tcp_stream("server", protocol.PORT))
        await streams[-1].send_all(COOKIE)
    if step <= 5:
        return streams
    await protocol.expect_state(control, State.TEST_START)
    await protocol.expect_state(control, State.TEST_RUNNING)
    if step == 6:
        return streams
    await streams[-1].send_all(bytes(10_000))
    await protocol.send_state(control, State.TEST_END)
    await protocol.expect_state(control, State.EXCHANGE_RESULTS)
    if step == 8:
        await control.send_all(b"\0\0\1\0{")
    return streams


WAYS = ["closes", "resets", "is silent", "is without power"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("step", range(9))
def test_a_client_that_goes_away_anywhere_locks_nobody_out(
    caplog: pytest.LogCaptureFixture, step: int, way: str
) -> None:
    async def main() -> float:
        async with Network(seed=7) as net:
            gone, client, server = (net.host(name) for name in ("gone", "client", "server"))
            switch = net.switch("switch")
            for host in (gone, client, server):
                net.link(host, switch, delay="5ms", rate="100mbit")
            await serve(server, "iperf3")
            streams = await go_as_far_as(step, gone)
            if way == "is without power":
                gone.power_off()
            for stream in streams:
                if way == "closes":
                    await stream.aclose()
                elif way == "resets":
                    stream.abort()
            gone_at = trio.current_time()
            while True:
                await trio.sleep(0.5)
                try:
                    await client.iperf3("server", time_s=0, total_blocks=1)
                    return trio.current_time() - gone_at
                except Iperf3Error as error:
                    assert error.problem == Problem.ACCESS_DENIED  # noqa: PT017 - it goes on

    with caplog.at_level(logging.INFO, "pystack.apps"):
        took_s = pystack.run(main)
    assert took_s < (2 if way in ("closes", "resets") else 7)
    assert [record for record in caplog.records if record.exc_info] == []
    if way == "resets" and step >= 1:
        lines = [record.getMessage() for record in caplog.records]
        assert len([line for line in lines if "went away" in line]) == 1


def test_a_client_that_is_heard_of_does_not_give_way() -> None:
    async def scenario(client: Host, server: Host) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(client.iperf3, "server", time_s=20, bitrate_bps=200_000))
            for _ in range(9):
                await trio.sleep(2)
                with pytest.raises(Iperf3Error, match="busy"):
                    await client.iperf3("server", time_s=1)

    between(scenario, delay="5ms", rate="10mbit")


def test_a_stream_of_the_servers_that_breaks_ends_the_clients_test() -> None:
    async def scenario(client: Host, server: Host) -> None:
        async def breaker() -> None:
            await trio.sleep(1)
            for socket in list(server.tcp)[1:]:
                server.tcp.abort(socket, server.now())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(breaker)
            with pytest.raises(Iperf3Error, match="terminated"):
                await client.iperf3("server", time_s=5)

    between(scenario, delay="5ms", rate="10mbit")
