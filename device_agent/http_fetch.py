"""One bounded HTTP GET, through the standard library; owns no knowledge of what is fetched."""

import threading
import time
from typing import TYPE_CHECKING, Final

from device_agent.addresses import ServerAddress
from wire.errors import ClusterUnreachable

if TYPE_CHECKING:
    from http.client import HTTPResponse

_CHUNK_BYTES: Final = 64 * 1024
_LEAST_RATE_BYTES_S: Final = 4096
_MEND: Final = "see that `isthmus up` runs there, and that the address is right"


class HttpFetch:
    """Fetches from one cluster; ``timeout_s`` bounds every single wait, and the rate has a floor."""

    def __init__(self, server: ServerAddress, *, timeout_s: float = 3.0) -> None:
        self._server = server
        self._timeout_s = timeout_s
        self._stopped = threading.Event()

    def __call__(self, path: str, most_bytes: int) -> bytes:
        """Get at most ``most_bytes`` from ``path`` (with its slash), blocking.

        Raises ClusterUnreachable if nothing answers, another status than 200 comes, or more bytes do.
        """
        # Heavy for something that a start with a cached bundle needs twice.
        import http.client
        import urllib.request

        url = self._server.http_base + path
        proxies = urllib.request.ProxyHandler({} if self._server.is_loopback else None)
        try:
            with urllib.request.build_opener(proxies).open(url, timeout=self._timeout_s) as response:
                return self._read(response, url, most_bytes)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise ClusterUnreachable(f"{url} cannot be had: {error}", mend=_MEND) from error

    def stop(self) -> None:
        """End a fetch that runs in another thread at its next chunk."""
        self._stopped.set()

    def _read(self, response: "HTTPResponse", url: str, most_bytes: int) -> bytes:
        give_up_s = time.monotonic() + self._timeout_s + most_bytes / _LEAST_RATE_BYTES_S
        data = bytearray()
        while chunk := response.read1(_CHUNK_BYTES):
            data += chunk
            if len(data) > most_bytes:
                raise ClusterUnreachable(f"{url} has more than {most_bytes} bytes", mend=_MEND)
            if self._stopped.is_set() or time.monotonic() > give_up_s:
                raise ClusterUnreachable(f"{url} was given up after {len(data)} bytes", mend=_MEND)
        return bytes(data)
