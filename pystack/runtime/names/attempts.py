"""Several addresses of one name: which of them is connected to (RFC 8305 section 5)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

import trio

from pystack.core.addresses import Ip, is_v6

if TYPE_CHECKING:
    from pystack.runtime.streams import TcpStream

STAGGER_S: Final = 0.25  # "Connection Attempt Delay"; Trio's open_tcp_stream has the same

ConnectFn = Callable[[Ip], "Awaitable[TcpStream]"]


def interleaved(addresses: Sequence[Ip]) -> tuple[Ip, ...]:
    """Return addresses so that both versions take turns (RFC 8305 section 4), else as they come.

    The version of the first begins; so one that does not work costs a quarter of a second once.
    """
    if not addresses:
        return ()
    first = is_v6(addresses[0])
    one = [address for address in addresses if is_v6(address) is first]
    other = [address for address in addresses if is_v6(address) is not first]
    turns = zip_longest(one, other)
    return tuple(address for turn in turns for address in turn if address is not None)


async def first_that_opens(connect: ConnectFn, addresses: Sequence[Ip]) -> TcpStream:
    """Connect to one of the addresses: to the first that can be had, in their order.

    The next is tried when the one before has failed, or has said nothing for `STAGGER_S`; those
    that are too late are given up. Where none opens, raises the error of the first, an OSError.
    """
    if len(addresses) == 1:
        return await connect(addresses[0])
    errors: dict[Ip, Exception] = {}
    opened: list[TcpStream] = []

    async def attempt(address: Ip, failed: trio.Event) -> None:
        try:
            stream = await connect(address)
        except Exception as error:  # to be raised as it is, and not in a group
            errors[address] = error
            failed.set()
            return
        opened.append(stream)
        nursery.cancel_scope.cancel()

    try:
        async with trio.open_nursery() as nursery:
            for address in addresses:
                failed = trio.Event()
                nursery.start_soon(attempt, address, failed)
                with trio.move_on_after(STAGGER_S):
                    await failed.wait()
    except BaseException:
        for stream in opened:
            stream.close()
        raise
    for late in opened[1:]:
        late.close()  # two at one instant
    if not opened:
        raise errors[addresses[0]]
    return opened[0]
