"""One bounded HTTP request, through the standard library; owns no knowledge of what is fetched."""

import threading
import time
from typing import TYPE_CHECKING, Final

from device_agent.addresses import ServerAddress
from device_agent.refusals import MOST_BYTES, is_refusal, refusal_of
from device_agent.trust import tls_context
from wire.errors import ClusterUnreachable

if TYPE_CHECKING:
    from http.client import HTTPResponse

_CHUNK_BYTES: Final = 64 * 1024
_LEAST_RATE_BYTES_S: Final = 4096
_MEND: Final = "see that `isthmus up` runs there, and that the address is right"
_MEND_TRUST: Final = "give --ca the certificate that signed the cluster's, and --server a name that it is for"


class HttpFetch:
    """Fetches from one cluster; ``timeout_s`` bounds every single wait, and the rate has a floor."""

    def __init__(self, server: ServerAddress, *, timeout_s: float = 3.0) -> None:
        self._server = server
        self._timeout_s = timeout_s
        self._stopped = threading.Event()
        self.date: str | None = None
        """The Date header of the last response: what time it is on the cluster."""

    def __call__(self, path: str, most_bytes: int, /, *, method: str = "GET") -> bytes:
        """Get at most ``most_bytes`` from ``path`` (with its slash), blocking; a request has no body.

        Raises ClusterUnreachable if nothing answers, another status than success comes, or more bytes do; and
        Unauthorized, Forbidden or RateLimited if the cluster does not let this device in.
        """
        # Heavy for something that a start with a cached bundle needs twice.
        import http.client
        import ssl
        import urllib.error
        import urllib.request

        url = self._server.http_base + path
        proxies = urllib.request.ProxyHandler({} if self._server.is_loopback else None)
        handlers: list[urllib.request.BaseHandler] = [proxies]
        if self._server.secure:
            handlers.append(urllib.request.HTTPSHandler(context=tls_context(self._server.ca)))
        request = urllib.request.Request(url, method=method)
        for name, value in self._server.headers.items():
            # What is sent on to wherever a redirection leads must not be our token.
            request.add_unredirected_header(name, value)
        try:
            with urllib.request.build_opener(*handlers).open(request, timeout=self._timeout_s) as response:
                self.date = response.headers.get("Date")
                return self._read(response, url, most_bytes)
        except urllib.error.HTTPError as error:
            with error:
                if is_refusal(error.code):
                    raise refusal_of(url, error.code, error.read(MOST_BYTES)) from error
            raise ClusterUnreachable(f"{url} cannot be had: {error}", mend=_MEND) from error
        except urllib.error.URLError as error:
            mend = _MEND_TRUST if isinstance(error.reason, ssl.SSLCertVerificationError) else _MEND
            raise ClusterUnreachable(f"{url} cannot be had: {error.reason}", mend=mend) from error
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
