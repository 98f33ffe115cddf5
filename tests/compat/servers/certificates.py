"""An authority for the hosts of the probes, made once a process."""

from __future__ import annotations

import ssl
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import trustme


@cache
def _authority() -> trustme.CA:
    return trustme.CA()


@cache
def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="pystack-compat-")


def temporary_folder() -> str:
    """Return a folder that is deleted with the process."""
    return _folder().name


@cache
def authority_file() -> str:
    """Return the path of what clients are to trust; it is deleted with the process."""
    path = Path(temporary_folder(), "authority.pem")
    _authority().cert_pem.write_to_path(path)
    return str(path)


@cache
def certificate_files(name: str) -> tuple[str, str]:
    """Return the paths of a host's certificate and of its key."""
    leaf = _authority().issue_cert(name)
    certificate, key = (
        Path(temporary_folder(), f"{name}.pem"),
        Path(temporary_folder(), f"{name}.key"),
    )
    leaf.cert_chain_pems[0].write_to_path(certificate)
    leaf.private_key_pem.write_to_path(key)
    return str(certificate), str(key)


def server_context(name: str) -> ssl.SSLContext:
    """Return what a server of that name does TLS with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate_files(name))
    return context


def client_context() -> ssl.SSLContext:
    """Return what a client does TLS with that trusts them."""
    return ssl.create_default_context(cafile=authority_file())
