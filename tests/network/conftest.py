"""Fixtures of the tests that run whole networks."""

from pathlib import Path

import pytest
from lab_runs import Run

from pystack.apps.hosting import start_services
from pystack.runtime.lab import LabOptions, run_lab
from pystack.topology.file import load

HERE = Path(__file__).resolve().parent


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a lab from its text, and returns all lines that come of it."""
    monkeypatch.syspath_prepend(HERE)

    def run_text(text: str, **options: object) -> list[str]:
        path = tmp_path / "lab.toml"
        path.write_text(text)
        words = {"virtual": True, **options}
        run_lab(load(path), LabOptions(**words), start_services, print)  # type: ignore[arg-type]
        return capsys.readouterr().out.replace(str(path), "lab.toml").splitlines()

    return run_text
