"""ASGI applications on a host, by hypercorn's protocol code.

Those that run on Trio: of Starlette, FastAPI, Litestar, Falcon and BlackSheep, each was tried.
Quart and Django need asyncio, whoever serves them; here that is said in one sentence.

hypercorn's own `serve` opens sockets of the operating system, past Trio; its protocol code needs
none. So it is given connections that Trio accepted, on whatever host `serve` runs::

    await server.start(pystack.apps.asgi.serve, app, 80)

or the service `asgi` does it: `pystack up --asgi main:app`. Both need the extra
`pystack-net[asgi]`.

hypercorn takes more on trust than the server in `pystack.apps.http`: see docs/services.md.
"""

from pystack.core.extras import need

need("hypercorn", "pystack.apps.asgi")

from pystack.apps.asgi.application import Application  # noqa: E402
from pystack.apps.asgi.lifespan import AsgiStartupError  # noqa: E402
from pystack.apps.asgi.serving import Listeners, quiet_config, serve  # noqa: E402

__all__ = ["Application", "AsgiStartupError", "Listeners", "quiet_config", "serve"]
