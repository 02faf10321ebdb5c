"""A generated load in one process: so many light agents, step by step, on one event loop.

Owns the clock of the steps and who takes part in which. Many processes may each run a part of one load.
"""

import asyncio
import json
import time
from collections import Counter
from contextlib import AsyncExitStack
from typing import Final

import aiohttp
import uvloop

from device_agent.cluster_view import ClusterView
from device_agent.link_estimate import LinkEstimate
from device_agent.policy import parse_policy
from device_agent.rules import Constraints, Rules
from loadtests.light_agent import LightAgent
from loadtests.light_camera import GIVE_UP_S, LightCamera, PostCamera, StreamCamera
from loadtests.light_clip import LightClip
from loadtests.light_device import LightDevice
from loadtests.light_load import LightLoad, PartRun, turns
from loadtests.light_stream import LightStreams
from wire.bundle import Bundle
from wire.errors import ClusterUnreachable, IsthmusError, SettingError, WireError
from wire.ids import DeviceId, PointName
from wire.manifest import Option
from wire.messages import Hello, LoadSignal
from wire.records import from_plain

DRAIN_S: Final = 20.0
"""An agent that fell behind may answer for so long what was due before the end."""
LOADS_TIMEOUT_S: Final = 3.0
BEAT_S: Final = 0.05
AGENT: Final = "isthmus-light"


def run_part(load: LightLoad, began_s: float) -> PartRun:
    """Run one part of a load, which begins at ``began_s`` on the monotonic clock; blocks until it is over.

    Raises:
        ClusterUnreachable: nothing answers.
        SettingError: there is no profile, or a device that nobody knows.
    """
    return uvloop.run(_run(load, began_s))


async def _run(load: LightLoad, began_s: float) -> PartRun:
    bundle = Bundle.open(load.bundle, "device")
    clip = LightClip.kept(bundle, load.clip, load.cache / "light-clip.msgpack")
    async with AsyncExitStack() as stack:
        connector = aiohttp.TCPConnector(limit=0)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        crowd = _Crowd(load, bundle, clip, session)
        if load.way != "post":
            crowd.loads = await crowd.fetch_loads()
            if not crowd.loads and load.policy != "device-only":
                raise ClusterUnreachable(f"{load.server.http_base} publishes no load", mend="start it: isthmus up")
        return await crowd.run(began_s)


class _Crowd:
    """The agents of one process."""

    def __init__(self, load: LightLoad, bundle: Bundle, clip: LightClip, session: aiohttp.ClientSession) -> None:
        self.loads: tuple[LoadSignal, ...] = ()
        self._load, self._bundle, self._clip, self._session = load, bundle, clip, session
        self._devices = [LightDevice.of(bundle, load.cache, name) for name in load.devices]
        self._picture = _picture_option(bundle)
        constraints = Constraints(most_drop=load.most_drop, deadline_s=load.deadline_s)
        every_s = 1 / load.fps if load.live else 0.0
        self._rules = Rules(policy=parse_policy(load.policy), constraints=constraints, live_every_s=every_s)
        self._streams: list[LightStreams] = []
        self._published: list[tuple[float, tuple[LoadSignal, ...]]] = []
        self._lags_s: list[float] = []

    async def run(self, began_s: float) -> PartRun:
        """Run everyone's turns, and give what they saw."""
        load = self._load
        ends_s = began_s + load.seconds
        mine = [turn for turn in turns(load.steps) if turn.agent % load.parts == load.part]
        await asyncio.sleep(max(began_s - time.monotonic(), 0.0))
        cpu_s, wall_s = time.process_time(), time.monotonic()
        watching = [asyncio.create_task(self._beat())]
        if load.part == 0 and load.way != "post":
            watching.append(asyncio.create_task(self._watch(began_s)))
        players: list[LightAgent | LightCamera] = []
        async with asyncio.TaskGroup() as tasks:
            for turn in mine:
                # Opened when it is its turn, as a device that comes then would.
                await asyncio.sleep(max(began_s + turn.from_s - time.monotonic(), 0.0))
                player = self._player(turn.agent)
                players.append(player)
                tasks.create_task(
                    player.run(
                        fps=load.fps,
                        began_s=began_s,
                        first_due_s=began_s + turn.from_s,
                        until_s=began_s + turn.until_s,
                        give_up_s=ends_s + (GIVE_UP_S if load.way != "agent" else DRAIN_S),
                    )
                )
            await asyncio.sleep(max(ends_s - time.monotonic(), 0.0))
            cpu_s, wall_s = time.process_time() - cpu_s, time.monotonic() - wall_s
        for task in watching:
            task.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        counts: Counter[str] = Counter()
        for streams in self._streams:
            counts.update(streams.counts)
        frames = [frame for player in players for frame in player.frames]
        switches = sum(player.switches for player in players)
        return PartRun(frames, dict(counts), switches, cpu_s, wall_s, self._lags_s, self._published)

    async def fetch_loads(self) -> tuple[LoadSignal, ...]:
        """Read what the cluster publishes; nothing where it does not answer."""
        try:
            async with (
                asyncio.timeout(LOADS_TIMEOUT_S),
                self._session.get(f"{self._load.server.http_base}/v1/load") as response,
            ):
                points = json.loads(await response.read())["points"]
                return tuple(from_plain(LoadSignal, point, "load") for point in points)
        except (TimeoutError, aiohttp.ClientError, ValueError, KeyError, TypeError, WireError):
            return ()

    async def _beat(self) -> None:
        while True:
            due_s = time.monotonic() + BEAT_S
            await asyncio.sleep(BEAT_S)
            self._lags_s.append(time.monotonic() - due_s)

    async def _watch(self, began_s: float) -> None:
        while True:
            self._published.append((time.monotonic() - began_s, await self.fetch_loads()))
            await asyncio.sleep(1.0)

    def _player(self, number: int) -> LightAgent | LightCamera:
        load, device = self._load, self._devices[number % len(self._devices)]
        match load.way:
            case "agent":
                return LightAgent(
                    number, bundle=self._bundle, clip=self._clip, device=device, rules=self._rules,
                    streams=self._open, fetch_loads=self.fetch_loads, loads=self.loads,
                )  # fmt: skip
            case "camera":
                camera = StreamCamera(number, self._clip, self._picture, load.deadline_s, self._open)
                return LightCamera(camera, device, self._picture)
            case "post":
                url = load.server.http_base + load.path
                return LightCamera(
                    PostCamera(number, self._clip, self._picture, url, self._session), device, self._picture
                )

    def _open(self, device_id: DeviceId, *, link: LinkEstimate, cluster: ClusterView) -> LightStreams:
        hello = Hello(device_id, AGENT, self._bundle.digest)
        streams = LightStreams(self._load.server, hello, link=link, cluster=cluster)
        self._streams.append(streams)
        return streams


def _picture_option(bundle: Bundle) -> Option:
    """Give the option that sends a frame as a JPEG.

    Raises:
        SettingError: the bundle has none.
    """
    for option in bundle.options_at(PointName("input")):
        if option.coder == "jpeg":
            return option
    raise SettingError("the bundle sends no JPEG at the point input", mend="build it with its default options")


def explained(error: IsthmusError) -> str:
    """Say an error in one line."""
    return f"{error.message}; {error.mend}" if error.mend else error.message
