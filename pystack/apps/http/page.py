"""The page about the very request that it answers: its way through the layers, for a learner.

Every number is live. The words are in `pages/page.html` and what it includes.
"""

from pystack import __version__
from pystack.apps.http.ladder import ladder_of
from pystack.apps.http.story import Connection, Story
from pystack.apps.http.templates import markup, template
from pystack.observe.ladder.svg import draw_svg

_LADDER_PX = 440  # its text stays readable on a telephone


def page(story: Story) -> str:
    """Return the page. Raises ConfigError where jinja2 is not installed."""
    connection = story.connection
    below = {} if connection is None else _below(story, connection)
    return template("page.html").render(
        version=__version__, story=story, connection=connection, tls=story.tls, **below
    )


def _below(story: Story, connection: Connection) -> dict[str, object]:
    """Return what the page tells of what is below HTTP."""
    segments, established_at = connection.handshake, connection.info.established_at
    took_s = None
    if len(segments) >= 2 and established_at is not None:
        took_s = max(0.0, established_at - segments[0].at)
    ladder = ladder_of(story, connection)
    drawing = draw_svg(ladder, width=_LADDER_PX, fragment=True, legend=False, times=False)
    return {
        "local": connection.local_address,
        "took_s": took_s,
        "ago_s": max(0.0, story.now - segments[0].at) if segments else 0.0,
        "ladder": markup(drawing),
    }
