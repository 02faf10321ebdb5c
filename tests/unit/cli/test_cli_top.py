import io

import pytest
from rich.console import Console

from cluster.cli.top_tables import ClusterStatus, Plain, draw


def replica(name: str, point: str = "blocks.6", **changes: object) -> Plain:
    plain = {
        "point": point, "replica": name, "state": "ready", "utilisation": 0.5, "service_s": 0.008, "queue_s": 0.0042,
        "in_flight": 3, "replicas": 1, "frames": 12345, "frames_s": 20.0, "streams": 2,
    }  # fmt: skip
    return plain | changes


def agent(device: str, **changes: object) -> Plain:
    plain = {
        "device": device, "agent": "isthmus-agent/1", "point": "blocks.6", "rate": "r4", "replica": "abc",
        "quiet_s": 0.1, "streams": 1, "frames": 100, "refused": 0, "frames_s": 9.5, "received_bytes": 88500,
    }  # fmt: skip
    return plain | changes


def status(replicas: list[Plain], agents: list[Plain], **of_point: object) -> ClusterStatus:
    point = {
        "point": "blocks.6", "state": "ready", "service_s": 0.008, "queue_s": 0.002, "utilisation": 0.25,
        "in_flight": 6, "replicas": len(replicas),
    }  # fmt: skip
    return ClusterStatus(
        url="http://127.0.0.1:8765", version={"isthmus": "0.1.0", "bundle": "b" * 64}, points=[point | of_point],
        replicas=replicas, agents=agents,
    )  # fmt: skip


def text(of: ClusterStatus, *, lines: int | None = None, width: int = 140) -> str:
    console = Console(file=io.StringIO(), width=width, height=lines)
    console.print(draw(of, width=width, lines=lines))
    written = console.file
    assert isinstance(written, io.StringIO)
    return written.getvalue()


def row(drawn: str, begins: str) -> list[str]:
    (line,) = [line for line in drawn.splitlines() if line.startswith(begins)]
    return line.split()


def test_a_point_is_shown_with_its_state_load_and_the_frames_and_agents_of_all_its_replicas() -> None:
    replicas = [replica("abc"), replica("xyz", frames_s=5.0), replica("else", point="input", frames_s=1.0)]
    drawn = text(status(replicas, [agent("cam-1"), agent("cam-2"), agent("cam-3", point="input")]))
    points = drawn.split("replicas ─")[0]
    assert row(points, "blocks.6") == [
        "blocks.6", "ready", "3", "██····", "25%", "8.0", "2.0", "6", "25.0", "2",
    ]  # fmt: skip
    assert "● ready\n26.0 frames/s   3 agents   6 streams   3 replicas" in drawn


def test_a_replica_and_an_agent_with_its_cut_have_a_line_each() -> None:
    drawn = text(status([replica("abc")], [agent("camera-7", refused=2)]))
    assert row(drawn.split("replicas ─")[1], "blocks.6")[1:] == [
        "abc", "ready", "███···", "50%", "4.2", "3", "20.0", "12,345", "2",
    ]  # fmt: skip
    assert row(drawn, "camera-7") == ["camera-7", "blocks.6/r4", "9.5", "100", "2", "885", "0.1", "s", "ago", "abc"]


def test_what_a_device_calls_itself_is_no_markup() -> None:
    assert "[red]x[/]" in text(status([], [agent("[red]x[/]")]))


def test_an_agent_that_has_sent_nothing_has_no_cut_yet() -> None:
    drawn = text(status([replica("abc")], [agent("cam", point=None, rate=None, frames=0)]))
    assert row(drawn, "cam")[:2] == ["cam", "–"]


def test_a_cluster_that_is_not_ready_says_so() -> None:
    assert "● not ready" in text(status([], [], state="starting"))
    assert "● ready" in text(status([], [], state="cold"))


@pytest.mark.parametrize("lines", [24, 40])
def test_a_crowd_is_cut_to_the_terminal_and_says_how_many_there_are(lines: int) -> None:
    crowd = [agent(f"cam-{number}") for number in range(200)]
    drawn = text(status([replica(f"r{number}") for number in range(30)], crowd), lines=lines)
    assert len(drawn.splitlines()) <= lines
    assert " of 200 ─" in drawn
    assert " of 30 ─" in drawn


def test_a_terminal_of_eighty_columns_shows_every_number() -> None:
    replicas = [replica("abc12345", "blocks.13", state="draining", frames=1234567)]
    drawn = text(status(replicas, [agent("jetson-nano-42", point="blocks.13", rate="r6+r4+r3", refused=17)]), width=80)
    assert "…" not in drawn
    assert row(drawn.split("replicas ─")[1], "blocks.13")[-2:] == ["1.2M", "2"]
    assert row(drawn, "jetson-nano-42")[1] == "blocks.13/r6+r4+r3"


def test_a_look_at_once_shows_everybody() -> None:
    drawn = text(status([replica("abc")], [agent(f"cam-{number}") for number in range(200)]))
    assert "cam-199" in drawn
