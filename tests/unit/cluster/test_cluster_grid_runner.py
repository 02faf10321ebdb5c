import pytest
import torch

from cluster.points import Cuts
from cluster.training.grid import expand_grid
from cluster.training.grid_runner import JobEnded, JobProgress, JobStarted, run_in_turn
from cluster.training.plan import TrainingPlan
from cluster.training.progress import Progress
from cluster.training.training_order import TrainingOrder
from wire.errors import CheckpointError

PLAN = TrainingPlan(reconstruct_epochs=2, distil_epochs=1, views=2, batch=4)


@pytest.fixture(scope="module")
def jobs(toy):
    cuts = Cuts(toy.module, toy.example())
    grid = expand_grid(
        cuts, "toy", PLAN, points=["stem"], codecs=["bottlenet", "jalad"], settings=["c2-s2", "c4-s2", "c4"]
    )
    return grid.jobs


def test_one_failing_training_does_not_end_the_others(toy, jobs, labelled, tmp_path):
    order = TrainingOrder(plan=PLAN, data=labelled, runs=tmp_path / "runs", features=tmp_path / "features")
    broken = tmp_path / "runs" / jobs[0].folder
    broken.mkdir(parents=True)
    (broken / "checkpoint.pt").write_bytes(b"half a file")
    events = []

    def train(job, listener):
        return order.train(
            job, toy, weights=tmp_path / "weights", device=torch.device("cpu"), listener=listener
        )  # fmt: skip

    failed, trained, calibrated = run_in_turn(jobs, train, events.append)

    assert (failed.state, failed.weights, failed.trace) == ("failed", None, None)
    assert "damaged" in failed.error
    assert "remove it" in failed.error
    assert trained.state == "trained"
    assert trained.weights.is_file()
    assert trained.bytes_estimate > 0
    assert 0.0 <= trained.agreement <= 1.0
    assert calibrated.state == "trained"
    assert (calibrated.agreement, calibrated.bytes_estimate) == (None, None)
    assert [event for event in events if isinstance(event, JobStarted)] == [JobStarted(0), JobStarted(1), JobStarted(2)]
    assert [event.report for event in events if isinstance(event, JobEnded)] == [failed, trained, calibrated]
    assert {event.number for event in events if isinstance(event, JobProgress)} == {1, 2}


def test_an_error_that_is_none_of_ours_is_reported_with_its_traceback(jobs, tmp_path):
    def train(job, listener):
        if job == jobs[1]:
            raise ZeroDivisionError("by nought")
        return tmp_path / "weights"

    reports = run_in_turn(jobs, train, lambda event: None)
    assert [report.state for report in reports] == ["trained", "failed", "trained"]
    assert reports[1].error == "ZeroDivisionError: by nought"
    assert "Traceback" in reports[1].trace


def test_the_last_figures_of_a_job_that_failed_are_kept(jobs):
    def train(job, listener):
        listener(Progress("features", 1, 2))
        listener(Progress("distil", 1, 2, loss=1.0, bytes=120.0, agreement=0.5))
        raise CheckpointError("the disk is full", mend="free some space")

    (report,) = run_in_turn(jobs[:1], train, lambda event: None)
    assert (report.agreement, report.bytes_estimate) == (0.5, 120.0)
    assert report.error == "the disk is full (free some space)"


def test_who_interrupts_ends_the_grid(jobs):
    def train(job, listener):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_in_turn(jobs, train, lambda event: None)
