import pytest

from cluster.cli import screen
from cluster.cli.training_bar import GridBar, TrainingBar
from cluster.codecs.weights import CodecKey
from cluster.training.grid import GridJob
from cluster.training.grid_runner import JobEnded, JobProgress, JobReport, JobStarted
from cluster.training.progress import Progress


@pytest.fixture(autouse=True)
def _fresh_console():
    screen.notes.cache_clear()
    yield
    screen.notes.cache_clear()


def test_without_a_terminal_the_bar_writes_a_line_with_what_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingBar("blocks.4 deepcod c12-s2") as bar:
        bar.show(Progress("reconstruct", 3, 40, loss=0.51234, bytes=1234.5))

    assert capsys.readouterr().err == "blocks.4 deepcod c12-s2 reconstruct 3/40 loss 0.5123  1,234 B\n"


def test_the_agreement_is_shown_once_it_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingBar("title") as bar:
        bar.show(Progress("distil", 30, 40, loss=0.5, bytes=99.0, agreement=0.875))

    assert capsys.readouterr().err.endswith("loss 0.5000  99 B  agreement 87.5%\n")


def test_features_are_counted_without_figures(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingBar("title") as bar:
        bar.show(Progress("features", 32, 8000))

    assert capsys.readouterr().err == "title features 32/8000 \n"


JOBS = [
    GridJob(CodecKey("net", "blocks.9", "jalad", setting), learns=False, folder=setting) for setting in ("c2", "c4")
]


def test_without_a_terminal_a_grid_writes_a_line_when_a_job_ends(capsys: pytest.CaptureFixture[str]) -> None:
    with GridBar(JOBS) as bar:
        bar.show(JobStarted(0))
        bar.show(JobStarted(1))
        bar.show(JobProgress(1, Progress("features", 32, 8000)))
        bar.show(JobEnded(1, JobReport(job=JOBS[1], state="failed", seconds=1.0, error="it [does] not fit")))
        bar.show(JobEnded(0, JobReport(job=JOBS[0], state="trained", seconds=65.2)))

    assert capsys.readouterr().err.splitlines() == [
        "job 2 of 2: blocks.9 jalad c4 failed: it [does] not fit",
        "job 1 of 2: blocks.9 jalad c2 trained in 65 s",
    ]
