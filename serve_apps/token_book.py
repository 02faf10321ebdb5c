"""The tokens that are good now, as a running cluster knows them: the folder's key and revocations, read on change.

Owns that memory. A folder that breaks while the cluster runs changes nothing: what was revoked stays so.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

from serve_apps.token_folder import TokenFolder
from serve_apps.tokens import Claims, SigningKey, check_time
from wire.errors import SettingError, Unauthorized

LOOK_EVERY_S: Final = 1.0
"""How long a revocation may go unseen."""

Clock = Callable[[], float]

log = logging.getLogger("isthmus.tokens")


class TokenBook:
    """Checks tokens against a folder."""

    def __init__(self, folder: TokenFolder, *, wall: Clock = time.time, monotonic: Clock = time.monotonic) -> None:
        """Read the folder; raises SettingError if it has no key, or cannot be read."""
        self._folder, self._wall, self._monotonic = folder, wall, monotonic
        self._stamp = folder.stamp()
        self._key, self._revoked = _read(folder)
        self._looked_s = monotonic()

    def claims(self, token: str) -> Claims:
        """Give what a token says; raises Unauthorized if it is not good."""
        self._look()
        claims = self._key.verify(token, now_s=self._wall())
        self.check_still(claims)
        return claims

    def check_still(self, claims: Claims) -> None:
        """Refuse what was good once and is so no more: expired, revoked, or of a key that was changed.

        Raises:
            Unauthorized: it says which.
        """
        self._look()
        check_time(claims, now_s=self._wall())
        if claims.token_id in self._revoked:
            raise Unauthorized(f"the token of {claims.subject!r} was revoked", mend="ask the operator for a new one")
        if claims.key_id != self._key.key_id:
            raise Unauthorized("the cluster's key was changed", mend="ask the operator for a new token")

    def _look(self) -> None:
        now_s = self._monotonic()
        if now_s - self._looked_s < LOOK_EVERY_S:
            return
        self._looked_s = now_s
        stamp = self._folder.stamp()
        if stamp == self._stamp:
            return
        try:
            self._key, self._revoked = _read(self._folder)
        except SettingError as error:
            log.error("tokens.unreadable, so what was known holds: %s", error.message)
        else:
            self._stamp = stamp


def _read(folder: TokenFolder) -> tuple[SigningKey, frozenset[str]]:
    return folder.key(), frozenset(revoked.token_id for revoked in folder.revoked())
