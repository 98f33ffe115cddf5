"""The layers: who may import whom, downwards only (the table in CONTRIBUTING.md tells why).

Every import counts: at the top, inside a function, and for type checking only. Functions over an
explicit `host` or `conn` name its type, and the host's module calls them: such a module is a core,
and without the few of them (`CORES`) no circle is left, not even of types.
The sources are read, not run, so that a forbidden import is named even where it would fail.
"""

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent

# For each part of the package, what it may import of the rest; its own modules always.
# A name stands for the module and all below it.
_BELOW_RUNTIME: Final = tuple(
    f"pystack.{layer}"
    for layer in ("core", "wire", "dns", "tcp", "observe", "link", "stack", "topology")
)
LAYERS: Final[Mapping[str, tuple[str, ...]]] = {
    "pystack.core": (),
    "pystack.wire": ("pystack.core",),
    "pystack.dns": ("pystack.core", "pystack.wire"),
    "pystack.tcp": ("pystack.core", "pystack.wire"),
    "pystack.observe": ("pystack.core", "pystack.wire", "pystack.dns.records", "pystack.tcp.seq"),
    "pystack.link": (
        "pystack.core",
        "pystack.wire",
        "pystack.observe.observer",
        "pystack.observe.passage",
        "pystack.observe.captures.capture_file",
        "pystack.observe.captures.input",
        "pystack.observe.captures.link_types",
    ),
    "pystack.stack": (
        "pystack.core",
        "pystack.wire",
        "pystack.tcp",
        "pystack.link.port",
        "pystack.observe.observer",
    ),
    "pystack.topology": (
        "pystack.core",
        "pystack.wire",
        "pystack.dns.config",
        "pystack.link",
        "pystack.stack",
        "pystack.observe",
    ),
    "pystack.runtime": _BELOW_RUNTIME,
    "pystack.apps": (
        "pystack.core",
        "pystack.wire.dns",
        "pystack.wire.frame",
        "pystack.wire.slow",
        "pystack.dns",
        "pystack.tcp.info",
        "pystack.stack.host",
        "pystack.observe",
        "pystack.runtime",
        # the live page's map has the places of `pystack lab show --svg`
        "pystack.topology.drawing",
        "pystack.topology.layout",
        # what a proxy and its toxics make of a link
        "pystack.link.config",
        "pystack.link.impair.packet",
        "pystack.link.words",
        "pystack.topology.presets",
        "pystack.topology.reading",
        "pystack.topology.toml_places",
        # the connections of its two hosts
        "pystack.stack.tcp_socket",
        "pystack.stack.udp_socket",
        "pystack.stack.neighbors",
        "pystack.tcp.config",
        "pystack.tcp.events",
        "pystack.tcp.states",
        "pystack.__init__",
    ),
    # Many runs of networks, and networks as environments: what is built on all the others.
    "pystack.experiments": (
        *_BELOW_RUNTIME,
        "pystack.runtime",
        "pystack.apps",
        "pystack.__init__",
        "pystack.events",
        "pystack.plugins",
    ),
    "pystack.gym": (
        *_BELOW_RUNTIME,
        "pystack.runtime",
        "pystack.apps",
        "pystack.__init__",
        "pystack.events",
        "pystack.plugins",
    ),
    "pystack.cli": (
        *_BELOW_RUNTIME,
        "pystack.runtime",
        "pystack.__init__",
        "pystack.apps",
        "pystack.experiments",
        "pystack.testing.packetdrill",
    ),
    "pystack.testing": (*_BELOW_RUNTIME, "pystack.runtime", "pystack.__init__", "pystack.apps"),
    "pystack.__main__": ("pystack.cli",),
    # The public names, gathered: a layer of its own, above runtime.
    "pystack.__init__": (
        *_BELOW_RUNTIME,
        "pystack.runtime",
        "pystack.apps.hosting",
        "pystack.apps.base",
        "pystack.apps.words",
        "pystack.testing.determinism",
    ),
    "pystack.events": (
        "pystack.core.tcp_events",
        "pystack.observe.observer",
        "pystack.observe.passage",
        "pystack.wire.frame",
    ),
    "pystack.plugins": (
        *_BELOW_RUNTIME,
        "pystack.runtime",
        "pystack.apps.base",
        "pystack.apps.options",
        "pystack.apps.service",
    ),
}

# The libraries that are not Python's own, and the modules (by the beginning of the name) that may
# import them. A library that is not here may be imported nowhere.
LIBRARIES: Final[Mapping[str, tuple[str, ...]]] = {
    "trio": (
        "pystack.runtime.",
        "pystack.apps.",
        "pystack.experiments.",
        "pystack.gym.",
        "pystack.cli.",
        "pystack.testing.",
    ),
    # Trio needs both of them
    "sniffio": (
        "pystack.runtime.either",
        "pystack.runtime.aio.",
        "pystack.runtime.driver.guest_run",
    ),
    "outcome": ("pystack.runtime.",),
    "dpkt": ("pystack.wire.slow", "pystack.observe."),
    "dns": ("pystack.wire.dns",),
    "h11": ("pystack.apps.",),
    "idna": ("pystack.core.idna",),
    "h2": ("pystack.apps.",),
    "hyperframe": ("pystack.apps.http.http2",),  # the frames that h2 hands about
    "wsproto": ("pystack.apps.",),
    "trustme": ("pystack.apps.",),
    "cryptography": ("pystack.apps.",),
    "httpcore": ("pystack.apps.clients.",),
    "httpx": ("pystack.apps.",),
    "hypercorn": ("pystack.apps.asgi",),
    "hypothesis": ("pystack.testing.",),
    "anyio": ("pystack.runtime.socket.anyio_listener", "pystack.testing.on_asyncio"),
    "numpy": ("pystack.experiments.", "pystack.gym."),
    "pandas": ("pystack.experiments.",),
    "polars": ("pystack.experiments.results.",),
    "pyarrow": ("pystack.experiments.results.",),
    "scipy": ("pystack.experiments.",),
    "matplotlib": ("pystack.experiments.plots.",),
    "dask": ("pystack.experiments.running.",),
    "distributed": ("pystack.experiments.running.",),
    "gymnasium": ("pystack.gym.",),
    "rich": ("pystack.cli.",),
    "jinja2": ("pystack.apps.", "pystack.observe.explain."),
    "typer": ("pystack.cli.",),
    "pytest": ("pystack.testing.",),
    "_pytest": ("pystack.testing.seed_run",),
}

# What a folder is about: its parts are functions and tables over it, which name its type.
CORES: Final[Mapping[str, str]] = {
    "pystack.tcp.connection": "a connection, in files by sections of the RFCs",
    "pystack.tcp.tcb": "its state",
    "pystack.link.config": "what a pipe is to be",
    "pystack.stack.host": "a host, in files by layers",
    "pystack.stack.tcp_table": "its TCP",
    "pystack.stack.udp": "its UDP",
    "pystack.runtime.bare_host": "a host, as sockets, streams and look-ups take it",
    "pystack.runtime.host": "a host as programs see it",
    "pystack.runtime.bare_network": "a network, as conditions and name servers take it",
    "pystack.runtime.network": "a network as programs see it",
    "pystack.runtime.streams": "a stream, and who takes what arrives on it",
    "pystack.runtime.aio.loop": "an event loop: what it waits by, and its world",
    "pystack.runtime.lab.attach": "real things that are attached to it",
    "pystack.runtime.socket.stream_ends": "a socket of TCP: options, errors, messages of it",
    "pystack.runtime.socket.datagram_ends": "the same of UDP",
    "pystack.apps.ftp.session": "a session, its commands and transfers",
    "pystack.apps.http.http2": "a connection, and its streams",
    "pystack.testing.packetdrill.streams": "a script's connection, and its options",
}

# So many modules of a layer may need one another at most, counting types: who reads one of them has
# to know of all. A new import that makes it more is a sign to look for what can be given instead.
MOST_IN_A_CIRCLE: Final[Mapping[str, int]] = {
    "pystack.tcp": 33,
    "pystack.stack": 31,
    "pystack.runtime": 11,
}
MOST_ELSEWHERE: Final = 3


def package_sources() -> dict[str, str]:
    """Return the source text of every module of the package, by its dotted name."""
    sources = {}
    for path in sorted((ROOT / "pystack").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if len(parts) > 2 and parts[-1] == "__init__":
            parts = parts[:-1]
        sources[".".join(parts)] = path.read_text()
    return sources


def imported(tree: ast.Module, modules: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of all that is imported; ".name" for a relative import."""
    known = frozenset(modules)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, "pystack.__init__" if alias.name == "pystack" else alias.name
        elif isinstance(node, ast.ImportFrom):
            source = "." * node.level + (node.module or "")
            for alias in node.names:
                # `from package import thing`: a module of it, or a name in it
                inner = f"{source}.{alias.name}"
                in_package = "pystack.__init__" if source == "pystack" else source
                yield node.lineno, inner if inner in known else in_package


class RunTimeImports(ast.NodeTransformer):
    """Takes out what only a type checker sees."""

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        """Leave of `if TYPE_CHECKING:` nothing but its else."""
        if ast.unparse(node.test).removeprefix("typing.") == "TYPE_CHECKING":
            return node.orelse
        return self.generic_visit(node)


def layer_of(module: str) -> str:
    """Return the first two words of its name: pystack.tcp.output is in pystack.tcp."""
    return ".".join(module.split(".")[:2])


def within(module: str, name: str) -> bool:
    """Tell whether `module` is `name` or below it."""
    return module == name or module.startswith(f"{name}.")


def may_import(importer: str, target: str) -> bool:
    """Look up one import in the two tables."""
    if not within(target, "pystack"):
        library = target.partition(".")[0]
        if library in sys.stdlib_module_names:
            return True
        return f"{importer}.".startswith(LIBRARIES.get(library, ()))
    own = layer_of(importer)
    return any(within(target, allowed) for allowed in (own, *LAYERS.get(own, ())))


def import_faults(module: str, source: str, modules: Iterable[str]) -> list[str]:
    """Return what `source`, the text of `module`, imports and may not."""
    faults = []
    for line, target in dict.fromkeys(imported(ast.parse(source), modules)):
        if target.startswith("."):
            faults.append(f"{module}:{line} imports relatively ({target})")
        elif not may_import(module, target):
            faults.append(f"{module}:{line} may not import {target}")
    return faults


def graph_of(sources: Mapping[str, str], *, types: bool) -> dict[str, list[str]]:
    """Return what each module imports of the others; `types`: also for a type checker alone."""
    graph = {}
    for module, source in sources.items():
        tree = ast.parse(source)
        names = {
            name for _, name in imported(tree if types else RunTimeImports().visit(tree), sources)
        }
        graph[module] = sorted(names & sources.keys() - {module})
    return graph


@cache
def types_graph() -> dict[str, list[str]]:
    """Return who imports whom in the package, also for a type checker alone."""
    return graph_of(package_sources(), types=True)


def without(graph: Mapping[str, list[str]], cores: Iterable[str]) -> dict[str, list[str]]:
    """Return a graph that these modules are not in."""
    gone = set(cores)
    return {
        module: [target for target in targets if target not in gone]
        for module, targets in graph.items()
        if module not in gone
    }


def cycle(graph: Mapping[str, list[str]]) -> list[str]:
    """Return modules that import each other in a circle, the first at both ends; [] for none."""
    finished: set[str] = set()

    def visit(module: str, way: list[str]) -> list[str]:
        if module in way:
            return [*way[way.index(module) :], module]
        if module in finished:
            return []
        for target in graph[module]:
            if found := visit(target, [*way, module]):
                return found
        finished.add(module)
        return []

    for module in graph:
        if found := visit(module, []):
            return found
    return []


def reached(graph: Mapping[str, Iterable[str]], module: str) -> set[str]:
    """Return what a module needs, directly or through others."""
    found: set[str] = set()
    left = [module]
    while left:
        new = set(graph[left.pop()]) - found
        found |= new
        left += new
    return found


def circles(graph: Mapping[str, Iterable[str]]) -> list[tuple[str, ...]]:
    """Return the sets of modules that all need one another, the largest first."""
    needs = {module: reached(graph, module) for module in graph}
    found = {
        tuple(sorted(other for other in needs[module] if module in needs[other]))
        for module in graph
        if module in needs[module]
    }
    return sorted(found, key=lambda circle: (-len(circle), circle))


def too_large(found: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return those of the circles that are larger than what their layer may have."""
    return [
        circle
        for circle in found
        if len(circle) > max(MOST_IN_A_CIRCLE.get(layer_of(m), MOST_ELSEWHERE) for m in circle)
    ]


def test_each_module_imports_only_what_its_layer_may() -> None:
    sources = package_sources()
    faults = [
        fault
        for module, source in sources.items()
        for fault in import_faults(module, source, sources)
    ]
    assert faults == []


def test_no_module_imports_itself_through_others() -> None:
    assert cycle(graph_of(package_sources(), types=False)) == []


def test_no_module_needs_its_own_type_but_by_a_core() -> None:
    assert cycle(without(types_graph(), CORES)) == []


@pytest.mark.parametrize("core", CORES)
def test_each_core_holds_a_circle_together(core: str) -> None:
    assert core in cycle(without(types_graph(), CORES.keys() - {core}))


def test_no_circle_of_types_is_larger_than_its_layer_may_have() -> None:
    found = circles(types_graph())
    assert too_large(found) == []
    largest = {layer_of(m): len(circle) for circle in reversed(found) for m in circle}
    assert MOST_IN_A_CIRCLE.items() <= largest.items(), "these have become less: lower the limit"


def test_circles_are_found() -> None:
    # Two of them, of three and of two; "f" needs one, and is in none.
    graph = {"a": "b", "b": "c", "c": "ad", "d": "e", "e": "d", "f": "a", "g": ""}
    assert circles(graph) == [("a", "b", "c"), ("d", "e")]
    assert circles({**graph, "e": "da"}) == [("a", "b", "c", "d", "e")]
    assert circles({"f": "g", "g": ""}) == []


def test_a_circle_that_has_grown_is_found() -> None:
    def ring(layer: str, modules: int) -> dict[str, list[str]]:
        return {f"{layer}.m{one}": [f"{layer}.m{(one + 1) % modules}"] for one in range(modules)}

    most = MOST_IN_A_CIRCLE["pystack.runtime"]
    assert too_large(circles(ring("pystack.runtime", most))) == []
    assert [len(one) for one in too_large(circles(ring("pystack.runtime", most + 1)))] == [most + 1]
    assert too_large(circles(ring("pystack.wire", MOST_ELSEWHERE + 1))) != []


def test_every_module_of_the_package_is_in_a_layer() -> None:
    assert {layer_of(module) for module in package_sources()} <= LAYERS.keys()


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("pystack.core.units", "import pystack.wire.frame"),
        ("pystack.core.units", "from pystack import wire"),
        ("pystack.core.units", "import attrs"),
        ("pystack.wire.tcp", "from pystack.tcp.seq import unwrap"),
        ("pystack.wire.tcp", "import dpkt"),
        ("pystack.wire.tcp", "from . import udp"),
        ("pystack.wire.tcp", "from ..core import units"),
        ("pystack.tcp.output", "from pystack.link.port import Port"),
        ("pystack.tcp.output", "from pystack.observe.observer import Observer"),
        ("pystack.tcp.output", "def f():\n    import trio"),
        (
            "pystack.tcp.output",
            "if TYPE_CHECKING:\n    from pystack.stack.host import Host",
        ),
        ("pystack.observe.captures.pcap", "from pystack.link.port import Port"),
        ("pystack.link.pipe", "from pystack.tcp.tcb import Tcb"),
        ("pystack.link.pipe", "from pystack.observe.captures.pcap import PcapWriter"),
        ("pystack.link.pipe", "from pystack.observe.captures import pcap"),
        ("pystack.stack.host", "from pystack.link.pipe import Pipe"),
        ("pystack.stack.host", "from pystack.link import port, pipe"),
        ("pystack.stack.host", "import trio.lowlevel"),
        ("pystack.topology.switch", "from pystack.runtime.network import Network"),
        ("pystack.topology.switch", "import trio"),
        ("pystack.runtime.streams", "from pystack.apps.http import serve"),
        ("pystack.runtime.streams", "from pytun import TunTapDevice"),
        ("pystack.runtime.streams", "import pystack"),
        ("pystack.apps.http", "from pystack.wire.tcp import Segment"),
        ("pystack.apps.http", "from pystack.cli.main import main"),
        ("pystack.testing.plugin", "from pystack.cli.main import main"),
        ("pystack.__init__", "from pystack.apps.http import serve"),
        ("pystack.runtime.streams", "from pystack import TcpInfo"),
    ],
)
def test_an_import_upwards_is_found(module: str, source: str) -> None:
    modules = {
        "pystack.observe.captures.pcap",
        "pystack.link.pipe",
        "pystack.link.port",
        "pystack.wire",
    }
    assert len(import_faults(module, source, modules)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("pystack.core.units", "import math\nfrom pystack.core.errors import ConfigError"),
        ("pystack.wire.slow", "import dpkt"),
        ("pystack.tcp.congestion.cubic", "from pystack.tcp.congestion.base import AckSample"),
        ("pystack.link.pipe", "from pystack.observe.observer import Observer"),
        ("pystack.stack.host", "from pystack.link import port"),
        ("pystack.runtime.device.tap", "import fcntl\nimport trio"),
        ("pystack.cli.main", "import typer\nfrom pystack import __version__"),
        ("pystack.__init__", "from pystack.runtime.network import Network"),
    ],
)
def test_an_import_downwards_is_allowed(module: str, source: str) -> None:
    assert import_faults(module, source, {"pystack.link.port"}) == []


def test_a_cycle_is_found() -> None:
    sources = {
        "pystack.a": "import math\nfrom pystack import b",
        "pystack.b": "def f():\n    from pystack.c import g",
        "pystack.c": "if TYPE_CHECKING:\n    import x\nelse:\n    import pystack.b",
    }
    found = cycle(graph_of(sources, types=False))
    assert found == ["pystack.b", "pystack.c", "pystack.b"]


def test_a_circle_of_types_is_told_from_one_at_run_time() -> None:
    sources = {
        "pystack.a": "from pystack.b import f",
        "pystack.b": "if TYPE_CHECKING:\n    from pystack.a import A",
    }
    assert cycle(graph_of(sources, types=False)) == []
    found = graph_of(sources, types=True)
    assert cycle(found) == ["pystack.a", "pystack.b", "pystack.a"]
    assert cycle(without(found, ["pystack.a"])) == []
