"""Networks as environments of reinforcement learning (the extra `gym`).

`CongestionEnv` is a connection whose window is set by whoever learns; a step is an interval of
virtual time. Importing this registers `pystack/Congestion-v0` with gymnasium.
docs/protocol-kit.md has how it is used.
"""

from pystack.core.extras import need

need("gymnasium", "pystack.gym")

from gymnasium.envs.registration import register, registry  # noqa: E402

from pystack.gym.congestion import CongestionEnv  # noqa: E402
from pystack.gym.interval import REWARDS, Interval, Reward  # noqa: E402
from pystack.gym.scene import Scene, SceneMaker  # noqa: E402

__all__ = ["REWARDS", "CongestionEnv", "Interval", "Reward", "Scene", "SceneMaker"]

if "pystack/Congestion-v0" not in registry:
    register(id="pystack/Congestion-v0", entry_point="pystack.gym.congestion:CongestionEnv")
