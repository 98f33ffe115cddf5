"""Networks need Python and Trio alone, on any platform; what else is missing names its extra."""

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pystack.core.extras import how_to_get

HERE: Final = Path(__file__).parent
ALONE: Final = "import alone; from pathlib import Path; alone.main(Path.cwd())"
COMMAND: Final = "from pystack.cli.start import main; main()"
# Of the modules that are made of an extra, each with what it needs; all the rest is Trio's alone.
OF_EXTRAS: Final = {
    "pystack.apps.asgi": "hypercorn",
    "pystack.apps.clients.digging": "dnspython",
    "pystack.apps.clients.http": "httpcore",
    "pystack.apps.clients.websocket": "wsproto",
    "pystack.apps.dns": "dnspython",
    "pystack.apps.http.feed": "h11",
    "pystack.apps.http.http2": "h2",
    "pystack.apps.http.http2_frames": "h2",
    "pystack.apps.http.http2_stream": "h2",
    "pystack.apps.http.server": "h11",
    "pystack.apps.http.service": "h11",
    "pystack.apps.live.looking": "wsproto",
    "pystack.apps.live.viewer": "wsproto",
    "pystack.apps.live.web": "h11",
    "pystack.apps.websocket": "wsproto",
    "pystack.apps.proxy.api.server": "h11",
    "pystack.cli": "typer",
    "pystack.dns": "dnspython",
    "pystack.gym": "gymnasium",
    "pystack.observe.summary.dns": "dnspython",
    "pystack.runtime.names": "dnspython",
    "pystack.runtime.socket.anyio_listener": "anyio",
    "pystack.testing.plugin": "pytest",
    "pystack.wire.dns": "dnspython",
    "pystack.wire.dns_idna": "dnspython",
    "pystack.wire.slow": "dpkt",
}
IMPORT_ALL: Final = """
import importlib, pathlib, pystack
top = pathlib.Path(pystack.__file__).parent
for path in sorted(top.rglob("*.py")):
    name = ".".join(("pystack", *path.relative_to(top).with_suffix("").parts))
    try:
        importlib.import_module(name.removesuffix(".__init__"))
    except ModuleNotFoundError as error:
        print(name, error.name.partition(".")[0])
    except pystack.ConfigError as error:
        print(name, str(error).partition(" needs ")[2].partition(":")[0])
"""


def run(
    program: str, folder: Path, *arguments: str, before: str, status: int = 0, **environ: str
) -> tuple[list[str], str]:
    """Run a program in a Python of its own; return the lines that it printed, and its errors."""
    done = subprocess.run(
        [sys.executable, "-c", f"import bare; {before}\n{program}", *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(HERE), **environ},
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done.stdout.splitlines(), done.stderr


def brought_by(*extras: str) -> list[str]:
    """Return what can be imported where pystack was installed with these extras."""
    found: dict[str, set[str]] = {}  # distributions, and the extras that are wanted of each
    waiting = [("pystack-net", set(extras))]
    while waiting:
        name, wanted = waiting.pop()
        if wanted <= found.get(name, {""}) - {""}:
            continue
        known = found.setdefault(name, {""})
        known |= wanted
        for needed in map(Requirement, metadata.requires(name) or ()):
            marker = needed.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in known):
                waiting.append((canonicalize_name(needed.name), needed.extras | {""}))
    return [
        module
        for module, names in metadata.packages_distributions().items()
        if any(canonicalize_name(name) in found for name in names)
    ]


@pytest.mark.parametrize(
    "before", ["bare.trio_alone()", "bare.trio_alone(); bare.no_posix()"], ids=["here", "elsewhere"]
)
def test_networks_labs_and_services_run_with_trio_alone(tmp_path: Path, before: str) -> None:
    lines, errors = run(ALONE, tmp_path, before=before)
    # Of a part in real time, where others have the machine
    slow = "this machine is too slow for the network: "
    assert [line for line in errors.splitlines() if not line.startswith(slow)] == []
    assert lines == [
        f"the service http needs h11: {how_to_get('http')}",
        f"the service https needs h11: {how_to_get('http')}",
        f"the service dns needs dnspython: {how_to_get('dns')}",
        f"the service asgi needs hypercorn: {how_to_get('asgi')}",
        f"pystack.apps.http needs h11: {how_to_get('http')}",
        "IP 10.0.0.1.68 > 10.0.0.2.67: BOOTP/DHCP, length 8 "
        "(what it says: pip install 'pystack-net[observe]')",
        "all is well",
    ]


@pytest.mark.parametrize("before", ["", "; bare.no_posix()"], ids=["here", "elsewhere"])
def test_every_module_needs_trio_alone_or_an_extra_that_is_its_own(
    tmp_path: Path, before: str
) -> None:
    lines, _ = run(IMPORT_ALL, tmp_path, before="bare.trio_alone()" + before)
    for line in lines:
        module, _, library = line.partition(" ")
        parts = module.split(".")
        homes = [".".join(parts[:end]) for end in range(len(parts), 0, -1)]
        home = next((home for home in homes if home in OF_EXTRAS), None)
        assert home is not None, f"{module} needs {library}"
        assert library in (OF_EXTRAS[home], "dns"), line


def test_the_command_says_what_it_is_made_of(tmp_path: Path) -> None:
    before = "bare.trio_alone(); import sys; sys.argv[0] = 'pystack'"
    _, errors = run(COMMAND, tmp_path, "--version", before=before, status=1)
    assert errors == f"pystack: the command needs typer: {how_to_get('cli')}\n"


def test_the_command_runs_labs_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_text(
        'seed = 1\n[hosts.a]\n[hosts.b]\nserve = ["http"]\n[[links]]\nbetween = ["a", "b"]\n'
    )
    before = "bare.no_posix(); import sys; sys.argv[0] = 'pystack'"
    words = ("lab", "run", "--virtual", "--for", "1s", "lab.toml")
    lines, errors = run(COMMAND, tmp_path, *words, before=before)
    assert lines[0] == "ready: lab.toml: 2 nodes, 1 link, seed 1, virtual time"
    assert errors == ""
    words = ("get", "http://b/connection.json", "--lab", "lab.toml", "--from", "a")
    lines, _ = run(COMMAND, tmp_path, *words, before=before)
    assert lines[0] == "{"
    _, errors = run(COMMAND, tmp_path, "up", "tap0", before=before, status=1)
    assert errors == (
        "pystack: TAP devices are Linux's: there is none on this platform (elsewhere)\n"
    )
    _, errors = run(COMMAND, tmp_path, "exec", "--", "true", before=before, status=125)
    assert errors == (
        "pystack: namespaces are Linux's: there are none on this platform (elsewhere), where "
        "pystack proxy stands in front of a server\n"
    )


LAB: Final = """
seed = 1
[hosts.a]
[hosts.b]
serve = ["http"{more}]
[[links]]
between = ["a", "b"]
"""
SITE: Final = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"from an application\\n"})
"""
GET: Final = ("get", "--lab", "lab.toml", "--from", "a")


@pytest.mark.parametrize(
    ("extras", "more", "words"),
    [
        (["tap"], "", (*GET, "http://b/bytes/9")),
        (["tap", "tls"], ', "https"', (*GET, "-k", "https://b/bytes/9")),
        (["tap", "ws"], "", (*GET, "ws://b/ws/time")),
        (["tap", "dns"], ', "dns"', ("dig", "@b", "b", "--lab", "lab.toml", "--from", "a")),
        (
            ["tap", "asgi"],
            ', {name = "asgi", port = 8, app = "greeting:app"}',
            (*GET, "http://b:8/"),
        ),
        (["cli"], ', "smtp"', ("packetdrill", "close.pkt")),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else "",
)
def test_an_extra_brings_all_that_its_part_needs(
    tmp_path: Path, extras: list[str], more: str, words: tuple[str, ...]
) -> None:
    (tmp_path / "lab.toml").write_text(LAB.format(more=more))
    (tmp_path / "close.pkt").write_text("0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n")
    (tmp_path / "greeting.py").write_text(SITE)
    names = ", ".join(map(repr, [*brought_by(*extras), "greeting"]))
    before = f"bare.trio_alone({names}); import sys; sys.argv[0] = 'pystack'"
    lines, errors = run(COMMAND, tmp_path, *words, before=before)
    assert lines
    assert errors == ""


@pytest.mark.parametrize("words", [("lab", "run", "lab.toml"), ("exec", "--outside", "--", "true")])
def test_the_live_page_names_the_extra_that_it_lacks(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    (tmp_path / "lab.toml").write_text(LAB.format(more="").replace('["http"]', '["echo"]'))
    names = ", ".join(map(repr, brought_by("cli")))
    before = f"bare.trio_alone({names}); import sys; sys.argv[0] = 'pystack'"
    web = (*words[:-2], "--web=", *words[-2:]) if "--" in words else (*words, "--web=")
    _, errors = run(COMMAND, tmp_path, *web, before=before, status=2)
    assert errors == f"pystack: the live page needs h11: {how_to_get('http')}\n"


def test_tests_need_pytest_beside_it(tmp_path: Path) -> None:
    (tmp_path / "test_net.py").write_text(
        "async def test_a_ping(net):\n"
        "    a, b = net.host('a'), net.host('b')\n"
        "    net.link(a, b, delay='1ms')\n"
        "    assert await a.ping('b') < 1\n"
    )
    allowed = ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments", "test_net")
    before = f"bare.trio_alone{allowed}; import pytest, sys"
    words = ["-q", "-p", "pystack.testing.plugin", "-p", "no:cacheprovider"]
    program = f"sys.exit(pytest.main({words} + ['test_net.py']))"
    environment = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    lines, _ = run(program, tmp_path, before=before, **environment)
    assert lines[-1].startswith("1 passed")
