"""What watches a run beside its report: metrics and traces, each imported only where it is asked for.

Owns which of them a run has, and that they are closed.
"""

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from device_agent.reports import Report
from device_agent.settings import AgentSettings
from wire.errors import SettingError

if TYPE_CHECKING:
    from device_agent.metrics import AgentMetrics


@dataclass(slots=True)
class Observers:
    """The observers of one run."""

    reports: list[Report] = field(default_factory=list)
    metrics: "AgentMetrics | None" = None


def open_observers(settings: AgentSettings, stack: ExitStack) -> Observers:
    """Start what the settings ask for; ``stack`` closes it.

    Raises:
        PortInUse: the metrics' port is taken.
        SettingError: spans cannot be written where they should be, or their library is missing.
    """
    observers = Observers()
    if settings.metrics_port is not None or settings.metrics_push is not None:
        observers.metrics = _open_metrics(settings, stack)
        observers.reports.append(observers.metrics)
    if settings.trace is not None:
        observers.reports.append(_open_traces(settings, settings.trace, stack))
    return observers


def _open_metrics(settings: AgentSettings, stack: ExitStack) -> "AgentMetrics":
    from device_agent.metrics import AgentMetrics
    from device_agent.metrics_outlet import MetricsPusher, MetricsServer

    metrics = AgentMetrics()
    if settings.metrics_port is not None:
        stack.enter_context(MetricsServer(metrics.registry, host=settings.metrics_host, port=settings.metrics_port))
    if settings.metrics_push is not None:
        stack.enter_context(MetricsPusher(metrics.registry, settings.metrics_push, settings.device_id))
    return metrics


def _open_traces(settings: AgentSettings, target: str, stack: ExitStack) -> Report:
    try:
        from device_agent.tracing import SERVICE, FrameTraces
        from wire.trace_export import TraceWriter
    except ImportError as error:
        raise SettingError(
            f"frames cannot be traced: {error}", mend="pip install 'isthmus[agent,trace]', or leave --trace out"
        ) from error
    writer = TraceWriter(target, SERVICE)
    stack.callback(writer.close)
    return FrameTraces(writer, settings.device_id, settings.session)
