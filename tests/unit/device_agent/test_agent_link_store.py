from pathlib import Path

from device_agent.addresses import parse_server
from device_agent.link_store import LinkStore
from device_agent.link_view import LinkView

SERVER = parse_server("ws://127.0.0.1:8765")


def test_the_next_run_begins_with_what_the_last_one_knew(tmp_path: Path) -> None:
    LinkStore(tmp_path, SERVER).save(LinkView(0.03, 2e-6))
    found = LinkStore(tmp_path, SERVER).load()
    assert found is not None
    assert (found.base_s, found.s_per_byte) == (0.03, 2e-6)


def test_another_cluster_is_another_link(tmp_path: Path) -> None:
    LinkStore(tmp_path, SERVER).save(LinkView(0.03, 2e-6))
    assert LinkStore(tmp_path, parse_server("ws://127.0.0.1:8766")).load() is None


def test_a_file_of_rubbish_is_as_good_as_none(tmp_path: Path) -> None:
    store = LinkStore(tmp_path, SERVER)
    store.save(LinkView(0.03, 2e-6))
    (path,) = (tmp_path / "links").iterdir()
    for rubbish in ("", "[]", "{}", '{"base_s": "x", "s_per_byte": 1}', "null"):
        path.write_text(rubbish, encoding="utf-8")
        assert store.load() is None


def test_a_cache_that_cannot_be_written_does_not_end_the_agent(tmp_path: Path) -> None:
    (tmp_path / "links").write_text("in the way", encoding="utf-8")
    LinkStore(tmp_path, SERVER).save(LinkView(0.03, 2e-6))
