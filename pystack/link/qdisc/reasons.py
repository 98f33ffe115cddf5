"""Why a queue dropped or marked a frame: each name that is counted, with its explanation.

Names that end in `_mark` are marks: the frame went on with CE set. All others are drops.
"""

from typing import Final

EXPLANATIONS: Final[dict[str, str]] = {
    "pfifo_full": "the queue held `limit` packets: the one that arrived was dropped",
    "pfifo_full_head": "the queue held `limit` packets: the oldest was dropped for the new one",
    "bfifo_full": "the frame did not fit into `limit` bytes and was dropped",
    "bfifo_full_head": "the queue held `limit` bytes: the oldest was dropped for the new one",
    "tbf_full": "the frame did not fit into `limit` bytes (or what `latency` makes of it)",
    "tbf_too_big": "the frame is larger than the bucket (`burst`, or `mtu` with a peak rate)",
    "red_early": "the average queue was between `min` and `max`, and chance chose this frame",
    "red_mark": "as red_early, but the transport understands ECN: marked",
    "red_forced": "the average queue was above `max`: every frame is dropped",
    "red_forced_mark": "as red_forced, but the transport understands ECN: marked",
    "red_full": "the frame did not fit into `limit` bytes, the hard limit of RED",
    "codel_drop": "frames waited for longer than `target` for a whole `interval`; CoDel's turn",
    "codel_mark": "as codel_drop, but the transport understands ECN: marked",
    "codel_ce_threshold_mark": "the frame waited for longer than `ce_threshold`",
    "codel_full": "the queue held `limit` packets: the one that arrived was dropped",
    "fq_codel_drop": "the flow's frames waited for longer than `target` for an `interval`",
    "fq_codel_mark": "as fq_codel_drop, but the transport understands ECN: marked",
    "fq_codel_ce_threshold_mark": "the frame waited for longer than `ce_threshold`",
    "fq_codel_overlimit": "over `limit` or `memory_limit`: the longest flow lost its oldest frames",
    "pie_early": "chance chose this frame, with the probability that PIE computed from the delay",
    "pie_mark": "as pie_early, but the transport understands ECN and the probability is moderate",
    "pie_full": "the queue held `limit` packets: the one that arrived was dropped",
    "dualpi2_drop": "classic traffic: its turn, by the square of the base probability",
    "dualpi2_mark": "classic traffic that understands ECN: marked in place of dualpi2_drop",
    "dualpi2_coupled_mark": "L4S traffic: marked because the classic queue is congested",
    "dualpi2_step_mark": "L4S traffic: the frame waited for longer than `step_thresh`",
    "dualpi2_overload": "marks did not help: ECN traffic is dropped with the classic probability",
    "dualpi2_full": "over `limit` or `memlimit`: the frame that arrived was dropped",
}
