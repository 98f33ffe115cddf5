"""Against the kernel, over a path that loses, delays and reorders: both ends recover, whoever lost.

The trouble is our own pipe's between the TAP and the stack, with a fixed seed.
"""

import pytest
import trio
from interop import (
    Opened,
    close_both,
    kernel_info,
    opened_by_kernel,
    opened_by_us,
    run_with_kernel,
    transfer,
)
from netns import NetworkNamespace, wait_until

from pystack import Host
from pystack.tcp.congestion.registry import BUILT_IN

pytestmark = pytest.mark.kernel

CONTROLS = [*sorted(set(BUILT_IN) - {"fixed"}), "fixed:20"]


@pytest.mark.parametrize("offload", [True, False], ids=["offload", "no-offload"])
@pytest.mark.parametrize("control", CONTROLS)
def test_each_congestion_control_gets_everything_through_a_loss_of_two_percent(
    netns: NetworkNamespace, control: str, offload: bool
) -> None:
    async def program(host: Host) -> None:
        async with opened_by_kernel(host) as (stream, theirs):
            # 690 segments: without a single loss once in a million runs
            await transfer(stream, theirs, bytes_each=1_000_000)
            info, seen = stream.info(), kernel_info(netns)
            assert info.congestion == control.partition(":")[0]
            assert info.retransmits > 0
            assert seen.number("bytes_retrans") > 0
            assert seen.number("bytes_received") == info.bytes_acked
            await close_both(stream, theirs)

    run_with_kernel(
        netns,
        program,
        settings={"congestion": control},
        words={"loss": "2%", "delay": "2ms"},
        offload=offload,
    )


@pytest.mark.parametrize("opened", [opened_by_kernel, opened_by_us])
@pytest.mark.parametrize(("sack", "timestamps"), [(1, 1), (1, 0), (0, 1), (0, 0)])
def test_losses_are_repaired_with_and_without_sack_and_timestamps(
    netns: NetworkNamespace, opened: Opened, sack: int, timestamps: int
) -> None:
    async def program(host: Host) -> None:
        async with opened(host) as (stream, theirs):
            await transfer(stream, theirs, bytes_each=1_000_000)
            assert stream.info().retransmits > 0
            await close_both(stream, theirs)

    run_with_kernel(
        netns,
        program,
        sysctls={"tcp_sack": sack, "tcp_timestamps": timestamps},
        words={"loss": "3%", "delay": "1ms"},
    )


@pytest.mark.parametrize("opened", [opened_by_kernel, opened_by_us])
def test_reordering_and_duplicates_cost_no_data(netns: NetworkNamespace, opened: Opened) -> None:
    async def program(host: Host) -> None:
        async with opened(host) as (stream, theirs):
            await transfer(stream, theirs, bytes_each=1_000_000)
            assert stream.info().dsacks_sent > 0
            assert kernel_info(netns).number("bytes_received") == 1_000_000
            await close_both(stream, theirs)

    words = {"delay": "3ms", "reorder": "10%", "duplicate": "3%"}
    run_with_kernel(netns, program, words=words, offload=False)


def test_marks_of_a_queue_on_the_way_are_echoed_by_both_ends(netns: NetworkNamespace) -> None:
    async def program(host: Host) -> None:
        async with opened_by_kernel(host) as (stream, theirs):
            await transfer(stream, theirs)
            info, seen = stream.info(), kernel_info(netns)
            assert info.ecn
            assert info.ce_received > 0
            assert info.ece_received > 0
            assert "ecnseen" in seen.words
            await close_both(stream, theirs)

    run_with_kernel(
        netns,
        program,
        sysctls={"tcp_ecn": 1},
        settings={"ecn": "request"},
        # So slow that ten segments in one go, the first window, already wait for long enough.
        words={"delay": "2ms", "rate": "5mbit", "qdisc": "codel target 1ms interval 10ms ecn"},
    )


def test_the_kernel_hears_of_our_reset_and_we_of_its(netns: NetworkNamespace) -> None:
    async def program(host: Host) -> None:
        async with opened_by_kernel(host) as (stream, theirs):
            stream.abort()
            with pytest.raises(trio.BrokenResourceError, match="reset by peer"):
                await theirs.receive_some()
        async with opened_by_us(host) as (stream, theirs):
            theirs.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER on, no time: a reset
            await theirs.aclose()
            with pytest.raises(trio.BrokenResourceError, match="reset by peer"):
                await stream.receive_some()

    run_with_kernel(netns, program)


def test_nothing_is_left_on_the_kernels_side(netns: NetworkNamespace) -> None:
    async def program(host: Host) -> None:
        for opened in (opened_by_kernel, opened_by_us):
            async with opened(host) as (stream, theirs):
                await transfer(stream, theirs, bytes_each=1000)
                await close_both(stream, theirs)

    run_with_kernel(netns, program)

    def gone() -> bool:
        states = netns.run(["ss", "-tanH", "state", "connected", "exclude", "time-wait"]).stdout
        return not states.strip()

    wait_until(gone, "the kernel has no connection that is not in TIME-WAIT")
