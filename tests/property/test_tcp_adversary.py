"""Whatever a channel does: data arrives once, whole and in order, both ends end, nothing is left.

`PYSTACK_SEEDS=5000 pytest tests/property/test_tcp_adversary.py` tries so many of each kind. A seed
that fails is tried again with less and less trouble, and leaves a capture of the smallest run.
"""

import os
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from adversary import Channel, Plan, Setup, World

from pystack.tcp.config import TcpConfig
from pystack.tcp.states import TcpState
from pystack.tcp.tcb import NEVER

SEEDS = int(os.environ.get("PYSTACK_SEEDS", "60"))
BATCH = 20
CONTROLS = ("newreno", "cubic", "bbr", "dctcp", "fixed:8")
RECOVERIES = ("rack", "sack", "newreno")


def config_of(rng: Random) -> TcpConfig:
    """Return any mix of options."""
    return TcpConfig(
        send_buffer_bytes=rng.choice((1, 700, 5000, 65536, 1 << 20)),
        receive_buffer_bytes=rng.choice((1, 500, 3000, 20_000, 1 << 20)),
        congestion=rng.choice(CONTROLS),
        recovery=rng.choice(RECOVERIES),
        pacing=rng.random() < 0.2,
        no_delay=rng.random() < 0.5,
        timestamps=rng.random() < 0.7,
        sack=rng.random() < 0.7,
        window_scaling=rng.random() < 0.7,
        ecn=rng.choice(("off", "accept", "request")),
        delayed_ack_s=rng.choice((0.0, 0.04, 0.5)),
        # Nobody gives up before the channel has healed.
        syn_retries=30,
        syn_ack_retries=30,
        retries=40,
        orphan_retries=40,
    )


def channel_of(rng: Random, kind: str) -> Channel:
    """Return a channel with the trouble that its kind names, more or less of it."""
    channel = Channel(delay_s=rng.choice((0.0, 0.0005, 0.02, 0.2)))
    if kind in ("loss", "all"):
        channel.loss = rng.choice((0.01, 0.1, 0.3))
    if kind in ("reorder", "all"):
        channel.late = rng.choice((0.02, 0.3))
        channel.late_by_s = rng.choice((0.005, 0.3))
    if kind in ("duplicate", "all"):
        channel.duplicate = rng.choice((0.05, 0.5))
    if kind in ("corrupt", "all"):
        channel.corrupt = rng.choice((0.01, 0.1))
    if kind in ("dark", "all"):
        from_s = 3 * rng.random()
        channel.dark = (from_s, from_s + rng.choice((0.3, 5.0, 40.0)))
    channel.mark = rng.choice((0.0, 0.2))
    return channel


def plan_of(rng: Random, kind: str) -> Plan:
    """Return what a user does."""
    size = rng.choice((0, 1, 1459, 20_000, 150_000))
    return Plan(
        size=size,
        chunk=rng.choice((1 + size // 100, 3000, 1 << 20)),
        pause_s=rng.choice((0.0, 0.01, 0.3)) if size < 100_000 else 0.0,
        read_chunk=rng.choice((500 + size // 50, 1 << 20)),
        read_pause_s=rng.choice((0.0, 0.01, 1.0)) if size < 100_000 else 0.0,
        abort_at=3 * rng.random() if kind == "abort" and rng.random() < 0.7 else None,
        release=rng.random() < 0.5,
    )


def setup_of(seed: int, kind: str) -> Setup:
    rng = Random(f"{kind} {seed}")
    trouble = "all" if kind == "abort" else kind
    configs = config_of(rng), config_of(rng)
    plans = plan_of(rng, kind), plan_of(rng, kind)
    for number in (0, 1):
        # A window of a byte is a segment, and an ACK, for each: so few of them are enough.
        least = min(configs[number].send_buffer_bytes, configs[1 - number].receive_buffer_bytes)
        plans[number].size = min(plans[number].size, 200 * least)
    return Setup(
        configs,
        (channel_of(rng, trouble), channel_of(rng, trouble)),
        plans,
        rng.choice((100, 536, 1460)),
        (rng.choice((0, 65535)), rng.choice((0, 65535))),
        (2**32 - rng.randrange(1, 50_000), 2**32 - rng.randrange(1, 50_000)),
    )


def check(world: World) -> None:
    """Say what is wrong, if anything."""
    world.run()
    aborted = any(end.plan.abort_at is not None for end in world.ends)
    for end, other in zip(world.ends, reversed(world.ends), strict=True):
        conn = end.conn
        said = world.texts[other.number]
        assert said.startswith(bytes(end.got)), "what arrived is not what was sent"
        assert conn.state is TcpState.CLOSED, f"left in {conn.state}"
        assert conn.next_timeout() == NEVER
        assert len(conn.send_buffer) == 0
        assert not conn.receive_buffer.ranges
        if not aborted:
            assert conn.error is None, f"ended with {os.strerror(conn.error or 0)}"
            assert bytes(end.got) == said, f"{len(end.got)} of {len(said)} bytes arrived"
            assert end.at_eof


def smaller(setup: Setup) -> list[Setup]:
    """Return what is a little less trouble each."""
    found = []
    for number in (0, 1):
        channel = setup.channels[number]
        found += [
            _with_channel(setup, number, replace(channel, **{name: 0.0}))
            for name in ("loss", "duplicate", "late", "corrupt", "mark")
            if getattr(channel, name)
        ]
        if channel.dark[1]:
            found.append(_with_channel(setup, number, replace(channel, dark=(0.0, 0.0))))
        plan = setup.plans[number]
        if plan.size > 1:
            plans = list(setup.plans)
            plans[number] = replace(plan, size=plan.size // 2)
            found.append(replace(setup, plans=(plans[0], plans[1])))
    return found


def _with_channel(setup: Setup, number: int, channel: Channel) -> Setup:
    channels = list(setup.channels)
    channels[number] = channel
    return replace(setup, channels=(channels[0], channels[1]))


def fails(setup: Setup, seed: int) -> bool:
    try:
        check(World(setup, seed))
    except Exception:  # whatever it is, it is to be made smaller
        return True
    return False


def shrunk(setup: Setup, seed: int) -> Setup:
    """Return the smallest setup found that still fails."""
    for _ in range(20):
        setup_before = setup
        for candidate in smaller(setup):
            if fails(candidate, seed):
                setup = candidate
                break
        if setup is setup_before:
            break
    return setup


@pytest.mark.parametrize("batch", range(-(-SEEDS // BATCH)))
@pytest.mark.parametrize(
    "kind", ["loss", "reorder", "duplicate", "corrupt", "dark", "all", "abort"]
)
def test_data_arrives_whole_and_nothing_is_left(kind: str, batch: int, tmp_path: Path) -> None:
    for seed in range(batch * BATCH, min((batch + 1) * BATCH, SEEDS)):
        setup = setup_of(seed, kind)
        try:
            check(World(setup, seed))
        except Exception as error:
            setup = shrunk(setup, seed)
            path = tmp_path / f"{kind}-{seed}.pcap"
            fails_again = ""
            try:
                check(World(setup, seed, path))
            except Exception as again:
                fails_again = f"{again!r}"
            pytest.fail(
                f"{kind} seed {seed}: {error!r}; the smallest: {fails_again}\n{setup}\n"
                f"capture: {path}"
            )
