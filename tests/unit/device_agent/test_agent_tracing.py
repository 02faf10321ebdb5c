import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from agent_fakes import option
from test_agent_answer import answer

from device_agent.answer import Parts
from device_agent.tracing import FrameTraces, spans_of
from wire.errors import SettingError
from wire.ids import DeviceId
from wire.trace_export import TraceWriter
from wire.trace_ids import frame_trace

SESSION = "0123456789abcdef"


def test_the_spans_of_a_frame_follow_one_another_from_its_due_time() -> None:
    parts = Parts(wait=0.001, device=0.01, code=0.002, link=0.005, cluster=0.006)
    spans = spans_of(replace(answer(), parts=parts))
    assert [name for name, _, _ in spans] == ["wait", "plan", "head", "encode", "send"]
    assert spans[0][1] == 1000.0
    for (_, _, end_s), (_, begin_s, _) in pairwise(spans):
        assert begin_s == end_s
    took_s = [end_s - begin_s for _, begin_s, end_s in spans]
    assert took_s == pytest.approx([0.001, 0.0005, 0.01, 0.002, 0.011], abs=1e-6)


def test_the_device_s_own_answer_ends_with_the_frame() -> None:
    spans = spans_of(replace(answer(fallback="late"), parts=Parts(device=0.01, local=0.008)))
    assert spans[-1] == ("local", 1000.025 - 0.008, 1000.025)


def test_a_frame_that_nothing_was_sent_of_has_no_head_and_no_send() -> None:
    alone = replace(answer(), planned=option(3, "output/whole"), parts=Parts(device=0.01))
    assert [name for name, _, _ in spans_of(alone)] == ["plan", "local"]


def test_a_frame_s_spans_are_written_under_ids_that_the_cluster_can_find_too(tmp_path: Path) -> None:
    file = tmp_path / "trace.jsonl"
    writer = TraceWriter(str(file), "agent")
    traces = FrameTraces(writer, DeviceId("cam"), SESSION)
    traces.frame(answer())
    traces.frame(replace(answer(fallback="late"), frame=5))
    writer.close()
    spans = [json.loads(line) for line in file.read_text().splitlines()]
    roots = {span["attributes"]["isthmus.frame"]: span for span in spans if span["name"] == "frame"}
    for frame in (4, 5):
        trace = frame_trace(DeviceId("cam"), SESSION, frame)
        context = roots[frame]["context"]
        assert int(context["trace_id"], 16) == trace.trace_id
        assert int(context["span_id"], 16) == trace.span_id
        below = [span for span in spans if span["parent_id"] == context["span_id"]]
        assert {span["name"] for span in below} >= {"plan", "head", "send"}
        assert {span["context"]["trace_id"] for span in below} == {context["trace_id"]}
    assert roots[5]["attributes"]["isthmus.fallback"] == "late"
    assert roots[4]["resource"]["attributes"]["service.name"] == "agent"


def test_spans_that_cannot_be_written_end_the_start_with_a_word(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="trace"):
        TraceWriter(str(tmp_path / "nowhere" / "trace.jsonl"), "agent")
