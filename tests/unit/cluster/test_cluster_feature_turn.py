import threading

import pytest

from cluster.training.feature_turn import feature_turn
from cluster.training.progress import Progress
from wire.errors import CheckpointError

FEATURES = Progress("features", 1, 2)
TRAINING = Progress("reconstruct", 1, 2)


class Second:
    """Another training, which waits for its turn in a thread."""

    def __init__(self, folder):
        self.has_turn = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(folder,))
        self._thread.start()

    def _run(self, folder):
        with feature_turn(folder, lambda progress: None):
            self.has_turn.set()

    def join(self):
        self._thread.join(10)


@pytest.fixture
def second(tmp_path):
    started = []

    def start():
        started.append(Second(tmp_path))
        return started[0]

    yield start
    for each in started:
        each.join()


def test_another_training_waits_while_features_are_computed_and_goes_on_when_the_first_one_trains(tmp_path, second):
    heard = []
    with feature_turn(tmp_path, heard.append) as listener:
        other = second()
        listener(FEATURES)
        assert not other.has_turn.wait(0.2)
        listener(TRAINING)
        assert other.has_turn.wait(10)
        listener(TRAINING)
    assert heard == [FEATURES, TRAINING, TRAINING]


def test_a_training_that_fails_gives_its_turn_back(tmp_path, second):
    with pytest.raises(ZeroDivisionError), feature_turn(tmp_path, lambda progress: None):
        raise ZeroDivisionError
    assert second().has_turn.wait(10)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(CheckpointError, match="features cannot be written"), feature_turn(tmp_path / "file", print):
        pass
