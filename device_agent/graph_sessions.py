"""ONNX Runtime sessions of a bundle's device graphs, each made when it is first needed.

A graph is optimised for this machine once, and kept beside the bundles in ONNX Runtime's own format: mapped
from there a session starts in a fifth of the time, and takes 40 MB less than from the ONNX file.
"""

import contextlib
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from device_agent.memory import give_back_freed_memory
from device_agent.sources import Pixels
from wire.bundle import Bundle
from wire.errors import BundleError
from wire.tensor_form import Tensor

if TYPE_CHECKING:
    import onnxruntime

log = structlog.get_logger()


class GraphSessions:
    """Runs device graphs by their file name.

    ``threads`` is the number of cores that one run may take, and ``optimised`` the folder for this bundle's
    optimised graphs; with None they are not kept.
    """

    def __init__(self, bundle: Bundle, *, threads: int, optimised: Path | None) -> None:
        self._bundle = bundle
        self._threads = threads
        self._optimised = optimised
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}

    def prepare(self, graph: str) -> None:
        """Make a session, if there is none; its weights are not read before it runs."""
        if graph not in self._sessions:
            self._sessions[graph] = self._make(graph)
            give_back_freed_memory()

    def run(self, graph: str, pixels: Pixels, options: "onnxruntime.RunOptions | None" = None) -> Tensor:
        """Run a graph on uint8 (1, H, W, 3); gives its one output without the batch axis.

        Raises BundleError if it cannot run, or gives anything but a batch of one.
        """
        try:
            output: Tensor = self._sessions[graph].run(None, {"pixels": pixels}, options)[0]
        except _foreign_errors() as error:
            raise _unusable(graph, error) from error
        if output.shape[:1] != (1,):
            raise BundleError(f"the graph {graph} gave {output.shape} for one frame", mend="make the bundle again")
        frame: Tensor = output[0]
        return frame

    def _make(self, graph: str) -> "onnxruntime.InferenceSession":
        path = self._bundle.path(graph)
        kept = self._optimised_path(graph)
        try:
            if kept is None:
                return _session(path, self._options())
            if not kept.is_file():
                self._optimise(path, kept)
            return _session(kept, self._mapped_options())
        except _foreign_errors() as error:
            # A full disk, say, or a file that another release left: the graph itself is still there.
            log.info("graph.not_kept", graph=graph, error=str(error))
            if kept is not None:
                with contextlib.suppress(OSError):
                    kept.unlink(missing_ok=True)
        try:
            return _session(path, self._options())
        except _foreign_errors() as error:
            raise _unusable(graph, error) from error

    def _optimise(self, path: Path, kept: Path) -> None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_name(f"{kept.name}.{os.getpid()}.part")
        options = self._options()
        options.optimized_model_filepath = str(part)
        options.add_session_config_entry("session.save_model_format", "ORT")
        try:
            _session(path, options)
            part.replace(kept)
        finally:
            part.unlink(missing_ok=True)

    def _optimised_path(self, graph: str) -> Path | None:
        if self._optimised is None:
            return None
        import onnxruntime

        # Optimised for this processor by this release; a shared home folder may serve several machines.
        machine = f"{onnxruntime.__version__}-{platform.machine()}-{platform.node()}"
        return self._optimised / machine / f"{graph}.ort"

    def _options(self) -> "onnxruntime.SessionOptions":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        # Memory before the last tenth of speed: what one graph frees, the next may take.
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        options.add_session_config_entry("session.disable_prepacking", "1")
        options.log_severity_level = 3
        return options

    def _mapped_options(self) -> "onnxruntime.SessionOptions":
        import onnxruntime

        options = self._options()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_session_config_entry("session.load_model_format", "ORT")
        options.add_session_config_entry("session.use_memory_mapped_ort_model", "1")
        options.add_session_config_entry("session.use_ort_model_bytes_for_initializers", "1")
        return options


def _session(path: Path, options: "onnxruntime.SessionOptions") -> "onnxruntime.InferenceSession":
    import onnxruntime

    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _foreign_errors() -> tuple[type[Exception], ...]:
    """Give what ONNX Runtime raises: its classes have no base but Exception."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    own = [kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    return (*own, ValueError, RuntimeError, OSError)


def _unusable(graph: str, error: Exception) -> BundleError:
    return BundleError(f"the graph {graph} cannot be run: {error}", mend="make the bundle again")
