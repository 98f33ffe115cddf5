"""The pictures in docs/experiments.md are what the experiment of the script comes to."""

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
from doc_blocks import ROOT


def texts(svg: bytes) -> list[str]:
    return [text for text in ElementTree.fromstring(svg).itertext() if text.strip()]


def test_the_pictures_of_experiments_are_current(tmp_path: Path) -> None:
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        from experiment_pictures import IMAGES, pictures
    finally:
        sys.path.remove(str(ROOT / "scripts"))
    page = (ROOT / "docs" / "experiments.md").read_text("utf-8")
    for name, made in pictures(tmp_path).items():
        there = (IMAGES / name).read_bytes()
        assert f"images/{name})" in page
        # Another matplotlib draws the same in other shapes.
        version = re.search(rb"Matplotlib v([\d.]+)", there)
        assert version is not None
        if version[1].decode() == matplotlib.__version__:
            assert made == there, f"{name}: scripts/docs --pages makes it anew"
        else:
            assert texts(made)[-3:] == texts(there)[-3:]
