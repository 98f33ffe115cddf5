"""A connection whose window is set by whoever learns: an environment of gymnasium."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any, Final, Literal, NoReturn, SupportsFloat

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from pystack.core.errors import ConfigError
from pystack.core.ranges import FROM_ONE
from pystack.core.rng import component_rng
from pystack.core.suggest import counted
from pystack.core.units import parse_time_s
from pystack.gym.episode import Episode
from pystack.gym.interval import Interval, Reward, reward_named, worth
from pystack.gym.scene import SceneMaker, Word, check_words, drawn, dumbbell
from pystack.tcp.congestion.registry import CONTROLS, ControlLike

Observed = NDArray[np.float32]
Acting = Literal["factor", "factor_and_pace", "discrete"]

# By what the window is multiplied
FACTORS: Final = (0.5, 0.8, 1.0, 1.25, 2.0)
# What is seen of an interval, and the most that it can be
OBSERVATION: Final = {
    "throughput, Mbit/s": 1e5,
    "throughput, of the most so far": 1.0,
    "round trip, of the least so far": 1e3,
    "smoothed round trip, s": 120.0,
    "window, segments": 1e6,
    "in flight, of the window": 1e2,
    "sent again, of what was sent": 1.0,
}
DEFAULT_LINE: Final[Mapping[str, Word]] = {"rate": "10mbit", "delay": "20ms", "limit": 60}


class CongestionEnv(gymnasium.Env[Observed, Any]):
    """One flow over one bottleneck; a step is an interval of virtual time.

    Deterministic: what follows from a seed and a row of actions is the same each time.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - gymnasium's

    def __init__(
        self,
        *,
        interval: str | float = "100ms",
        steps: int = 100,
        action: Acting = "factor",
        reward: str | Reward = "power",
        rivals: Sequence[ControlLike] = (),
        control: ControlLike = "fixed:10",
        steered: bool = True,
        pace: float | None = 1.25,
        network: SceneMaker | None = None,
        render_mode: None = None,
        **line: Word,
    ) -> None:
        """`line`: netem's words of the bottleneck; two values, and each episode draws one between.

        Without any: 10 Mbit/s, 20 ms in each direction, a queue of 60 packets. `interval`: of a
        step; an episode has `steps` of them. `action`: "factor": the window times 2**a, a in -1..1;
        "factor_and_pace": and the pacing rate times 2**b; "discrete": one of `FACTORS`. `reward`:
        a name of `REWARDS`, or a function of an `Interval`. `rivals`: the controls of flows beside.
        `pace`: send at so many windows in a round trip; None: in bursts, as ACKs come.
        `steered=False`: the flow is left to its `control`, to compare with. `network`: a function
        that makes another network altogether. Raises ConfigError for what can't be.
        """
        if render_mode is not None:
            raise ConfigError(f"render_mode is {render_mode!r}: the environment draws nothing")
        self.render_mode = None
        self._interval_s = parse_time_s(interval)
        if not 0 < self._interval_s < math.inf:
            raise ConfigError(f"interval is {interval!r}: it is a time above 0")
        FROM_ONE.check("steps", steps)
        if pace is not None and not (isinstance(pace, Real) and 0 < pace < math.inf):
            raise ConfigError(f"pace is {pace!r}: it is a number above 0, or None")
        if network is not None and (line or rivals):
            raise ConfigError("a network of one's own has its own lines and rivals: leave them out")
        for each in (control, *rivals):
            CONTROLS.read(each)
        self._steps, self._steered, self._pace = steps, steered, pace
        self._reward = reward_named(reward)
        self._rivals, self._control, self._network = tuple(rivals), control, network
        self._line = line or dict(DEFAULT_LINE)
        check_words(self._line)
        self._acting = action
        self.action_space = _action_space(action)
        self.observation_space = gymnasium.spaces.Box(
            np.zeros(len(OBSERVATION), np.float32),
            np.array(list(OBSERVATION.values()), np.float32),
            dtype=np.float32,
        )
        self._episode: Episode | None = None  # None: there is none
        self._stepping = False
        self._left = 0  # steps
        self._most_bps = 0.0

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Observed, dict[str, Any]]:
        """Begin an episode. `options`: words of this one's line, instead of those that are drawn.

        Raises ConfigError for words that can't be, and whatever the network's own code does.
        """
        self._check_idle()
        super().reset(seed=seed)
        self.close()
        seed_of_world = int(self.np_random.integers(1 << 31))
        line = {**self._line, **(options or {})}
        check_words(line)
        words = drawn(line, component_rng(seed_of_world, "gym"))
        make = self._network or dumbbell(words, self._rivals, self._control)
        self._episode = episode = Episode(seed_of_world, steered=self._steered, pace=self._pace)
        episode.world.end_with(self)
        self._left, self._most_bps = self._steps, 0.0
        try:
            episode.begin(make)
            step = episode.pass_time(self._interval_s)
        except BaseException:
            self.close()
            raise
        said = {"line": words} if self._network is None else {}
        return self._observed(step), {**step.to_dict(), **said}

    def step(self, action: Any) -> tuple[Observed, SupportsFloat, bool, bool, dict[str, Any]]:  # noqa: ANN401
        """Set the window, let the interval pass, and see what has become of it.

        Terminated: the connection is over. Truncated: the episode is. ConfigError for what is no
        action, which changes nothing; ResetNeeded where there is no episode.
        """
        self._check_idle()
        episode = self._episode
        if episode is None:
            raise ResetNeeded("the environment has no episode: call reset() first")
        factor, gain = self._read(action)
        self._stepping = True
        try:
            episode.steer(factor, gain)
            step = episode.pass_time(self._interval_s)
            reward = worth(self._reward, step)
        except BaseException:
            self.close()
            raise
        finally:
            self._stepping = False
        self._left -= 1
        terminated, truncated = episode.is_over, self._left <= 0
        if terminated or truncated:
            self.close()
        return self._observed(step), reward, terminated, truncated, step.to_dict()

    def render(self) -> NoReturn:
        """Raise NotImplementedError: there is no picture."""
        raise NotImplementedError(
            "the environment draws nothing: reset() and step() return a dictionary of what was "
            "measured, to be plotted"
        )

    def close(self) -> None:
        """End the episode; nothing of its world is left.

        Whoever is dropped without it is ended by `del`, or before the next turn of any world in its
        thread where the collector has found it, with a ResourceWarning.
        """
        episode, self._episode = self._episode, None
        if episode is not None:
            episode.world.close()

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy, or one for another process, has: all but the episode."""
        return {**self.__dict__, "_episode": None, "_stepping": False}

    def _check_idle(self) -> None:
        """Raise RuntimeError where a reward, or the network's own code, calls its environment."""
        if self._stepping:
            raise RuntimeError("the environment is in the middle of a step: a step cannot take one")

    def _read(self, action: Any) -> tuple[float, float]:  # noqa: ANN401 - whatever a policy gives
        """Return the factor of the window, and that of the pacing rate."""
        if self._acting == "discrete":
            # What the space has in it: libraries give arrays without a dimension too
            if not self.action_space.contains(action):
                raise ConfigError(f"{action!r} is no action: it is 0 to {len(FACTORS) - 1}")
            return FACTORS[int(action)], 1.0
        wanted = 2 if self._acting == "factor_and_pace" else 1
        try:
            values = np.asarray(action, np.float64).reshape(-1)
        except (TypeError, ValueError, OverflowError):
            values = np.empty(0)
        if values.size != wanted or not np.isfinite(values).all():
            raise ConfigError(
                f"{action!r} is no action: it is {counted(wanted, 'number')} from -1 to 1"
            )
        exponents = [2.0 ** float(value) for value in np.clip(values, -1.0, 1.0)]
        return exponents[0], exponents[1] if wanted == 2 else 1.0

    def _observed(self, step: Interval) -> Observed:
        self._most_bps = max(self._most_bps, step.throughput_bps)
        seen = (
            step.throughput_bps / 1e6,
            step.throughput_bps / self._most_bps if self._most_bps else 0.0,
            step.rtt_s / step.min_rtt_s if step.min_rtt_s else 0.0,
            step.srtt_s,
            step.cwnd_bytes / step.segment_bytes,
            step.in_flight_bytes / step.cwnd_bytes,
            step.lost_share,
        )
        space = self.observation_space
        assert isinstance(space, gymnasium.spaces.Box)
        return np.clip(np.array(seen, np.float32), space.low, space.high)


def _action_space(action: Acting) -> gymnasium.Space[Any]:
    match action:
        case "discrete":
            return gymnasium.spaces.Discrete(len(FACTORS))
        case "factor" | "factor_and_pace":
            return gymnasium.spaces.Box(-1.0, 1.0, (1 if action == "factor" else 2,), np.float32)
    raise ConfigError(f"action is {action!r}: it is 'factor', 'factor_and_pace' or 'discrete'")
