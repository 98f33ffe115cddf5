"""What a host does by itself in IPv6, as its owner wants it."""

from dataclasses import dataclass
from typing import Final, Literal

from pystack.core.errors import ConfigError
from pystack.core.ranges import DURATION, Range, check_switch

_BYTE: Final = Range(0, 255)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ip6Config:
    """What a host does by itself in IPv6; the names are Linux's, of net.ipv6.conf.

    Durations are in seconds. Raises ConfigError.
    """

    accept_ra: bool = False  # look for routers, and believe them; never on a router
    dad_transmits: int = 1  # questions before an address of its own making is used; 0: none
    addr_gen_mode: Literal["stable-privacy", "eui64"] = "stable-privacy"  # RFC 7217; or the MAC's
    use_tempaddr: bool = False  # temporary addresses beside the stable ones (RFC 8981)
    temp_valid_s: float = 172_800.0  # RFC 8981 section 3.8
    temp_preferred_s: float = 86_400.0
    accept_redirects: bool = False
    accept_ra_rt_info: bool = True  # routes beside the default one (RFC 4191 section 2.3)

    def __post_init__(self) -> None:
        for name in ("accept_ra", "use_tempaddr", "accept_redirects", "accept_ra_rt_info"):
            check_switch(name, getattr(self, name))
        _BYTE.check("dad_transmits", self.dad_transmits)
        for name in ("temp_valid_s", "temp_preferred_s"):
            DURATION.check(name, getattr(self, name))
        if self.addr_gen_mode not in ("stable-privacy", "eui64"):
            raise ConfigError(
                f"addr_gen_mode is stable-privacy or eui64, not {self.addr_gen_mode!r}"
            )
        if not 60.0 <= self.temp_preferred_s <= self.temp_valid_s:
            raise ConfigError(
                "a temporary address is preferred for 60 s at least, and not longer than it is "
                f"valid, not for {self.temp_preferred_s} of {self.temp_valid_s} s"
            )
