"""The libraries that not everybody needs: without any extras, there are pystack and Trio."""

import json
import shlex
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Final
from urllib.parse import unquote, urlsplit

from pystack.core.errors import ConfigError

# Library (its import name) -> the extra of pystack-net that brings it.
EXTRAS: Final = {
    "cryptography": "tls",
    "dask": "cluster",
    "distributed": "cluster",
    "dns": "dns",
    "dpkt": "observe",
    "gymnasium": "gym",
    "h11": "http",
    "h2": "http",
    "httpcore": "http",
    "hypothesis": "hypothesis",
    "hypercorn": "asgi",
    "jinja2": "http",
    "markupsafe": "http",
    "matplotlib": "plot",
    "numpy": "experiments",
    "pandas": "experiments",
    "pyarrow": "experiments",
    "rich": "cli",
    "scipy": "experiments",
    "trustme": "tls",
    "typer": "cli",
    "wsproto": "ws",
}
_STAMP: Final = ".pystack-stamp"  # of scripts/environment, in what it has made
_CALLED: Final = {"dns": "dnspython"}  # import name -> the name that it is known by, if another


def need(library: str, what: str) -> ModuleType:
    """Import a library that `what` needs. Raises ConfigError, which says how to get it."""
    try:
        return import_module(library)
    except ModuleNotFoundError as error:
        top = library.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != top:
            raise  # it is there, and lacks something itself
        name = _CALLED.get(top, top)
        # Of what no extra brings (polars: pandas is enough) there is only the library itself.
        get_it = (
            how_to_get(EXTRAS[top])
            if top in EXTRAS
            else f"{_origin()[0].removesuffix(' -e')} {name}"
        )
        raise ConfigError(f"{what} needs {name}: {get_it}") from None


def how_to_get(extra: str) -> str:
    """Return the command that brings an extra to where pystack was installed from.

    Somebody who has it from a checkout cannot get it by name: there it is this checkout again, and
    in the environment that `scripts/pystack` makes the script that has made it.
    """
    pip, place = _origin()
    if place is None:
        return f"{pip} 'pystack-net[{extra}]'"
    if Path(sys.prefix, _STAMP).exists():
        script = f"{shlex.quote(f'{place}/scripts/environment')} {extra}"
        is_usual = Path(sys.prefix) == Path(place, ".venv")
        return script if is_usual else f"PYSTACK_VENV={shlex.quote(sys.prefix)} {script}"
    return f"{pip} {shlex.quote(f'{place}[{extra}]')}"


def _origin() -> tuple[str, str | None]:
    """Return how to install what is missing, and the folder pystack is from; None: an index."""
    from importlib.metadata import PackageNotFoundError, distribution  # slow, and seldom needed

    try:
        told = distribution("pystack-net").read_text("direct_url.json")  # PEP 610
    except PackageNotFoundError:
        told = None
    origin = json.loads(told) if told else {}
    where = urlsplit(origin.get("url", ""))
    if where.scheme != "file":
        return "pip install", None
    if not origin.get("dir_info", {}).get("editable"):
        return "pip install", unquote(where.path)
    return f"{shlex.quote(sys.executable)} -m pip install -e", unquote(where.path)
