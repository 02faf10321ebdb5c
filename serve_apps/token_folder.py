"""Where an operator keeps the signing key and what was issued and revoked: ``key``, ``issued.json``, ``revoked.json``.

Owns the folder, which only its owner may read. Tokens themselves are never written. Imports no Ray.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, TypeVar

from serve_apps.tokens import KEY_BYTES, Claims, Role, SigningKey, UnixSeconds
from wire.errors import SettingError, WireError
from wire.ids import DeviceId
from wire.records import Hex, Length, from_plain, to_plain

DAY_S: Final = 86400
MOST_DAYS: Final = 3660
MAX_TOKENS: Final = 100_000
_MAX_FILE_BYTES: Final = 64 * 2**20
_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o600
_TOO_OPEN: Final = 0o027
"""What nobody else may do with the key. The group may read it: Kubernetes mounts a secret so."""

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class Revoked:
    """A token that is not good any more, since when, and until when it would have been."""

    token_id: Annotated[str, Hex(16)]
    revoked_s: UnixSeconds
    expires_s: UnixSeconds


@dataclass(frozen=True, slots=True)
class _IssuedFile:
    tokens: Annotated[tuple[Claims, ...], Length(MAX_TOKENS)]


@dataclass(frozen=True, slots=True)
class _RevokedFile:
    tokens: Annotated[tuple[Revoked, ...], Length(MAX_TOKENS)]


class TokenFolder:
    """Issues and revokes tokens; what it reads is checked, what it writes is whole or not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def issue(self, subject: DeviceId, role: Role, *, days: float, now_s: float) -> tuple[str, Claims]:
        """Make a token and note what it says; the folder and the key are made with the first one.

        Raises:
            SettingError: so many days make no sense, or the folder cannot be used.
        """
        if not 0 < days <= MOST_DAYS:
            raise SettingError(f"a token cannot be good for {days} days", mend=f"give up to {MOST_DAYS}")
        with self._locked():
            key = self._key_or_new()
            claims = key.claims(subject, role, issued_s=int(now_s), expires_s=int(now_s + days * DAY_S))
            kept = [token for token in self.issued() if token.expires_s > now_s - DAY_S * 365]
            self._write("issued.json", _plain(_IssuedFile((*kept, claims))))
        return key.sign(claims), claims

    def revoke(self, token_id: str, *, now_s: float) -> Claims:
        """Note that a token is not good any more.

        Raises:
            SettingError: no such token was issued here, or the folder cannot be used.
        """
        with self._locked():
            claims = next((token for token in self.issued() if token.token_id == token_id), None)
            if claims is None:
                raise SettingError(f"no token {token_id!r} was issued here", mend="see `isthmus token list`")
            # One that has expired needs no revocation, so the file stays short.
            kept = [token for token in self.revoked() if token.token_id != token_id and token.expires_s > now_s]
            revoked = Revoked(token_id, int(now_s), claims.expires_s)
            self._write("revoked.json", _plain(_RevokedFile((*kept, revoked))))
        return claims

    def key(self) -> SigningKey:
        """Read the signing key.

        Raises:
            SettingError: there is none, or others may read it.
        """
        path = self.folder / "key"
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                secret = file.read(KEY_BYTES + 1)
        except OSError as error:
            raise SettingError(
                f"there is no key for tokens at {path}: {error.strerror}",
                mend="make the first token: isthmus token create DEVICE --tokens DIR",
            ) from error
        if mode & _TOO_OPEN:
            raise SettingError(f"others may read or write {path}", mend=f"chmod 600 {path}")
        if len(secret) != KEY_BYTES:
            raise SettingError(f"{path} is no key", mend="restore it, or remove it and issue every token again")
        return SigningKey(secret)

    def issued(self) -> tuple[Claims, ...]:
        """Give what every token says that was issued; raises SettingError."""
        return self._read("issued.json", _IssuedFile, _IssuedFile(())).tokens

    def revoked(self) -> tuple[Revoked, ...]:
        """Give the tokens that are not good any more; raises SettingError."""
        return self._read("revoked.json", _RevokedFile, _RevokedFile(())).tokens

    def stamp(self) -> tuple[tuple[int, int, int] | None, ...]:
        """Give what changes whenever the key or the revocations do, for a reader to look again."""
        return tuple(_stamp(self.folder / name) for name in ("key", "revoked.json"))

    def _key_or_new(self) -> SigningKey:
        if (self.folder / "key").exists():
            return self.key()
        key = SigningKey.make()
        self._write("key", key.secret)
        return key

    def _read(self, name: str, cls: type[Record], empty: Record) -> Record:
        path = self.folder / name
        try:
            with path.open("rb") as file:
                data = file.read(_MAX_FILE_BYTES)
            return from_plain(cls, json.loads(data), where=name)
        except FileNotFoundError:
            return empty
        except (OSError, ValueError, RecursionError, WireError) as error:
            raise SettingError(f"{path} cannot be read: {error}", mend="restore it from a copy") from error

    def _write(self, name: str, data: bytes) -> None:
        path = self.folder / name
        part = path.with_name(f".{name}.part")
        try:
            # Never, not even for a moment, with another mode; the lock keeps other writers away.
            part.unlink(missing_ok=True)
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError as error:
            raise SettingError(f"{path} cannot be written: {error.strerror}", mend="give another --tokens") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, _FILE_MODE)
        except OSError as error:
            raise SettingError(
                f"{self.folder} cannot be used: {error.strerror}", mend="give another folder with --tokens"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def default_folder() -> Path:
    """Give the folder of this user: ``$XDG_DATA_HOME/isthmus/tokens``, or below ``~/.local/share``."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "isthmus" / "tokens"


def _plain(record: object) -> bytes:
    return (json.dumps(to_plain(record), indent=1) + "\n").encode()


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
