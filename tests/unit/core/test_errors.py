"""One tree of errors."""

import pytest

from pystack.core.errors import ConfigError, DeviceError, PystackError, WireError


@pytest.mark.parametrize("kind", [ConfigError, DeviceError, WireError])
def test_all_errors_can_be_caught_at_once(kind: type[PystackError]) -> None:
    with pytest.raises(PystackError):
        raise kind("reason")


def test_python_programs_catch_them_by_the_names_they_know() -> None:
    assert issubclass(ConfigError, ValueError)
    assert issubclass(DeviceError, OSError)


def test_a_wire_error_tells_the_name_of_its_counter() -> None:
    assert WireError("ip_bad_checksum").reason == "ip_bad_checksum"
