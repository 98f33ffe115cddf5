"""A certificate for whoever serves with TLS."""

from pathlib import Path

import trustme


def written_to(folder: Path, *names: str) -> tuple[Path, Path]:
    """Return the files of a certificate and of its key."""
    made = trustme.CA().issue_cert(*names)
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    for number, part in enumerate(made.cert_chain_pems):
        part.write_to_path(certificate, append=number > 0)
    made.private_key_pem.write_to_path(key)
    return certificate, key
