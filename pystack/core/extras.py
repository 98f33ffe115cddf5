"""The libraries that not everybody needs: without any extras, there are pystack and Trio."""

from importlib import import_module
from types import ModuleType
from typing import Final

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
    "polars": "experiments",
    "pyarrow": "experiments",
    "rich": "cli",
    "scipy": "experiments",
    "trustme": "tls",
    "typer": "cli",
    "wsproto": "ws",
}
_CALLED: Final = {"dns": "dnspython"}  # import name -> the name that it is known by, if another


def need(library: str, what: str) -> ModuleType:
    """Import a library that `what` needs. Raises ConfigError, which says how to get it."""
    try:
        return import_module(library)
    except ModuleNotFoundError as error:
        top = library.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != top:
            raise  # it is there, and lacks something itself
        library = _CALLED.get(top, top)
        raise ConfigError(
            f"{what} needs {library}: pip install 'pystack-net[{EXTRAS[top]}]'"
        ) from None
