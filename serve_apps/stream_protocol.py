"""How a replica's web server speaks WebSocket: as uvicorn does, with bounds that uvicorn and Ray Serve leave open.

Ray gives uvicorn no settings for WebSockets, so this is registered by name among uvicorn's protocols. Owns what it
adds: messages of our size only, no compression, a peer that floods or does not read is dropped, and no message is read
before it is asked for (Serve reads ahead of the application into a queue without a bound, unless a header says not to).
"""

from typing import Any, Final

from uvicorn.config import WS_PROTOCOLS, Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from wire.messages import MAX_MESSAGE_BYTES

NAME: Final = "serve_apps.stream_protocol:StreamProtocol"
MAX_UNREAD_BYTES: Final = 2**20
"""Of pongs and answers that a peer leaves unread; it is dropped when it asks for more."""
PING_EVERY_S: Final = 10.0
PONG_WITHIN_S: Final = 10.0
_READ_NOT_AHEAD: Final = (b"x-request-disconnect-disabled", b"?1")


class StreamProtocol(WebSocketsSansIOProtocol):
    """One WebSocket of a replica."""

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], **more: Any) -> None:
        config.ws_max_size = MAX_MESSAGE_BYTES + 1  # so that one byte too many gets our own refusal
        config.ws_per_message_deflate = False
        config.ws_ping_interval, config.ws_ping_timeout = PING_EVERY_S, PONG_WITHIN_S
        super().__init__(config, server_state, app_state, **more)

    def handle_ping(self) -> None:
        """Answer a ping, unless the peer has left too many answers unread."""
        super().handle_ping()
        if self.transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            self.transport.abort()

    async def run_asgi(self) -> None:
        """Run the application, and drop at its end what the peer does not take."""
        self.scope["headers"] = [*self.scope["headers"], _READ_NOT_AHEAD]
        await super().run_asgi()
        if not self.writable.is_set():
            self.transport.abort()


def install() -> None:
    """Have every uvicorn that starts in this process from now on speak WebSocket so."""
    WS_PROTOCOLS["auto"] = NAME
