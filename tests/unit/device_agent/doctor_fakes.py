"""What the checks of a deployment meet instead of sockets, a cluster and a head; no tests here."""

import json
from collections.abc import Mapping
from typing import Any

from device_agent.addresses import ServerAddress
from device_agent.doctor.checks import Check
from device_agent.doctor.door import Certificate
from device_agent.doctor.finding import Finding
from wire.errors import ClusterUnreachable, IsthmusError
from wire.ids import BundleDigest, PointName
from wire.messages import LoadSignal
from wire.records import to_plain

LOOPBACK = ServerAddress("127.0.0.1", 8765)
FAR = ServerAddress("edge.example", 8765)
DIGEST = BundleDigest("ab" * 32)


def found(check: Check) -> list[Finding]:
    return list(check.run())


def one(check: Check) -> Finding:
    (finding,) = found(check)
    return finding


Page = bytes | IsthmusError | list[bytes]
"""What is at a path; of several the next one each time, and an error is what it is refused with."""


class FakeFetch:
    """The fetch seam: pages by path; what was asked is noted."""

    def __init__(self, pages: Mapping[str, Page], *, date: str | None = None) -> None:
        self.pages = dict(pages)
        self.date: str | None = date
        self.asked: list[tuple[str, str]] = []

    def __call__(self, path: str, most_bytes: int, /, *, method: str = "GET") -> bytes:
        self.asked.append((method, path))
        page = self.pages.get(path, ClusterUnreachable(f"{path} is not there"))
        if isinstance(page, IsthmusError):
            raise page
        if isinstance(page, list):
            page = page.pop(0)
        assert len(page) <= most_bytes
        return page


class FakeDoor:
    """The seam of the sockets."""

    def __init__(self, **changes: Any) -> None:
        self.place = "edge.example:8765"
        self.proxy: tuple[str, int] | None = None
        self._answers = {
            "addresses": ("10.0.0.7",), "connect": 0.002, "certificate": None, "speaks_tls": False,
        } | changes  # fmt: skip

    def addresses(self) -> tuple[str, ...]:
        return self._answer("addresses")

    def connect(self) -> float:
        return self._answer("connect")

    def certificate(self) -> Certificate:
        return self._answer("certificate")

    def speaks_tls(self) -> bool:
        return self._answer("speaks_tls")

    def _answer(self, name: str) -> Any:
        answer = self._answers[name]
        if isinstance(answer, Exception):
            raise answer
        return answer


def signal(point: str = "shallow", **changes: Any) -> LoadSignal:
    values: dict[str, Any] = {
        "state": "ready", "service_s": 0.02, "queue_s": 0.0, "utilisation": 0.1, "in_flight": 0, "replicas": 1,
    }  # fmt: skip
    return LoadSignal(point=PointName(point), **(values | changes))


def version_page(digest: str = DIGEST, *, isthmus: str = "1.0", protocol: int = 1) -> bytes:
    return json.dumps({"isthmus": isthmus, "protocol": protocol, "bundle": digest}).encode()


def loads_page(*loads: LoadSignal) -> bytes:
    return json.dumps({"points": [to_plain(load) for load in loads]}).encode()
