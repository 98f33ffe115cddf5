"""`FILE --flow N`: one conversation of a capture."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pystack.core.errors import ConfigError
from pystack.core.suggest import counted

if TYPE_CHECKING:
    from pystack.observe.recording import Recording


def conversation_of(file: str, number: int | None) -> Recording:
    """Return the conversation of this number; None: the one in which most was said.

    Where there are others of its protocol (a look-up of a name belongs to it, and is none), it is
    said on stderr which one that is. Raises ConfigError.
    """
    from pystack.observe.captures.as_recording import Capture

    capture = Capture(file)
    try:
        flows = capture.survey.conversations
        if number is None:
            flow = capture.survey.best
            if sum(each.protocol == flow.protocol for each in flows) > 1:
                which = f"conversation {flows.index(flow) + 1} of {len(flows)}: {flow}"
                print(f"{which} (--flow N for another)", file=sys.stderr)
            return capture.recording(flow)
        if not 1 <= number <= len(flows):
            raise ConfigError(f"--flow {number}: {file} has {counted(len(flows), 'conversation')}")
        return capture.recording(flows[number - 1])
    finally:
        capture.close()
