"""How to get what is missing: it has to work where pystack was installed from."""

import json
import shlex
import sys
from importlib import metadata
from pathlib import Path

import pytest

from pystack.core import extras
from pystack.core.errors import ConfigError


def from_where(monkeypatch: pytest.MonkeyPatch, origin: object) -> None:
    class Installed:
        def read_text(self, name: str) -> str | None:
            return json.dumps(origin) if origin and name == "direct_url.json" else None

    monkeypatch.setattr(metadata, "distribution", lambda name: Installed())


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        (None, "pip install 'pystack-net[plot]'"),
        ({"url": "https://host/pystack.whl"}, "pip install 'pystack-net[plot]'"),
        ({"url": "file:///home/a%20b/net", "dir_info": {}}, "pip install '/home/a b/net[plot]'"),
        (
            {"url": "file:///net", "dir_info": {"editable": True}},
            "/env/bin/python -m pip install -e '/net[plot]'",
        ),
    ],
    ids=["index", "elsewhere", "folder", "checkout"],
)
def test_an_extra_comes_from_where_pystack_came_from(
    monkeypatch: pytest.MonkeyPatch, origin: object, command: str
) -> None:
    from_where(monkeypatch, origin)
    monkeypatch.setattr(sys, "executable", "/env/bin/python")
    monkeypatch.setattr(sys, "prefix", "/env")
    assert extras.how_to_get("plot") == command


@pytest.mark.parametrize(
    ("prefix", "command"),
    [
        (".venv", "{net}/scripts/environment gym"),
        ("elsewhere", "PYSTACK_VENV={net}/elsewhere {net}/scripts/environment gym"),
    ],
)
def test_what_scripts_environment_has_made_it_adds_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, prefix: str, command: str
) -> None:
    from_where(monkeypatch, {"url": tmp_path.as_uri(), "dir_info": {"editable": True}})
    monkeypatch.setattr(sys, "prefix", str(tmp_path / prefix))
    (tmp_path / prefix).mkdir()
    (tmp_path / prefix / ".pystack-stamp").touch()
    assert extras.how_to_get("gym") == command.format(net=tmp_path)


def test_without_an_installation_it_is_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", gone)
    assert extras.how_to_get("plot") == "pip install 'pystack-net[plot]'"


@pytest.mark.parametrize(
    ("is_editable", "pip"),
    [(False, "pip install"), (True, f"{shlex.quote(sys.executable)} -m pip install")],
)
def test_what_no_extra_brings_is_asked_for_by_its_own_name(
    monkeypatch: pytest.MonkeyPatch, is_editable: bool, pip: str
) -> None:
    from_where(monkeypatch, {"url": "file:///net", "dir_info": {"editable": is_editable}})
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ConfigError) as caught:
        extras.need("polars", "a frame of polars")
    assert str(caught.value) == f"a frame of polars needs polars: {pip} polars"
