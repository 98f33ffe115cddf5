"""The public names are looked up late, and all of them are there."""

from pathlib import Path

import pytest

import pystack


def test_every_public_name_can_be_had_and_is_listed() -> None:
    assert {*pystack._HOMES, "__version__"} == set(pystack.__all__)
    for name in pystack.__all__:
        assert getattr(pystack, name) is not None
        assert name in dir(pystack)


def test_a_name_that_is_not_there_is_an_ordinary_error() -> None:
    with pytest.raises(AttributeError, match="module 'pystack' has no attribute 'Netwerk'"):
        pystack.Netwerk  # noqa: B018


def test_the_map_of_the_package_names_each_folder() -> None:
    assert pystack.__doc__ is not None
    folders = {path.parent.name for path in Path(pystack.__file__).parent.glob("*/__init__.py")}
    named = {line.split()[0] for line in pystack.__doc__.splitlines() if line.startswith("    ")}
    assert named == folders
