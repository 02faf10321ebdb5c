"""How a run of a graph that nobody waits for any more is ended early, from another thread."""

import threading
import time


class RunStopped(Exception):
    """The run was ended before it had a result."""


class RunStop:
    """Belongs to one run: ONNX Runtime looks at it between two nodes, and an emulated device while it waits."""

    def __init__(self) -> None:
        import onnxruntime

        self.options: onnxruntime.RunOptions = onnxruntime.RunOptions()
        # A run that ends early is no error.
        self.options.log_severity_level = 4
        self._stopped = threading.Event()
        self._begun_s: float | None = None
        self.ran_s = 0.0
        """How long the run had taken when it ended, or was stopped."""

    @property
    def is_set(self) -> bool:
        """Whether the run was asked to end."""
        return self._stopped.is_set()

    def begin(self) -> None:
        """Take it that the run begins now; raises RunStopped if nobody waits for it any more."""
        if self.is_set:
            raise RunStopped
        self._begun_s = time.perf_counter()

    def end(self) -> None:
        """Take it that the run is over."""
        if self._begun_s is not None:
            self.ran_s = time.perf_counter() - self._begun_s

    def set(self) -> None:
        """Ask the run to end."""
        self.end()
        self._stopped.set()
        self.options.terminate = True

    def sleep(self, seconds: float) -> None:
        """Wait so long, as a slower device would have; raises RunStopped if it is asked to end."""
        if self._stopped.wait(max(seconds, 0.0)):
            raise RunStopped
