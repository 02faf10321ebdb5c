"""The dashboard "Isthmus agents": who answered, with which option, how soon, and what agents know of their links."""

from typing import Final

from cluster.kubernetes.dashboard import Dashboard, Panel, Query, Row, Variable

_OF: Final = 'instance=~"$instance"'


def _rate(metric: str, by: str = "", but: str = "") -> str:
    chosen = ",".join(filter(None, (_OF, but)))
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (rate(isthmus_agent_{metric}{{{chosen}}}[$__rate_interval]))"


def _a_frame(metric: str, by: str = "") -> str:
    """Divide a count by that of frames."""
    if by:
        return f"{_rate(metric, by)} / on () group_left () {_rate('frames_total')}"
    return f"{_rate(metric)} / {_rate('frames_total')}"


def _quantile(share: float) -> str:
    return f"histogram_quantile({share}, {_rate('frame_seconds_bucket', 'le')})"


def _gauge(metric: str) -> Query:
    return Query(f"isthmus_agent_{metric}{{{_OF}}}", "{{instance}}")


_FRAMES: Final = Row(
    "Frames",
    (
        Panel(title="By where they were answered", unit="reqps",
              queries=(Query(_rate("frames_total", "where"), "{{where}}"),)),
        Panel(title="By option", unit="reqps",
              queries=(Query(_rate("frames_total", "point, rate"), "{{point}}/{{rate}}"),)),
        Panel(title="Not as planned, by reason", unit="reqps",
              queries=(Query(_rate("frames_total", "fallback", 'fallback!="none"'), "{{fallback}}"),),
              says="Every one of them was answered."),
        Panel(title="After the deadline", unit="percentunit",
              queries=(Query(_a_frame("deadline_misses_total"), "of all frames"),)),
        Panel(title="Plans that could not keep a limit", unit="reqps",
              queries=(Query(_rate("broken_limits_total", "limit"), "{{limit}}"),)),
        Panel(title="Never begun", unit="reqps",
              queries=(Query(_rate("skipped_frames_total", "reason"), "{{reason}}"),),
              says="Frames of a live source that a newer one overtook."),
    ),
)  # fmt: skip
_LATENCY: Final = Row(
    "Latency",
    (
        Panel(title="From due time to answer", unit="s",
              queries=(Query(_quantile(0.5), "median"), Query(_quantile(0.95), "95th percentile"))),
        Panel(title="Where it goes, mean", unit="s",
              queries=(Query(_a_frame("part_seconds_total", "part"), "{{part}}"),)),
        Panel(title="Predicted and measured, mean", unit="s",
              queries=(Query(_a_frame("predicted_seconds_total"), "predicted"),
                       Query(_a_frame("frame_seconds_sum"), "measured"))),
        Panel(title="The agent's own time, mean", unit="s",
              queries=(Query(_a_frame("overhead_seconds_total"), "planner and messages"),)),
        Panel(title="Results that came too late", unit="reqps", queries=(Query(_rate("late_results_total"), "late"),)),
        Panel(title="Changes of option", unit="reqps", queries=(Query(_rate("switches_total"), "changes"),)),
    ),
)  # fmt: skip
_LINK: Final = Row(
    "Links",
    (
        Panel(title="Bandwidth, as estimated", unit="Bps", queries=(_gauge("link_bandwidth_bytes_per_second"),)),
        Panel(title="Round trip of an empty message, as estimated", unit="s",
              queries=(_gauge("link_base_delay_seconds"),)),
        Panel(title="Links that are up", unit="percentunit",
              queries=(Query(f"avg(isthmus_agent_link_up{{{_OF}}})", "of all agents"),)),
        Panel(title="Outages", unit="reqps", queries=(Query(_rate("link_outages_total"), "outages"),)),
        Panel(title="Bytes", unit="Bps",
              queries=(Query(_rate("sent_bytes_total"), "sent with frames"),
                       Query(_rate("moved_bytes_total"), "both ways"))),
        Panel(title="Bytes sent a frame, mean", unit="bytes", queries=(Query(_a_frame("sent_bytes_total"), "sent"),)),
    ),
)  # fmt: skip
_DEVICES: Final = Row(
    "Devices",
    (
        Panel(title="Cut planned last, agents", queries=(
            Query(f"count by (point, rate) (isthmus_agent_option_info{{{_OF}}})", "{{point}}/{{rate}}"),)),
        Panel(title="Exchanges a frame, mean", queries=(Query(_a_frame("looks_total"), "looks"),)),
        Panel(title="Energy, by the model", unit="watt", queries=(Query(_rate("energy_joules_total"), "all agents"),)),
        Panel(title="Memory", unit="bytes", queries=(
            Query(f'process_resident_memory_bytes{{job="isthmus-agent",{_OF}}}', "{{instance}}"),)),
        Panel(title="Bundles", queries=(
            Query(f"count by (bundle, agent) (isthmus_agent_info{{{_OF}}})", "{{bundle}} {{agent}}"),)),
        Panel(title="Bundles taken into use", unit="reqps", queries=(Query(_rate("bundle_swaps_total"), "swaps"),)),
    ),
)  # fmt: skip

AGENTS_DASHBOARD: Final = Dashboard(
    uid="isthmus-agents",
    title="Isthmus agents",
    variables=(Variable("instance", "isthmus_agent_link_up"),),
    rows=(_FRAMES, _LATENCY, _LINK, _DEVICES),
)
