"""The type of the fixture `run`, which runs a lab from its text (`conftest.py`)."""

from collections.abc import Callable

Run = Callable[..., list[str]]  # all lines that come of it
