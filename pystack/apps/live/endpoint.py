"""What a site has below `/live`: the files, and what `looking` has, when somebody looks.

Few look: what that needs (ladders, dissection, captures) is imported then, in a thread; at once
only where whom the process is to become may not be able to read it.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pystack
from pystack.apps.http.messages import HttpError, Request, Response
from pystack.apps.live.page import Files
from pystack.apps.world import away
from pystack.core.counters import Counters

if TYPE_CHECKING:
    from pystack.apps.live.feed import Feed
    from pystack.apps.live.looking import Looking


class LiveSite:
    """A handler for `/live` and what is below it."""

    def __init__(self) -> None:
        self._files = Files()
        self._looking: Looking | None = None  # None: nobody has looked yet
        if not anybody_may_read(Path(pystack.__file__).parent):
            self._looking = _load()

    async def answer(
        self, request: Request, feed: Callable[[Looking], Feed], counters: Counters
    ) -> Response:
        """Answer GET or HEAD. `feed` makes, or finds, what is looked at. HttpError."""
        name = request.path.removeprefix("/live").removeprefix("/")
        if name in ("", "index.html"):
            return self._files(request, "index.html")
        if name not in ("feed", "capture.pcapng"):
            return self._files(request, name)
        if self._looking is None:
            try:
                self._looking = await away(_load)
            except (ImportError, OSError) as error:
                raise HttpError(501, f"The page cannot be made here: {error}.") from None
        return self._looking.answer(name, request, feed(self._looking), counters)


def _load() -> Looking:
    from pystack.apps.live.looking import Looking

    return Looking()


def anybody_may_read(folder: Path) -> bool:
    """Tell whether a folder can be got at by all users: it, and all that it is in."""
    return all(place.stat().st_mode & stat.S_IXOTH for place in (folder, *folder.parents))
