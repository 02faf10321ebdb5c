"""Who may reach a cluster and how: tokens, certificates, and what is refused before anything starts.

Owns the settings and the rule that nothing is served to other machines without tokens, nor in the clear unless somebody
says that this is meant. Imports no Ray.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final, Self

from wire.errors import SettingError
from wire.records import Length

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})

PathText = Annotated[str, Length(4096, least=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityConfig:
    """What keeps strangers out; every path is one that this machine reads."""

    tokens: PathText | None = None
    """The folder of `isthmus token`; every node of the cluster has to see it there. None: nobody is asked."""
    tls_cert: PathText | None = None
    """The certificate and what it was signed with, as PEM; renewed files are taken as they come."""
    tls_key: PathText | None = None
    clear: bool = False
    """Listen beyond loopback without TLS: for a network that is encrypted already, or a balancer that ends TLS."""

    @property
    def tls(self) -> tuple[Path, Path] | None:
        """The certificate's and the key's file, or None."""
        return (Path(self.tls_cert), Path(self.tls_key)) if self.tls_cert and self.tls_key else None

    def check(self, host: str) -> None:
        """Refuse to listen on an address that this does not protect.

        Raises:
            SettingError: it says what is missing. A token in the clear is anybody's who listens on the way, so that
                tokens without TLS would protect nothing.
        """
        if bool(self.tls_cert) != bool(self.tls_key):
            raise SettingError("TLS needs a certificate and its key", mend="give both --tls-cert and --tls-key")
        if host in LOOPBACK:
            return
        if self.tokens is None:
            raise SettingError(
                f"without tokens the cluster does not listen on {host}",
                mend="make tokens with `isthmus token create` and give --tokens, or use --host 127.0.0.1",
            )
        if self.tls is None and not self.clear:
            raise SettingError(
                f"without TLS the tokens would travel in the clear from {host}",
                mend="give --tls-cert and --tls-key, or --clear where the network is encrypted already",
            )

    def beside(self, folder: Path) -> Self:
        """Give the same with paths relative to a folder."""

        def placed(path: str | None) -> str | None:
            return None if path is None else str(folder / path)

        return replace(self, tokens=placed(self.tokens), tls_cert=placed(self.tls_cert), tls_key=placed(self.tls_key))
