"""The device's half of a bundle's options timed on this machine, in the sessions that the agent itself runs."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.profiling.option_profile import OptionProfile


def time_device(
    folder: Path, *, threads: int, repeats: int, listener: Callable[[str, int, int], None]
) -> "OptionProfile":
    """Time heads and coders of every option; ``listener`` hears how far it is.

    Raises BundleError if the bundle cannot be used.
    """
    from cluster.profiling.device_options import measure_device
    from device_agent.device_profile import picture_for
    from device_agent.graph_sessions import GraphSessions
    from wire.bundle import Bundle
    from wire.tensor_form import Tensor

    bundle = Bundle.open(folder, "device")
    picture = picture_for(bundle.manifest.input)
    sessions = GraphSessions(bundle, threads=threads, optimised=None)

    def run_graph(graph: str) -> Tensor:
        sessions.prepare(graph)  # does nothing the second time
        return sessions.run(graph, picture)

    return measure_device(bundle, run_graph, picture[0], threads=threads, repeats=repeats, listener=listener)
