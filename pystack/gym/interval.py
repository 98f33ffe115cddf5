"""What one step of an environment was like, what is seen of it, and what it is worth."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Final

from pystack.core.errors import ConfigError, one_line


@dataclass(frozen=True, slots=True)
class Interval:
    """A connection during one step."""

    now: float  # seconds of the world's clock, at its end
    interval_s: float
    throughput_bps: float  # what was delivered: acknowledged, cumulatively or by SACK
    rtt_s: float  # mean of the round trips that were measured; of none, the smoothed one; 0: none
    srtt_s: float  # smoothed; 0 until the first measurement
    min_rtt_s: float  # least so far; 0 until the first measurement
    cwnd_bytes: int
    segment_bytes: int
    in_flight_bytes: int
    lost_share: float  # segments sent again, of all that were sent
    queue_packets: int  # that wait at the bottleneck; no connection can see that

    def to_dict(self) -> dict[str, float]:
        """Return it by the names of its fields."""
        return {name: getattr(self, name) for name in _FIELDS}


_FIELDS: Final = tuple(field.name for field in fields(Interval))


# What a step is worth
Reward = Callable[[Interval], float]

_LEAST_BPS: Final = 10_000.0  # below that nothing is delivered: a logarithm needs a bound


def power(step: Interval) -> float:
    """Throughput over round trip, as logarithms: what a full line and no queue make largest."""
    rate = math.log(max(step.throughput_bps, _LEAST_BPS) / 1e6)
    if not step.min_rtt_s:
        return rate
    return rate - math.log(max(step.rtt_s / step.min_rtt_s, 1.0)) - 5.0 * step.lost_share


def linear(step: Interval) -> float:
    """10 for a Mbit/s, less 1 for a millisecond in a queue, and 20 for each per cent lost."""
    queued_s = max(step.rtt_s - step.min_rtt_s, 0.0)
    return 10 * step.throughput_bps / 1e6 - 1000 * queued_s - 2000 * step.lost_share


def throughput(step: Interval) -> float:
    """Mbit/s, whatever it does to queues."""
    return step.throughput_bps / 1e6


REWARDS: Final[Mapping[str, Reward]] = {
    "power": power,
    "linear": linear,
    "throughput": throughput,
}


def reward_named(reward: str | Reward) -> Reward:
    """Return what to count by. ConfigError: there is none of that name."""
    if callable(reward):
        return reward
    if reward not in REWARDS:
        raise ConfigError(
            f"reward is {reward!r}: it is one of {', '.join(REWARDS)}, or a function of an Interval"
        )
    return REWARDS[reward]


def worth(reward: Reward, step: Interval) -> float:
    """Return what a step is worth. ConfigError: the function gives no number."""
    value = reward(step)
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the reward is {value!r}, no number: {one_line(error)}") from None
    if not math.isfinite(number):
        raise ConfigError(f"the reward is {number}: it is a finite number")
    return number
