"""Names beyond ASCII, as dnspython is to read them: as the whole project does."""

from typing import Final

import dns.name

from pystack.core.idna import to_ascii


class _Codec(dns.name.IDNACodec):
    """dnspython would have IDNA 2003 or 2008, by which version of idna is there."""

    def encode(self, label: str) -> bytes:
        return to_ascii(label).encode("ascii")


CODEC: Final = _Codec()  # type: ignore[no-untyped-call]
