import pytest

from wire.ids import DeviceId
from wire.messages import Hello, pack, unpack
from wire.trace_ids import MAX_AGENT_CHARS, frame_trace, session_of, with_session

SESSION = "0123456789abcdef"


def test_both_sides_find_the_same_ids_and_any_difference_gives_others() -> None:
    traces = {
        frame_trace(DeviceId(device), session, frame)
        for device, session, frame in (
            ("cam", SESSION, 7),
            ("cam", SESSION, 8),
            ("cam", SESSION[::-1], 7),
            ("ca", "m" + SESSION, 7),
            ("camé", SESSION, 7),
        )
    }
    assert len({trace.trace_id for trace in traces}) == len({trace.span_id for trace in traces}) == 5
    assert frame_trace(DeviceId("cam"), SESSION, 7) in traces


def test_a_trace_is_a_w3c_traceparent_that_is_sampled() -> None:
    version, trace_id, span_id, flags = frame_trace(DeviceId("cam"), SESSION, 0).traceparent.split("-")
    assert (version, len(trace_id), len(span_id), flags) == ("00", 32, 16, "01")
    assert int(trace_id, 16)
    assert int(span_id, 16)


@pytest.mark.parametrize("agent", ["isthmus-agent/0.1.0", "", "x" * 64])
def test_a_session_goes_in_the_words_of_a_hello_and_is_found_again(agent: str) -> None:
    said = with_session(agent, SESSION)
    assert len(said) <= MAX_AGENT_CHARS
    hello = unpack(pack(Hello(DeviceId("cam"), said, "0" * 64)))
    assert isinstance(hello, Hello)
    assert session_of(hello.agent) == SESSION


@pytest.mark.parametrize("agent", ["isthmus-agent/0.1.0", "trace/xyz", f"a/1trace/{SESSION}", f"trace/{SESSION} b/1"])
def test_words_without_a_session_have_none(agent: str) -> None:
    assert session_of(agent) is None
