"""What Locust runs: ``locust -f loadtests/locustfile.py --host ws://127.0.0.1:8765``.

Everything but the cluster's address is told by ``ISTHMUS_…`` variables, which docs/load.md lists. Owns who takes part.
"""

from typing import Any

from locust import constant, events
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadtests.load_tally import LoadTally
from loadtests.locust_agent import AgentProcess, AgentUser, BackgroundUser
from loadtests.locust_page import add_page
from loadtests.locust_settings import LocustSettings
from loadtests.locust_shapes import shape_class
from wire.errors import SettingError

SETTINGS = LocustSettings.read()
_COUNTED = LoadTally()
"""By this process since it last reported to a master."""
_ALL_WORKERS = LoadTally()
"""On a master: by all of them."""


class Agents(AgentUser):
    """Devices with real agents."""

    wait_time = constant(0)


if SETTINGS.background_users:

    class Background(BackgroundUser):
        """Bulk flows beside them."""

        wait_time = constant(0)
        mbps = SETTINGS.background_mbps
        fixed_count = SETTINGS.background_users


if SETTINGS.shape is not None:
    AgentShape = shape_class(SETTINGS.shape.name, agents=SETTINGS.shape.agents, seconds=SETTINGS.shape.seconds)


@events.init.add_listener
def begin(environment: Environment, **_: Any) -> None:
    """Start the agents' process where there will be agents, and add our tab where there is a page."""
    if isinstance(environment.runner, MasterRunner):
        add_page(environment, lambda: _ALL_WORKERS)
        return
    if not environment.host:
        raise SettingError("Locust was told no cluster", mend="give --host ws://127.0.0.1:8765")
    hosted = AgentProcess(environment, SETTINGS, environment.host, _COUNTED)
    environment.isthmus = hosted  # type: ignore[attr-defined]
    if not isinstance(environment.runner, WorkerRunner):
        add_page(environment, lambda: hosted.seen)


@events.quitting.add_listener
def end(environment: Environment, **_: Any) -> None:
    """End the agents' process."""
    hosted: AgentProcess | None = getattr(environment, "isthmus", None)
    if hosted is not None:
        hosted.close()


@events.report_to_master.add_listener
def report(client_id: str, data: dict[str, Any]) -> None:
    """Send what this worker counted since the last time."""
    data["isthmus"] = _COUNTED.take().as_plain()


@events.worker_report.add_listener
def take(client_id: str, data: dict[str, Any]) -> None:
    """Add up what the workers counted."""
    if "isthmus" in data:
        _ALL_WORKERS.add(LoadTally.from_plain(data["isthmus"]))
