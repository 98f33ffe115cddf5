"""The templates of the pages, their styles and scripts: files in `pages/`, read once.

They, and the library, are read when the service is made: whoever has given up root by the time of
the first request may not be able to. Whatever is put into them is escaped, and what has no shape on
paper (controls, reversals) is shown as an escape.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

from pystack.apps.http.wording import THIN_SPACE, count, counted, duration, short
from pystack.core.addresses import host_port
from pystack.core.extras import need
from pystack.observe.ladder.style import svg_style
from pystack.observe.ladder.words import plain
from pystack.observe.palette import COLOURS, page_colours

if TYPE_CHECKING:
    from jinja2 import Environment, Template

_PAGES: Final = Path(__file__).with_name("pages")


def load() -> None:
    """Read and compile all of them, now. Raises ConfigError where the library is missing."""
    for name in _environment().list_templates():
        template(name)


@cache
def template(name: str) -> Template:
    """Return a template of `pages/`."""
    return _environment().get_template(name)


@cache
def macro(name: str, which: str) -> Callable[..., str]:
    """Return a macro of a template, which makes a part of a page."""
    made: Callable[..., str] = getattr(template(name).module, which)
    return made


def markup(text: str) -> object:
    """Return what is HTML already, to be put in as it is."""
    made: object = need("markupsafe", "HTTP").Markup(text)
    return made


@cache
def _environment() -> Environment:
    jinja2 = need("jinja2", "HTTP")
    files = _PAGES.iterdir()
    texts = {file.name: file.read_text("utf-8") for file in files if file.is_file()}
    pages = {name: text for name, text in texts.items() if name.endswith(".html")}
    made: Environment = jinja2.Environment(
        bytecode_cache=_cache(jinja2),
        loader=jinja2.DictLoader(pages),
        autoescape=True,
        auto_reload=False,
        keep_trailing_newline=True,
        finalize=_shown,
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    words = (count, counted, duration, short)
    made.filters.update({word.__name__: word for word in words})
    made.globals["host_port"] = host_port
    made.globals["parts"] = {name: markup(text) for name, text in texts.items()}
    made.globals["colours"] = COLOURS
    made.globals["page_colours"] = markup(page_colours())
    made.globals["ladder_style"] = markup(svg_style())
    return made


def _cache(jinja2: ModuleType) -> object:
    """Return where compiled templates are kept: beside them, as Python does with modules.

    To compile them takes 27 ms, twice as long as to import the library.
    """

    class Cache(jinja2.FileSystemBytecodeCache):  # type: ignore[misc, name-defined]
        def load_bytecode(self, bucket: object) -> None:
            with suppress(OSError):
                super().load_bytecode(bucket)

        def dump_bytecode(self, bucket: object) -> None:
            if not sys.dont_write_bytecode:
                with suppress(OSError):  # it may be read-only: they are compiled each time then
                    super().dump_bytecode(bucket)

    folder = _PAGES / "__pycache__"
    with suppress(OSError):
        folder.mkdir(exist_ok=True)
    return (
        Cache(str(folder), f"%s.{sys.implementation.cache_tag}.jinja") if folder.is_dir() else None
    )


def _shown(value: object) -> object:
    """Return a value as it is put in; of markup, which is a kind of text, itself."""
    if type(value) is not str or value.isprintable():
        return value
    return THIN_SPACE.join(map(plain, value.split(THIN_SPACE)))
