from pathlib import Path

import pytest

from device_agent.addresses import ServerAddress, parse_server
from device_agent.emulation import Emulation
from device_agent.rules import Constraints, Rules
from device_agent.settings import AgentSettings, default_cache
from device_agent.sources import parse_source, scaled_size
from wire.errors import SettingError, SourceError
from wire.ids import DeviceId, PointName
from wire.manifest import Input


@pytest.mark.parametrize(
    ("text", "http_base"),
    [
        ("ws://127.0.0.1:8765", "http://127.0.0.1:8765"),
        ("wss://edge.example", "https://edge.example:443"),
        ("http://host", "http://host:80"),
        ("https://host:1/base/", "https://host:1/base"),
        ("host:8765", "http://host:8765"),
        ("ws://[::1]:8765", "http://[::1]:8765"),
    ],
)
def test_an_address_is_read_however_it_is_written(text: str, http_base: str) -> None:
    assert parse_server(text).http_base == http_base


@pytest.mark.parametrize("text", ["", "ftp://x", "ws://", "host:port", "ws://u@h:1", "ws://h:99999", "ws://h?q"])
def test_what_is_no_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse_server(text)
    assert "ws://127.0.0.1:8765" in caught.value.mend


def test_a_stream_has_an_address_of_its_own_for_every_point() -> None:
    address = ServerAddress("host", 8765, secure=True)
    assert address.stream_of(PointName("a b/c")) == "wss://host:8765/v1/points/a%20b%2Fc/stream"


def test_the_cache_is_where_xdg_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "isthmus"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache() == Path.home() / ".cache" / "isthmus"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fps", -1.0),
        ("frames", 0),
        ("rules", Rules(constraints=Constraints(deadline_s=0.0001))),
        ("rules", Rules()),
        ("emulation", Emulation(slowdown=0.5)),
        ("threads", 0),
        ("device_id", ""),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_with_a_mend(name: str, value: object, tmp_path: Path) -> None:
    sound = {
        "server": ServerAddress("host", 1),
        "source": "0",
        "cache": tmp_path,
        "device_id": DeviceId("d"),
        "rules": Rules(constraints=Constraints(deadline_s=0.3)),
    }
    AgentSettings(**sound)
    with pytest.raises(SettingError) as caught:
        AgentSettings(**{**sound, name: value})
    assert caught.value.mend.startswith("give ")


def test_a_source_is_told_by_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").touch()
    assert parse_source(str(tmp_path)).kind == "folder"
    assert parse_source(str(tmp_path / "clip.mp4")).kind == "file"
    assert parse_source("rtsp://camera/1").is_live
    with pytest.raises(SourceError, match="no file"):
        parse_source(str(tmp_path / "none"))


def test_the_shorter_side_is_scaled_and_the_other_follows() -> None:
    assert scaled_size(640, 480, Input(224, 224, 256)) == (341, 256)
    assert scaled_size(480, 640, Input(224, 224, 256)) == (256, 341)
