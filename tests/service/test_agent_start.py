import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_agent_tiny_cluster import Cluster, run_agent, running, write_bundle, write_pictures

pytestmark = pytest.mark.service

NOWHERE = "127.0.0.1:9"
FAST = ("--fps", "0")


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(write_bundle(tmp_path / "bundle"))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "pictures", 4)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


async def test_a_bundle_is_fetched_once_and_without_the_files_of_the_cluster(
    cluster: Cluster, pictures: Path, cache: Path
) -> None:
    async with running(cluster):
        first = await run_agent(cluster.url, pictures, cache, *FAST)
        fetched = [path for path in cluster.fetched if "/files/" in path]
        second = await run_agent(cluster.url, pictures, cache, *FAST)
    assert [line["bundle"] for line in first.events("bundle.fetched")] == [cluster.bundle.digest]
    assert not second.events("bundle.fetched")
    assert not any(path.endswith("tail.onnx") for path in fetched)
    assert [path for path in cluster.fetched if "/files/" in path] == fetched
    assert [folder.name for folder in (cache / "bundles").iterdir()] == [cluster.bundle.digest]


async def test_a_corrupted_download_is_refused_and_not_cached(cluster: Cluster, pictures: Path, cache: Path) -> None:
    data = bytearray((cluster.bundle.directory / "whole.onnx").read_bytes())
    data[40] ^= 1
    cluster.replaced[f"/v1/bundle/{cluster.bundle.digest}/files/whole.onnx"] = bytes(data)
    async with running(cluster):
        run = await run_agent(cluster.url, pictures, cache, *FAST)
    assert run.code == 20
    assert "whole.onnx has changed" in run.stderr
    assert "mend:" in run.stderr
    assert list((cache / "bundles").iterdir()) == []


async def test_a_manifest_of_another_digest_is_refused(cluster: Cluster, pictures: Path, cache: Path) -> None:
    manifest = (cluster.bundle.directory / "manifest.json").read_bytes()
    cluster.replaced[f"/v1/bundle/{cluster.bundle.digest}/manifest.json"] = manifest + b"\n"
    async with running(cluster):
        run = await run_agent(cluster.url, pictures, cache, *FAST)
    assert run.code == 20
    assert "has the digest" in run.stderr


async def test_a_cached_bundle_that_was_damaged_is_fetched_again(cluster: Cluster, pictures: Path, cache: Path) -> None:
    async with running(cluster):
        await run_agent(cluster.url, pictures, cache, *FAST)
        (cache / "bundles" / cluster.bundle.digest / "tables.npy").write_bytes(b"")
        run = await run_agent(cluster.url, pictures, cache, *FAST)
    assert run.code == 0
    assert len(run.events("bundle.fetched")) == 1


async def test_an_agent_without_cluster_and_cache_says_that_it_cannot_begin(pictures: Path, cache: Path) -> None:
    run = await run_agent(NOWHERE, pictures, cache)
    assert run.code == 22
    assert "isthmus up" in run.stderr
    assert len(run.stderr.splitlines()) == 2


def wait_for_frame(said: Path) -> None:
    ends_s = time.monotonic() + 20.0
    while not (said.exists() and '"frame"' in said.read_text()):
        assert time.monotonic() < ends_s, "the agent has answered nothing"
        time.sleep(0.05)


async def test_an_agent_with_a_cached_bundle_begins_alone_and_finds_the_cluster_later(
    cluster: Cluster, pictures: Path, cache: Path, tmp_path: Path
) -> None:
    async with running(cluster):
        await run_agent(cluster.url, pictures, cache, *FAST)
    said = tmp_path / "said.jsonl"
    args = ("--policy", "fixed:deep", "--frames", "60", "--fps", "20", "--out", str(said))
    work = asyncio.create_task(run_agent(cluster.url, pictures, cache, *args))
    await asyncio.to_thread(wait_for_frame, said)
    async with running(cluster):
        run = await work
    assert run.code == 0, run.stderr
    assert [line["bundle"] for line in run.events("cluster.unreachable")] == [cluster.bundle.digest]
    assert (run.answers[0]["where"], run.answers[0]["fallback"]) == ("device", "link_down")
    assert (run.answers[-1]["where"], run.answers[-1]["fallback"]) == ("cluster", None)


async def test_a_new_bundle_is_fetched_and_swapped_in_between_two_frames(
    cluster: Cluster, pictures: Path, cache: Path, tmp_path: Path
) -> None:
    async with running(cluster):
        await run_agent(cluster.url, pictures, cache, *FAST)
        old = cluster.bundle
        cluster.hellos.clear()
        cluster.bundle = write_bundle(tmp_path / "newer", created_by="a later build")
        # What a cluster says that has moved on right after the agent asked it.
        stale = {"isthmus": "0.1.0", "protocol": 1, "bundle": old.digest}
        cluster.replaced["/v1/version"] = json.dumps(stale).encode()
        args = ("--policy", "fixed:deep", "--frames", "60", "--fps", "20")
        work = asyncio.create_task(run_agent(cluster.url, pictures, cache, *args))
        while not cluster.hellos:  # noqa: ASYNC110  (the list is what a test looks at anyway)
            await asyncio.sleep(0.02)
        del cluster.replaced["/v1/version"]
        run = await work
    fallbacks = [line["fallback"] for line in run.answers]
    # The old bundle was refused: to a frame, or to the stream that is opened before the first one.
    assert cluster.hellos[0][1].bundle == old.digest
    assert {"refused:wrong_bundle", "unserved"} & set(fallbacks)
    assert fallbacks[-1] is None
    assert len(fallbacks) == 60
    assert [line["bundle"] for line in run.events("bundle.swapped")] == [cluster.bundle.digest]


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("--source", "no-such-file.mp4"), 21, "there is no file"),
        (("--source", "77"), 21, "there is no camera '/dev/video77'"),
        (("--policy", "fixed:middle"), 12, "choose one of input, shallow, deep, output"),
        (("--policy", "sometimes"), 2, "use auto"),
        (("--server", "gopher://x"), 2, "unknown scheme"),
        (("--fps", "-1"), 2, "give 0 to 1000"),
    ],
)
async def test_what_a_user_gets_wrong_has_its_own_exit_code_and_mend(
    cluster: Cluster, pictures: Path, cache: Path, args: tuple[str, ...], code: int, words: str
) -> None:
    async with running(cluster):
        run = await run_agent(cluster.url, pictures, cache, *args)
    assert run.code == code
    assert words in run.stderr
    assert "  mend: " in run.stderr


async def test_a_file_that_is_no_video_is_refused(cluster: Cluster, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_text("not a clip")
    async with running(cluster):
        run = await run_agent(cluster.url, tmp_path / "clip.mp4", cache)
    assert run.code == 21
    assert "cannot be read" in run.stderr
    assert run.summary["frames"] == 0


async def test_an_empty_folder_is_refused(cluster: Cluster, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    async with running(cluster):
        run = await run_agent(cluster.url, tmp_path / "empty", cache)
    assert run.code == 21
    assert "has no pictures" in run.stderr


def test_an_agent_imports_neither_torch_nor_ray_nor_what_its_source_does_not_need() -> None:
    code = "import sys, device_agent.session; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "ray", "onnx", "av", "PIL"} & set(done.stdout.split())
