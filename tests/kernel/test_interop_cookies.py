"""Against the kernel: its connections opened by our SYN cookies, and again out of TIME-WAIT."""

import itertools

import pytest
import trio
from interop import (
    OURS,
    PORT,
    close_both,
    kernel_info,
    opened_by_kernel,
    run_with_kernel,
    transfer,
)
from netns import NetworkNamespace

from pystack import Host
from pystack.tcp.config import TcpLimits

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize(("sack", "ecn", "scaling"), list(itertools.product((1, 0), repeat=3)))
def test_with_timestamps_a_cookie_brings_back_all_that_the_kernel_offered(
    sack: int, ecn: int, scaling: int, netns: NetworkNamespace
) -> None:
    async def program(host: Host) -> None:
        async with opened_by_kernel(host) as (ours, theirs):
            assert host.counters["tcp_syn_cookies_received"] == 1
            await transfer(ours, theirs, bytes_each=60_000)
            info, seen = ours.info(), kernel_info(netns)
            assert (info.sack_permitted, info.ecn) == (bool(sack), bool(ecn))
            assert ("sack" in seen.words, "ecn" in seen.words) == (bool(sack), bool(ecn))
            assert "ts" in seen.words
            shifts = info.rcv_wind_shift, info.snd_wind_shift
            assert shifts == (seen.shifts or (None, None))
            assert (shifts != (None, None)) == bool(scaling)
            assert (info.snd_mss_bytes, seen.number("mss")) == (1448, 1448)
            await close_both(ours, theirs)

    run_with_kernel(
        netns,
        program,
        sysctls={"tcp_sack": sack, "tcp_ecn": ecn, "tcp_window_scaling": scaling},
        limits=TcpLimits(syn_cookies=2),
    )


def test_without_timestamps_only_the_mss_comes_back(netns: NetworkNamespace) -> None:
    async def program(host: Host) -> None:
        async with opened_by_kernel(host) as (ours, theirs):
            await transfer(ours, theirs, bytes_each=60_000)
            info, seen = ours.info(), kernel_info(netns)
            assert (info.sack_permitted, info.timestamps) == (False, False)
            assert not {"sack", "ts"} & seen.words
            assert seen.shifts is None
            assert (info.snd_mss_bytes, seen.number("mss")) == (1460, 1460)
            await close_both(ours, theirs)

    run_with_kernel(netns, program, sysctls={"tcp_timestamps": 0}, limits=TcpLimits(syn_cookies=2))


def test_a_burst_beyond_the_backlog_is_served_whole(netns: NetworkNamespace) -> None:
    async def program(host: Host) -> None:
        (listener,) = await host.open_tcp_listeners(PORT, backlog=4)
        done: list[bytes] = []

        async def ask() -> None:
            async with await trio.open_tcp_stream(OURS, PORT) as stream:
                await stream.send_all(b"hello")
                done.append(await stream.receive_some())

        async def answer() -> None:
            while not host.counters["tcp_listen_overflow"]:  # noqa: ASYNC110
                await trio.sleep(0.01)  # both queues fill
            while True:
                async with await listener.accept() as stream:
                    await stream.send_all(await stream.receive_some())

        async with trio.open_nursery() as serving, listener:
            serving.start_soon(answer)
            async with trio.open_nursery() as asking:
                for _ in range(30):
                    asking.start_soon(ask)
            serving.cancel_scope.cancel()
        assert done == [b"hello"] * 30

    run_with_kernel(netns, program)


@pytest.mark.parametrize("timestamps", [1, 0])
def test_the_kernel_opens_the_same_ports_again_while_we_wait(
    timestamps: int, netns: NetworkNamespace
) -> None:
    async def program(host: Host) -> None:
        (listener,) = await host.open_tcp_listeners(PORT)
        for _ in range(2):
            sock = trio.socket.socket()
            sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_REUSEADDR, 1)
            await sock.bind(("0.0.0.0", 40_123))
            await sock.connect((OURS, PORT))
            theirs = trio.SocketStream(sock)
            ours = await listener.accept()
            await ours.aclose()  # so that it is we who wait
            assert await theirs.receive_some() == b""
            await theirs.aclose()
            while len(host.tcp.time_waits.records) != 1:  # noqa: ASYNC110
                await trio.sleep(0.01)  # the kernel's FIN is on its way
        assert host.counters["tcp_time_wait_reused"] == 1
        await listener.aclose()

    run_with_kernel(netns, program, sysctls={"tcp_timestamps": timestamps})
