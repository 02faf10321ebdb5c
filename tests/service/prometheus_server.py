"""A real Prometheus over a real run, and every query that ships asked of it; no tests here."""

import contextlib
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from debian_binaries import ROOT, debian_binary

from cluster.free_ports import free_ports
from cluster.kubernetes.prometheus_query import PrometheusQuery, dashboard_queries, rule_queries
from loadtests.child import Child

RULES: Final = ROOT / "k8s" / "monitoring" / "rules.yml"
DASHBOARDS: Final = sorted((ROOT / "k8s" / "components" / "monitoring" / "dashboards").glob("*.json"))
SHIPPED: Final = [*DASHBOARDS, RULES]
"""The files that hold queries."""
RATE_INTERVAL: Final = "30s"
WAIT_S: Final = 60.0


class Prometheus:
    """Asks a Prometheus on a port of this machine."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}/api/v1"

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Give the series of an expression, now."""
        answer = json.loads(read(f"{self._base}/query?query={urllib.parse.quote(expression)}"))
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def value(self, expression: str) -> float:
        """Give the value of the first series; 0 if there is none."""
        result = self.query(expression)
        return float(result[0]["value"][1]) if result else 0.0


@contextlib.contextmanager
def serving(folder: Path, configuration: str, rules: str, *, targets: int) -> Iterator[Prometheus]:
    """Run a Prometheus until the end, from when it has scraped so many targets; the rules are in ``rules.yml``."""
    (folder / "prometheus.yml").write_text(configuration)
    (folder / "rules.yml").write_text(rules)
    (port,) = free_ports(1)
    command = [
        str(debian_binary("prometheus", "prometheus")), f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn",
    ]  # fmt: skip
    with Child(command, log=folder / "prometheus.log"):
        server = Prometheus(port)
        until(lambda: server.value("count(up == 1)") == targets, "all targets were scraped")
        yield server


def expect_every_query_to_find_series(prometheus: Prometheus, file: Path) -> None:
    """Ask every query of a file until it is answered; fail with those that are not."""
    silent = {query.where: query for query in _asked(file)}
    assert silent

    def all_spoke() -> bool:
        for where, query in list(silent.items()):
            if _speaks(prometheus, query):
                del silent[where]
        return not silent

    try:
        until(all_spoke, "every query found its series")
    except AssertionError:
        pytest.fail(f"no series of: {[f'{query.where}: {query.expression}' for query in silent.values()]}")


def until(look: Callable[[], Any], what: str) -> Any:
    """Look again and again until something is to be seen."""
    end_s = time.monotonic() + WAIT_S
    while True:
        try:
            if found := look():
                return found
        except urllib.error.HTTPError as error:
            if error.code != 503:  # it starts
                raise
        except OSError:
            pass  # it does not listen yet
        assert time.monotonic() < end_s, f"{what} within {WAIT_S:.0f} s"
        time.sleep(0.2)


def read(url: str) -> str:
    """Read a page."""
    with urllib.request.urlopen(url, timeout=10) as response:
        text: str = response.read().decode()
        return text


def _asked(file: Path) -> Iterator[PrometheusQuery]:
    return rule_queries(file) if file.suffix == ".yml" else dashboard_queries(file, rate_interval=RATE_INTERVAL)


def _speaks(prometheus: Prometheus, query: PrometheusQuery) -> bool:
    """Ask it; an alert is silent while nothing is wrong, and then each of its metrics has to be there."""
    found = prometheus.query(query.expression)  # which raises where Prometheus does not understand it
    return bool(found) or (query.kind == "alert" and all(prometheus.query(name) for name in query.metrics))
