"""What of CUBIC differs in Linux from RFC 9438, and what each difference costs: prints a table.

    scripts/python scripts/linux_cubic.py

RFC 9438 has fractions of segments, and from the last maximum on grows like Reno (section 4.3);
Linux has whole segments, and goes on at CUBIC's own pace. One difference after the other is put
into our CUBIC here, the last row is Linux's reckoning altogether, over a line with random loss in
virtual time. `scripts/beside_linux.py` has Linux itself over it.
"""

import argparse
import statistics
from random import Random
from typing import Final

import pystack
from pystack.experiments import dumbbell
from pystack.tcp.congestion.around import Around
from pystack.tcp.congestion.base import AckSample, CongestionControl, LossSample
from pystack.tcp.congestion.cubic import ALPHA, C, Cubic
from pystack.tcp.congestion.cubic import BETA as BETA_RFC
from pystack.tcp.congestion.registry import ControlFactory
from pystack.tcp.congestion.window import WindowControl

LOSS: Final = 0.01
RTT_S: Final = 0.0425  # without a queue
WARM_S: Final = 2.0
FIRST_LOSSES: Final = 10  # left out: slow start overshoots
# Linux's 0.7, in 1024ths, and with it the windows that are to be acknowledged for a segment more of
# W_est (8 / 15; the RFC has 0.53), in eighths
BETA: Final = 717
FRIENDLY: Final = 8 * (1024 + BETA) // 3 // (1024 - BETA)
TICKS_S: Final = 250  # CONFIG_HZ
FIRST_CNT: Final = 20  # ACKs for a segment more at most, before anything was lost


class SamePace(Cubic):
    """Alpha stays what it is, where section 4.3 makes it 1."""

    __slots__ = ()

    def _avoid_congestion(self, sample: AckSample) -> None:
        self.cwnd_prior = 1 << 40
        super()._avoid_congestion(sample)


class WholeSegments(SamePace):
    """And what is left after a loss is rounded down to whole segments."""

    __slots__ = ()

    def on_loss(self, sample: LossSample) -> None:
        """Multiply, and round."""
        super().on_loss(sample)
        smss = self._smss
        self.cwnd_bytes = self.ssthresh_bytes = max(self.ssthresh_bytes // smss, 2) * smss


class LinuxCubic(WindowControl):
    """All in whole segments and ticks of the clock, as Linux has it; HyStart is left out."""

    __slots__ = (
        "_acked",
        "_cnt",
        "_credit",
        "_epoch",
        "_k",
        "_looked_at",
        "_looked_cwnd",
        "_min_rtt_s",
        "_origin",
        "_rest_bytes",
        "_w_est",
        "_w_max",
    )

    name = "linux-cubic"

    def __init__(self, smss_bytes: int) -> None:
        super().__init__(smss_bytes)
        self._credit = 0  # ACKed segments that have not made the window grow yet
        self._rest_bytes = 0
        self._min_rtt_s = 0.0
        self._forget()

    def on_ack(self, sample: AckSample) -> None:
        """Keep the shortest round trip."""
        if sample.rtt_s and (not self._min_rtt_s or sample.rtt_s < self._min_rtt_s):
            self._min_rtt_s = sample.rtt_s
        super().on_ack(sample)

    def on_loss(self, sample: LossSample) -> None:
        """Give back three tenths of the window, not of what is in flight."""
        ssthresh_bytes = self._reduced_bytes()
        super().on_loss(sample)
        self.ssthresh_bytes = self.cwnd_bytes = ssthresh_bytes
        self._credit = 0

    def on_rto(self, now: float, flight_size_bytes: int) -> None:
        """Begin anew."""
        ssthresh_bytes = self._reduced_bytes()
        super().on_rto(now, flight_size_bytes)
        self.ssthresh_bytes = ssthresh_bytes
        self._forget()

    def _forget(self) -> None:
        self._w_max = self._w_est = self._origin = self._acked = self._cnt = 0
        self._epoch: int | None = None  # None: the next ACK begins one
        self._k = 0.0
        self._looked_cwnd = self._looked_at = 0

    def _reduced_bytes(self) -> int:
        cwnd = self.cwnd_bytes // self._smss
        self._epoch = None
        self._w_max = cwnd * (1024 + BETA) // 2048 if cwnd < self._w_max else cwnd
        return max(cwnd * BETA // 1024, 2) * self._smss

    def _avoid_congestion(self, sample: AckSample) -> None:
        acked, self._rest_bytes = divmod(self._rest_bytes + sample.acked_bytes, self._smss)
        if not acked:
            return
        cwnd = self.cwnd_bytes // self._smss
        self._look(cwnd, acked, int(sample.now * TICKS_S))
        if self._credit >= self._cnt:  # earned while one more took longer
            self._credit = 0
            cwnd += 1
        more, self._credit = divmod(self._credit + acked, self._cnt)
        self.cwnd_bytes = (cwnd + more) * self._smss

    def _look(self, cwnd: int, acked: int, tick: int) -> None:
        """See how many ACKed segments make the window one larger: 32 times a second, or anew."""
        self._acked += acked
        if cwnd == self._looked_cwnd and tick - self._looked_at <= TICKS_S // 32:
            return
        if self._epoch is None or tick != self._looked_at:
            self._looked_cwnd, self._looked_at = cwnd, tick
            if self._epoch is None:
                self._epoch, self._acked, self._w_est = tick, acked, cwnd
                self._origin = max(self._w_max, cwnd)
                self._k = ((self._origin - cwnd) / C) ** (1 / 3)
            t = (tick - self._epoch + int(self._min_rtt_s * TICKS_S)) / TICKS_S
            step = int(C * abs(t - self._k) ** 3)
            target = self._origin + (step if t > self._k else -step)
            self._cnt = cwnd // (target - cwnd) if target > cwnd else 100 * cwnd
            if not self._w_max:
                self._cnt = min(self._cnt, FIRST_CNT)
        window = cwnd * FRIENDLY >> 3
        while self._acked > window:
            self._acked -= window
            self._w_est += 1
        if self._w_est > cwnd:
            self._cnt = min(self._cnt, cwnd // (self._w_est - cwnd))
        self._cnt = max(self._cnt, 2)


ROWS: Final[dict[str, ControlFactory]] = {
    "RFC 9438": Cubic,
    "alpha stays 0.53": SamePace,
    "and whole segments after a loss": WholeSegments,
    "Linux's reckoning": LinuxCubic,
}


class Seen(Around):
    """Notes the window, in segments, at each loss."""

    __slots__ = ("_at_loss", "_smss_bytes")

    def __init__(self, inner: CongestionControl, smss_bytes: int, at_loss: list[float]) -> None:
        super().__init__(inner)
        self._smss_bytes = smss_bytes
        self._at_loss = at_loss

    def on_loss(self, sample: LossSample) -> None:
        """Note it."""
        self._at_loss.append(self.inner.cwnd_bytes / self._smss_bytes)
        super().on_loss(sample)


def run(control: ControlFactory, seed: int, flows_s: float) -> tuple[float, list[float]]:
    """Return what a flow gets, in bits a second, and its windows at losses."""
    at_loss: list[float] = []
    rates = pystack.run(
        lambda: dumbbell(
            controls=[lambda smss_bytes: Seen(control(smss_bytes), smss_bytes, at_loss)],
            rate="8mbit",
            delay="20ms",
            limit=40,
            loss=f"{LOSS:%}",
            duration=flows_s,
            warmup=WARM_S,
            seed=seed,
        )
    )
    return next(float(rate or 0) for rate in rates.values()), at_loss[FIRST_LOSSES:]


def by_the_rules(*, alpha_later: float) -> float:
    """Return the mean window at a loss that RFC 9438 makes of independent losses, and nothing else.

    Segments are acknowledged one by one; a loss costs a round trip, in which nothing grows, and
    what else is lost in it does not count. `alpha_later`: alpha from cwnd_prior on.
    """
    rng = Random(1)
    now = epoch_at = k = total = 0.0
    cwnd = w_est = w_max = cwnd_prior = 12.0
    losses = 0
    while losses < 10_000:
        now += RTT_S / int(cwnd)  # whole segments are sent
        if rng.random() >= LOSS:
            w_est += (ALPHA if w_est < cwnd_prior else alpha_later) / cwnd
            if C * (now - epoch_at - k) ** 3 + w_max < w_est:
                cwnd = max(cwnd, w_est)
            else:
                target = C * (now + RTT_S - epoch_at - k) ** 3 + w_max
                cwnd += (min(max(target, cwnd), 1.5 * cwnd) - cwnd) / cwnd
            continue
        losses += 1
        total += cwnd
        w_max = cwnd * (1 + BETA_RFC) / 2 if cwnd < w_max else cwnd
        cwnd_prior = cwnd
        cwnd = w_est = max(BETA_RFC * cwnd, 2.0)
        w_max = max(w_max, cwnd)
        now += RTT_S
        epoch_at = now
        k = ((w_max - cwnd) / C) ** (1 / 3)
    return total / losses


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=6, help="how many runs of each (default: 6)")
    parser.add_argument("--seconds", type=float, default=60, help="of each flow (default: 60)")
    arguments = parser.parse_args()
    print("| | Mbit/s of text | least and most | window at a loss |\n|---|---|---|---|")
    for name, control in ROWS.items():
        runs = [run(control, seed, arguments.seconds) for seed in range(1, arguments.seeds + 1)]
        rates = [rate_bps / 1e6 for rate_bps, _ in runs]
        window = statistics.mean(cwnd for _, at_loss in runs for cwnd in at_loss)
        spread = f"{min(rates):.2f} to {max(rates):.2f}"
        print(f"| {name} | {statistics.mean(rates):.2f} | {spread} | {window:.1f} |", flush=True)
    rfc, same = by_the_rules(alpha_later=1.0), by_the_rules(alpha_later=ALPHA)
    print(f"\nBy the rules alone the window at a loss is {rfc:.1f}; where alpha stays, {same:.1f}.")


if __name__ == "__main__":
    main()
