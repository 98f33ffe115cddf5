"""The page with which a browser tries the WebSockets: `/ws/`."""

from typing import Final

from pystack.apps.http.templates import template

# It runs its own script and talks to this host; nothing else.
POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self' "
    "ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page() -> str:
    """Return it. Raises ConfigError where jinja2 is not installed."""
    return template("websocket.html").render()
