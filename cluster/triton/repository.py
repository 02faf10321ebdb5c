"""The Triton model repository: one folder a model, written when a point asks for it.

Owns names and files of the repository. Starts nothing and connects to nothing.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from wire.bundle import verify_file
from wire.manifest import FileEntry
from wire.tensor_form import TensorForm

Backend = Literal["python", "onnxruntime", "noop"]
"""``python``: ONNX Runtime inside Triton's Python backend, which the wheel brings; ``onnxruntime``: Triton's own
backend, in NVIDIA's container; ``noop``: a Python model that computes nothing, for measuring the path."""

PYTHON_MODEL: Final = Path(__file__).with_name("python_model.py")
NOOP_MODEL: Final = Path(__file__).with_name("noop_model.py")
DATATYPES: Final = {"uint8": "UINT8", "float32": "FP32"}
"""What Triton calls the dtypes of a ``TensorForm``."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model: its name, its graph, and the tensor of one frame (without the batch) that it takes."""

    name: str
    graph: Path | None
    form: TensorForm
    classes: int
    max_batch: int
    backend: Backend = "python"
    kind: Literal["KIND_CPU", "KIND_GPU"] = "KIND_CPU"
    instances: int = 1
    """Batches that Triton computes at a time."""
    preferred_batches: tuple[int, ...] = ()
    """Sizes that Triton joins requests to, where it forms batches itself; see ``model_config``."""
    entry: FileEntry | None = None
    """What the bundle says of the graph's file; None takes it as it is."""


def write_model(repository: Path, spec: ModelSpec) -> Path:
    """Write one model's folder, so that Triton can load it; a half-written one is never seen.

    Raises:
        BundleError: the graph is not what the bundle says.
    """
    if spec.graph is not None and spec.entry is not None:
        verify_file(spec.graph, spec.entry)
    folder = repository / spec.name
    partial = repository / f".{spec.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "1").mkdir(parents=True)
    (partial / "config.pbtxt").write_text(model_config(spec), encoding="utf-8")
    if spec.graph is not None:
        os.symlink(spec.graph.resolve(), partial / "1" / "model.onnx")
    if spec.backend != "onnxruntime":
        shutil.copy(PYTHON_MODEL if spec.backend == "python" else NOOP_MODEL, partial / "1" / "model.py")
        bar_bytecode(partial / "1")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)
    return folder


def bar_bytecode(folder: Path) -> None:
    """Have Python keep no compiled modules in a folder that it imports from: a file stands where its folder would.

    On a full disk Python would leave half a module there, of which every later import says "marshal data too short".
    The interpreter inside Triton's stub heeds no variable that forbids it.
    """
    (folder / "__pycache__").write_bytes(b"")


def model_config(spec: ModelSpec) -> str:
    """Write ``config.pbtxt``.

    Batches come ready-made from the tail replicas, which know the deadlines, so that Triton forms none itself: its
    dynamic batcher would hold a whole batch back to join it to another, and the embedded Python model would still run
    each request by itself. Only where several replicas share a model on Triton's own backend, and sizes are preferred,
    may it join what waits anyway; it never waits for more.
    """
    backend = "onnxruntime" if spec.backend == "onnxruntime" else "python"
    form = spec.form
    dims = ", ".join(map(str, form.shape))
    joining = ""
    if spec.backend == "onnxruntime" and spec.preferred_batches:
        sizes = ", ".join(map(str, spec.preferred_batches))
        joining = f"dynamic_batching {{ preferred_batch_size: [ {sizes} ] max_queue_delay_microseconds: 0 }}\n"
    return f"""name: "{spec.name}"
backend: "{backend}"
max_batch_size: {spec.max_batch}
input [ {{ name: "{form.name}" data_type: TYPE_{DATATYPES[form.dtype]} dims: [ {dims} ] }} ]
output [ {{ name: "probabilities" data_type: TYPE_FP32 dims: [ {spec.classes} ] }} ]
instance_group [ {{ count: {spec.instances} kind: {spec.kind} }} ]
{joining}"""
