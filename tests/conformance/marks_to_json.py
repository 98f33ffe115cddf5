"""A pytest plug-in for `tables.py`: writes which tests there are, and the rules of each.

Loaded by name (`-p marks_to_json`) into a pytest that only collects.
"""

import json
import os
from pathlib import Path

import pytest


def pytest_collection_finish(session: pytest.Session) -> None:
    marks: dict[str, set[tuple[str, str]]] = {}
    for item in session.items:
        name = item.nodeid.partition("[")[0]
        rules = {(str(mark.args[0]), str(mark.args[1])) for mark in item.iter_markers("rfc")}
        marks.setdefault(name, set()).update(rules)
    found = {name: sorted(rules) for name, rules in marks.items()}
    Path(os.environ["PYSTACK_MARKS"]).write_text(json.dumps(found), "utf-8")
