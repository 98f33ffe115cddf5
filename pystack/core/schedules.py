"""In which order go on those who could at the same instant: callbacks of asyncio, and threads."""

from typing import Final, Literal, get_args

from pystack.core.errors import ConfigError

# "fifo": first in, first out; "random": drawn from the seed, which finds what rests on the order
Schedule = Literal["fifo", "random"]
SCHEDULES: Final = get_args(Schedule)


def check_schedule(schedule: str) -> None:
    """Raise ConfigError for what is no order."""
    if schedule not in SCHEDULES:
        raise ConfigError(f"schedule is 'fifo' or 'random', not {schedule!r}")
