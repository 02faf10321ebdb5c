import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from test_agent_answer import answer

from device_agent.link_view import LinkView
from device_agent.metrics import AgentMetrics


def samples(metrics: AgentMetrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = generate_latest(metrics.registry).decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(metrics: AgentMetrics, name: str, **labels: str) -> float | None:
    return samples(metrics).get((f"isthmus_agent_{name}", frozenset(labels.items())))


@pytest.fixture
def metrics() -> AgentMetrics:
    return AgentMetrics()


def test_frames_are_counted_by_where_option_and_fallback(metrics: AgentMetrics) -> None:
    for fallback in (None, None, "late"):
        metrics.frame(answer(fallback=fallback))
    assert value(metrics, "frames_total", where="cluster", point="blocks.2", rate="r", fallback="none") == 2
    assert value(metrics, "frames_total", where="device", point="output", rate="whole", fallback="late") == 1
    assert value(metrics, "frame_seconds_count") == 3
    assert value(metrics, "frame_seconds_sum") == pytest.approx(0.075)
    assert value(metrics, "sent_bytes_total") == 3 * 512
    assert value(metrics, "moved_bytes_total") == 3 * 900
    assert value(metrics, "energy_joules_total") == pytest.approx(0.375)
    assert value(metrics, "part_seconds_total", part="device") == pytest.approx(0.03)


def test_misses_and_broken_limits_are_counted_and_are_there_from_the_start(metrics: AgentMetrics) -> None:
    assert value(metrics, "deadline_misses_total") == 0
    assert value(metrics, "broken_limits_total", limit="energy") == 0
    metrics.frame(answer(latency_s=0.3, broken=("deadline", "energy")))
    assert value(metrics, "deadline_misses_total") == 1
    assert value(metrics, "broken_limits_total", limit="energy") == 1


def test_only_the_option_planned_last_is_shown(metrics: AgentMetrics) -> None:
    metrics.frame(answer())
    metrics.frame(answer(fallback="late"))
    shown = [labels for name, labels in samples(metrics) if name == "isthmus_agent_option_info"]
    assert shown == [frozenset({("point", "blocks.2"), ("codec", "c"), ("rate", "r")})]
    assert value(metrics, "switches_total") == 0


def test_outages_are_counted_and_the_link_is_shown_as_it_stands(metrics: AgentMetrics) -> None:
    assert value(metrics, "link_up") == 1
    metrics.event({"event": "link.down", "reason": "silence"})
    assert (value(metrics, "link_up"), value(metrics, "link_outages_total")) == (0, 1)
    metrics.event({"event": "link.up", "outage_s": 1.0})
    assert (value(metrics, "link_up"), value(metrics, "link_outages_total")) == (1, 1)


def test_a_start_without_a_cluster_is_a_link_that_is_down_but_no_outage(metrics: AgentMetrics) -> None:
    metrics.event({"event": "cluster.unreachable", "error": "nobody"})
    assert (value(metrics, "link_up"), value(metrics, "link_outages_total")) == (0, 0)


def test_what_is_counted_elsewhere_is_taken_over_with_each_frame(metrics: AgentMetrics) -> None:
    skipped = {"newer_frame": 3}
    metrics.watch(link=lambda: LinkView(0.004, 1e-6), skipped=lambda: skipped, late_dropped=lambda: 2)
    metrics.frame(answer())
    skipped["newer_frame"] = 5
    metrics.frame(answer())
    assert value(metrics, "skipped_frames_total", reason="newer_frame") == 5
    assert value(metrics, "skipped_frames_total", reason="too_old") == 0
    assert value(metrics, "late_results_total") == 2
    assert value(metrics, "link_base_delay_seconds") == 0.004
    assert value(metrics, "link_bandwidth_bytes_per_second") == 125_000


def test_the_process_itself_is_shown_by_the_names_that_all_exporters_use(metrics: AgentMetrics) -> None:
    names = {name for name, _ in samples(metrics)}
    assert {"process_resident_memory_bytes", "process_cpu_seconds_total"} <= names


def test_no_label_ever_names_the_device(metrics: AgentMetrics) -> None:
    started = {"agent": "0.1", "policy": "auto", "bundle": "b", "backbone": "n", "device": "camera-7"}
    metrics.event({"event": "agent.started", **started})
    metrics.frame(answer())
    assert "camera-7" not in generate_latest(metrics.registry).decode()
    assert value(metrics, "info", agent="0.1", policy="auto", bundle="b", backbone="n") == 1
