"""The file that tells programs inside in which order to try a server's addresses."""

from pathlib import Path

import pytest

from pystack.runtime.outside import address_order

DEFAULTS = "\n".join(address_order._LABELS)


@pytest.mark.parametrize(
    ("reaches", "own", "told"),
    [
        (True, "# empty\n", f"# empty\n\n{DEFAULTS}\nlabel fd77::/64 1\n"),
        (True, "label ::/0 5\n", "label ::/0 5\n\nlabel fd77::/64 1\n"),
        (True, None, None),
        (False, "# empty\n", None),
    ],
)
def test_the_block_is_as_good_as_a_global_one_where_there_is_one(
    reaches: bool,
    own: str | None,
    told: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "gai.conf"
    if own is not None:
        path.write_text(own)
    monkeypatch.setattr(address_order, "_GAI_CONF", path)
    monkeypatch.setattr(address_order, "_ip6_reaches_the_world", lambda: reaches)
    assert address_order.files("fd77::/64") == ({} if told is None else {str(path): told})


@pytest.mark.parametrize(
    ("address", "is_global"),
    [("2001:db8::1", True), ("fd77::2", False), ("::1", False), ("fe80::1%eth0", False)],
)
def test_only_a_global_address_reaches_the_world(address: str, is_global: bool) -> None:
    assert address_order._is_global(address) is is_global
