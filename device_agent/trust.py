"""Whose certificates are believed: TLS as a client speaks it, made once for a file of certificates."""

import ssl
from functools import cache
from pathlib import Path

from wire.errors import SettingError


@cache
def tls_context(ca: Path | None) -> ssl.SSLContext:
    """Give the settings of TLS that check a certificate and its name; ``ca`` None trusts whom the system trusts.

    Raises:
        SettingError: the file holds no certificates.
    """
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise SettingError(f"{ca} holds no certificates: {error}", mend="give --ca a PEM file") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
