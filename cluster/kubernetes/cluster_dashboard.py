"""The dashboard "Isthmus cluster": what the control application says of points, replicas and their Tritons."""

from typing import Final

from cluster.kubernetes.dashboard import Dashboard, Panel, Query, Row, Variable

_OF: Final = 'point=~"$point"'


def _rate(metric: str, by: str, but: str = "") -> str:
    chosen = ",".join(filter(None, (_OF, but)))
    return f"sum by ({by}) (rate({metric}{{{chosen}}}[$__rate_interval]))"


def _quantile(share: float) -> Query:
    rate = _rate("isthmus_frame_seconds_bucket", "point, stage, le")
    return Query(f"histogram_quantile({share}, {rate})", "{{point}} {{stage}}")


def _gauge(metric: str, legend: str = "{{point}}") -> Query:
    return Query(f"{metric}{{{_OF}}}", legend)


_NOW: Final = Row(
    "Now",
    (
        Panel(title="Frames answered", unit="reqps", kind="stat",
              queries=(Query('sum(rate(isthmus_frames_total{code="ok"}[$__rate_interval]))'),)),
        Panel(title="Agents", kind="stat", queries=(Query("isthmus_agents"),), says="Seen in the last minute."),
        Panel(title="Points that take frames", kind="stat", queries=(Query("sum(isthmus_point_ready)"),)),
        Panel(title="Replicas", kind="stat", queries=(Query("sum(isthmus_point_replicas)"),)),
        Panel(title="Replicas with a Triton", unit="percentunit", kind="stat",
              queries=(Query("avg(isthmus_replica_triton_up)"),)),
        Panel(title="Bundle", unit="none", kind="stat", queries=(Query("isthmus_info", "{{version}} {{bundle}}"),)),
    ),
)  # fmt: skip
_FRAMES: Final = Row(
    "Frames",
    (
        Panel(title="Answered, by point", unit="reqps",
              queries=(Query(_rate("isthmus_frames_total", "point", 'code="ok"'), "{{point}}"),)),
        Panel(title="Answered, by rate", unit="reqps",
              queries=(Query(_rate("isthmus_frames_total", "point, rate", 'code="ok"'), "{{point}}/{{rate}}"),)),
        Panel(title="Refused, by code", unit="reqps",
              queries=(Query(_rate("isthmus_frames_total", "point, code", 'code!="ok"'), "{{point}} {{code}}"),)),
    ),
)  # fmt: skip
_LATENCY: Final = Row(
    "Latency in the cluster",
    (
        Panel(title="Median, by point and stage", unit="s", queries=(_quantile(0.5),),
              says="From a message's coming to its answer, and where that goes; the link is not in it."),
        Panel(title="95th percentile, by point and stage", unit="s", queries=(_quantile(0.95),)),
        Panel(title="As published to agents", unit="s",
              queries=(_gauge("isthmus_point_service_seconds", "{{point}} alone"),
                       _gauge("isthmus_point_queue_seconds", "{{point}} queue"))),
    ),
)  # fmt: skip
_LOAD: Final = Row(
    "Load",
    (
        Panel(title="Busy, by point", unit="percentunit", queries=(_gauge("isthmus_point_busy_ratio"),),
              says="Replicas start above the point's target, 70 % by default."),
        Panel(title="Queue, by replica", unit="s",
              queries=(_gauge("isthmus_replica_queue_seconds", "{{point}} {{replica}}"),)),
        Panel(title="Frames inside, by point", queries=(_gauge("isthmus_point_frames_in_flight"),)),
        Panel(title="Replicas, by point", queries=(_gauge("isthmus_point_replicas"),)),
        Panel(title="Machines busy", unit="percentunit",
              queries=(_gauge("isthmus_replica_node_busy_ratio", "{{point}} {{replica}}"),),
              says="Of the machine that each replica is on: its processors, or its GPU if that is more."),
        Panel(title="Frames in a batch, mean",
              queries=(Query(f'{_rate("isthmus_frame_batch_frames_sum", "point")}'
                             f' / {_rate("isthmus_frame_batch_frames_count", "point")}', "{{point}}"),)),
    ),
)  # fmt: skip
_STARTS: Final = Row(
    "Starts and moves",
    (
        Panel(title="Points that take frames", queries=(_gauge("isthmus_point_ready"),)),
        Panel(title="Points that sleep", queries=(_gauge("isthmus_point_cold"),)),
        Panel(title="Time to wake", unit="s", queries=(_gauge("isthmus_point_cold_start_seconds"),),
              says="Of a point without a replica, by what it took the last time."),
        Panel(title="Streams open, by point",
              queries=(Query(f"sum by (point) (isthmus_streams_open{{{_OF}}})", "{{point}}"),)),
        Panel(title="Streams opened and refused, by code", unit="reqps",
              queries=(Query(_rate("isthmus_streams_total", "point, code"), "{{point}} {{code}}"),)),
        Panel(title="Agents asked to connect again", unit="reqps",
              queries=(Query(_rate("isthmus_go_aways_total", "point"), "{{point}}"),)),
    ),
)  # fmt: skip
_BYTES: Final = Row(
    "Bytes",
    (
        Panel(title="Received, by point", unit="Bps",
              queries=(Query(_rate("isthmus_received_bytes_total", "point"), "{{point}}"),)),
        Panel(title="Sent, by point", unit="Bps",
              queries=(Query(_rate("isthmus_sent_bytes_total", "point"), "{{point}}"),)),
        Panel(title="Received a frame, by point", unit="bytes",
              queries=(Query(f'{_rate("isthmus_received_bytes_total", "point")}'
                             f' / {_rate("isthmus_frames_total", "point")}', "{{point}}"),)),
    ),
)  # fmt: skip
_TRITON: Final = Row(
    "Triton",
    (
        Panel(title="There, by replica", queries=(_gauge("isthmus_replica_triton_up", "{{point}} {{replica}}"),)),
        Panel(title="A batch inside Triton", unit="s",
              queries=(_gauge("isthmus_replica_triton_queue_seconds", "{{point}} {{replica}} waits"),
                       _gauge("isthmus_replica_triton_compute_seconds", "{{point}} {{replica}} computes"))),
        Panel(title="Batches, by point", unit="reqps",
              queries=(Query(_rate("isthmus_batches_total", "point"), "{{point}}"),)),
        Panel(title="Models held, by replica", queries=(_gauge("isthmus_models_loaded", "{{point}} {{replica}}"),)),
        Panel(title="Requests to the control application", unit="reqps",
              queries=(Query("sum by (route, status) (rate(isthmus_control_requests_total[$__rate_interval]))",
                             "{{route}} {{status}}"),)),
    ),
)  # fmt: skip

CLUSTER_DASHBOARD: Final = Dashboard(
    uid="isthmus-cluster",
    title="Isthmus cluster",
    variables=(Variable("point", "isthmus_point_replicas"),),
    rows=(_NOW, _FRAMES, _LATENCY, _LOAD, _STARTS, _BYTES, _TRITON),
)
