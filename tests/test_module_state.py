"""No module keeps state: a hundred hosts live in one process."""

import ast
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent

_MUTABLE_CALLS: Final = {"list", "dict", "set", "bytearray", "defaultdict", "deque", "Counter"}
_MUTABLE_DISPLAYS: Final = (
    ast.List,
    ast.Dict,
    ast.Set,
    ast.ListComp,
    ast.DictComp,
    ast.SetComp,
)


def module_state(path: Path, source: str) -> list[str]:
    """Return the containers that a module keeps at its top and does not call Final."""
    faults = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign):
            names, value, annotation = node.targets, node.value, ""
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            names, value, annotation = [node.target], node.value, ast.unparse(node.annotation)
        else:
            continue
        is_call = isinstance(value, ast.Call) and (
            ast.unparse(value.func).rpartition(".")[2] in _MUTABLE_CALLS
        )
        name = ast.unparse(names[0])
        is_final = annotation.removeprefix("typing.").startswith("Final")
        if (isinstance(value, _MUTABLE_DISPLAYS) or is_call) and not is_final and name != "__all__":
            faults.append(f"{path}:{node.lineno} {name} is state of the whole process")
    return faults


def test_no_module_keeps_state() -> None:
    paths = sorted((ROOT / "pystack").rglob("*.py"))
    faults = [
        fault
        for path in paths
        for fault in module_state(path.relative_to(ROOT), path.read_text("utf-8"))
    ]
    assert faults == []


@pytest.mark.parametrize(
    ("source", "faults"),
    [
        ("seen = {}", 1),
        ("seen: dict[str, int] = {}", 1),
        ("seen = collections.deque()", 1),
        ("seen: Final = {}", 0),
        ("seen: Final[dict[str, enum.Enum]] = {}", 0),
        ("seen = ()\n__all__ = ['seen']", 0),
        ("def f():\n    seen = []", 0),
    ],
)
def test_state_of_a_module_is_found(source: str, faults: int) -> None:
    assert len(module_state(Path("thing.py"), source)) == faults
