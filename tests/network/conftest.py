"""Fixtures of the tests that run whole networks."""

from pathlib import Path

import pytest
from ftp_client import BIG
from lab_runs import Run

from pystack.apps.hosting import start_services
from pystack.runtime.lab.lab import LabOptions, run_lab
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


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a directory for FTP to serve, with what is to be served and what is not."""
    root = tmp_path / "root"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "hello").write_bytes(b"hello\n")
    (root / "big").write_bytes(BIG)
    (root / ".hidden").write_bytes(b"hidden")
    (root / "out").symlink_to("/etc")
    (root / "link").symlink_to("sub")
    return root
