"""Certificates of an authority that is trusted only where it is configured."""

from __future__ import annotations

import ssl
from pathlib import Path


def make_certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Return a context for localhost, and the file of the authority that vouches for it."""
    import trustme

    authority = trustme.CA()
    bundle = folder / "authorities.pem"
    authority.cert_pem.write_to_path(bundle)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context, bundle
