"""What TCP may be told: the defaults hold, and what cannot be is refused when it is said."""

import dataclasses
import math
from pathlib import Path
from typing import Final

import pytest

from pystack.core.errors import ConfigError
from pystack.tcp import config
from pystack.tcp.config import TcpConfig, TcpLimits
from pystack.tcp.congestion.fixed import Fixed
from pystack.tcp.recovery.newreno import NewRenoRecovery

FIELDS: Final = [
    (kind, field.name) for kind in (TcpConfig, TcpLimits) for field in dataclasses.fields(kind)
]
CHECKED: Final = {
    *config._RANGES,
    *config._CHOICES,
    *config._SWITCHES,
    *config._LIMIT_RANGES,
    *config._LIMIT_CHOICES,
}
NOT_A_VALUE: Final = ("no such thing", math.nan, -1, object(), [1], 1 << 80, math.inf, 0.5j)


def test_each_field_is_checked() -> None:
    others = {"congestion", "recovery", "memory_bytes"}  # each in its own way
    assert {name for _, name in FIELDS} == CHECKED | others


@pytest.mark.parametrize(("kind", "name"), FIELDS)
def test_what_no_field_can_be_is_refused_by_name(kind: type, name: str) -> None:
    for value in NOT_A_VALUE:
        with pytest.raises(ConfigError, match=r"no such thing|" + name + r"|is no \w+: it"):
            kind(**{name: value})


@pytest.mark.parametrize("name", sorted({*config._RANGES} - {"receive_buffer_max_bytes"}))
def test_the_ends_of_each_range_can_be_had_and_what_is_beyond_cannot(name: str) -> None:
    allowed = config._RANGES[name]
    step = 1 if allowed.whole else 1e-6
    least = allowed.least + step if allowed.above else allowed.least
    for value in (least, allowed.most):
        assert getattr(TcpConfig(**{name: value}), name) == value
    for value in (allowed.least - step, allowed.most + max(step, 1e-6 * allowed.most)):
        with pytest.raises(ConfigError, match=f"^{name} is "):
            TcpConfig(**{name: value})


@pytest.mark.parametrize("kind", [TcpConfig, TcpLimits])
def test_each_field_has_its_own_docstring(kind: type) -> None:
    lines = Path(config.__file__).read_text("utf-8").splitlines()
    for field in dataclasses.fields(kind):
        (at,) = (n for n, line in enumerate(lines) if line.startswith(f"    {field.name}: "))
        assert lines[at + 1].startswith('    """'), field.name


def test_it_is_frozen_and_may_be_a_key() -> None:
    made = TcpConfig(congestion={"name": "fixed", "segments": 5})
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.ttl = 5  # type: ignore[misc]
    assert hash(made) == hash(TcpConfig(congestion={"name": "fixed", "segments": 5}))
    assert dataclasses.replace(made, ttl=5).congestion == made.congestion


def test_a_control_or_a_recovery_may_be_a_class() -> None:
    made = TcpConfig(congestion=Fixed, recovery=NewRenoRecovery)
    assert made.congestion is Fixed
    assert made.recovery is NewRenoRecovery
    with pytest.raises(ConfigError, match="each connection needs its own: give the class"):
        TcpConfig(congestion=Fixed(1460))
    with pytest.raises(ConfigError, match="congestion int: 1460 is no congestion"):
        TcpConfig(congestion=int)  # type: ignore[arg-type]
