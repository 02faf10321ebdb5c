"""The rival to beat for the path: a bare uvicorn that echoes WebSocket messages and does nothing else."""

import sys
from typing import Any

import click
import uvicorn


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Echo every message of a WebSocket."""
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "bytes": event.get("bytes")})


@click.command()
@click.option("--port", type=int, required=True)
def main(port: int) -> None:
    """Serve the echo on loopback until interrupted."""

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            sys.stdout.write('{"event": "echo.ready"}\n')
            sys.stdout.flush()

    config = uvicorn.Config(
        echo, host="127.0.0.1", port=port, log_level="critical", lifespan="off", ws_per_message_deflate=False
    )
    Server(config).run()


if __name__ == "__main__":
    main()
