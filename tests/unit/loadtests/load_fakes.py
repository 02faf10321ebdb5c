"""Frames, figures and runs of a load, made by hand."""

from loadtests.light_frame import LightFrame, LoadFigures, figures_of
from loadtests.load_scene import LoadRun

DEADLINE_S = 0.3


def frame(due_s=0.0, latency_s=0.1, **changes):
    fields = {
        "agent": 0, "where": "cluster", "option": "input/q75", "refusal": "", "sent_bytes": 100, "received_bytes": 50,
        "looks": 1, "busy_s": 0.01,
    }  # fmt: skip
    return LightFrame(due_s=due_s, latency_s=latency_s, **(fields | changes))


def figures(good=10, late=0, by_device=0, unanswered=0, seconds=1.0, refused=0) -> LoadFigures:
    frames = [frame() for _ in range(good)]
    frames += [frame(latency_s=2 * DEADLINE_S) for _ in range(late)]
    frames += [frame(where="device", refusal="overloaded" if n < refused else "") for n in range(by_device)]
    frames += [frame(where="nobody", refusal="overloaded") for _ in range(unanswered)]
    return figures_of(frames, from_s=0.0, until_s=seconds, deadline_s=DEADLINE_S)


def run(agents=4, seconds=(), replicas=(), cluster_cpu=1.0, **of) -> LoadRun:
    return LoadRun(
        agents=agents, figures=figures(**of), seconds=tuple(seconds), generator_cpu=0.1, generator_lag_p95_s=0.001,
        cluster_cpu=cluster_cpu,
        counts={}, switches=0, replicas=tuple(replicas),
    )  # fmt: skip
