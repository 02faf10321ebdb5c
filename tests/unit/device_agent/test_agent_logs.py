import json
import logging
import threading
from collections.abc import Iterator

import pytest
import structlog

from device_agent.logs import log_to_stderr
from wire.errors import SettingError


@pytest.fixture(autouse=True)
def _forget_the_configuration() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_every_line_names_device_and_session_whichever_thread_it_comes_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ISTHMUS_LOG", "json")
    log_to_stderr(logging.INFO, device="camera-7", session="0123")
    thread = threading.Thread(target=lambda: structlog.get_logger().info("frame.unsent", frame=3))
    thread.start()
    thread.join()
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["frame"], line["device"], line["session"]) == ("frame.unsent", 3, "camera-7", "0123")
    assert line["level"] == "info"


def test_people_get_text(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("ISTHMUS_LOG", raising=False)
    log_to_stderr(logging.WARNING, device="camera-7")
    structlog.get_logger().info("frame.unsent")
    structlog.get_logger().warning("bundle.swap_failed", error="gone")
    text = capsys.readouterr().err
    assert "frame.unsent" not in text
    assert "bundle.swap_failed" in text
    assert "device=camera-7" in text


def test_a_form_of_the_log_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISTHMUS_LOG", "xml")
    with pytest.raises(SettingError, match="ISTHMUS_LOG is 'xml'"):
        log_to_stderr(logging.WARNING)
