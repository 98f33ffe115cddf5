"""Plug-ins by name."""

from importlib.metadata import EntryPoint

import pytest

from pystack.core import plugins
from pystack.core.errors import ConfigError

BUILT_IN = {"newreno": 1, "cubic": 2}


def test_a_built_in_is_found() -> None:
    assert plugins.find("pystack.congestion", "cubic", BUILT_IN) == 2


def test_a_third_partys_is_loaded_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("mine", "math:tau", "pystack.congestion")
    broken = EntryPoint("broken", "no_such_module:x", "pystack.congestion")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda *, group: [entry, broken])
    assert plugins.installed("pystack.congestion") == {"mine": entry, "broken": broken}
    assert plugins.find("pystack.congestion", "mine", BUILT_IN) == pytest.approx(6.2831853)


def test_a_third_partys_that_does_not_load_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = EntryPoint("broken", "no_such_module:x", "pystack.congestion")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda *, group: [broken])
    with pytest.raises(ConfigError, match=r"congestion 'broken' \(no_such_module:x\): No module"):
        plugins.find("pystack.congestion", "broken", BUILT_IN)


def test_a_built_in_goes_before_a_third_partys(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("cubic", "math:tau", "pystack.congestion")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda *, group: [entry])
    assert plugins.find("pystack.congestion", "cubic", BUILT_IN) == 2


def test_a_wrong_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'cubic'") as caught:
        plugins.find("pystack.congestion", "cubik", BUILT_IN)
    assert "there is no congestion 'cubik'" in str(caught.value)


def test_a_name_like_no_other_gets_no_guess() -> None:
    with pytest.raises(ConfigError, match=r"no congestion 'xyzzy' \(there are: cubic, newreno\)$"):
        plugins.find("pystack.congestion", "xyzzy", BUILT_IN)
