"""A congestion control that is learnt by the cross-entropy method, on lines drawn at random.

The policy has three numbers: `a = w0 + w1 (rtt / min_rtt - 1) + w2 loss`, and the window is
multiplied by 2**a ten times a second. It is trained on lines of 0.5 to 3 Mbit/s (an argument: so
many generations), and held against others on lines unseen (extra gym: `scripts/environment gym`).
"""

import sys

import numpy as np

from pystack.gym import CongestionEnv

TRAINING = {"rate": ("500kbit", "3mbit"), "delay": ("5ms", "40ms"), "limit": (10, 80)}
UNSEEN = (
    {"rate": "5mbit", "delay": "20ms", "limit": 60},
    {"rate": "4mbit", "delay": "75ms", "limit": 40},
    {"rate": "1mbit", "delay": "3ms", "limit": 100},
    {"rate": "5mbit", "delay": "15ms", "limit": 50, "loss": "0.5%"},
)
STEPS, WARM_UP = 30, 8


def episode(env: CongestionEnv, seed: int, weights: np.ndarray, **line: object) -> float:
    """Return the mean reward of the steps after slow start."""
    seen, _ = env.reset(seed=seed, options=line)
    rewards = []
    for _ in range(STEPS):
        features = np.array([1.0, max(seen[2] - 1.0, 0.0), seen[6]])
        seen, reward, _, _, _ = env.step(np.clip([weights @ features], -1, 1))
        rewards.append(reward)
    return float(np.mean(rewards[WARM_UP:]))


def train(generations: int, population: int = 12, elite: int = 3) -> np.ndarray:
    """Draw policies around the best of the last generation; all of one have the same lines."""
    env, chance = CongestionEnv(steps=STEPS, **TRAINING), np.random.default_rng(1)
    mean, spread = np.zeros(3), np.array([0.3, 1.0, 1.0])
    for generation in range(generations):
        policies = chance.normal(mean, spread, (population, 3))
        worth = [sum(episode(env, 2 * generation + k, w) for k in (1, 2)) for w in policies]
        best = policies[np.argsort(worth)[-elite:]]
        mean, spread = best.mean(axis=0), best.std(axis=0) + 0.02
        print(f"generation {generation + 1}: {max(worth) / 2:.2f} with {best[-1].round(2)}")
    return mean


def main(generations: int) -> None:
    learnt = train(generations)
    for line in UNSEEN:
        found = {"learnt": episode(CongestionEnv(steps=STEPS), 9, learnt, **line)}
        for name in ("fixed:20", "cubic", "bbr"):
            env = CongestionEnv(steps=STEPS, control=name, steered=False)
            found[name] = episode(env, 9, learnt, **line)
        print(*line.values(), *(f"{name} {value:.2f}" for name, value in found.items()), sep="  ")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
