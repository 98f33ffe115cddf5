"""TCP Fast Open over a wire: a request in the SYN is answered a round trip earlier (RFC 7413)."""

from collections.abc import Awaitable, Callable

import pytest
import trio
from wires import PORT, Pair, Trouble, in_network, pair

import pystack
from pystack.stack.fast_open import PERIOD_S
from pystack.tcp.config import TcpConfig
from pystack.wire import ipv4, tcp
from pystack.wire.frame import Frame

REQUEST, ANSWER = b"GET /" + bytes(100), b"200 OK" + bytes(3000)
DELAY_S = 0.05
BOTH = TcpConfig(fast_open="both", congestion="newreno")


async def serve(wire: Pair, task_status: trio.TaskStatus[None]) -> None:
    (listener,) = await wire.server.open_tcp_listeners(PORT)
    task_status.started()
    while True:
        async with await listener.accept() as stream:
            got = b""
            while len(got) < len(REQUEST):
                got += await stream.receive_some()
            assert got == REQUEST
            await stream.send_all(ANSWER)


async def ask(wire: Pair) -> tuple[float, bool]:
    """Ask once; return how long it took, and whether the text of our SYN was taken."""
    began_at = trio.current_time()
    stream = await wire.client.open_tcp_stream("server", PORT, fast_open=REQUEST)
    async with stream:
        got = b""
        while data := await stream.receive_some():
            got += data
        took_s = trio.current_time() - began_at
        assert got == ANSWER
        return took_s, stream.info().syn_data_acked


def asked(
    config: TcpConfig, use: Callable[[Pair], Awaitable[None]], server: TcpConfig | None = None
) -> None:
    async def program(net: pystack.Network) -> None:
        wire = pair(net, delay_s=DELAY_S)
        wire.client.tcp.config = config
        wire.server.tcp.config = server or config
        await wire.client.ping("server")  # ARP is not what is measured
        async with trio.open_nursery() as nursery:
            await nursery.start(serve, wire)
            await use(wire)
            nursery.cancel_scope.cancel()

    in_network(program)


def segment_of(frame: Frame) -> tcp.Segment:
    return tcp.parse(ipv4.parse(memoryview(frame.data)[14:]))


@pytest.mark.rfc("7413", "3.1")
def test_the_second_request_saves_a_round_trip() -> None:
    async def use(wire: Pair) -> None:
        assert await ask(wire) == (pytest.approx(4 * DELAY_S, rel=0.05), False)
        for _ in range(3):
            assert await ask(wire) == (pytest.approx(2 * DELAY_S, rel=0.05), True)
        assert wire.server.counters["tcp_fast_opens_in"] == 3
        assert wire.client.counters["tcp_retransmits_rto"] == 0

    asked(BOTH, use)


@pytest.mark.parametrize("config", [TcpConfig(), TcpConfig(fast_open="server")])
def test_where_the_client_has_it_off_its_text_comes_after_the_handshake(config: TcpConfig) -> None:
    async def use(wire: Pair) -> None:
        for _ in range(2):
            assert await ask(wire) == (pytest.approx(4 * DELAY_S, rel=0.05), False)

    asked(config, use)


@pytest.mark.rfc("7413", "4.1.2")
def test_a_server_that_has_it_off_gives_no_cookie() -> None:
    async def use(wire: Pair) -> None:
        for _ in range(2):
            assert await ask(wire) == (pytest.approx(4 * DELAY_S, rel=0.05), False)

    asked(BOTH, use, server=TcpConfig())


@pytest.mark.rfc("7413", "4.2.2")
def test_a_server_that_forgot_its_key_refuses_the_text_and_gives_another_cookie() -> None:
    async def use(wire: Pair) -> None:
        await ask(wire)
        wire.server.tcp.fast_open._key = bytes(32)
        assert await ask(wire) == (pytest.approx(4 * DELAY_S, rel=0.05), False)
        assert wire.client.counters["tcp_syn_data_refused"] == 1
        assert await ask(wire) == (pytest.approx(2 * DELAY_S, rel=0.05), True)

    asked(BOTH, use)


@pytest.mark.rfc("7413", "4.1.2")
def test_a_cookie_of_yesterday_is_good_and_renewed_and_one_of_the_day_before_is_not() -> None:
    async def use(wire: Pair) -> None:
        await ask(wire)
        first = dict(wire.client.tcp.fast_open._cookies)
        await trio.sleep(PERIOD_S)
        assert (await ask(wire))[1]
        assert wire.client.tcp.fast_open._cookies != first
        await trio.sleep(2 * PERIOD_S)
        assert not (await ask(wire))[1]

    asked(BOTH, use)


@pytest.mark.rfc("7413", "4.2.1")
def test_a_syn_with_text_that_is_lost_is_sent_again_without_and_for_an_hour_no_more_are_tried() -> (
    None
):
    async def use(wire: Pair) -> None:
        await ask(wire)
        wire.to_server.passes = lambda frame: (
            not (segment_of(frame).flags & tcp.SYN and segment_of(frame).payload)
        )
        assert await ask(wire) == (pytest.approx(1 + 4 * DELAY_S, rel=0.05), False)
        assert await ask(wire) == (pytest.approx(4 * DELAY_S, rel=0.05), False)
        wire.to_server.passes = lambda _frame: True
        await trio.sleep(3600)
        assert (await ask(wire))[1]

    asked(BOTH, use)


@pytest.mark.rfc("7413", "4.2.2")
def test_an_answer_whose_syn_ack_is_lost_arrives_all_the_same() -> None:
    async def use(wire: Pair) -> None:
        await ask(wire)
        lost: list[Frame] = []

        def passes(frame: Frame) -> bool:
            if segment_of(frame).flags & tcp.SYN and not lost:
                lost.append(frame)
                return False
            return True

        wire.to_client.passes = passes
        took_s, taken = await ask(wire)
        assert took_s < 3
        assert taken
        assert len(lost) == 1

    asked(BOTH, use)


@pytest.mark.rfc("7413", "5.1")
def test_connections_with_text_and_without_an_ack_are_limited_in_number() -> None:
    async def use(wire: Pair) -> None:
        await ask(wire)
        # None of our segments but SYNs gets through: the handshakes stay half open.
        wire.to_server.passes = lambda frame: bool(segment_of(frame).flags & tcp.SYN)
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(ask, wire)
            await trio.sleep(0.5)
            nursery.cancel_scope.cancel()
        assert wire.server.counters["tcp_fast_opens_in"] == 2

    asked(TcpConfig(fast_open="both", fast_open_pending=2), use)


def test_more_than_a_segment_goes_on_after_the_handshake() -> None:
    async def use(wire: Pair) -> None:
        (listener,) = await wire.server.open_tcp_listeners(99)
        for number in range(2):
            data = bytes(range(256)) * 8000
            got = b""

            async def send(data: bytes = data) -> None:
                stream = await wire.client.open_tcp_stream("server", 99, fast_open=data)
                await stream.aclose()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(send)
                peer = await listener.accept()
                while part := await peer.receive_some():
                    got += part
            assert got == data
            assert peer.info().fast_opened == (number == 1)

    asked(BOTH, use)


@pytest.mark.parametrize("seed", range(12))
def test_requests_in_syns_come_through_loss_and_disorder(seed: int) -> None:
    async def program(net: pystack.Network) -> None:
        trouble = Trouble(loss=0.15, duplicate=0.1, late=0.2)
        wire = pair(net, trouble, seed=seed, delay_s=0.01)
        wire.configure(TcpConfig(fast_open="both", syn_retries=12, syn_ack_retries=12))
        async with trio.open_nursery() as nursery:
            await nursery.start(serve, wire)
            for _ in range(8):
                await ask(wire)
            nursery.cancel_scope.cancel()

    in_network(program)


def _close_in_syn_received(
    serve: Callable[[trio.abc.Stream], Awaitable[None]],
    kind: str,
) -> list[bytes]:
    """Let a handler see a request in the SYN and end before the ACK; return what the client got."""
    got: list[bytes] = []

    async def program(net: pystack.Network) -> None:
        wire = pair(net, delay_s=DELAY_S)
        wire.configure(BOTH)
        if kind == "trio":
            await wire.server.start(trio.serve_tcp, serve, PORT)
        else:
            listeners = await wire.server.open_tcp_listeners(PORT)
            net.nursery.start_soon(trio.serve_listeners, serve, listeners)
        for _ in range(2):  # the first gets a cookie only
            stream = await wire.client.open_tcp_stream("server", PORT, fast_open=REQUEST)
            data = b""
            while part := await stream.receive_some():
                data += part
            got.append(data)
            await stream.aclose()
            await trio.sleep(1)
        assert wire.server.counters["tcp_fast_opens_in"] == 1

    in_network(program)
    return got


async def _answers_and_closes(stream: trio.abc.Stream) -> None:
    await stream.receive_some()
    await stream.send_all(ANSWER)
    await stream.aclose()


async def _answers_and_returns(stream: trio.abc.Stream) -> None:
    await stream.receive_some()
    await stream.send_all(ANSWER)


async def _answers_and_is_cancelled(stream: trio.abc.Stream) -> None:
    with trio.CancelScope() as scope:
        async with stream:
            await stream.receive_some()
            await stream.send_all(ANSWER)
            scope.cancel()
            await trio.sleep_forever()


@pytest.mark.rfc("7413", "4.2.2")
@pytest.mark.parametrize("kind", ["trio", "pystack"])
@pytest.mark.parametrize(
    "serve", [_answers_and_closes, _answers_and_returns, _answers_and_is_cancelled]
)
def test_a_server_that_is_done_before_the_last_ack_of_the_handshake_says_fin(
    serve: Callable[[trio.abc.Stream], Awaitable[None]], kind: str
) -> None:
    assert _close_in_syn_received(serve, kind) == [ANSWER, ANSWER]


@pytest.mark.parametrize("kind", ["trio", "pystack"])
def test_a_client_cancelled_between_the_syns_of_a_simultaneous_open_says_fin(kind: str) -> None:
    async def program(net: pystack.Network) -> None:
        wire = pair(net, delay_s=DELAY_S)

        async def gives_up() -> None:
            with trio.move_on_after(1.5 * DELAY_S):
                if kind == "trio":
                    sock = trio.socket.socket()
                    await sock.bind(("0.0.0.0", 90))
                    await sock.connect(("server", 90))
                else:
                    await wire.client.open_tcp_stream("server", 90, local_port=90)

        await wire.client.ping("server")
        net.nursery.start_soon(wire.client.run, gives_up)
        stream = await wire.server.open_tcp_stream("client", 90, local_port=90)
        assert await stream.receive_some() == b""
        await stream.aclose()
        await trio.sleep(61)  # TIME-WAIT
        assert not len(wire.client.tcp)

    in_network(program)
