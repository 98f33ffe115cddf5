"""`FILE --flow N`: one conversation of a capture."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pystack.core.errors import ConfigError
from pystack.core.suggest import counted

if TYPE_CHECKING:
    from pystack.observe.recording import Recording


def conversation_of(
    file: str, number: int | None, on_others: Callable[[str], object] = lambda _which: None
) -> Recording:
    """Return the conversation of this number; None: the one in which most was said.

    `on_others`: is told which one that is, where there are others. Raises ConfigError.
    """
    from pystack.observe.captures.as_recording import Capture

    capture = Capture(file)
    try:
        flows = capture.survey.conversations
        if number is None:
            flow = capture.survey.best
            if len(flows) > 1:
                on_others(f"conversation {flows.index(flow) + 1} of {len(flows)}: {flow}")
            return capture.recording(flow)
        if not 1 <= number <= len(flows):
            raise ConfigError(f"--flow {number}: {file} has {counted(len(flows), 'conversation')}")
        return capture.recording(flows[number - 1])
    finally:
        capture.close()
