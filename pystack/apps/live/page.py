"""The files of the page, as they are in the package, with what a browser may do with them."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Final

from pystack.apps.http.messages import HttpError, Request, Response
from pystack.apps.http.ranges import Representation, answer
from pystack.observe.ladder.style import chosen_style
from pystack.observe.palette import chosen_colours

# Everything is from here and nothing in line: what came over the network can do nothing in it.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-cache"),  # kept, but asked about: by ETag
)
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class Files:
    """All of them, read at once: whoever has given up root may not be able to later."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[bytes, str, str]] = {}
        self._read(Path(__file__).with_name("static"), "")
        self._add("palette.css", chosen_colours().encode())
        self._add("ladder.css", chosen_style().encode())

    def _read(self, folder: Path, prefix: str) -> None:
        for entry in folder.iterdir():
            name = prefix + entry.name
            if entry.is_dir():
                self._read(entry, f"{name}/")
            elif entry.suffix in _TYPES:
                self._add(name, entry.read_bytes())

    def _add(self, name: str, data: bytes) -> None:
        kind = _TYPES[name[name.rfind(".") :]]
        self._files[name] = data, f'"{sha256(data).hexdigest()[:32]}"', kind

    def names(self) -> list[str]:
        """Return what there is."""
        return sorted(self._files)

    def __call__(self, request: Request, name: str) -> Response:
        """Answer with a file. HttpError: 404, 412, 416."""
        found = self._files.get(name)
        if found is None:
            raise HttpError(404, "The page is at /live.")
        data, etag, kind = found
        thing = Representation(len(data), etag, None, kind)
        response = answer(request, thing, lambda start, stop: data[start:stop])
        response.headers = [*response.headers, *HEADERS]
        return response
