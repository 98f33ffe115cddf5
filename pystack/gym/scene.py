"""The network of an environment: made of words, or by a function of one's own."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import trio

from pystack import Network, TcpStream
from pystack.core.errors import ConfigError
from pystack.core.rng import Random, component_rng
from pystack.core.units import parse_probability, parse_rate_bps, parse_size_bytes, parse_time_s
from pystack.link.link import Link
from pystack.link.pipe import Pipe
from pystack.link.words import as_words
from pystack.tcp.congestion.registry import ControlLike

PORT: Final = 9
CHUNK_BYTES: Final = 1 << 16

# A word of netem, or two between which each episode draws one, evenly over their logarithm
Word = str | float | tuple[str | float, str | float]


@dataclass(slots=True)
class Scene:
    """What an episode is about."""

    stream: TcpStream  # whose window is set; the program sends on it, and reads at the other end
    bottleneck: Link | Pipe | None = None  # whose queue is in `Interval`; None: none is


# Makes the network; what it starts in the nursery goes on until the episode ends.
SceneMaker = Callable[[Network, trio.Nursery], Awaitable[Scene]]

# What `Network.link` takes beside netem's words
_OF_LINKS: Final = ("preset", "a_to_b", "b_to_a", "mtu_bytes", "offload")
_QUANTITIES: Final[Mapping[str, Callable[[str | float], float]]] = {
    "rate": parse_rate_bps,
    "delay": parse_time_s,
    "loss": parse_probability,
    "limit": float,
    "jitter": parse_time_s,
    "burst": parse_size_bytes,
}


def drawn(words: Mapping[str, Word], rng: Random) -> dict[str, str | float]:
    """Return the words of an episode: of each two one that lies between them."""
    return {name: _between(name, word, rng) for name, word in words.items()}


def check_words(words: Mapping[str, Word]) -> None:
    """Raise ConfigError for unknown words, and what can't be drawn; netem says the rest in time."""
    as_words({name: word for name, word in words.items() if name not in _OF_LINKS})
    drawn(words, component_rng(0, "trial"))
    if not (_is_some("rate", words) or _is_some("delay", words)):
        raise ConfigError(
            "a line of neither rate nor delay carries all there is at one instant, and time stands "
            "still: give it one of them"
        )


def _is_some(name: str, words: Mapping[str, Word]) -> bool:
    """Tell whether a word is there, and not 0 (of two values, not both)."""
    word = words.get(name)
    ends = word if isinstance(word, tuple | list) else (word,)
    return any(end is not None and _QUANTITIES[name](end) > 0 for end in ends)


def dumbbell(
    words: Mapping[str, str | float], rivals: Sequence[ControlLike], control: ControlLike
) -> SceneMaker:
    """Return what makes one bottleneck: a flow of ours from `us`, and rivals' beside it."""

    async def make(net: Network, nursery: trio.Nursery) -> Scene:
        us, there = net.host("us"), net.host("there")
        rivalling = [net.host(f"rival{number + 1}") for number in range(len(rivals))]
        if rivalling:  # else each packet would cross links that nothing waits for
            left = net.router("left")
            bottleneck = net.link(left, there, **words)  # type: ignore[arg-type]
            for host in (us, *rivalling):
                net.link(host, left)
        else:
            bottleneck = net.link(us, there, **words)  # type: ignore[arg-type]
        (listener,) = await there.open_tcp_listeners(PORT)
        nursery.start_soon(_accept, listener, nursery)
        stream = await us.open_tcp_stream("there", PORT, congestion=control)
        nursery.start_soon(send_for_ever, stream)
        for host, rival in zip(rivalling, rivals, strict=True):
            theirs = await host.open_tcp_stream("there", PORT, congestion=rival)
            nursery.start_soon(send_for_ever, theirs)
        return Scene(stream, bottleneck.a_to_b)

    return make


async def send_for_ever(stream: TcpStream) -> None:
    """Send as fast as the connection takes it, until it is over."""
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while True:
            await stream.send_all(bytes(CHUNK_BYTES))


async def read_for_ever(stream: TcpStream) -> None:
    """Read what comes, until the connection is over."""
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while await stream.receive_some():
            pass


async def _accept(listener: trio.abc.Listener[TcpStream], nursery: trio.Nursery) -> None:
    while True:
        nursery.start_soon(read_for_ever, await listener.accept())


def _between(name: str, word: Word, rng: Random) -> str | float:
    if not isinstance(word, tuple | list):
        return word
    if name not in _QUANTITIES:
        raise ConfigError(f"{name} can't be drawn: only {', '.join(_QUANTITIES)} can")
    if len(word) != 2:
        raise ConfigError(f"{name} is {word!r}: two values are drawn between, or one is set")
    low, high = (_QUANTITIES[name](end) for end in word)
    if not 0 <= low <= high:
        raise ConfigError(f"{name} is {word!r}: the first must be the smaller one")
    value = math.exp(rng.uniform(math.log(low), math.log(high))) if low else rng.uniform(0, high)
    return round(value) if name in ("limit", "burst") else value
