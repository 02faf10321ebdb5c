"""Why a deployment cannot be come to, or not be trusted: what sockets and TLS raise, as one sentence. Pure."""

import errno
import socket
import ssl
from typing import Final

from device_agent.addresses import ServerAddress
from wire.errors import ClusterUnreachable

_EXPIRED: Final = 10
_NOT_YET: Final = 9
_OTHER_NAME: Final = frozenset({62, 64})
_UNKNOWN_AUTHORITY: Final = frozenset({2, 18, 19, 20, 21})
"""OpenSSL's X509_V_ERR_ numbers."""
_NO_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNEXPECTED_MESSAGE"})
_NO_ROUTE: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL})


def unknown_name(host: str, error: socket.gaierror) -> ClusterUnreachable:
    """Say why a name has no address."""
    if error.errno == socket.EAI_AGAIN:
        return ClusterUnreachable(
            f"the name {host!r} could not be looked up: no DNS server answers",
            mend="see that this machine has a network, and a DNS server that it can reach",
        )
    return ClusterUnreachable(
        f"the name {host!r} is not found",
        mend="see that the name in URL is right, and that this machine asks a DNS server that knows it",
    )


def unreachable(place: str, error: OSError, *, timeout_s: float) -> ClusterUnreachable:
    """Say why there is no connection to a host and port."""
    if isinstance(error, ConnectionRefusedError):
        return ClusterUnreachable(
            f"{place} refuses the connection: the machine is there, but nothing listens at that port",
            mend="see that the cluster runs (`isthmus up`, or its Service and its pods), and that the port is right",
        )
    if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        return ClusterUnreachable(
            f"{place} does not answer within {timeout_s:g} s: what is sent there is dropped on the way",
            mend="see that the address is right, and that no firewall or NetworkPolicy stands between",
        )
    if error.errno in _NO_ROUTE:
        return ClusterUnreachable(
            f"this machine has no route to {place}", mend="see that it is on the cluster's network, by VPN if need be"
        )
    return ClusterUnreachable(f"{place} cannot be reached: {_reason(error)}", mend="see that the address is right")


def untrusted(server: ServerAddress, place: str, error: OSError, *, timeout_s: float) -> ClusterUnreachable:
    """Say why no TLS came about with a host and port that answer."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _bad_certificate(server, error)
    if isinstance(error, ssl.SSLError) and error.reason in _NO_TLS:
        return ClusterUnreachable(
            f"{place} does not speak TLS, and URL asks for it",
            mend="write ws:// in URL, or give the cluster a certificate with --tls-cert and --tls-key",
        )
    if isinstance(error, TimeoutError):
        return ClusterUnreachable(
            f"{place} does not answer to TLS within {timeout_s:g} s", mend="see what listens at that port"
        )
    return ClusterUnreachable(
        f"{place} and this machine come to no TLS: {_reason(error)}",
        mend="see that TLS 1.2 or 1.3 is spoken there, and that nothing between cuts it",
    )


def _bad_certificate(server: ServerAddress, error: ssl.SSLCertVerificationError) -> ClusterUnreachable:
    if error.verify_code == _EXPIRED:
        return ClusterUnreachable(
            f"the certificate of {server.host!r} has expired",
            mend="renew it: a cluster takes a renewed file within a second; and see that this machine's clock is right",
        )
    if error.verify_code == _NOT_YET:
        return ClusterUnreachable(
            f"the certificate of {server.host!r} is not valid yet", mend="see that this machine's clock is right"
        )
    if error.verify_code in _OTHER_NAME:
        return ClusterUnreachable(
            f"the certificate is for another name than {server.host!r}",
            mend="write a name in URL that the certificate is for, or have one made for this name",
        )
    if error.verify_code in _UNKNOWN_AUTHORITY:
        whom = "whom this machine trusts" if server.ca is None else f"in {server.ca}"
        return ClusterUnreachable(
            f"nobody {whom} vouches for the certificate of {server.host!r}",
            mend="give --ca the certificate (PEM) that signed the cluster's",
        )
    return ClusterUnreachable(
        f"the certificate of {server.host!r} is not to be trusted: {error.verify_message}",
        mend="have another certificate made",
    )


def _reason(error: OSError) -> str:
    reason = getattr(error, "reason", None)
    return str(reason or error.strerror or "") or str(error) or type(error).__name__
