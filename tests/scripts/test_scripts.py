"""Every script below this folder is a test: packetdrill's language, in virtual time.

They are held to more than `pystack packetdrill` asks for by itself: times to the half millisecond,
and nothing may be sent that no line expects.
"""

from pathlib import Path

import pytest

from pystack.testing.packetdrill.runner import lines_of, run_file
from pystack.testing.packetdrill.settings import Settings

SCRIPTS = Path(__file__).parent
STRICT = Settings(tolerance_s=0.0005, tolerance_ratio=0.0, strict=True, verbose=True)


@pytest.mark.parametrize(
    "path", sorted(SCRIPTS.rglob("*.pkt")), ids=lambda path: str(path.relative_to(SCRIPTS))
)
def test_script(path: Path) -> None:
    result = run_file(path, STRICT)
    assert result.passed, "\n" + "\n".join(lines_of(result))


@pytest.mark.parametrize(
    "path", sorted(SCRIPTS.rglob("*.pkt")), ids=lambda path: str(path.relative_to(SCRIPTS))
)
def test_a_script_begins_with_the_rule_that_it_shows(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    assert first.startswith(("// RFC ", "// Linux ")), first
