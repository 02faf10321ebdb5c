"""Who may do what: checks the token of an HTTP request or a WebSocket before anything of it is read.

Owns the ``Authorization`` header and the difference between a device and an operator. Without tokens everybody may do
everything, which is why such a cluster listens on loopback only; but a web page in a browser is nobody's device.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_apps.token_book import TokenBook
from serve_apps.token_folder import TokenFolder
from serve_apps.tokens import Claims
from wire.errors import Forbidden, IsthmusError, Unauthorized
from wire.ids import DEVICE_HEADER, DeviceId

ANYBODY: Final = Claims("", DeviceId(""), "operator", 0, 2**40, "")
"""Who comes to a cluster without tokens."""
MAX_NAME_CHARS: Final = 128
READING: Final = frozenset({"GET", "HEAD"})
_MEND: Final = "give isthmus-agent a --token-file, or send the header Authorization: Bearer TOKEN"


class Guard:
    """Lets those in whose token is good; everybody, where there are no tokens."""

    def __init__(self, book: TokenBook | None) -> None:
        self._book = book

    @classmethod
    def of(cls, folder: str | Path | None) -> "Guard":
        """Guard with the tokens of a folder, or with none; raises SettingError for a folder that cannot be used."""
        return cls(None if folder is None else TokenBook(TokenFolder(Path(folder))))

    @property
    def asks(self) -> bool:
        """Whether a token is asked for."""
        return self._book is not None

    def device(self, connection: HTTPConnection) -> Claims:
        """Let a device or an operator in.

        Raises:
            Unauthorized: there is no token, or one that is not good.
            Forbidden: the token is another device's; or, without tokens, a web page of another origin asks.
        """
        if self._book is None:
            _refuse_web_pages(connection)
            return ANYBODY
        claims = self._book.claims(_bearer(connection))
        named = connection.headers.get(DEVICE_HEADER)
        if named is not None:
            self.check_device(claims, DeviceId(unquote(named)[:MAX_NAME_CHARS]))
        return claims

    def operator(self, connection: HTTPConnection) -> Claims:
        """Let an operator in, and nobody else.

        Raises:
            Unauthorized, Forbidden: as ``device`` does, or it is a device's token.
        """
        claims = self.device(connection)
        if claims.role != "operator":
            raise Forbidden(
                f"{claims.subject!r} is no operator", mend="use a token made with: isthmus token create --role operator"
            )
        return claims

    def check_device(self, claims: Claims, device: DeviceId) -> None:
        """Refuse a device that says another name than its token does; raises Forbidden."""
        if self._book is not None and claims.subject != device:
            raise Forbidden(
                f"the token is that of {claims.subject!r}, not of {device!r}",
                mend=f"run the agent with --device-id {claims.subject}, or with its own token",
            )

    def check_still(self, claims: Claims) -> None:
        """Refuse what was let in once and may not stay; raises Unauthorized."""
        if self._book is not None:
            self._book.check_still(claims)

    def protect(
        self, app: ASGIApp, *, open_paths: Collection[str] = (), device_writes: Collection[str] = ()
    ) -> ASGIApp:
        """Put the guard before a whole application, whose new endpoints are then closed unless they are named here.

        Reading needs a device's token, anything else an operator's. ``open_paths`` may be read by everybody, and
        ``device_writes`` written by devices; both are paths within the application.
        """

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] not in ("http", "websocket"):
                await app(scope, receive, send)
                return
            try:
                self._check(HTTPConnection(scope), open_paths, device_writes)
            except IsthmusError as error:
                await error_response(error)(scope, receive, send)
            else:
                await app(scope, receive, send)

        return guarded

    def _check(self, connection: HTTPConnection, open_paths: Collection[str], device_writes: Collection[str]) -> None:
        scope = connection.scope
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        reading = scope.get("method", "") in READING
        if reading and path in open_paths:
            return
        if reading or path in device_writes:
            self.device(connection)
        else:
            self.operator(connection)


NO_GUARD: Final = Guard(None)


def error_response(error: IsthmusError) -> JSONResponse:
    """Say an error over HTTP, also where a WebSocket was asked for."""
    body = {"code": error.code, "message": error.message, "mend": error.mend, "retryable": error.retryable}
    headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, Unauthorized) else None
    return JSONResponse(body, status_code=error.http_status, headers=headers)


def _bearer(connection: HTTPConnection) -> str:
    given = connection.headers.getlist("authorization")
    if not given:
        raise Unauthorized("this cluster asks for a token", mend=_MEND)
    scheme, _, token = given[0].partition(" ")
    if len(given) > 1 or scheme.lower() != "bearer" or not token:
        raise Unauthorized("the Authorization header is not: Bearer TOKEN", mend=_MEND)
    return token.strip()


def _refuse_web_pages(connection: HTTPConnection) -> None:
    """Refuse what a page from anywhere has its visitor's browser send to 127.0.0.1; a browser says where it is from."""
    origin = connection.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != connection.headers.get("host"):
        raise Forbidden("a web page of another origin may not use this cluster", mend="call it from a program")
