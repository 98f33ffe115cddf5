"""Against the kernel: every mix of SACK, timestamps, ECN and window scaling, opened by either end.

What `ss` shows of the kernel's end is held against what our `TcpInfo` says of ours.
"""

import itertools
from typing import Final

import pytest
from interop import (
    Opened,
    close_both,
    kernel_info,
    opened_by_kernel,
    opened_by_us,
    run_with_kernel,
    transfer,
)
from netns import NetworkNamespace

from pystack import Host

pytestmark = pytest.mark.kernel

BOTH_WAYS: Final = pytest.mark.parametrize(
    "opened", [opened_by_kernel, opened_by_us], ids=["kernel-opens", "we-open"]
)
ON_AND_OFF: Final = tuple(itertools.product((1, 0), repeat=4))


def check(
    netns: NetworkNamespace,
    opened: Opened,
    *,
    kernel: tuple[int, int, int, int],
    ours: tuple[int, int, int, int] = (1, 1, 1, 1),
    offload: bool = True,
) -> None:
    """Open, compare, transfer, close, where SACK, timestamps, ECN and scaling are on (1) or off."""
    sack, timestamps, ecn, scaling = (a and b for a, b in zip(kernel, ours, strict=True))
    mss = 1460 - 12 * timestamps

    async def program(host: Host) -> None:
        async with opened(host) as (stream, theirs):
            await transfer(stream, theirs, bytes_each=60_000)
            info, seen = stream.info(), kernel_info(netns)
            assert (info.sack_permitted, info.timestamps, info.ecn) == (
                bool(sack),
                bool(timestamps),
                bool(ecn),
            )
            assert ("sack" in seen.words, "ts" in seen.words, "ecn" in seen.words) == (
                info.sack_permitted,
                info.timestamps,
                info.ecn,
            )
            assert (info.snd_mss_bytes, seen.number("mss")) == (mss, mss)
            shifts = info.rcv_wind_shift, info.snd_wind_shift
            assert shifts == (seen.shifts or (None, None))
            assert (shifts != (None, None)) == bool(scaling)
            assert seen.number("bytes_received") == info.bytes_acked == 60_000
            assert info.bytes_received == 60_000
            await close_both(stream, theirs)

    names = ("tcp_sack", "tcp_timestamps", "tcp_ecn", "tcp_window_scaling")
    run_with_kernel(
        netns,
        program,
        sysctls=dict(zip(names, kernel, strict=True)),
        settings={
            "sack": bool(ours[0]),
            "timestamps": bool(ours[1]),
            "ecn": "request" if ours[2] else "off",
            "window_scaling": bool(ours[3]),
        },
        offload=offload,
    )


@BOTH_WAYS
@pytest.mark.parametrize("kernel", ON_AND_OFF, ids=lambda mix: "".join(map(str, mix)))
def test_the_kernel_has_some_options_and_we_have_all(
    netns: NetworkNamespace, opened: Opened, kernel: tuple[int, int, int, int]
) -> None:
    check(netns, opened, kernel=kernel)


@BOTH_WAYS
@pytest.mark.parametrize("ours", ON_AND_OFF[1:], ids=lambda mix: "".join(map(str, mix)))
def test_we_have_some_options_and_the_kernel_has_all(
    netns: NetworkNamespace, opened: Opened, ours: tuple[int, int, int, int]
) -> None:
    check(netns, opened, kernel=(1, 1, 1, 1), ours=ours)


@BOTH_WAYS
def test_the_same_without_offload(netns: NetworkNamespace, opened: Opened) -> None:
    check(netns, opened, kernel=(1, 1, 1, 1), offload=False)


@BOTH_WAYS
@pytest.mark.parametrize(("mtu", "mss"), [(1280, 1228), (9000, 1448)])
def test_the_smaller_mss_of_the_two_holds(
    netns: NetworkNamespace, opened: Opened, mtu: int, mss: int
) -> None:
    async def program(host: Host) -> None:
        netns.run(["ip", "link", "set", "tap0", "mtu", str(mtu)])
        async with opened(host) as (stream, theirs):
            await transfer(stream, theirs, bytes_each=60_000)
            assert stream.info().snd_mss_bytes == mss
            assert kernel_info(netns).number("mss") == mss
            await close_both(stream, theirs)

    run_with_kernel(netns, program, sysctls={"tcp_timestamps": 1})
