"""Whether the cluster asks for a token, and takes the one that is at hand; the token itself is never shown."""

from collections.abc import Iterator
from typing import Final

from device_agent.addresses import ServerAddress
from device_agent.cluster_info import Fetch
from device_agent.doctor.finding import Finding
from wire.errors import Forbidden, IsthmusError, Unauthorized

ASKED: Final = "/v1/load"
"""What a device may read with its token, and nobody without one."""
_MOST_BYTES: Final = 2**20


class TokenCheck:
    """Asks once as nobody, and once with the token and the device's name, as the agent does."""

    name = "token"
    needs = ("cluster",)

    def __init__(self, server: ServerAddress, fetch: Fetch, as_nobody: Fetch) -> None:
        self._server, self._fetch, self._as_nobody = server, fetch, as_nobody

    def run(self) -> Iterator[Finding]:
        """Ask; raises ClusterUnreachable where the answer is neither yes nor no."""
        asks = self._asks()
        if not asks:
            yield self._open()
        elif self._server.token is None:
            yield Finding(
                self.name,
                "fail",
                "the cluster asks for a token, and none is given",
                "give --token-file what `isthmus token create DEVICE` printed, or set ISTHMUS_TOKEN",
                figures={"asks": True, "code": Unauthorized.code},
            )
        else:
            yield self._given()

    def _asks(self) -> bool:
        try:
            self._as_nobody(ASKED, _MOST_BYTES)
        except Unauthorized:
            return True
        return False

    def _open(self) -> Finding:
        figures = {"asks": False}
        proves = "" if self._server.token is None else ", so that the token proves nothing"
        if self._server.is_loopback:
            return Finding(self.name, "ok", f"the cluster asks for no token on loopback{proves}", figures=figures)
        return Finding(
            self.name,
            "warn",
            f"the cluster lets in everybody who can reach it{proves}",
            "make tokens with `isthmus token create`, and start the cluster with --tokens",
            figures=figures,
        )

    def _given(self) -> Finding:
        try:
            self._fetch(ASKED, _MOST_BYTES)
        except Unauthorized as error:
            return self._refused("the cluster does not take the token", error)
        except Forbidden as error:
            return self._refused("the token does not allow this", error)
        device = self._server.device
        return Finding(
            self.name,
            "ok",
            f"the cluster takes the token, as that of {device}",
            figures={"asks": True, "device": device},
        )

    def _refused(self, what: str, error: IsthmusError) -> Finding:
        words = error.message.rpartition(" answered: ")[2]
        return Finding(self.name, "fail", f"{what}: {words}", error.mend, figures={"asks": True, "code": error.code})
