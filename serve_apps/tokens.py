"""A device's token: a signed note that says who may come, as what, and until when.

``isthmus1.PAYLOAD.SIGNATURE``: the payload is JSON with sorted keys, the signature HMAC-SHA256 over everything before
it, both in base64url without padding. Owns the form of a token; reads no clock and no file, and never shows a token.
"""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from wire.errors import Unauthorized, WireError
from wire.ids import DeviceField, DeviceId
from wire.records import Hex, Range, from_plain, to_plain

PREFIX: Final = "isthmus1"
MAX_TOKEN_CHARS: Final = 512
KEY_BYTES: Final = 32
_ID_DIGITS: Final = 16
_MEND: Final = "ask the operator for a token: isthmus token create DEVICE"

Role = Literal["device", "operator"]
UnixSeconds = Annotated[int, Range(0, 2**40)]


@dataclass(frozen=True, slots=True)
class Claims:
    """What a good token says; ``key_id`` names the key that signed it."""

    token_id: Annotated[str, Hex(_ID_DIGITS)]
    subject: DeviceField
    role: Role
    issued_s: UnixSeconds
    expires_s: UnixSeconds
    key_id: Annotated[str, Hex(_ID_DIGITS)]


@dataclass(frozen=True, slots=True, repr=False)
class SigningKey:
    """The secret that signs tokens; whoever has it can make them."""

    secret: bytes

    @classmethod
    def make(cls) -> "SigningKey":
        """Make a new one at random."""
        return cls(secrets.token_bytes(KEY_BYTES))

    @property
    def key_id(self) -> str:
        """Give a name for the key that says nothing of the key."""
        return hashlib.sha256(b"isthmus key id:" + self.secret).hexdigest()[:_ID_DIGITS]

    def claims(self, subject: DeviceId, role: Role, *, issued_s: int, expires_s: int) -> Claims:
        """Write down what a new token is to say."""
        return Claims(secrets.token_hex(_ID_DIGITS // 2), subject, role, issued_s, expires_s, self.key_id)

    def sign(self, claims: Claims) -> str:
        """Make the token."""
        payload = json.dumps(to_plain(claims), sort_keys=True, separators=(",", ":")).encode()
        signed = f"{PREFIX}.{_encode(payload)}"
        return f"{signed}.{self._signature(signed)}"

    def verify(self, token: str, *, now_s: float) -> Claims:
        """Give what a token says, once its signature is good and it has not expired.

        Raises:
            Unauthorized: it is no token of this cluster, or it has expired; the error never shows it.
        """
        if len(token) > MAX_TOKEN_CHARS or not token.isascii():
            raise Unauthorized("what was sent as a token is none", mend=_MEND)
        signed, _, signature = token.rpartition(".")
        prefix, _, payload = signed.partition(".")
        if prefix != PREFIX:
            raise Unauthorized(f"what was sent as a token does not begin with {PREFIX}", mend=_MEND)
        # As text, so that two spellings of one signature are not both good.
        if not hmac.compare_digest(self._signature(signed).encode(), signature.encode()):
            raise Unauthorized("the token's signature is not this cluster's", mend=_MEND)
        claims = _claims(payload)
        if claims.key_id != self.key_id:
            raise Unauthorized("the token was signed with another key", mend=_MEND)
        check_time(claims, now_s=now_s)
        return claims

    def _signature(self, signed: str) -> str:
        return _encode(hmac.digest(self.secret, signed.encode(), "sha256"))

    def __repr__(self) -> str:
        return f"SigningKey({self.key_id})"


def check_time(claims: Claims, *, now_s: float) -> None:
    """Refuse a token whose time is over; raises Unauthorized."""
    if now_s >= claims.expires_s:
        raise Unauthorized(f"the token of {claims.subject!r} has expired", mend=_MEND)


def _claims(payload: str) -> Claims:
    try:
        return from_plain(Claims, json.loads(_decode(payload)), where="token")
    except (ValueError, RecursionError, WireError) as error:
        # Signed by us and yet not ours: a later version's, most likely.
        raise Unauthorized("the token does not say what this version can read", mend=_MEND) from error


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise ValueError("not base64") from error
