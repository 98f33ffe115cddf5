"""What services may be told."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from pystack.apps.limits import DEFAULT_LIMITS, Limits
from pystack.apps.world import utc_now
from pystack.core.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsOptions:
    """Who a server is to those who come with TLS."""

    certificate: Path | None = None  # with its chain, in PEM; None: one is made
    key: Path | None = None  # None: it is in the certificate's file
    ca: Path | None = (
        None  # where to write whom to trust, if the certificate is made; None: nowhere
    )
    names: tuple[str, ...] = ()  # for which it is made, besides the host's own name and addresses
    keylog: Path | None = None  # what Wireshark needs to decrypt, NSS key log format; None: nowhere


@dataclass(frozen=True, slots=True)
class AppName:
    """What an ASGI application is called."""

    text: str  # "module:app"
    folder: Path = Path()  # where its module is, if it is not installed


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceOptions:
    """What services may be told; each takes what concerns it."""

    root: Path | None = None  # the directory to serve; None: the built-in pages alone
    writable: bool = False  # clients may change what is below root
    dotfiles: bool = False  # hidden files are served too
    limits: Limits = DEFAULT_LIMITS  # of HTTP connections
    utc_now: Callable[[], float] = utc_now  # seconds since 1970
    rng: Random = field(default_factory=lambda: Random(0))  # for what is left to chance
    host_name: str = "pystack"  # in greetings, names of files, certificates
    # Of the host, for clients to be told: what is good on one link alone is left out (RFC 4472)
    addresses: tuple[str, ...] = ()
    accounts: Mapping[str, str] = field(default_factory=dict)  # password of each user; or anybody
    tls: TlsOptions = TlsOptions()
    # Domains whose mail is taken, besides the host's own; "*": anybody's, which is kept here too
    mail_for: tuple[str, ...] = ()
    records: tuple[str, ...] = ()  # of the DNS, as text: "www.example.test 300 A 10.77.0.5"
    faults: tuple[str, ...] = ()  # of the DNS, as text: "www.example.test late 2s"
    asgi: AppName | None = None  # None: there is no application
    asgi_tls: bool = False

    def __post_init__(self) -> None:
        """Leave out link-local addresses, which say their zone."""
        told = tuple(address for address in self.addresses if "%" not in address)
        object.__setattr__(self, "addresses", told)

    def needed_root(self, name: str) -> Path:
        """Return the root, without which the service `name` has nothing. Raises ConfigError."""
        if self.root is None:
            raise ConfigError(f"{name} needs a directory to serve: --root DIR, or root = in a lab")
        return self.root
