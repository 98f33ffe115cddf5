"""docs/what-happens.md and its pictures are what real runs print and draw just now."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def tour() -> ModuleType:
    spec = importlib.util.spec_from_file_location("what_happens", ROOT / "scripts/what_happens.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_every_listing_is_what_is_printed(tour: ModuleType) -> None:
    shown = tour.PAGE.read_text("utf-8")
    assert shown.count("$ scripts/pystack explain") > 20
    # `scripts/docs --pages` writes it
    assert tour.page() == shown


@pytest.mark.parametrize("name", ["envelopes.svg", "transfer-at-loss.svg", "window-and-flight.svg"])
def test_every_picture_is_what_is_drawn(tour: ModuleType, name: str) -> None:
    picture = tour.pictures()[name]
    assert (tour.IMAGES / name).read_text("utf-8") == picture
    assert len(picture) < 12_000
    assert f"images/{name})" in tour.PAGE.read_text("utf-8")
