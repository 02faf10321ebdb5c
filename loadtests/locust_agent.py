"""A Locust user that is a real agent, and one that is background traffic.

The agents run in a process of their own, ``loadtests.locust_host``: their transport, planner, heads and codecs as they
are, with real threads and sockets, which Locust has replaced here. Owns that process, and what Locust is told of each
frame. A frame is a request whose type is who answered it and whose name is the cut; a missed deadline is its failure.
"""

import contextlib
import itertools
import json
import subprocess
import sys
from typing import Any, Final

import gevent
from gevent.event import Event
from locust import User, task
from locust.env import Environment

from loadtests.load_tally import LoadTally
from loadtests.locust_settings import LocustSettings
from wire.errors import ClusterUnreachable

READY_S: Final = 120.0
"""The first time a machine profiles itself and fetches the bundle."""
STOP_S: Final = 10.0


class DeadlineMissed(Exception):
    """A frame was answered, but late."""


class AgentProcess:
    """The host of this Locust process's agents; tells Locust's statistics, and ``tally``, of each frame."""

    def __init__(self, environment: Environment, settings: LocustSettings, server: str, tally: LoadTally) -> None:
        self.tally = tally
        self.seen = LoadTally()
        """The same, of the whole run of this process."""
        self.links: list[str] = []
        self._environment, self._settings = environment, settings
        self._ready = Event()
        self._failed = ""
        self._numbers = itertools.count()
        self._background: dict[str, float] = {}
        self._background_before: dict[str, int] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "loadtests.locust_host", "--server", server],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8",
        )  # fmt: skip
        self._reader = gevent.spawn(self._read)

    def start_agent(self) -> str:
        """Begin one agent more, with the next device and the next link; gives its name.

        Raises:
            ClusterUnreachable: the host did not come up.
        """
        if not self._ready.wait(READY_S) or self._failed:
            reason = self._failed or f"nothing was heard of the agents within {READY_S:.0f} s"
            raise ClusterUnreachable(reason, mend="see that `isthmus up` runs at --host")
        number = next(self._numbers)
        name = f"locust-{number}"
        device = self._settings.devices[number % len(self._settings.devices)]
        link = self.links[number % len(self.links)] if self.links else ""
        self._order({"do": "start", "agent": name, "device": device, "link": link})
        return name

    def stop_agent(self, name: str) -> None:
        """End one agent after the frame at hand."""
        self._order({"do": "stop", "agent": name})

    def add_background(self, mbps: float) -> None:
        """Fill every link with so much more, or less where it is negative, up to the most there may be."""
        self._ready.wait(READY_S)
        for link in self.links:
            wanted = self._background.get(link, 0.0) + mbps
            self._background[link] = wanted
            rate = min(max(wanted, 0.0), self._settings.background_most_mbps)
            self._order({"do": "background", "link": link, "mbps": rate})

    def close(self) -> None:
        """End the host and its agents."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.kill()

    def _order(self, plain: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError):  # the host has gone, and its reader tells why
            self._process.stdin.write(json.dumps(plain) + "\n")
            self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = json.loads(line)
            match event["event"]:
                case "frame":
                    self._note_frame(event)
                case "link":
                    self._note_link(event)
                case "host.ready":
                    self.links = event["links"]
                    self._ready.set()
                case "host.failed":
                    self._failed = f"{event['error']} {event['mend']}"
                case "agent.failed":
                    self._fire("agent", event["agent"], 0.0, 0, ClusterUnreachable(event["error"]))
        self._failed = self._failed or "the agents' process ended"
        self._ready.set()

    def _note_frame(self, event: dict[str, Any]) -> None:
        missed = None if event["in_time"] else DeadlineMissed(f"{event['device']} over {event['link'] or 'no link'}")
        self._fire(event["where"], event["option"], event["latency_ms"], event["bytes"], missed)
        for tally in (self.tally, self.seen):
            tally.note_frame(
                event["option"], where=event["where"], in_time=event["in_time"], moved_bytes=event["bytes"],
                fallback=event["fallback"],
            )  # fmt: skip

    def _note_link(self, event: dict[str, Any]) -> None:
        link, moved = event["link"], event["background_bytes"]
        since = moved - self._background_before.get(link, 0)
        self._background_before[link] = moved
        if since:
            self._fire("background", f"{link} at {event['background_mbps']:g} Mbit/s", 0.0, since, None)
            for tally in (self.tally, self.seen):
                tally.background_bytes[link] += since

    def _fire(self, kind: str, name: str, latency_ms: float, size_bytes: int, error: Exception | None) -> None:
        self._environment.events.request.fire(  # type: ignore[no-untyped-call]  # Locust's own
            request_type=kind, name=name, response_time=latency_ms, response_length=size_bytes, exception=error,
            context={},
        )  # fmt: skip


class HostedUser(User):
    """A user whose work is done by the process's host, which the locustfile puts at ``environment.isthmus``."""

    abstract = True

    @property
    def hosted(self) -> AgentProcess:
        """The host of this process."""
        process: AgentProcess = self.environment.isthmus
        return process

    @task
    def stay(self) -> None:
        """Be there: the frames come at their own rate."""
        gevent.sleep(1.0)


class AgentUser(HostedUser):
    """One device with its agent, for as long as Locust keeps it."""

    abstract = True
    _name: str | None = None

    def on_start(self) -> None:
        """Begin the agent."""
        self._name = self.hosted.start_agent()

    def on_stop(self) -> None:
        """End it; Locust may do so before it has begun."""
        if self._name is not None:
            self.hosted.stop_agent(self._name)


class BackgroundUser(HostedUser):
    """One bulk flow on every emulated link."""

    abstract = True
    mbps: float = 5.0

    def on_start(self) -> None:
        """Begin the flow."""
        self.hosted.add_background(self.mbps)

    def on_stop(self) -> None:
        """End it."""
        self.hosted.add_background(-self.mbps)
