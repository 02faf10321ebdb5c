"""``isthmus doctor`` at the real cluster: all well, then each kind of fault, and the sentence that says it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import RunningCluster
from doctor_run import doctor, examined
from kept_dead import kept_dead
from PIL import Image

from cluster.cli.fault_processes import ClusterProcesses
from cluster.free_ports import free_ports
from serve_apps.readiness import probe_option

pytestmark = pytest.mark.service

OTHER = "0123456789abcdef" * 4
BACK_S = 60.0


def served(cluster: RunningCluster) -> list[str]:
    return [point for point in cluster.bundle.points if point != "output"]


def test_a_cluster_that_is_well_is_found_to_be_so_with_a_frame_through_every_point(
    cluster: RunningCluster, cache: Path
) -> None:
    found = examined(cluster.url, cache, "--bundle", str(cluster.bundle.directory))
    assert found.code == 0, found.text
    # How busy it is depends on the tests before this one.
    assert found.verdicts("load") == dict.fromkeys(
        ("reachable", "tls", "cluster", "clock", "token", "digest", "bundle", "frame"), "ok"
    )
    assert found.one("digest")["figures"]["served"] == cluster.bundle.digest
    assert abs(found.one("clock")["figures"]["ahead_s"]) <= 2
    assert [load["subject"] for load in found.all("load")] == served(cluster)
    frames = found.all("frame")
    assert [frame["subject"] for frame in frames] == served(cluster)
    for frame in frames:
        assert "answered in" in frame["sentence"]
        assert len(frame["figures"]["labels"]) == 5
        assert frame["figures"]["sent_bytes"] > 30
        assert 0 < frame["figures"]["cluster_ms"] <= frame["figures"]["round_trip_ms"]


def test_people_see_ticks_and_every_file_of_the_bundle_can_be_fetched(cluster: RunningCluster, tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    Image.linear_gradient("L").resize((400, 300)).convert("RGB").save(picture)
    words = ("--fetch", "--digest", cluster.bundle.digest[:12], "--picture", str(picture))
    done = doctor(cluster.url, "--cache", str(tmp_path / "cache"), *words)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith("✔ bundle") and "were fetched" in line for line in lines)
    assert sum(line.startswith("✔ frame") for line in lines) == len(served(cluster))
    assert "0 failed" in lines[-1]
    assert not (tmp_path / "cache").exists()


def test_another_digest_is_named_beside_the_one_that_is_served_and_frames_are_sent_all_the_same(
    cluster: RunningCluster, cache: Path
) -> None:
    found = examined(cluster.url, cache, "--digest", OTHER)
    assert found.code == 1
    digest = found.one("digest")
    assert digest["verdict"] == "fail"
    assert f"serves the bundle {cluster.bundle.digest[:12]}, and not {OTHER[:12]}" in digest["sentence"]
    assert digest["figures"] == {"served": cluster.bundle.digest, "wanted": OTHER}
    assert found.verdicts("load")["frame"] == "ok"


def test_a_port_where_nobody_listens_is_said_and_nothing_else_is_looked_at(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    found = examined(f"ws://127.0.0.1:{port}", tmp_path)
    assert found.code == 1
    assert f"127.0.0.1:{port} refuses the connection" in found.one("reachable")["sentence"]
    assert set(found.verdicts("reachable").values()) == {"skipped"}


@contextlib.contextmanager
def without_triton(cluster: RunningCluster) -> Iterator[None]:
    """Keep Triton dead until the end; then wait until every point answers again."""
    try:
        with kept_dead(ClusterProcesses(cluster.process_id), "triton"):
            yield
    finally:
        for option in cluster.bundle.manifest.options:
            if option.cluster_graph:
                probe_option(cluster.bundle, option, ("127.0.0.1", cluster.port), timeout_s=BACK_S)


def test_a_triton_that_is_dead_is_said_at_every_point_and_all_else_is_well(
    cluster: RunningCluster, cache: Path
) -> None:
    with without_triton(cluster):
        found = examined(cluster.url, cache)
    assert found.code == 1
    assert set(found.verdicts("load", "frame").values()) == {"ok"}
    frames = found.all("frame")
    assert [frame["subject"] for frame in frames] == served(cluster)
    for frame in frames:
        assert frame["verdict"] == "fail"
        assert "takes frames, but its tail does not run (tail_failed): " in frame["sentence"]
        assert "Triton" in frame["sentence"] + frame["mend"]
    assert examined(cluster.url, cache).code == 0
