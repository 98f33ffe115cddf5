"""Every counter and every reason for a drop is explained in one table, which has no others."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from pystack.core.counters import explanations

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGE: Final = ROOT / "pystack"
TABLE: Final = "pystack/core/counters.toml"
# What counts, drops or refuses under the name that is its first argument
_COUNTING: Final = {
    "FloodError",
    "HeaderFault",
    "OptionError",
    "WireError",
    "_count",
    "_cut",
    "_drop",
    "_reject",
    "_report",
    "drop",
    "on_dropped",
    "refusing",
    "report",
}
# And that of whose method, where the word is everybody's
_COUNTED_BY: Final = {"add": "counters", "append": "drops", "count": "told"}
# What looks like a counter by its first word, and is none
NOT_COUNTERS: Final = {
    "asgi_tls",
    "http2_prior_knowledge",
    "http_code",
    "http_version",
    "ip_option_bytes",
    "tap_host",
    "tcp_port",
    "tcp_table",
    "tls_answer",
    "tls_begin",
    "tls_client",
    "tls_done",
    "tls_failed",
    "tls_finished",
    "tls_hello",
    "tls_names",
    "udp_counters_64bit",
    "udp_port",
}
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)+")


class Source(NamedTuple):
    """What a module of ours says."""

    path: Path
    strings: list[ast.Constant]
    counted: list[tuple[int, str]]


@cache
def sources() -> list[Source]:
    """Return the sources, but for what plays packetdrill: that speaks of Linux's sysctls."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if "packetdrill" not in path.parts:
            tree = ast.parse(path.read_text("utf-8"))
            found.append(Source(path, list(strings(tree)), list(counted(tree))))
    return found


def strings(tree: ast.AST) -> Iterator[ast.Constant]:
    """Yield all string constants but the names of attributes, in their order."""
    waiting = [tree]
    while waiting:
        match node := waiting.pop():
            case ast.Assign(targets=[ast.Name(id="__slots__" | "__all__"), *_]):
                continue
            case ast.Constant(value=str()):
                yield node
        waiting += reversed(list(ast.iter_child_nodes(node)))


def reasons(node: ast.expr) -> Iterator[str]:
    """Yield the names that an expression may have; of what is put together, a pattern."""
    match node:
        case ast.Constant(value=str(name)):
            yield name
        case ast.IfExp(body=one, orelse=other):
            yield from reasons(one)
            yield from reasons(other)
        case ast.JoinedStr(values=parts):
            yield "".join(
                re.escape(part.value) if isinstance(part, ast.Constant) else r"\w+"
                for part in parts
            )


def counted(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the names, or patterns of names, that are counted for certain, and their lines."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=whose, attr=verb), args=[reason, *_]):
                ending = _COUNTED_BY.get(verb)
                if verb in _COUNTING or (ending and ast.unparse(whose).endswith(ending)):
                    yield from ((node.lineno, name) for name in reasons(reason))
            case ast.Call(func=ast.Name(id="refusing"), args=[_, reason]):
                yield from ((node.lineno, name) for name in reasons(reason))
            case ast.Call(func=ast.Name(id=verb), args=[reason, *_]) if verb in _COUNTING:
                yield from ((node.lineno, name) for name in reasons(reason))
            case ast.Subscript(value=whose, slice=reason):
                if ast.unparse(whose).endswith("counters"):
                    yield from ((node.lineno, name) for name in reasons(reason))


def names_in_the_code() -> dict[str, str]:
    """Return every name of a counter, and where it stands."""
    # What a link counts is named by tc's words, which stand for other things as well.
    families = {
        name.partition("_")[0]
        for name, explained in explanations().items()
        if explained.section not in ("Links", "Queues")
    }
    found: dict[str, str] = {}
    for source in sources():
        place = source.path.relative_to(ROOT)
        for line, name in source.counted:
            if _NAME.fullmatch(name):
                found.setdefault(name, f"{place}:{line}")
        for node in source.strings:
            text = str(node.value)
            if _NAME.fullmatch(text) and text.partition("_")[0] in families:
                found.setdefault(text, f"{place}:{node.lineno}")
    return {name: place for name, place in found.items() if name not in NOT_COUNTERS}


def test_every_counter_is_explained() -> None:
    unknown = {
        name: place for name, place in names_in_the_code().items() if name not in explanations()
    }
    assert not unknown, (
        f"{len(unknown)} counters are not explained: write a line for each into {TABLE}, then run "
        "`scripts/docs --pages`; what is no counter goes to NOT_COUNTERS in "
        f"tests/test_counter_table.py: {unknown}"
    )


def test_every_explained_counter_is_counted_somewhere() -> None:
    texts = {node.value for source in sources() for node in source.strings}
    patterns = [
        re.compile(name) for source in sources() for _, name in source.counted if "\\" in name
    ]
    dead = [
        name
        for name in explanations()
        if name not in texts and not any(pattern.fullmatch(name) for pattern in patterns)
    ]
    assert not dead, f"nobody counts these any more; take their lines out of {TABLE}: {dead}"


def test_an_explanation_is_a_sentence_with_a_source() -> None:
    odd = {
        name: explained
        for name, explained in explanations().items()
        if not re.fullmatch(r"[A-Z0-9(`].*[.]", explained.sentence) or not explained.source
    }
    assert odd == {}


def test_how_counters_are_found() -> None:
    source = """
host.drop("a_b" if late else "a_c", now)
counters["d_e"] += 1
connection.drops.append("f_g")
raise WireError("h_i")
host.counters.add(f"j_{why}_k")
words.add("l_m")
"""
    found = [name for _, name in counted(ast.parse(source))]
    assert sorted(found) == ["a_b", "a_c", "d_e", "f_g", "h_i", r"j_\w+_k"]


def test_the_page_of_counters_is_made_from_the_table() -> None:
    made = subprocess.run(
        [sys.executable, "-c", "import docs_pages; print(docs_pages.counters_page(), end='')"],
        cwd=ROOT / "scripts",
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert made == (ROOT / "docs" / "counters.md").read_text("utf-8"), "run scripts/docs --pages"
