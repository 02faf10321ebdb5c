"""Ports of loopback that nobody holds at the moment."""

import socket


def free_ports(count: int) -> list[int]:
    """Give as many different free ports; whoever asks must take them soon."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
