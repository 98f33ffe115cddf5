"""Every script below this folder is a test: packetdrill's language, in virtual time.

They are held to more than `pystack packetdrill` asks for by itself: times to the half millisecond,
and nothing may be sent that no line expects.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from pystack.testing.packetdrill.runner import lines_of, run_file
from pystack.testing.packetdrill.settings import Settings

SCRIPTS = Path(__file__).parent
STRICT = Settings(tolerance_s=0.0005, tolerance_ratio=0.0, strict=True, verbose=True)
ALL = sorted(SCRIPTS.rglob("*.pkt"))
OF_BOTH = [path for path in ALL if "--ip_version=" not in path.read_text()]


def name_of(path: Path) -> str:
    return str(path.relative_to(SCRIPTS))


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_script(path: Path) -> None:
    result = run_file(path, STRICT)
    assert result.passed, "\n" + "\n".join(lines_of(result))


@pytest.mark.parametrize("path", OF_BOTH, ids=name_of)
def test_script_over_ipv6(path: Path) -> None:
    # As the kernel's own runner: with an MTU that gives segments the size that they have over IPv4
    settings = replace(STRICT, mtu_bytes=1520, defines=dict(STRICT.defines))
    assert settings.apply("ip_version", "ipv6") is None
    result = run_file(path, settings)
    assert result.passed, "\n" + "\n".join(lines_of(result))


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_a_script_begins_with_the_rule_that_it_shows(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    assert first.startswith(("// RFC ", "// Linux ")), first
