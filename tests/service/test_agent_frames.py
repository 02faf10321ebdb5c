import asyncio
import json
import signal
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from test_agent_tiny_cluster import (
    Cluster,
    agent_process,
    answer,
    decode,
    reject_of,
    result_of,
    run_agent,
    running,
    write_bundle,
    write_pictures,
)
from websockets.asyncio.server import ServerConnection

from wire.bitstream import peek
from wire.messages import Frame, GoAway, pack

pytestmark = pytest.mark.service

FAST = ("--fps", "0")
SHALLOW = ("--policy", "fixed:shallow")


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(write_bundle(tmp_path / "bundle"))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "pictures", 6)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def write_clip(path: Path, frames: int, fps: int) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(frames):
            pixels = np.full((64, 96, 3), number * 5 % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


async def test_every_picture_of_a_folder_is_answered_by_the_cluster(
    cluster: Cluster, pictures: Path, cache: Path
) -> None:
    async with running(cluster):
        run = await run_agent(cluster.url, pictures, cache, *SHALLOW, *FAST)
    assert run.code == 0, run.stderr
    assert [line["frame"] for line in run.answers] == list(range(6))
    assert {line["where"] for line in run.answers} == {"cluster"}
    assert {line["label"] for line in run.answers} == {"label 7"}
    assert run.summary["unanswered"] == 0
    assert run.summary["by_option"] == {"shallow/r1": 6}


async def test_a_clip_plays_at_the_rate_asked_for_and_from_its_start_again(
    cluster: Cluster, tmp_path: Path, cache: Path
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=25, fps=25)
    async with running(cluster):
        run = await run_agent(cluster.url, clip, cache, "--policy", "cluster-only", "--frames", "24", "--fps", "20")
    assert run.code == 0, run.stderr
    assert run.summary["by_option"] == {"input/r1": 24}
    due_s = [line["due_unix_s"] - run.answers[0]["due_unix_s"] for line in run.answers]
    assert due_s == pytest.approx([number / 20 for number in range(24)], abs=0.02)


async def test_the_device_answers_alone_when_that_is_the_policy(cluster: Cluster, pictures: Path, cache: Path) -> None:
    async with running(cluster):
        run = await run_agent(cluster.url, pictures, cache, "--policy", "device-only", *FAST)
    assert {(line["where"], line["fallback"], line["label"]) for line in run.answers} == {("device", None, "label 0")}
    assert not cluster.hellos


async def test_auto_sends_what_the_device_is_too_slow_for(cluster: Cluster, pictures: Path, cache: Path) -> None:
    async with running(cluster):
        profiled = await run_agent(cluster.url, pictures, cache, "--policy", "device-only", *FAST)
        profile = next((cache / "profiles").iterdir())
        profile.write_text(json.dumps({"option_s": {"0": 0.001, "1": 0.001, "2": 0.001, "3": 0.02}}))
        run = await run_agent(cluster.url, pictures, cache, "--device-slowdown", "10", *FAST)
    assert profiled.code == 0, profiled.stderr
    assert {line["where"] for line in run.answers} == {"cluster"}
    assert all(line["parts_ms"]["device"] >= 10 for line in run.answers)
    assert {line["emulated_slowdown"] for line in run.answers} == {10.0}
    assert run.answers[0]["predicted_ms"]["device"] == pytest.approx(10)


async def test_frames_are_answered_alone_while_the_cluster_is_silent_and_remotely_within_seconds_after(
    cluster: Cluster, pictures: Path, cache: Path
) -> None:
    silent = asyncio.Event()

    async def go_silent(own: Cluster, socket: ServerConnection, point: str, frame: Frame) -> None:
        if frame.frame_id == 3:
            silent.set()
            # Nothing is read, so no ping is answered either.
            socket.transport.pause_reading()
            await asyncio.sleep(1.0)
            socket.transport.resume_reading()
        await answer(own, socket, point, frame)

    cluster.on_frame = go_silent
    async with running(cluster) as server:
        work = asyncio.create_task(
            run_agent(cluster.url, pictures, cache, *SHALLOW, "--frames", "40", "--deadline-ms", "100", "--fps", "20")
        )
        await silent.wait()
        server.close(close_connections=False)
        await asyncio.sleep(0.8)
        async with running(cluster):
            run = await work
    fallbacks = [line["fallback"] for line in run.answers]
    assert fallbacks[:5] == [None, None, None, "late", "link_down"]
    assert fallbacks[-1] is None
    assert run.summary["unanswered"] == 0
    [down], [up] = run.events("link.down"), run.events("link.up")
    assert 0.2 < up["unix_s"] - down["unix_s"] < 3


async def test_a_late_result_is_dropped_and_counted(cluster: Cluster, pictures: Path, cache: Path) -> None:
    async def dawdle(_: Cluster, socket: ServerConnection, point: str, frame: Frame) -> None:
        if frame.frame_id == 1:
            await asyncio.sleep(0.15)
        await socket.send(pack(result_of(frame, point)))
        if 3 <= frame.frame_id < 20:
            await socket.send(pack(result_of(frame, point)))

    cluster.on_frame = dawdle
    async with running(cluster):
        run = await run_agent(
            cluster.url, pictures, cache, *SHALLOW, "--deadline-ms", "100", "--frames", "30", "--fps", "30"
        )
    assert run.answers[1]["fallback"] == "late"
    assert run.answers[1]["where"] == "device"
    # Frame 1, and the second answers to those of 3 to 19 that were sent: some wait too long behind frame 1 to be.
    assert run.summary["late_dropped"] >= 2
    assert run.answers[-1]["fallback"] is None
    assert [line["frame"] for line in run.answers] == list(range(30))


async def test_a_refused_frame_is_answered_alone_and_the_cluster_is_spared_for_a_while(
    cluster: Cluster, pictures: Path, cache: Path
) -> None:
    async def refuse(own: Cluster, socket: ServerConnection, point: str, frame: Frame) -> None:
        if frame.frame_id == 2:
            await socket.send(pack(reject_of(frame.frame_id, "overloaded")))
        else:
            await answer(own, socket, point, frame)

    cluster.on_frame = refuse
    async with running(cluster):
        run = await run_agent(cluster.url, pictures, cache, *SHALLOW, "--frames", "30", "--fps", "20")
    fallbacks = [line["fallback"] for line in run.answers]
    spared = fallbacks.count("unserved")
    assert spared >= 5
    assert fallbacks == [None, None, "refused:overloaded", *["unserved"] * spared, *[None] * (27 - spared)]
    assert run.answers[2]["label"] == run.answers[3]["label"] == "label 0"
    assert run.summary["unanswered"] == 0
    assert fallbacks[-1] is None
    assert not run.events("link.down")


PATIENT = ("--policy", "fixed:shallow/r1", *FAST, "--deadline-ms", "3000")


@pytest.fixture
def looks_cluster(tmp_path: Path) -> Cluster:
    """Have shallow/r1 refined twice at most; none of the usual answers is certain enough for it."""
    return Cluster(write_bundle(tmp_path / "looks", leads=(0.5, 0.4)))


def look_of(frame: Frame) -> int:
    return peek(frame.bitstream).look


async def test_an_uncertain_answer_is_refined_until_it_is_certain(
    looks_cluster: Cluster, pictures: Path, cache: Path
) -> None:
    async def be_sure_at_last(own: Cluster, socket: ServerConnection, point: str, frame: Frame) -> None:
        decode(own, socket, point, frame)
        result = result_of(frame, point)
        if look_of(frame) == (1 if frame.frame_id % 2 else 2):
            result = replace(result, labels=(9, 3), scores=(0.9, 0.05))
        await socket.send(pack(result))

    looks_cluster.on_frame = be_sure_at_last
    async with running(looks_cluster):
        run = await run_agent(looks_cluster.url, pictures, cache, *PATIENT)
    assert run.code == 0, run.stderr
    assert [line["looks"] for line in run.answers] == [3, 2] * 3
    assert {(line["label"], line["option"], line["fallback"]) for line in run.answers} == {("label 9", 1, None)}
    sent = [(frame.frame_id, frame.option_id, look_of(frame)) for frame in looks_cluster.frames]
    assert sent[:5] == [(0, 1, 0), (0, 1, 1), (0, 1, 2), (1, 1, 0), (1, 1, 1)]
    assert (run.summary["looked_again"], run.summary["by_option"]) == (6, {"shallow/r1": 6})


async def test_a_further_look_that_comes_to_nothing_costs_no_answer(
    looks_cluster: Cluster, pictures: Path, cache: Path
) -> None:
    async def spoil_the_second(own: Cluster, socket: ServerConnection, point: str, frame: Frame) -> None:
        if look_of(frame) == 0:
            await answer(own, socket, point, frame)
        elif frame.frame_id == 1:
            await socket.send(pack(reject_of(frame.frame_id, "deadline_exceeded")))
        elif frame.frame_id == 2:
            socket.transport.abort()

    looks_cluster.on_frame = spoil_the_second
    async with running(looks_cluster):
        run = await run_agent(
            looks_cluster.url, pictures, cache, "--policy", "fixed:shallow/r1", *FAST, "--deadline-ms", "300"
        )
    assert [line["looks"] for line in run.answers] == [2] * 6
    assert {(line["where"], line["label"], line["fallback"]) for line in run.answers} == {("cluster", "label 7", None)}
    assert run.summary["fallbacks"] == {}


async def test_a_refinement_that_meets_another_replica_than_its_first_look_costs_no_answer(
    looks_cluster: Cluster, pictures: Path, cache: Path
) -> None:
    async def move_between_looks(own: Cluster, socket: ServerConnection, point: str, frame: Frame) -> None:
        if (frame.frame_id, look_of(frame)) == (2, 0):
            await socket.send(pack(GoAway("scaled out", 5.0)))
            async with asyncio.timeout(2):
                while len(own.memories) < 2:  # noqa: ASYNC110 - what is waited for is a state of the cluster
                    await asyncio.sleep(0.01)
            # The agent has yet to read that it is welcome.
            await asyncio.sleep(0.1)
        await answer(own, socket, point, frame)

    looks_cluster.on_frame = move_between_looks
    async with running(looks_cluster):
        run = await run_agent(looks_cluster.url, pictures, cache, *PATIENT)
    assert looks_cluster.missed == [2]
    assert [line["looks"] for line in run.answers] == [3, 3, 2, 3, 3, 3]
    assert {(line["where"], line["label"], line["fallback"]) for line in run.answers} == {("cluster", "label 7", None)}


async def test_a_cut_socket_costs_one_remote_answer(cluster: Cluster, pictures: Path, cache: Path) -> None:
    async def cut(own: Cluster, socket: ServerConnection, point: str, frame: Frame) -> None:
        if frame.frame_id == 2:
            socket.transport.abort()
        else:
            await answer(own, socket, point, frame)

    cluster.on_frame = cut
    async with running(cluster):
        run = await run_agent(cluster.url, pictures, cache, *SHALLOW, *FAST)
    assert [line["fallback"] for line in run.answers] == [None, None, "link_down", None, None, None]
    assert len(cluster.hellos) == 2


async def test_an_agent_told_to_go_away_moves_before_it_leaves(cluster: Cluster, pictures: Path, cache: Path) -> None:
    gone: list[int] = []

    async def send_away(own: Cluster, socket: ServerConnection, point: str, frame: Frame) -> None:
        if frame.frame_id == 1:
            gone.append(socket.id.int)
            await socket.send(pack(GoAway("scaled out", 5.0)))
            await asyncio.sleep(0.05)
        await answer(own, socket, point, frame)

    cluster.on_frame = send_away
    async with running(cluster):
        run = await run_agent(cluster.url, pictures, cache, *SHALLOW, "--fps", "10")
    assert [line["fallback"] for line in run.answers] == [None] * 6
    assert len(cluster.hellos) == 2
    assert len(cluster.frames) == 6


async def test_a_message_that_is_none_ends_the_stream_and_not_the_agent(
    cluster: Cluster, pictures: Path, cache: Path
) -> None:
    async def babble(own: Cluster, socket: ServerConnection, point: str, frame: Frame) -> None:
        if frame.frame_id == 1:
            await socket.send(b"\xc1 nothing that msgpack knows")
        else:
            await answer(own, socket, point, frame)

    cluster.on_frame = babble
    async with running(cluster):
        run = await run_agent(cluster.url, pictures, cache, *SHALLOW, *FAST)
    assert [line["fallback"] for line in run.answers] == [None, "link_down", None, None, None, None]


async def test_an_interrupt_ends_a_run_with_its_summary(cluster: Cluster, pictures: Path, cache: Path) -> None:
    async with running(cluster):
        args = ("--server", cluster.url, "--source", str(pictures), "--cache", str(cache), "--json", "--loop")
        async with agent_process(*args, *SHALLOW) as process:
            assert process.stdout is not None
            async with asyncio.timeout(10):
                while json.loads(await process.stdout.readline())["event"] != "frame":
                    pass
                process.send_signal(signal.SIGTERM)
                out, err = await process.communicate()
    assert process.returncode == 0, err
    summary = json.loads(out.splitlines()[-1])
    assert summary["event"] == "summary"
    assert summary["unanswered"] == 0
