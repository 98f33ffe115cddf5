"""`pystack.gym`: an environment of gymnasium, deterministic, which leaves nothing behind."""

import copy
import gc
import math
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import trio
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

import pystack
from pystack.core.errors import ConfigError
from pystack.gym import CongestionEnv, Interval, Scene
from pystack.gym.scene import read_for_ever, send_for_ever
from pystack.runtime.blocking.busy import PATIENCE

SLOW = {"rate": "1mbit", "delay": "10ms", "limit": 30}


@pytest.fixture(autouse=True)
def _all_are_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close what a test leaves open: its world would stand still beside those of other tests."""
    is_open: dict[int, CongestionEnv] = {}
    reset, close = CongestionEnv.reset, CongestionEnv.close

    @wraps(reset)
    def noted(self: CongestionEnv, **words: object) -> object:
        begun = reset(self, **words)  # type: ignore[arg-type]
        is_open[id(self)] = self  # afterwards: it has closed the episode before
        return begun

    @wraps(close)
    def closed(self: CongestionEnv) -> None:
        is_open.pop(id(self), None)
        close(self)

    monkeypatch.setattr(CongestionEnv, "reset", noted)
    monkeypatch.setattr(CongestionEnv, "close", closed)
    yield
    for env in reversed(list(is_open.values())):
        env.close()


def episode(env: CongestionEnv, actions: Sequence[Any], seed: int = 1) -> list[tuple[Any, ...]]:
    seen, _ = env.reset(seed=seed)
    rows: list[tuple[Any, ...]] = [tuple(seen.tolist())]
    for action in actions:
        seen, reward, terminated, truncated, _ = env.step(action)
        rows.append((*seen.tolist(), float(reward), terminated, truncated))
        if terminated or truncated:
            break
    return rows


@pytest.mark.parametrize("action", ["factor", "factor_and_pace", "discrete"])
def test_gymnasiums_checker_has_nothing_to_say(action: str) -> None:
    env = gymnasium.make("pystack/Congestion-v0", action=action, steps=5, **SLOW)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped, skip_render_check=True)
    env.close()


def test_a_seed_and_a_row_of_actions_give_the_same_each_time() -> None:
    words = {"rate": ("1mbit", "4mbit"), "delay": "10ms", "limit": 30, "loss": "1%"}
    actions = [[a] for a in (1, 1, 0.5, -1, 0, 0.3, -0.2, 1)]
    env = CongestionEnv(**words)
    first = episode(env, actions)
    assert episode(env, actions) == first
    assert episode(CongestionEnv(**words), actions) == first
    assert episode(env, actions, seed=2) != first


def test_episodes_without_a_seed_go_on_by_the_last_one() -> None:
    lines = []
    for _ in range(2):
        env = CongestionEnv(rate=("1mbit", "9mbit"), steps=1)
        lines.append([env.reset(seed=5)[1]["line"]["rate"], env.reset()[1]["line"]["rate"]])
        env.close()
    assert lines[0] == lines[1]
    assert lines[0][0] != lines[0][1]
    assert all(1e6 <= rate <= 9e6 for rate in lines[0])


def test_the_window_is_what_the_actions_say() -> None:
    env = CongestionEnv(**SLOW)
    _, said = env.reset(seed=1)
    mss = said["segment_bytes"]
    assert said["cwnd_bytes"] == 10 * mss
    for action, segments in ((1.0, 20), (0.0, 20), (-1.0, 10), (-1.0, 5), (0.5, 5 * 2**0.5)):
        _, _, _, _, said = env.step([action])
        assert said["cwnd_bytes"] == int(segments * mss)
    for _ in range(9):
        _, _, _, _, said = env.step([-1.0])
    assert said["cwnd_bytes"] == 2 * mss
    env.close()


def test_a_full_line_and_no_queue_are_worth_most() -> None:
    def worth(action: float, steps: int) -> float:
        env = CongestionEnv(rate="2mbit", delay="20ms", limit=100)
        env.reset(seed=1)
        for _ in range(steps):
            env.step([action])
        reward = float(env.step([0.0])[1])
        env.close()
        return reward

    right = worth(0.0, 4)  # ten segments are 58 ms of this line: its round trip is 46 ms
    assert right > worth(1.0, 4) + 0.5
    assert right > worth(-1.0, 4) + 0.5


def test_an_episode_is_cut_after_its_steps_and_needs_a_reset_then() -> None:
    env = CongestionEnv(steps=3, **SLOW)
    with pytest.raises(ResetNeeded):
        env.step([0.0])
    rows = episode(env, [[0.0]] * 9)
    assert [row[-2:] for row in rows[1:]] == [(False, False), (False, False), (False, True)]
    with pytest.raises(ResetNeeded):
        env.step([0.0])
    env.reset()
    env.close()
    env.close()
    with pytest.raises(ResetNeeded):
        env.step([0.0])


@pytest.mark.parametrize(
    "garbage", [[math.nan], [math.inf], [], [1, 2], None, "up", [None], {}, [10**400]]
)
def test_garbage_is_no_action_and_changes_nothing(garbage: object) -> None:
    env = CongestionEnv(**SLOW)
    env.reset(seed=1)
    with pytest.raises(ConfigError, match="is no action"):
        env.step(garbage)
    first = env.step([0.5])[0].tolist()
    env.close()
    assert first == list(episode(CongestionEnv(**SLOW), [[0.5]])[1][:7])


@pytest.mark.parametrize("way", [int, np.int32, np.int64, np.array])
def test_all_that_the_space_has_in_it_is_an_action(way: Callable[[int], object]) -> None:
    """Libraries choose by an array without a dimension, as `predict` of stable-baselines3 does."""
    env = CongestionEnv(action="discrete", **SLOW)
    env.reset(seed=1)
    action = way(3)
    assert env.action_space.contains(action)
    seen = env.step(action)[0].tolist()
    env.reset(seed=1)
    assert seen == env.step(3)[0].tolist()
    env.close()


@pytest.mark.parametrize("garbage", [5, -1, 0.5, None, [1, 2], np.array(5), np.array([2])])
def test_nor_is_a_number_that_is_none_of_them(garbage: object) -> None:
    env = CongestionEnv(action="discrete", **SLOW)
    env.reset(seed=1)
    with pytest.raises(ConfigError, match="is no action: it is 0 to 4"):
        env.step(garbage)
    env.step(np.int64(4))
    env.close()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ({"interval": "0ms"}, "a time above 0"),
        ({"steps": 0}, "steps is 0"),
        ({"action": "jump"}, "action is 'jump'"),
        ({"reward": "fun"}, "one of power, linear, throughput"),
        ({"rivals": ["cubi"]}, "cubi"),
        ({"pace": 0}, "pace is 0"),
        ({"rate": ("9mbit", "1mbit")}, "the first must be the smaller"),
        ({"rate": ("1mbit",)}, "two values"),
        ({"qdisc": ("codel", "red")}, "qdisc can't be drawn"),
        ({"queue": "codel"}, "does not know the word 'queue'"),
    ],
)
def test_what_cannot_be_is_said_when_it_is_made(words: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        CongestionEnv(**words)


def test_that_it_draws_nothing_is_said() -> None:
    with pytest.raises(ConfigError, match="render_mode is 'human': the environment draws nothing"):
        CongestionEnv(render_mode="human")  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError, match="the environment draws nothing"):
        CongestionEnv().render()


def test_a_word_that_no_link_has_is_said_at_the_reset_which_can_be_done_again() -> None:
    env = CongestionEnv(steps=1)
    with pytest.raises(ConfigError, match="rat"):
        env.reset(options={"rat": "1mbit"})
    env.reset(options=SLOW)
    env.close()


def test_the_reward_is_ones_own_and_must_be_a_number() -> None:
    env = CongestionEnv(reward=lambda step: -step.queue_packets, **SLOW)
    env.reset(seed=1)
    rewards = [env.step([1.0])[1] for _ in range(4)]
    assert all(-30 <= float(reward) < -10 for reward in rewards)  # it has 30 packets at most
    assert min(rewards) < -25
    env.close()
    env = CongestionEnv(reward=lambda step: math.nan, **SLOW)
    env.reset(seed=1)
    with pytest.raises(ConfigError, match="the reward is nan"):
        env.step([0.0])
    env.reset(seed=1)
    env.close()


def test_rivals_take_their_share() -> None:
    alone = episode(CongestionEnv(**SLOW), [[0.0]] * 10)[-1][0]
    beside = episode(CongestionEnv(rivals=["cubic", "bbr"], **SLOW), [[0.0]] * 10)[-1][0]
    assert beside < 0.7 * alone


class BoomError(Exception):
    """What goes wrong in a network of one's own."""


async def reset_later(net: pystack.Network, nursery: trio.Nursery) -> Scene:
    a, b = net.host("a"), net.host("b")
    net.link(a, b, delay="10ms", rate="1mbit", limit=20)
    (listener,) = await b.open_tcp_listeners(9)
    stream = await a.open_tcp_stream("b", 9)
    peer = await listener.accept()
    nursery.start_soon(read_for_ever, peer)
    nursery.start_soon(send_for_ever, stream)

    async def end() -> None:
        await trio.sleep(0.35)
        peer.abort()

    nursery.start_soon(end)
    return Scene(stream)


async def raises_later(net: pystack.Network, nursery: trio.Nursery) -> Scene:
    async def boom() -> None:
        await trio.sleep(0.4)
        raise BoomError("out of the world")

    nursery.start_soon(boom)
    return await reset_later(net, nursery)


def test_a_connection_that_ends_terminates_the_episode() -> None:
    rows = episode(CongestionEnv(network=reset_later), [[0.0]] * 9)
    assert rows[-1][-2:] == (True, False)
    assert 2 <= len(rows) <= 5


def test_what_the_network_raises_comes_out_of_the_step_and_a_reset_goes_on() -> None:
    env = CongestionEnv(network=raises_later)
    for _ in range(2):
        env.reset(seed=1)
        env.step([0.0])
        env.step([0.0])
        with pytest.raises(BoomError, match="out of the world"):
            env.step([0.0])
        with pytest.raises(ResetNeeded):
            env.step([0.0])
    env.close()


def test_a_network_that_never_opens_is_named() -> None:
    async def nobody(net: pystack.Network, nursery: trio.Nursery) -> Scene:
        await trio.sleep_forever()
        raise AssertionError

    with pytest.raises(ConfigError, match="did not open within 120 s"):
        CongestionEnv(network=nobody).reset()


def test_nothing_is_left_behind_in_the_middle_of_an_episode() -> None:
    def some() -> None:
        for _ in range(5):
            env = CongestionEnv(**SLOW)
            env.reset(seed=1)
            env.step([0.0])
            env.reset(seed=1)
            env.reset(seed=1)
            env.close()

    def left() -> tuple[int, int]:
        while gc.collect():  # what has a finalizer is only gone a time later
            pass
        hosts = sum(isinstance(thing, pystack.Host | pystack.Network) for thing in gc.get_objects())
        return threading.active_count(), hosts

    some()
    before = left()
    some()
    assert left() == before
    assert abs(time.time() - time.clock_gettime(time.CLOCK_REALTIME)) < 5  # the machine's again


def test_two_stand_beside_each_other_and_beside_a_run() -> None:
    one, other = CongestionEnv(**SLOW), CongestionEnv(**SLOW)
    one.reset(seed=1)
    rows = [one.step([0.0])[0].tolist()]
    other.reset(seed=1)

    async def main() -> float:
        await trio.sleep(5)
        return trio.current_time()

    assert [other.step([0.0])[0].tolist()] == rows
    assert pystack.run(main) == 5
    assert one.step([0.0])[0].tolist() == other.step([0.0])[0].tolist()
    one.close()
    other.close()


VECTORS = """
import gymnasium, numpy as np, pystack.gym

def make(): return pystack.gym.CongestionEnv(rate="1mbit", delay="10ms", limit=30, steps=4)

if __name__ == "__main__":
    found = []
    for kind in (gymnasium.vector.SyncVectorEnv, gymnasium.vector.AsyncVectorEnv):
        envs = kind([make, make])
        rows = [envs.reset(seed=[1, 2])[0].tolist()]
        for _ in range(6):
            seen, rewards, *_ = envs.step(np.zeros((2, 1), np.float32))
            rows.append((seen.tolist(), rewards.tolist()))
        envs.close()
        found.append(rows)
    assert found[0] == found[1]
    print("same")
"""


def test_over_processes_it_is_the_same_as_in_one(tmp_path: Path) -> None:
    script = tmp_path / "vectors.py"
    script.write_text(VECTORS, "utf-8")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.stdout == "same\n", done.stderr


def test_an_interval_says_what_was() -> None:
    seen: list[Interval] = []

    def worth(step: Interval) -> float:
        seen.append(step)
        return 0.0

    episode(CongestionEnv(reward=worth, **SLOW), [[0.0]] * 5)
    last = seen[-1]
    assert 0.9e6 < last.throughput_bps < 1e6
    assert last.interval_s == 0.1
    assert last.min_rtt_s <= last.rtt_s
    assert last.queue_packets > 0
    assert last.lost_share == 0.0
    assert [round(b.now - a.now, 9) for a, b in pairwise(seen)] == [0.1] * 4


async def closes_later(net: pystack.Network, nursery: trio.Nursery) -> Scene:
    a, b = net.host("a"), net.host("b")
    net.link(a, b, rate="1mbit", delay="10ms")
    (listener,) = await b.open_tcp_listeners(9)
    stream = await a.open_tcp_stream("b", 9)
    nursery.start_soon(read_for_ever, await listener.accept())

    async def close() -> None:
        await trio.sleep(0.15)
        await stream.aclose()

    nursery.start_soon(close)
    return Scene(stream)


def test_a_stream_that_the_network_closes_is_steered_no_more() -> None:
    rows = episode(CongestionEnv(network=closes_later), [[0.0]] * 4)
    assert len(rows) == 5
    assert not any(terminated for *_, terminated, _truncated in rows[1:])  # the peer's end is open


def test_a_reward_takes_no_steps_itself() -> None:
    env = CongestionEnv(reward=lambda _: float(env.step([0.0])[1]), **SLOW)
    env.reset(seed=1)
    with pytest.raises(RuntimeError, match="in the middle of a step"):
        env.step([0.0])
    with pytest.raises(ResetNeeded):
        env.step([0.0])


def test_a_copy_is_one_without_an_episode() -> None:
    env = CongestionEnv(steps=2, **SLOW)
    env.reset(seed=1)
    copies = [pickle.loads(pickle.dumps(env)), copy.deepcopy(env)]
    rows = [env.step([0.0])[0].tolist()]
    env.close()
    copies.append(pickle.loads(pickle.dumps(env)))
    for each in copies:
        with pytest.raises(ResetNeeded):
            each.step([0.0])
        each.reset(seed=1)
        assert [each.step([0.0])[0].tolist()] == rows
        each.close()


@pytest.mark.parametrize("words", [{"loss": "1%"}, {"delay": "0ms"}, {"delay": (0, 0)}])
def test_a_line_on_which_no_time_passes_is_refused(words: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="neither rate nor delay"):
        CongestionEnv(**words)
    with pytest.raises(ConfigError, match="neither rate nor delay"):
        CongestionEnv(delay="1ms").reset(options={"delay": 0})


def test_a_word_that_no_link_knows_is_named() -> None:
    with pytest.raises(ConfigError, match="'delai'; did you mean 'delay'"):
        CongestionEnv(delai="3ms")
    with pytest.raises(ConfigError, match="'rat'; did you mean 'rate'"):
        CongestionEnv(delay="1ms").reset(options={"rat": "1mbit"})
    CongestionEnv(delay="1ms", mtu_bytes=1200).close()


def test_a_world_that_waits_for_its_next_step_stops_nobody_elses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(PATIENCE, "1")  # a reset takes 1 % of it
    env = CongestionEnv(**SLOW)
    env.reset(seed=1)

    async def goes_on() -> int:
        done, began_at = 0, os.times().elapsed  # the machine's: a host's clock stands still
        await trio.sleep(1)
        while os.times().elapsed < began_at + 2.5:  # for longer than the patience
            done += 1
        return done

    async def main() -> int:
        async with pystack.Network(seed=1) as net:
            return await net.host("a").run(goes_on)

    monkeypatch.setenv(PATIENCE, "0")  # nobody looks after the other one: what stops it is ours
    assert pystack.run(main)
    env.close()


def test_ctrl_c_is_not_for_an_environment_between_two_steps() -> None:
    before = signal.getsignal(signal.SIGINT)
    env = CongestionEnv(**SLOW)
    env.reset(seed=1)
    assert signal.getsignal(signal.SIGINT) is before

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            net.at(1, lambda: signal.raise_signal(signal.SIGINT))
            net.at(5, lambda: pytest.fail("it went on"))
            await trio.sleep_forever()

    with pytest.raises(KeyboardInterrupt):
        pystack.run(main)
    env.step([0.0])
    env.close()
    assert signal.getsignal(signal.SIGINT) is before
