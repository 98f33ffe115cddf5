"""Loss, duplication, corruption and reordering are as often, and as bursty, as they were ordered.

Each test sends 100,000 packets with a fixed seed, and fails at a significance of 0.001.
"""

import math
from collections import Counter
from itertools import pairwise

import pytest
from impair_line import PACKETS, Line
from impair_statistics import (
    Z_TWO_SIDED,
    autocorrelation,
    chi_square_holds,
    geometric_holds,
    rate_holds,
    runs,
)

from pystack.core.rng import Random
from pystack.link.impair.chance import Correlated


@pytest.mark.parametrize("probability", [0.001, 0.01, 0.1, 0.5])
def test_random_loss_has_its_rate_and_no_memory(probability: float) -> None:
    line = Line(loss=probability)
    lost = line.lost
    assert rate_holds(sum(lost), PACKETS, probability)
    assert line.pipe.counters == {"loss": sum(lost)}
    of_lost, of_passed = runs(lost)
    assert geometric_holds(of_passed, probability)
    if probability >= 0.01:
        assert geometric_holds(of_lost, 1 - probability)


def test_the_statistics_find_a_rate_that_is_off_by_a_twentieth_and_gaps_by_a_tenth() -> None:
    assert not rate_holds(sum(Line(loss=0.105).lost), PACKETS, 0.1)
    assert not geometric_holds(runs(Line(loss=0.11).lost)[1], 0.1)


@pytest.mark.parametrize(("p", "r"), [(0.01, 0.25), (0.05, 0.1), (0.002, 0.5)])
def test_bursts_and_gaps_of_gemodel_are_geometric(p: float, r: float) -> None:
    of_lost, of_passed = runs(Line(loss=f"gemodel {p:.3%} {r:.3%}").lost)
    assert geometric_holds(of_lost, r)
    assert geometric_holds(of_passed, p)


def test_the_rate_of_gemodel_with_losses_in_both_states() -> None:
    p, r, bad, good = 0.02, 0.2, 0.5, 0.01
    share_bad = p / (p + r)
    rate = share_bad * bad + (1 - share_bad) * good
    lost = sum(Line(loss=f"gemodel {p:.3%} {r:.3%} {bad:.3%} {good:.3%}").lost)
    # The state remembers, with (1 - p - r) from frame to frame: the variance of the sum is larger.
    memory = (1 - p - r) / (p + r)
    variance = rate * (1 - rate) + 2 * (bad - good) ** 2 * share_bad * (1 - share_bad) * memory
    assert abs(lost - PACKETS * rate) < Z_TWO_SIDED * math.sqrt(PACKETS * variance)


def test_state_loses_alone_and_in_bursts() -> None:
    p13, p31, p14 = 0.01, 0.2, 0.03
    of_lost, of_passed = runs(Line(loss=f"state {p13:.3%} {p31:.3%} 0 100% {p14:.3%}").lost)
    assert geometric_holds(of_passed, p13 + p14)
    alone = p14 / (p13 + p14)
    counts = Counter(min(length, 15) for length in of_lost)
    expected = [alone * (n == 1) + (1 - alone) * p31 * (1 - p31) ** (n - 1) for n in range(1, 15)]
    expected.append(1 - sum(expected))
    assert chi_square_holds(
        [counts[n] for n in range(1, 16)], [len(of_lost) * part for part in expected]
    )


def test_within_a_burst_of_state_frames_pass_for_as_long_as_p23_says() -> None:
    # Gaps between bursts are 1000 frames long on average, good runs within a burst 2.
    of_passed = runs(Line(loss="state 0.1% 2% 30% 50% 0").lost)[1]
    assert geometric_holds([length for length in of_passed if length < 30], 0.5)


@pytest.mark.parametrize("rho", [0.25, 0.5, 0.9])
def test_correlated_numbers_have_their_correlation(rho: float) -> None:
    source = Correlated(Random(7), rho)
    assert autocorrelation([source.draw() for _ in range(PACKETS)]) == pytest.approx(rho, abs=0.01)


@pytest.mark.parametrize(("probability", "rho"), [(0.3, 0.25), (0.1, 0.25), (0.3, 0.5)])
def test_correlated_loss_is_less_than_ordered_by_as_much_as_netem_s(
    probability: float, rho: float
) -> None:
    lost = Line(loss=probability, loss_correlation=rho).lost
    expected = share_below(probability, rho)
    assert expected < probability
    # The numbers have a memory, and so has the loss: no more than theirs.
    spread = math.sqrt(PACKETS * expected * (1 + rho) / (1 - rho))
    assert abs(sum(lost) - PACKETS * expected) < Z_TWO_SIDED * spread


def share_below(limit: float, rho: float) -> float:
    """Return how often x' = (1 - rho) u + rho x is below a limit, by iteration to the fixed point.

    F(x) is the mean of F((x - (1 - rho) u) / rho) over all u from 0 to 1.
    """
    cells = 400
    shares = [cell / cells for cell in range(cells + 1)]
    for _ in range(60):
        total, sums = 0.0, [0.0]
        for one, two in pairwise(shares):
            total += (one + two) / 2 / cells
            sums.append(total)

        def integral(x: float, sums: list[float] = sums) -> float:
            """Return the integral of F from 0 to x."""
            if x <= 0:
                return 0.0
            if x >= 1:
                return sums[-1] + x - 1
            cell = int(x * cells)
            return sums[cell] + (sums[cell + 1] - sums[cell]) * (x * cells - cell)

        shares = [
            (integral(x / rho) - integral((x - 1 + rho) / rho)) * rho / (1 - rho)
            for x in (cell / cells for cell in range(cells + 1))
        ]
    return shares[round(limit * cells)]


@pytest.mark.parametrize("probability", [0.01, 0.3])
def test_duplication_has_its_rate_and_copies_come_in_pairs(probability: float) -> None:
    line = Line(duplicate=probability)
    copies = Counter(line.numbers)
    doubled = sum(count == 2 for count in copies.values())
    assert set(copies.values()) == {1, 2}
    assert len(copies) == PACKETS
    assert rate_holds(doubled, PACKETS, probability)
    assert line.numbers == sorted(line.numbers)


def test_corruption_has_its_rate_and_hits_every_bit_as_often() -> None:
    line = Line(corrupt=0.2)
    bits: Counter[int] = Counter()
    for number, frame in enumerate(line.frames):
        difference = int.from_bytes(frame.data, "big") ^ (number << 8 * 96)
        assert difference.bit_count() <= 1
        if difference:
            bits[difference.bit_length() - 1] += 1
    hits = sum(bits.values())
    assert rate_holds(hits, PACKETS, 0.2)
    assert chi_square_holds([bits[bit] for bit in range(800)], [hits / 800] * 800)


def test_the_share_of_frames_that_overtake() -> None:
    line = Line(delay="10ms", reorder="25%", spacing_s=0.001)
    ahead = sum(delay < 0.005 for delay in line.delays_s)
    assert rate_holds(ahead, PACKETS, 0.25)
    assert line.pipe.counters["reorder"] == ahead


def test_the_gap_from_one_that_overtakes_to_the_next() -> None:
    line = Line(delay="10ms", reorder="40%", gap=5, spacing_s=0.001)
    ahead = [number for number, delay in enumerate(line.delays_s) if delay < 0.005]
    gaps = [after - before for before, after in pairwise(ahead)]
    assert geometric_holds([gap - 4 for gap in gaps], 0.4)
