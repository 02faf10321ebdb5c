"""ONNX Runtime as the profiles use it: on the processor, with a stated number of threads. Imports no torch."""

from pathlib import Path

import onnxruntime

from wire.errors import BackboneError


def open_session(graph: Path, threads: int) -> onnxruntime.InferenceSession:
    """Load a graph with ONNX Runtime's own defaults but for the threads of one run.

    Raises:
        BackboneError: ONNX Runtime refuses the graph.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no base but Exception
        raise BackboneError(
            f"ONNX Runtime cannot load {graph.name}: {error}", mend="give a network without the layer that it names"
        ) from error
