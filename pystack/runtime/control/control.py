"""Control over what runs: calls by name, with values of JSON in and out.

    control = Control(net)
    control.call("ss", {"port": 80})["connections"]
    control.call("link set", {"link": "client-server", "words": {"delay": "50ms"}})

It is sync and belongs to the thread of the world's Trio run. While nobody calls it costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from pystack.core.errors import PystackError, one_line
from pystack.runtime.control.calls import CALLS
from pystack.runtime.control.errors import ControlError
from pystack.runtime.control.table import Call, unknown_call
from pystack.runtime.control.world import World

if TYPE_CHECKING:
    from pystack.runtime.host import Host
    from pystack.runtime.network import Network

__all__ = ["CALLS", "Call", "Control", "ControlError"]

_MOST_CHARS: Final = 500  # of a sentence about what went wrong


class Control:
    """Looks into a network, or a host that stands alone, and acts on it."""

    def __init__(self, of: Network | Host, *, may_change: bool = True) -> None:
        """`may_change`: False for calls that only look."""
        self.world = World(of, may_change)
        self.counters = self.world.counters  # of the socket, where it is offered on one

    @property
    def may_change(self) -> bool:
        """Tell whether it does more than look."""
        return self.world.may_change

    def call(self, name: str, arguments: Mapping[str, object] | None = None) -> Any:  # noqa: ANN401 - JSON
        """Make a call; return its answer, of what JSON has. Raises ControlError, in one sentence.

        `pystack.runtime.control.calls` has the table of them.
        """
        call = CALLS.get(name) if isinstance(name, str) else None
        if call is None:
            raise unknown_call(name, CALLS)
        if call.changes and not self.may_change:
            raise ControlError(f"{name} changes something, and this is only for looking")
        if not isinstance(arguments, Mapping | None):
            raise ControlError(f'{name}: arguments are words with values, like {{"host": "a"}}')
        given = call.checked(arguments or {})
        try:
            return call.run(self.world, given)
        except ControlError as error:
            raise ControlError(_cut(one_line(error))) from None
        except (PystackError, OSError) as error:
            raise ControlError(_cut(f"{name}: {one_line(error)}")) from None


def _cut(sentence: str) -> str:
    """Return what is shown of a sentence: what was asked for may be long, and there may be many."""
    return sentence if len(sentence) <= _MOST_CHARS else f"{sentence[:_MOST_CHARS]}..."
