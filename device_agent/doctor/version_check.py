"""Whether what answers at an address is an Isthmus cluster that speaks our protocol."""

from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Final
from urllib.error import HTTPError

from device_agent.cluster_info import Fetch, fetch_version
from device_agent.doctor.deployment import Deployment
from device_agent.doctor.finding import Finding
from wire.errors import ClusterUnreachable

_NOBODY_BEHIND: Final = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})


class VersionCheck:
    """Asks ``/v1/version``, which needs no token; ``speaks_tls`` tells whether the port does."""

    name = "cluster"
    needs = ("reachable", "tls")

    def __init__(
        self, deployment: Deployment, fetch: Fetch, *, speaks_tls: Callable[[], bool], own_release: str
    ) -> None:
        self._deployment, self._fetch = deployment, fetch
        self._speaks_tls, self._own_release = speaks_tls, own_release

    def run(self) -> Iterator[Finding]:
        """Ask; raises UnsupportedVersion, and ClusterUnreachable for what is no cluster."""
        try:
            version = fetch_version(self._fetch)
        except ClusterUnreachable as error:
            raise self._explained(error) from error
        self._deployment.version = version
        here = "as here" if version.isthmus == self._own_release else f"and {self._own_release} here"
        yield Finding(
            self.name,
            "ok",
            f"Isthmus {version.isthmus} answers, {here}; both speak protocol {version.protocol}",
            figures={"isthmus": version.isthmus, "protocol": version.protocol, "here": self._own_release},
        )

    def _explained(self, error: ClusterUnreachable) -> ClusterUnreachable:
        cause, place = error.__cause__, self._deployment.place
        if isinstance(cause, HTTPError):
            if cause.code in _NOBODY_BEHIND:
                return ClusterUnreachable(
                    f"{place} answers HTTP {cause.code}: a proxy or balancer is there, and no cluster behind it",
                    mend="see that the Serve applications run: `serve status`, or `kubectl describe rayservice`",
                )
            return ClusterUnreachable(
                f"{place} answers HTTP {cause.code} where an Isthmus cluster says its version",
                mend="see that URL is that of a cluster, with the path before /v1 if there is one",
            )
        if not self._deployment.server.secure and self._speaks_tls():
            return ClusterUnreachable(f"{place} speaks TLS, and URL says that it does not", mend="write wss:// in URL")
        return error
