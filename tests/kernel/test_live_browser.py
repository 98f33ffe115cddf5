"""The live page in a real browser: over a TAP by our own TCP, and of a lab on the loopback."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import netns as namespaces
import pytest
from live_lab import LAB, make_busy
from netns import NetworkNamespace, least_ms, read_line
from up import Stack, StackUp

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import chromium
from chromium import Chromium

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(chromium.find() is None, reason="no chromium here: /live is not tried"),
]

PAGE = "http://10.77.0.2/live"
PageAt = Callable[..., Chromium]


@pytest.fixture
def page_at(netns: NetworkNamespace, tmp_path: Path) -> Iterator[PageAt]:
    """Return a function that opens a page in a browser inside of the namespace.

    Whatever Chromium loads is broken off when an address comes or goes (ERR_NETWORK_CHANGED). So it
    is started when what it looks at is up, and no address waits until nobody else claims it.
    """
    netns.run(["sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad"])
    with ExitStack() as stack:

        def start(
            url: str, *arguments: str, size: tuple[int, int] = (1280, 900), still: bool = False
        ) -> Chromium:
            with netns.entered():
                browser = Chromium(tmp_path / "chromium", arguments)
            stack.enter_context(browser)
            browser.look(*size, still=still)
            browser.open(url)
            return browser

        yield start


def until(browser: Chromium, script: str, what: str) -> Any:  # noqa: ANN401 - JSON
    """Wait until an expression of the page's is true, with a bound; return its value."""
    found: list[Any] = []

    def is_there() -> bool:
        found[:] = [browser.run(script)]
        return bool(found[0])

    namespaces.wait_until(is_there, what)
    return found[0]


def wait_until_live(browser: Chromium) -> None:
    until(browser, "live.store.ticks.length > 3 && live.feed.state === 'live'", "ticks")


def show(browser: Chromium, view: str) -> None:
    """Go to a view, and wait until it has shown some ticks."""
    browser.run(f"location.hash = '#/{view}'")
    until(browser, f"document.querySelector('#tabs [aria-current]').dataset.key === '{view}'", view)
    ticks = browser.run("live.store.ticks.length")
    until(browser, f"live.store.ticks.length > {ticks} + 3", "more ticks")


def test_it_loads_and_shows_a_request_of_curl_with_its_times(
    netns: NetworkNamespace, stack_up: StackUp, page_at: PageAt
) -> None:
    stack_up("--delay", "30ms")
    browser = page_at(PAGE)
    wait_until_live(browser)
    curl = ["curl", "-sS", "-o", "/dev/null", "-w", "%{local_port} %{time_connect}"]
    port, connected_s = netns.run([*curl, "http://10.77.0.2/bytes/50000"]).stdout.decode().split()
    # The ladder is that of the newest connection of somebody else.
    text = until(
        browser,
        "document.querySelector('#ladder-drawing svg')?.textContent.includes('/bytes/50000')"
        " && document.querySelector('#ladder-drawing svg').textContent",
        "curl in the ladder",
    )
    assert "SYN ACK" in text
    # SYN and SYN-ACK as the link had them: 30 ms each way.
    items = browser.run(
        f"live.store.items.filter(i => i.tcp && (i.ends[1] === {port} || i.ends[3] === {port}))"
    )
    syn, syn_ack = items[0], items[1]
    assert (syn["tcp"][2], syn_ack["tcp"][2]) == (2, 18)
    assert syn["arrives"] - syn["at"] == pytest.approx(0.03, abs=1e-6)
    assert syn["arrives"] <= syn_ack["at"]
    assert syn_ack["arrives"] - syn_ack["at"] == pytest.approx(0.03, abs=1e-6)
    # curl begins before it, and ends after it.
    assert syn_ack["arrives"] - syn["at"] <= float(connected_s) + 0.002
    # This page's own connection is there too, and says so.
    show(browser, "connections")
    rows = until(browser, "[...document.querySelectorAll('tbody tr')].map(r => r.textContent)", "")
    assert any("this page" in row for row in rows)
    assert any(f":{port}" in row for row in rows)
    for view in ("packets", "map", "host", "controls"):
        show(browser, view)
    assert browser.complaints == []


def test_keys_do_what_the_help_says(stack_up: StackUp, page_at: PageAt) -> None:
    stack_up()
    browser = page_at(PAGE)
    wait_until_live(browser)
    for key, view in zip("123456", ("ladder", "connections", "packets", "map", "host", "controls"),
                         strict=True):  # fmt: skip
        browser.press(key)
        until(browser, f"location.hash === '#/{view}'", view)
    browser.press(" ")
    assert browser.run("live.store.isLive") is False
    assert "paused" in until(browser, "document.querySelector('#state').textContent", "state")
    before = browser.run("live.store.now")
    words = "{key: 'ArrowLeft', shiftKey: true, bubbles: true}"
    browser.run(f"document.body.dispatchEvent(new KeyboardEvent('keydown', {words}))")
    assert browser.run("live.store.now") <= before
    browser.press("Escape")
    assert browser.run("live.store.isLive") is True
    theme = "document.documentElement.dataset.theme"
    old = browser.run(theme)
    browser.press("t")
    assert browser.run(theme) != old
    browser.press("/")
    assert browser.run("document.activeElement.id") == "filter"
    browser.press("Escape")
    browser.press("?")
    assert browser.run("document.querySelector('#help').open") is True
    assert browser.complaints == []


def test_a_frame_is_opened_down_to_its_bits_and_its_bytes_are_lit(
    stack_up: StackUp, page_at: PageAt
) -> None:
    stack_up()
    browser = page_at(PAGE)
    wait_until_live(browser)
    show(browser, "packets")
    browser.run("document.querySelector('#own').click()")
    until(browser, "live.views.packets.shown.some(i => i.tcp)", "a segment")
    browser.run("live.views.packets.pick(live.views.packets.shown.find(i => i.tcp).n)")
    titles = until(
        browser, "[...document.querySelectorAll('.boxes summary')].map(e => e.textContent)", "boxes"
    )
    assert [title.split(" ", 1)[0] for title in titles][:3] == ["Ethernet", "IPv4", "TCP"]
    lit = browser.run(
        """(() => {
        const row = [...document.querySelectorAll('.boxes li')].find(
          each => each.querySelector('.name').textContent === 'Source Port');
        row.focus();
        return [...document.querySelectorAll('.hex td.lit')].map(each => each.textContent);
        })()"""
    )
    item = browser.run("live.store.byNumber.get(live.views.packets.picked)")
    assert int(lit[0] + lit[1], 16) == item["ends"][1]
    assert browser.run("document.querySelector('.bits b').textContent.length") == 16
    assert browser.complaints == []


def test_it_comes_back_by_itself_when_the_stack_does(stack_up: StackUp, page_at: PageAt) -> None:
    first = stack_up()
    browser = page_at(PAGE)
    wait_until_live(browser)
    assert first.stop() == 0
    until(browser, "live.feed.state !== 'live'", "it is gone")
    stack_up()
    until(browser, "live.feed.state === 'live'", "it is back")


def page_of(stack: Stack) -> str:
    """Return the page's address with its token, from the lines after `ready:`."""
    lines = [read_line(stack.process), read_line(stack.process)]
    return next(line.removeprefix("live: ") for line in lines if line.startswith("live: "))


def slide(browser: Chromium, name: str, value: int) -> None:
    """Move a slider as somebody would."""
    browser.run(
        f"""(() => {{
        const slider = document.getElementById('{name}');
        slider.value = '{value}';
        slider.dispatchEvent(new Event('input'));
        slider.dispatchEvent(new Event('change'));
        }})()"""
    )


def test_a_slider_changes_the_round_trip_that_ping_measures(
    netns: NetworkNamespace, stack_up: StackUp, page_at: PageAt, tmp_path: Path
) -> None:
    stack = stack_up("--delay", "1ms", "--control-socket", str(tmp_path / "control"))
    browser = page_at(page_of(stack))
    wait_until_live(browser)
    assert "token" not in browser.run("location.href")  # nobody reads it over a shoulder
    show(browser, "controls")
    until(browser, "document.querySelector('#tap0-delay')?.disabled === false", "it may")

    def ping_ms() -> float:
        said = netns.run(["ping", "-A", "-c", "9", "-W", "20", "10.77.0.2"]).stdout
        return least_ms(said.decode())

    assert ping_ms() < 60
    slide(browser, "tap0-delay", 80)
    until(browser, "live.store.links[0].a_to_b.words.delay === '80ms'", "the delay is set")
    assert 160 <= ping_ms() < 260
    assert browser.complaints == []


def test_the_first_slider_that_is_moved_makes_the_link(
    netns: NetworkNamespace, stack_up: StackUp, page_at: PageAt, tmp_path: Path
) -> None:
    stack = stack_up("--control-socket", str(tmp_path / "control"))  # without any impairment
    browser = page_at(page_of(stack))
    wait_until_live(browser)
    show(browser, "controls")
    until(browser, "document.querySelector('#tap0-delay')?.disabled === false", "it may")
    slide(browser, "tap0-delay", 70)
    until(browser, "live.store.links[0].a_to_b.words.delay === '70ms'", "there is a link")
    out = netns.run(["ping", "-c", "1", "-W", "20", "10.77.0.2"]).stdout.decode()
    assert least_ms(out) >= 140
    # Its frames come as those of a link now, with their times.
    until(
        browser,
        "live.store.items.some(i => i.place === 'tap0' && Math.abs(i.arrives - i.at - .07) < 1e-6)",
        "frames on the link",
    )
    assert browser.complaints == []


def test_each_direction_has_its_slider_where_they_differ(
    stack_up: StackUp, page_at: PageAt, tmp_path: Path
) -> None:
    stack = stack_up("--delay", "1ms", "--control-socket", str(tmp_path / "control"))
    browser = page_at(page_of(stack))
    wait_until_live(browser)
    show(browser, "controls")
    until(browser, "document.querySelector('#tap0-delay')?.disabled === false", "it may")
    browser.run("document.querySelector('#tap0-split').click()")
    slide(browser, "tap0-b_to_a-delay", 30)
    until(browser, "live.store.links[0].b_to_a.words.delay === '30ms'", "one direction")
    assert browser.run("live.store.links[0].a_to_b.words.delay") == "1ms"
    # One slider could not show both: whoever comes anew sees two.
    browser.open(PAGE)
    wait_until_live(browser)
    show(browser, "controls")
    until(browser, "document.querySelector('#tap0-b_to_a-delay')?.value === '30'", "two sliders")
    assert browser.run("document.querySelector('#tap0-split').disabled") is True
    assert browser.complaints == []


@pytest.mark.parametrize(
    ("arguments", "url", "you"),
    [
        ((), "http://[fd77::2]/live", "fd77::2"),
        (("--serve", "https"), "https://10.77.0.2/live", "10.77.0.2"),
        (("--serve", "https"), "https://[fd77::2]/live", "fd77::2"),
    ],
)
def test_it_is_there_over_ipv6_and_over_tls(
    netns: NetworkNamespace,
    stack_up: StackUp,
    page_at: PageAt,
    arguments: tuple[str, ...],
    url: str,
    you: str,
) -> None:
    stack_up(*arguments)
    netns.run(["ping", "-c", "1", "-w", "30", you])  # the kernel's own address is there by then
    browser = page_at(url, "--ignore-certificate-errors")  # of our own authority
    wait_until_live(browser)
    assert browser.run("live.store.hello.you[0][0]") == you
    show(browser, "connections")
    until(browser, "document.querySelector('.tag.you') !== null", "this page's own connection")
    show(browser, "packets")
    browser.run("document.querySelector('#own').click()")
    until(browser, "live.views.packets.shown.some(i => i.tcp)", "a segment")
    browser.run("live.views.packets.pick(live.views.packets.shown.find(i => i.tcp).n)")
    until(browser, "document.querySelectorAll('.boxes summary').length >= 3", "its layers")
    assert browser.complaints == []


def test_under_a_flood_it_says_what_is_sampled_and_goes_on(
    netns: NetworkNamespace, stack_up: StackUp, page_at: PageAt
) -> None:
    stack_up()
    browser = page_at(PAGE)
    wait_until_live(browser)
    show(browser, "packets")
    flood = netns.popen(["ping", "-f", "-q", "-c", "20000", "-w", "20", "10.77.0.2"])
    until(browser, "document.querySelector('#state').textContent.includes('sampled')", "sampled")
    seen = browser.run("live.store.ticks.length")
    until(browser, f"live.store.ticks.length > {seen} + 5", "ticks go on")
    # A frame can be opened in the midst of it, and the list holds what can be seen alone.
    browser.run("live.views.packets.pick(live.views.packets.shown.at(-1).n)")
    until(browser, "document.querySelectorAll('.boxes summary').length >= 3", "its layers")
    assert browser.run("document.querySelectorAll('.row').length") < 100
    flood.terminate()
    assert browser.complaints == []


def test_without_control_the_sliders_are_there_and_say_how(
    stack_up: StackUp, page_at: PageAt
) -> None:
    stack = stack_up("--delay", "1ms", "-v")
    namespaces.wait_until(lambda: f"live: {PAGE}" in stack.log, "the log says where it is")
    browser = page_at(PAGE.removesuffix("live"))
    assert browser.run("document.querySelector('a[href=\"/live\"]') !== null")
    browser.open(PAGE)
    wait_until_live(browser)
    show(browser, "controls")
    until(
        browser, "document.querySelector('#tap0-delay')?.disabled", "a slider that cannot be moved"
    )
    assert "--control" in browser.run("document.querySelector('.notice').textContent")


LabPage = Callable[..., str]


@pytest.fixture
def lab_page(netns: NetworkNamespace, tmp_path: Path) -> Iterator[LabPage]:
    """Return a function that runs a lab with a page, and returns its address."""
    lab = tmp_path / "lab.toml"
    log = (tmp_path / "lab.log").open("wb")

    def start(*arguments: str) -> str:
        if not lab.exists():
            lab.write_text(LAB)
        argv = [sys.executable, "-m", "pystack", "lab", "run", str(lab)]
        process = netns.popen([*argv, "--web", "0", *arguments], stderr=log)
        while line := read_line(process):
            if line.startswith("live: "):
                return line.removeprefix("live: ")
        raise AssertionError((tmp_path / "lab.log").read_text())

    yield start
    log.close()


def test_a_lab_is_paused_and_goes_on_event_by_event_and_a_cut_shows(
    lab_page: LabPage, page_at: PageAt, tmp_path: Path
) -> None:
    browser = page_at(lab_page("--control-socket", str(tmp_path / "control")))
    wait_until_live(browser)
    show(browser, "map")
    until(browser, "document.querySelectorAll('.cable').length === 2", "two links")
    boxes = "[...document.querySelectorAll('#map .title')].map(e => e.textContent)"
    assert browser.run(boxes) == ["client", "r", "server"]
    # A link that is cut shows as such, and when it is mended.
    call = "live.feed.call('link down', {link: 'r-server'}).then(() => 1)"
    assert browser.run(call) == 1
    until(browser, "document.querySelectorAll('.cable.down').length === 1", "a cut link")
    browser.run("live.feed.call('link up', {link: 'r-server'}).then(() => 1)")
    until(browser, "document.querySelectorAll('.cable.down').length === 0", "a mended link")
    # Time stands still, and each step lets one thing happen.
    show(browser, "controls")
    browser.run("document.querySelector('#lab-pause').click()")
    until(browser, "live.store.ticks.at(-1).paused", "it is paused")
    until(browser, "document.querySelector('#lab-step').disabled === false", "it may be stepped")
    stood, ticks = browser.run("[live.store.newest, live.store.ticks.length]")
    until(browser, f"live.store.ticks.length > {ticks} + 5", "ticks in which nothing happens")
    assert browser.run("live.store.newest") == stood
    browser.press("n")  # which goes to the map
    until(browser, "document.querySelector('#stage .steps li')?.textContent", "what the step was")
    browser.press("p")
    until(browser, "live.store.newest > " + json.dumps(stood + 0.2), "it goes on")
    assert browser.complaints == []


def test_the_next_event_opens_its_frame_beside_the_map(
    lab_page: LabPage, page_at: PageAt, tmp_path: Path
) -> None:
    make_busy(tmp_path)
    browser = page_at(lab_page("--control-socket", str(tmp_path / "control"), "--paused"))
    wait_until_live(browser)
    stage = "live.context.stage"
    for _ in range(20):
        steps = browser.run(f"{stage}.steps.length")
        browser.press("n")
        until(browser, f"{stage}.steps.length > {steps}", "a step")
        if browser.run(f"{stage}.steps[0].kind") == "frame":
            break
    assert browser.run("location.hash") == "#/map"
    until(browser, f"{stage}.steps[0].frames.length", "the frame that it was about")
    titles = until(
        browser,
        "[...document.querySelectorAll('#stage .boxes summary')].map(e => e.textContent)",
        "layers",
    )
    assert titles[0].startswith("Ethernet")
    assert "arrives" in browser.run("document.querySelector('.steps li').textContent")
    # On the map it stands where it is, by its name; and a touched layer lights its bytes.
    until(browser, "document.querySelector('#map text.flag')?.textContent", "its flag")
    browser.run("document.querySelector('#stage .boxes summary').focus()")
    assert browser.run("document.querySelectorAll('#stage .hex td.lit').length") == 2 * 14
    assert browser.complaints == []


def test_a_ladder_is_end_to_end_or_by_hops_and_an_arrow_opens_its_frame(
    lab_page: LabPage, page_at: PageAt, tmp_path: Path
) -> None:
    make_busy(tmp_path)
    browser = page_at(lab_page())
    names = "[...document.querySelectorAll('#ladder-drawing .l-name')].map(e => e.textContent)"
    until(browser, f"{names}.join() === 'client,r,server'", "all nodes")
    browser.run("document.querySelector('#end-to-end').click()")
    until(browser, f"{names}.join() === 'client,server'", "both ends")
    browser.run(
        "document.querySelector('#ladder-drawing [data-number]')"
        ".dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    )
    until(browser, "document.querySelectorAll('#ladder-frame summary').length >= 2", "its frame")
    slide(browser, "scale", 7)
    assert browser.run("live.views.ladder.scaleWords.textContent") == "10.0 ms a line"
    assert browser.complaints == []


def test_connections_are_sorted_and_filtered_and_packets_say_what_befell_them(
    lab_page: LabPage, page_at: PageAt, tmp_path: Path
) -> None:
    make_busy(tmp_path)
    browser = page_at(lab_page())
    show(browser, "connections")
    states = "[...document.querySelectorAll('tbody tr.pick')].map(r => r.cells[3].textContent)"
    hosts = "[...document.querySelectorAll('tbody tr.pick')].map(r => r.cells[0].textContent)"
    until(browser, f"new Set({hosts}).size === 2", "both ends")
    browser.run("document.querySelector('th button').click()")  # by host
    assert browser.run(f"({hosts}).join() === ({hosts}).toSorted().join()") is True
    assert browser.run("document.querySelector('th').getAttribute('aria-sort')") == "ascending"
    until(browser, f"({states}).includes('TIME-WAIT')", "one that has ended")
    browser.run("document.querySelector('#connections-filter').value = 'time-wait'")
    until(browser, f"({states}).every(s => s === 'TIME-WAIT')", "the filter")
    show(browser, "packets")
    # A frame on the second link takes 20 ms, and what its bits need at 10 Mbit/s.
    fates = "[...document.querySelectorAll('.row:not(.event)')].map(r => r.querySelector('.fate'))"
    until(browser, f"({fates}).some(f => f.textContent.startsWith('20.'))", "how long it took")
    browser.run("document.querySelector('#place').value = ' once'; live.views.packets.show(true)")
    senders = "[...new Set(live.views.packets.shown.filter(i => i.tcp).map(i => i.from))].sort()"
    assert browser.run(senders) == ["client", "server"]  # and not what the router passes on
    assert browser.complaints == []


def test_it_fits_a_phone_and_keeps_still_for_those_who_want_it(
    stack_up: StackUp, page_at: PageAt
) -> None:
    stack_up()
    browser = page_at(PAGE, size=(360, 740), still=True)
    wait_until_live(browser)
    for view in ("ladder", "connections", "packets", "map", "host", "controls"):
        show(browser, view)
        assert browser.run("document.documentElement.scrollWidth") <= 360, view
    dot = "getComputedStyle(document.querySelector('#state .dot')).animationName"
    assert browser.run(dot) == "none"
    assert browser.complaints == []


MARKUP = "<img/src=x/onerror=owned=1><svg/onload=owned=1><script>owned=1</script>"
QUERY = bytes.fromhex("0001 0100 0001 0000 0000 0000 3f") + MARKUP.encode()[:63] + b"\0\0\1\0\1"
SEND = """
import socket, sys
for port, kind, words in ((80, 1, sys.argv[1]), (53, 2, sys.argv[2])):
    sending = socket.socket(type=kind)
    sending.connect(("10.77.0.2", port))
    sending.send(bytes.fromhex(words))
    sending.recv(100)
"""


def test_the_words_of_strangers_are_text_in_every_view(
    netns: NetworkNamespace, stack_up: StackUp, page_at: PageAt
) -> None:
    stack_up("--serve", "http", "--serve", "dns")
    browser = page_at(PAGE)
    wait_until_live(browser)
    asked = f"GET /{MARKUP} HTTP/1.1\r\nHost: {MARKUP}\r\n{MARKUP}: x\r\n\r\n"
    netns.run([sys.executable, "-c", SEND, asked.encode().hex(), QUERY.hex()])
    for view in ("ladder", "connections", "map", "host", "controls", "packets"):
        show(browser, view)
        assert not browser.run("document.querySelectorAll('img, #view script').length"), view
    browser.run("live.views.packets.filter.value = 'onerror'")
    until(browser, "document.querySelector('#view').textContent.includes('onerror=')", "the text")
    assert (browser.run("typeof owned"), browser.complaints) == ("undefined", [])
