"""The site of the docs: scripts/test builds it; here is what makes that fail."""

import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import griffe
import pytest
from doc_blocks import ROOT

import pystack
from pystack.link.words import WORDS


@pytest.fixture
def docs_site(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import docs_site

    return docs_site


def build(folder: Path, **pages: str) -> str:
    """Build the site with these pages added; return what it complains of."""
    docs = folder / "docs"
    docs.mkdir()
    for page in (ROOT / "docs").iterdir():
        (docs / page.name).symlink_to(page)
    for name, text in pages.items():
        (docs / f"{name}.md").write_text(text)
    config = (ROOT / "mkdocs.yml").read_text("utf-8")
    config = config.replace("scripts/docs_site.py", f"{ROOT}/scripts/docs_site.py")
    config = config.replace("paths: [.]", f"paths: [{ROOT}]")
    (folder / "mkdocs.yml").write_text(config)
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr if done.returncode else ""


def test_links_and_references_that_lead_nowhere_fail_the_build(tmp_path: Path) -> None:
    said = build(
        tmp_path,
        odd="[a](nowhere.md) [b](lab.md#no-such-part) [c](../examples/no.py) [d][pystack.Nothing]",
    )
    for what in ("nowhere.md", "no-such-part", "examples/no.py", "pystack.Nothing"):
        assert what in said


def test_code_is_coloured_by_what_it_is(docs_site: ModuleType) -> None:
    css = docs_site.code_style()
    assert ".codehilite .err, .highlight .err { border" in css
    assert ".codehilite, .highlight .err" not in css  # all code would be an error


def test_a_public_name_without_a_docstring_is_found(docs_site: ModuleType) -> None:
    module = griffe.visit(
        "module",
        Path("module.py"),
        '"""A module."""\n'
        "def silent(): ...\n"
        "class Loud:\n"
        '    """Says what it is."""\n'
        "    field = 1\n"
        "    def method(self): ...\n"
        "    def _own(self): ...\n",
    )
    found = [path for name in ("silent", "Loud") for path in docs_site.undocumented(module[name])]
    assert found == ["module.silent", "module.Loud.method"]


def test_each_public_name_is_in_the_reference_once(docs_site: ModuleType) -> None:
    pages = docs_site.reference_pages()
    entries = Counter(
        line.removeprefix("::: ")
        for text in pages.values()
        for line in text.splitlines()
        if line.startswith("::: ")
    )
    assert set(entries.values()) == {1}
    assert entries["pystack.Network"] == 1


def test_a_class_has_what_its_hidden_bases_have_in_the_reference(docs_site: ModuleType) -> None:
    entries = docs_site.reference_pages()["reference/pystack.md"].split("::: ")
    [network] = (entry for entry in entries if entry.startswith("pystack.Network\n"))
    listed = network.partition("inherited_members: [")[2].partition("]")[0].split(", ")
    # The words of `Network(...)`, an attribute, a property and a method; none without a text
    assert {"__init__", "hosts", "lateness", "capture"} <= set(listed)
    assert not {"seeing", "_open"} & set(listed)
    assert docs_site.inherited_by(pystack.Router) == []  # a `Host` has an entry itself


def test_hidden_bases_of_hidden_bases_count_too(
    docs_site: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docs_site, "public_things", set)
    listed = docs_site.inherited_by(pystack.Router)
    assert {"open_tcp_stream", "set_clock"} <= set(listed)


def test_packages_that_users_name_are_in_the_reference(docs_site: ModuleType) -> None:
    pages = docs_site.reference_pages()
    assert "::: pystack.gym.CongestionEnv" in pages["reference/pystack.gym.md"]
    assert "::: pystack.experiments.Experiment" in pages["reference/pystack.experiments.md"]


def test_the_reference_explains_each_word_of_a_link(docs_site: ModuleType) -> None:
    extensions = griffe.load_extensions(docs_site.Docs)
    module = griffe.load("pystack.link.words", search_paths=[ROOT], extensions=extensions)
    words = {
        name: member.docstring.value
        for name, member in module["NetemWords"].members.items()
        if member.docstring is not None
    }
    assert words.keys() == WORDS.keys()
    assert words["jitter"] == (
        "Spread of the delay. A number is in seconds. Default: `0s`.\n\n"
        "As a text: `TIME [CORRELATION]`, as in `5ms`."
    )


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (["    mtu_bytes: int  # largest IP packet"], "Largest IP packet"),
        (['    name: str = "#"  # of the host'], "Of the host"),
        (
            ["    # None: not opened", "    # yet", "    nursery: Nursery | None"],
            "None: not opened yet",
        ),
        (["    plain: int"], ""),
    ],
)
def test_a_comment_is_an_attributes_docstring(
    docs_site: ModuleType, lines: list[str], text: str
) -> None:
    assert docs_site.comment(lines, len(lines), len(lines)) == text
