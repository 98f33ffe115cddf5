"""What can be wrong with a request about proxies: Toxiproxy's sentences, and HTTP's statuses.

Whoever speaks to people or to programs needs nothing but `str(error)` and `error.status`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pystack.core.errors import PystackError

if TYPE_CHECKING:
    from pystack.apps.proxy.model import Proxy


class ProxyError(PystackError):
    """Base class. `status` is that of HTTP; the text is the sentence."""

    status: ClassVar[int] = 500
    sentence: ClassVar[str]  # where it is always the same
    made: Sequence[Proxy] = ()  # of several: those that could be made before

    def __init__(self, sentence: str = "") -> None:
        super().__init__(sentence or self.sentence)


class BadRequestError(ProxyError):
    """What was asked for is not what it should be."""

    status = 400

    def __init__(self, detail: str) -> None:
        super().__init__(f"bad request body: {detail}")


class MissingFieldError(ProxyError):
    """A field that must be there is not, or is empty."""

    status = 400

    def __init__(self, field: str) -> None:
        super().__init__(f"missing required field: {field}")


class InvalidStreamError(ProxyError):
    """A toxic is in neither of the two directions."""

    status = 400
    sentence = "stream was invalid, can be either upstream or downstream"


class InvalidToxicTypeError(ProxyError):
    """There is no toxic of that type."""

    status = 400
    sentence = "invalid toxic type"


class NoSuchProxyError(ProxyError):
    """No proxy has that name."""

    status = 404
    sentence = "proxy not found"


class NoSuchToxicError(ProxyError):
    """The proxy has no toxic of that name."""

    status = 404
    sentence = "toxic not found"


class ProxyExistsError(ProxyError):
    """A proxy of that name is there already."""

    status = 409
    sentence = "proxy already exists"


class ToxicExistsError(ProxyError):
    """The proxy has a toxic of that name already."""

    status = 409
    sentence = "toxic already exists"


class CannotListenError(ProxyError):
    """The machine refuses the place where a proxy is to listen."""
