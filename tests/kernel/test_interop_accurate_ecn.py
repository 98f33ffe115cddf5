"""Against the kernel: we ask for accurate ECN, and it answers by what it knows."""

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


@pytest.mark.parametrize(("mode", "agreed"), [(0, False), (1, True), (2, True)])
@pytest.mark.parametrize("control", ["cubic", "prague"])
def test_a_kernel_that_knows_only_rfc_3168_gets_that(
    netns: NetworkNamespace, control: str, mode: int, agreed: bool
) -> None:
    async def program(host: Host) -> None:
        async with opened_by_us(host) as (stream, theirs):
            await transfer(stream, theirs, bytes_each=60_000)
            info = stream.info()
            assert (info.ecn, info.accurate_ecn) == (agreed, False)
            assert ("ecn" in kernel_info(netns).words) == agreed
            await close_both(stream, theirs)

    run_with_kernel(
        netns,
        program,
        sysctls={"tcp_ecn": mode},
        settings={"ecn": "accurate", "congestion": control},
    )


@pytest.mark.parametrize(
    "opened", [opened_by_kernel, opened_by_us], ids=["kernel-opens", "we-open"]
)
def test_a_kernel_that_knows_accurate_ecn_agrees_to_it(
    netns: NetworkNamespace, opened: Opened
) -> None:
    asked = netns.run(["tee", "/proc/sys/net/ipv4/tcp_ecn"], data=b"3", expect=None)
    if asked.returncode:
        pytest.skip("this kernel refuses tcp_ecn = 3: it has no accurate ECN")

    async def program(host: Host) -> None:
        async with opened(host) as (stream, theirs):
            await transfer(stream, theirs, bytes_each=200_000)
            info = stream.info()
            assert info.accurate_ecn
            assert info.accurate_ecn_silent == ""
            assert info.ect0_received_bytes + info.ce_received_bytes == 200_000
            await close_both(stream, theirs)

    run_with_kernel(netns, program, sysctls={"tcp_ecn": 3}, settings={"ecn": "accurate"})
