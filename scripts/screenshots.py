"""Takes the pictures of pages that stand in README and docs: `scripts/docs --screenshots`.

They are looked at, not compared: another Chromium draws them in another way.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from pystack.apps.explain.record import record
from pystack.observe.explain.compare import compare
from pystack.observe.explain.page import as_html
from pystack.observe.explain.story import Story
from pystack.observe.explain.telling import tell
from pystack.observe.ladder import Ladder

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from chromium import Chromium  # noqa: E402 - it is beside the tests that need it

IMAGES: Final = ROOT / "docs" / "images"
_WIDTH: Final = 1200
_OPEN_THE_REQUEST: Final = """(() => {
  const step = [...document.querySelectorAll('.step')].find(
    (one) => one.querySelector('h3').textContent.includes('GET /'));
  step.querySelector('.closer').open = true;
  step.querySelector('.frame').open = true;
  step.querySelectorAll('.env').forEach((one) => { one.open = true; });
  step.querySelector('.env.transport .field:nth-child(3)').focus({ preventScroll: true });
  step.scrollIntoView();
})()"""


def explain(browser: Chromium, folder: Path) -> None:
    """Picture the page of an explanation: its beginning, a frame opened, two side by side."""
    words = ({"loss": "0"}, {"loss": "5%"})
    recordings = [record("http://server/", one, seed=13) for one in words]
    stories = [tell(recording.items, recording) for recording in recordings]
    ladder = Ladder.of(recordings[0], until=stories[0].ended_at)
    page = folder / "story.html"
    page.write_text(as_html(stories[0], depth="story", ladders=[ladder]), "utf-8")
    browser.look(_WIDTH, 1000, still=True)
    browser.open(page.as_uri())
    browser.picture(IMAGES / "explain-page.png")
    browser.look(_WIDTH, 1180, still=True, dark=True)
    browser.run("document.querySelector('[data-depth=bytes]').click()")
    browser.run("document.querySelectorAll('.closer, .frame').forEach((one) => {one.open = false})")
    browser.run(_OPEN_THE_REQUEST)
    browser.picture(IMAGES / "explain-bytes.png")
    browser.look(_WIDTH, 1000, still=True)
    browser.run("document.querySelector('.scroll').scrollIntoView()")
    browser.picture(IMAGES / "explain-ladder.png")
    _compared(browser, folder, stories)


def _compared(browser: Chromium, folder: Path, stories: list[Story]) -> None:
    page = folder / "comparison.html"
    told = compare(stories[0], stories[1], names=("loss=0", "loss=5%"))
    page.write_text(as_html(told), "utf-8")
    browser.open(page.as_uri())
    browser.run("document.querySelector('.pairs .trouble').scrollIntoView({block: 'center'})")
    browser.picture(IMAGES / "explain-compare.png")


_LAB: Final = """
seed = 3
[hosts.laptop]
programs = [{ run = "shown:browse" }]
[hosts.phone]
programs = [{ run = "shown:ping" }]
[switches.lan]
[routers.home]
[routers.provider]
[hosts.server]
serve = ["http"]
[hosts.resolver]
[[links]]
between = ["laptop", "lan"]
delay = "1ms"
[[links]]
between = ["phone", "lan"]
delay = "3ms"
loss = "2%"
[[links]]
between = ["lan", "home"]
[[links]]
between = ["home", "provider"]
delay = "40ms"
rate = "2mbit"
limit = 40
[[links]]
between = ["provider", "server"]
delay = "5ms"
[[links]]
between = ["provider", "resolver"]
delay = "5ms"
"""
_PROGRAMS: Final = """
import trio
async def browse(host):
    while True:
        async with await host.open_tcp_stream("server", 80) as stream:
            await stream.send_all(b"GET /bytes/60000 HTTP/1.1\\r\\nHost: server\\r\\n"
                                  b"Connection: close\\r\\n\\r\\n")
            while await stream.receive_some():
                pass
        await trio.sleep(0.5)
async def ping(host):
    while True:
        with trio.move_on_after(1):
            await host.ping("resolver")
        await trio.sleep(0.1)
"""
_LIVE: Final = (
    # view, dark, what is done there before
    ("map", False, ""),
    ("ladder", False, "live.views.ladder.draw(true)"),
    (
        "connections",
        True,
        "live.views.connections.pick([...live.store.connections.values()].filter("
        "one => one.row.local_port === 80).sort((a, b) => b.samples.length - a.samples.length)[0]);"
        "scrollTo(0, 330)",
    ),
    (
        "packets",
        True,
        "(async () => { const it = live.views.packets; await it.pick(it.shown.findLast("
        "one => one.tcp && one.line.includes('GET ')).n);"
        "[...document.querySelectorAll('.boxes li')].find(one => one.textContent.startsWith("
        "'Window')).focus(); })()",
    ),
)


def live(browser: Chromium, folder: Path) -> None:
    """Picture the live page of a lab on the loopback."""
    (folder / "home.toml").write_text(_LAB)
    (folder / "shown.py").write_text(_PROGRAMS)
    argv = [sys.executable, "-m", "pystack", "lab", "run", "home.toml", "--web", "0"]
    with subprocess.Popen(argv, cwd=folder, stdout=subprocess.PIPE, text=True) as lab:
        assert lab.stdout is not None
        address = next(line for line in lab.stdout if line.startswith("live: ")).split()[1]
        browser.open(address)
        _wait(browser, "live.store.ticks.length > 60")
        for view, dark, script in _LIVE:
            browser.look(_WIDTH, 820, dark=dark)
            browser.run(f"location.hash = '#/{view}'")
            _wait_for_ticks(browser)
            if script:
                browser.run(script)
            _wait_for_ticks(browser)
            if view == "packets":
                browser.run("live.store.at = live.store.newest")
            browser.picture(IMAGES / f"live-{view}.png")
        lab.terminate()


def step(browser: Chromium, folder: Path) -> None:
    """Picture the next event of a paused lab: the SYN that a router passes on."""
    argv = [sys.executable, "-m", "pystack", "lab", "run", "home.toml", "--web", "0"]
    argv += ["--control-socket", str(folder / "control"), "--paused"]
    with subprocess.Popen(argv, cwd=folder, stdout=subprocess.PIPE, text=True) as lab:
        assert lab.stdout is not None
        address = next(line for line in lab.stdout if line.startswith("live: ")).split()[1]
        browser.look(_WIDTH, 980)
        browser.open(address)
        _wait(browser, "live.store.ticks.length > 3")
        is_there = "live.context.stage.steps[0]?.what.includes('10.0.2.2.80: Flags [S]')"
        while not browser.run(is_there):
            browser.press("n")
            browser.run("new Promise(done => setTimeout(done, 300))")
        browser.run("new Promise(done => setTimeout(done, 1500))")
        browser.picture(IMAGES / "live-step.png")
        lab.terminate()


def _wait_for_ticks(browser: Chromium) -> None:
    seen = browser.run("live.store.ticks.length")
    _wait(browser, f"live.store.ticks.length > {seen} + 12")


def _wait(browser: Chromium, script: str) -> None:
    while not browser.run(script):
        browser.run("new Promise(done => setTimeout(done, 100))")


def main() -> None:
    """Take all of them."""
    IMAGES.mkdir(exist_ok=True)
    with TemporaryDirectory() as name, Chromium(Path(name) / "chromium") as browser:
        explain(browser, Path(name))
        live(browser, Path(name))
        step(browser, Path(name))


if __name__ == "__main__":
    main()
