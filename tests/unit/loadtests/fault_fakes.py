"""Fault runs as a benchmark would have them, for the tests of tables and pictures; no tests here."""

from loadtests.adapt_outcome import Loads
from loadtests.fault_figures import SeenFrame
from loadtests.fault_outcome import FaultOutcome
from loadtests.fault_run import FaultRun

STRUCK_S = 5000.0


def fault_run(name="triton", *, gone_s=2.0, skip=(), strikes=((STRUCK_S, "triton"),), detected_s=0.4):
    """Two agents at 5 frames a second, whose devices answer for ``gone_s``; numbers in ``skip`` have no answer."""
    frames = []
    for agent in ("at-input", "auto-1"):
        for number in range(150):
            since_s = -10.0 + number / 5
            where = "device" if 0 <= since_s < gone_s else "cluster"
            if number not in skip:
                frames.append(
                    SeenFrame(
                        agent=agent, life=0, number=number, due_s=STRUCK_S + since_s,
                        answered_s=STRUCK_S + since_s + 0.1, where=where,
                        fallback="link_down" if where == "device" else None, in_time=True,
                    )
                )  # fmt: skip
    return FaultRun(
        name=name, title="Triton is killed", strikes=tuple(strikes), mended_s=None, detected_s=detected_s,
        watched_s=20.0, frames=tuple(frames), calm=True,
    )  # fmt: skip


def outcome(*runs, unanswered=0, skipped=None):
    return FaultOutcome(
        runs=tuple(runs), agents={"at-input": "fixed:input", "auto-1": "auto"}, fps=5.0, deadline_s=0.4,
        device="raspberry-pi-4b", unanswered=unanswered, skipped=skipped or {}, loads=Loads(0.5, 2.5, 2),
    )  # fmt: skip
