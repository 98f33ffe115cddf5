"""The site of the docs: the guides of docs/, README and what else they link to, and a reference.

mkdocs.yml names this file twice: as mkdocs's hook, and as an extension of griffe, which reads the
sources for the reference. The reference has what `pystack` and its named modules have in `__all__`;
its pages are made while the site is built. A public name without a docstring, a link that leads
nowhere and a reference to nothing fail the build.
"""

import ast
import re
from functools import cache
from importlib import import_module
from inspect import getfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import griffe
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from pygments.formatters import HtmlFormatter

from pystack.link.words import WORDS

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).resolve().parent.parent
# The modules whose `__all__` is public: the package, and those right in it
PUBLIC_MODULES: Final = (
    "pystack",
    *sorted(
        [
            *(f"pystack.{path.stem}" for path in ROOT.glob("pystack/[!_]*.py")),
            "pystack.experiments",
            "pystack.experiments.plot",
            "pystack.experiments.statistics",
            "pystack.gym",
        ]
    ),
)

_BESIDE: Final = {
    "index.md": "README.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
}
# The theme keeps a table's rows on one line each and a page narrow: most of a table was cut off.
_WIDE: Final = """
.wy-table-responsive table td, .wy-table-responsive table th { white-space: normal; }
.wy-nav-content { max-width: 1100px; }
"""
_LINK: Final = re.compile(r"\[([^\]]*)\]\(([^)#\s]*)(#[^)\s]*)?\)")
_FENCE_WITH_FILE: Final = re.compile(r"^```(\w+) (\S+)$", re.MULTILINE)


# what mkdocs calls


def on_config(config: "MkDocsConfig") -> None:
    """Put the pages of the modules into the menu."""
    [reference] = (entry["Reference"] for entry in config.nav or [] if "Reference" in entry)
    reference[1:1] = [{module: f"reference/{page_of(module)}"} for module in PUBLIC_MODULES]


def on_files(files: Files, config: "MkDocsConfig") -> Files:
    """Add the pages that are not in docs/, and the reference."""
    for page, source in _BESIDE.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text("utf-8")))
    for page, text in reference_pages().items():
        files.append(File.generated(config, page, content=text))
    files.append(File.generated(config, "css/code.css", content=code_style() + _WIDE))
    return files


def code_style() -> str:
    """Return the style sheet of blocks of code, those of guides and those of the reference."""
    return HtmlFormatter(style="default").get_style_defs([".codehilite", ".highlight"])


def on_page_markdown(markdown: str, page: "Page", config: "MkDocsConfig", files: Files) -> str:
    """Let a page that is made for the checkout lead to the pages of the site."""

    def led(found: re.Match[str]) -> str:
        text, target, anchor = found[1], found[2], found[3] or ""
        if not target or "://" in target or target.startswith("mailto:"):
            return found[0]
        at = (ROOT if page.file.src_uri in _BESIDE else ROOT / "docs") / target
        try:
            name = at.resolve().relative_to(ROOT).as_posix()
        except ValueError:
            return found[0]  # mkdocs will say that it leads nowhere
        site = {source: name for name, source in _BESIDE.items()}
        inside = site.get(name, name.removeprefix("docs/"))
        if files.get_file_from_path(inside) is None and at.exists():
            return text  # a source, which is no part of the site
        return f"[{text}]({inside}{anchor})"

    markdown = _FENCE_WITH_FILE.sub(r"`\2`:\n\n```\1", markdown)
    return _LINK.sub(led, markdown) if not page.file.src_uri.startswith("reference/") else markdown


# the reference


def reference_pages() -> dict[str, str]:
    """Return the pages of the reference by their places in the site.

    What has a place already is only named where a second module has it.
    """
    pages: dict[str, str] = {}
    places: dict[int, str] = {}  # by the identity of what has it
    index = ["# Reference", "", "What is public, by module; everything else may change.", ""]
    for module in PUBLIC_MODULES:
        loaded = import_module(module)
        names = [name for name in loaded.__all__ if not name.startswith("__")]
        text = [f"# `{module}`", "", f"::: {module}", "    options:", "      members: false"]
        text += ["      show_root_heading: false", ""]
        index += [f"## [`{module}`]({page_of(module)})", ""]
        for name in names:
            here = f"{module}.{name}"
            place = places.setdefault(id(getattr(loaded, name)), here)
            index.append(f"- [`{name}`][{place}]")
            is_here = place == here and here not in PUBLIC_MODULES  # those have pages
            text += [f"::: {here}"] if is_here else [f"`{name}` is [`{place}`][{place}]."]
            if is_here and (inherited := inherited_by(getattr(loaded, name))):
                text += ["    options:", f"      inherited_members: [{', '.join(inherited)}]"]
            text.append("")
        index.append("")
        pages[f"reference/{page_of(module)}"] = "\n".join(text)
    pages["reference/index.md"] = "\n".join(index)
    return pages


def inherited_by(thing: object) -> list[str]:
    """Return what a class has of bases that are not public themselves: no other page has it.

    Those are read, not asked: what `__init__` gives an object is in the reference too.
    """
    names: dict[str, None] = {}
    for base in thing.__bases__ if isinstance(thing, type) else ():
        if base.__module__.startswith("pystack.") and id(base) not in public_things():
            names |= dict.fromkeys(inherited_by(base))
            names |= {
                name: None
                for name, member in members_of(base).items()
                if member.has_docstring and (name == "__init__" or not name.startswith("_"))
            }
    return list(names)


def members_of(kind: type) -> dict[str, griffe.Object | griffe.Alias]:
    """Return what the source of a class has in it."""
    path = Path(getfile(kind))
    source = path.read_text("utf-8")
    lines = griffe.LinesCollection()
    lines[path] = source.splitlines()
    extensions = griffe.load_extensions(Docs)
    module = griffe.visit(
        kind.__module__, path, source, extensions=extensions, lines_collection=lines
    )
    return module[kind.__qualname__].members


@cache
def public_things() -> set[int]:
    """Return the identities of all that has a place in the reference."""
    return {
        id(getattr(loaded, name))
        for loaded in map(import_module, PUBLIC_MODULES)
        for name in loaded.__all__
    }


def page_of(module: str) -> str:
    """Return the name of a module's page."""
    return f"{module}.md"


class Docs(griffe.Extension):
    """Takes what stands in comments beside attributes for their docstrings, as we write them.

    Of a word of a link it is what `pystack.link.words` says.
    """

    def on_instance(self, *, obj: griffe.Object, **kwargs: object) -> None:
        """Let a block of code be one in Markdown too: `::` begins it in the sources."""
        if obj.docstring is not None:
            obj.docstring.value = obj.docstring.value.replace("::\n\n", ":\n\n")

    def on_attribute_instance(
        self, *, attr: griffe.Attribute, agent: object, **kwargs: object
    ) -> None:
        """Give an attribute its docstring."""
        if attr.docstring is not None or attr.name.startswith("_") or attr.lineno is None:
            return
        if attr.parent is not None and attr.parent.name == "NetemWords":
            attr.docstring = griffe.Docstring(_word_text(attr.name), parent=attr)
            attr.annotation = getattr(attr.annotation, "slice", attr.annotation)
            attr.annotation = getattr(attr.annotation, "elements", [attr.annotation])[0]
            return
        lines = attr.lines_collection[attr.filepath]
        text = comment(lines, attr.lineno, attr.endlineno or attr.lineno)
        if text:
            attr.docstring = griffe.Docstring(text, parent=attr)

    def on_package(self, *, pkg: griffe.Module, loader: object, **kwargs: object) -> None:
        """Refuse public names without a docstring."""
        missing = [
            path
            for module in PUBLIC_MODULES
            for name in import_module(module).__all__
            if not name.startswith("__")
            for path in undocumented(pkg.modules_collection[f"{module}.{name}"])
        ]
        if missing:
            raise PluginError(f"public names without a docstring: {', '.join(missing)}")


def _word_text(name: str) -> str:
    word = WORDS[name]
    parts = [word.about]
    if word.unit:
        parts.append(f"A number is {'0 to 1' if word.unit == '0..1' else f'in {word.unit}'}.")
    if word.default:
        parts.append(f"Default: `{word.default}`.")
    text = " ".join(parts)
    if word.values:
        text += f"\n\nAs a text: `{word.values}`, as in `{word.example}`."
    return text.replace("](queues.md", "](../queues.md")


def comment(lines: list[str], first: int, last: int) -> str:
    """Return the comment behind an attribute, or that of whole lines before it."""
    try:
        at = ast.parse(_dedented(lines[first - 1 : last])).body[0].end_col_offset
    except SyntaxError:
        return ""
    behind = lines[last - 1].strip()[at:].strip() if first == last else ""
    if behind.startswith("#"):
        return _sentence(behind[1:].strip())
    above: list[str] = []
    for line in reversed(lines[: first - 1]):
        if not line.strip().startswith("#"):
            break
        above.insert(0, line.strip()[1:].strip())
    return _sentence(" ".join(above))


def _sentence(text: str) -> str:
    word = text.partition(" ")[0].strip(",;:.")
    return text[:1].upper() + text[1:] if word.isalpha() else text


def _dedented(lines: list[str]) -> str:
    return "\n".join([lines[0].strip(), *lines[1:]])


def undocumented(found: griffe.Object | griffe.Alias) -> list[str]:
    """Return what of a public thing, and in it, has no docstring; attributes may lack one."""
    thing = found.final_target if isinstance(found, griffe.Alias) else found
    missing = [] if thing.has_docstring or thing.is_attribute else [thing.path]
    if thing.is_class:
        inherited = {name: one.final_target for name, one in thing.inherited_members.items()}
        for name, member in {**inherited, **thing.members}.items():
            if not name.startswith("_") and not member.is_alias and not member.is_attribute:
                missing += undocumented(member)
    return missing
