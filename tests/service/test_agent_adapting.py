import asyncio
from pathlib import Path

import pytest
from test_agent_tiny_cluster import Cluster, agent_process, answer, run_agent, running, write_bundle, write_pictures
from websockets.asyncio.server import ServerConnection

from wire.messages import Frame

pytestmark = pytest.mark.service

SHALLOW = ("--policy", "fixed:shallow")
SLOW = ("--device-slowdown", "200")
"""The tiny network takes some tenths of a millisecond here."""


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(write_bundle(tmp_path / "bundle"))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "pictures", 6)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


async def never(cluster: Cluster, socket: ServerConnection, point: str, frame: Frame) -> None:
    """Take a frame and say nothing."""


async def test_the_device_finishes_alone_in_time_for_the_deadline(
    cluster: Cluster, pictures: Path, cache: Path
) -> None:
    cluster.on_frame = never
    async with running(cluster):
        run = await run_agent(cluster.url, pictures, cache, *SHALLOW, "--fps", "2", "--deadline-ms", "450", *SLOW)
    assert run.code == 0, run.stderr
    assert {line["where"] for line in run.answers} == {"device"}
    assert run.answers[0]["fallback"] == "late"
    assert run.summary["unanswered"] == 0
    # The first frame may pay for opening and warming; none may wait for the cluster until its deadline has passed.
    assert run.summary["deadline_missed"] <= 1
    assert all(line["parts_ms"]["local"] > 0 for line in run.answers if line["fallback"] == "late")


async def test_an_answer_that_comes_while_the_device_works_counts(
    cluster: Cluster, pictures: Path, cache: Path
) -> None:
    begun = asyncio.Event()

    async def late(cluster: Cluster, socket: ServerConnection, point: str, frame: Frame) -> None:
        begun.set()
        # Later than the device begins alone, and sooner than it ends.
        await asyncio.sleep(0.3 if frame.frame_id else 0.0)
        await answer(cluster, socket, point, frame)

    cluster.on_frame = late
    slowest = ("--device-slowdown", "1000", "--deadline-ms", "100000")
    async with running(cluster):
        run = await run_agent(cluster.url, pictures, cache, *SHALLOW, "--fps", "0", *slowest)
    assert begun.is_set()
    assert {line["where"] for line in run.answers} == {"cluster"}


@pytest.mark.parametrize("policy", ["deepcod", "jalad", "neurosurgeon"])
async def test_the_papers_ways_of_deciding_answer_every_frame(
    cluster: Cluster, pictures: Path, cache: Path, policy: str
) -> None:
    async with running(cluster):
        run = await run_agent(cluster.url, pictures, cache, "--policy", policy, "--fps", "0", *SLOW)
    assert run.code == 0, run.stderr
    assert run.summary["answered"] == 6
    assert all(policy in line["reasons"][0] for line in run.answers)


async def test_a_metered_link_is_left_alone_when_its_allowance_is_spent(
    cluster: Cluster, pictures: Path, cache: Path
) -> None:
    async with running(cluster):
        run = await run_agent(cluster.url, pictures, cache, "--max-mb-per-hour", "0.001", "--fps", "0", *SLOW)
    assert run.code == 0, run.stderr
    assert {line["where"] for line in run.answers} == {"device"}
    assert not cluster.frames


async def test_a_constraint_that_nothing_keeps_is_named(cluster: Cluster, pictures: Path, cache: Path) -> None:
    limits = ("--max-energy-mj", "0.000001", "--device-power-w", "3")
    async with running(cluster):
        run = await run_agent(cluster.url, pictures, cache, "--fps", "0", *limits)
    assert run.code == 0, run.stderr
    assert run.summary["broken"] == {"energy": 6}
    assert run.summary["energy_j"] > 0


async def test_a_clip_played_live_skips_what_newer_frames_overtook_and_counts_it(
    cluster: Cluster, pictures: Path, cache: Path
) -> None:
    live = ("--live", "--fps", "100", "--policy", "device-only", "--device-slowdown", "1000")
    async with running(cluster):
        run = await run_agent(cluster.url, write_pictures(pictures, 30), cache, *live)
    assert run.code == 0, run.stderr
    skipped = run.summary["skipped"]["newer_frame"]
    assert skipped > 0
    assert run.summary["frames"] + skipped == 30
    assert run.summary["unanswered"] == 0


async def test_a_stream_that_was_cut_is_open_again_before_the_next_frame(
    cluster: Cluster, pictures: Path, cache: Path
) -> None:
    async def cut_in_a_while(cluster: Cluster, socket: ServerConnection, point: str, frame: Frame) -> None:
        await answer(cluster, socket, point, frame)
        if frame.frame_id == 0:
            await asyncio.sleep(1.2)
            socket.transport.abort()

    cluster.on_frame = cut_in_a_while
    async with running(cluster), agent_process(
        "--server", cluster.url, "--source", str(pictures), "--cache", str(cache), "--json", "--fps", "0.1", *SHALLOW
    ):  # fmt: skip
        async with asyncio.timeout(20):
            while len(cluster.hellos) < 2:  # noqa: ASYNC110 - another process brings it about
                await asyncio.sleep(0.05)
    assert len(cluster.frames) == 1


async def test_what_is_emulated_is_said_in_every_line(cluster: Cluster, pictures: Path, cache: Path) -> None:
    async with running(cluster):
        run = await run_agent(cluster.url, pictures, cache, "--fps", "0", *SLOW)
    assert run.code == 0, run.stderr
    assert {line["emulated_slowdown"] for line in (*run.answers, run.summary)} == {200.0}


async def test_a_device_that_nobody_knows_is_refused_with_those_that_are_known(
    cluster: Cluster, pictures: Path, cache: Path
) -> None:
    async with running(cluster):
        run = await run_agent(cluster.url, pictures, cache, "--device-profile", "raspberry-pie-4b")
    assert run.code == 2
    assert "did you mean raspberry-pi-4b?" in run.stderr
