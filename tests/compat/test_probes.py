"""Each library does on a host what it does on a network; what it does is on the page."""

import logging
from collections.abc import Iterator

import page
import pytest
from probe import Probe, attempt
from registry import PROBES


@pytest.fixture(scope="module")
def written() -> set[str]:
    return {page.without_version(row) for row in page.rows_of(page.PAGE.read_text("utf-8"))}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Let libraries that set up logging do so in vain: what they say is not looked at."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.mark.filterwarnings("ignore")  # the libraries' own, of which there are many
@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_a_library_on_a_host_does_what_the_page_says(probe: Probe, written: set[str]) -> None:
    if missing := probe.missing():
        pytest.skip(f"not installed: {', '.join(missing)}")
    found = page.row(probe, attempt(probe), probe.version())
    assert page.without_version(found) in written


def test_probes_have_names_of_their_own() -> None:
    assert len({probe.name for probe in PROBES}) == len(PROBES)
