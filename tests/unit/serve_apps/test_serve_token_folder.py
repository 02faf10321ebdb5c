import json
import os
import threading

import pytest
from serve_fakes import Clock

from serve_apps.token_book import LOOK_EVERY_S, TokenBook
from serve_apps.token_folder import DAY_S, TokenFolder, default_folder
from wire.errors import SettingError, Unauthorized

NOW = 1_000_000.0


@pytest.fixture
def folder(tmp_path):
    return TokenFolder(tmp_path / "tokens")


@pytest.fixture
def wall():
    return Clock(NOW)


@pytest.fixture
def monotonic():
    return Clock(5.0)


@pytest.fixture
def issued(folder):
    return folder.issue("camera-1", "device", days=1, now_s=NOW)


@pytest.fixture
def book(folder, issued, wall, monotonic):
    return TokenBook(folder, wall=wall, monotonic=monotonic)


def modes(folder):
    return {path.name: oct(path.stat().st_mode & 0o777) for path in folder.folder.iterdir()}


def test_nobody_else_may_read_the_folder_or_anything_in_it(folder, issued):
    folder.revoke(issued[1].token_id, now_s=NOW)
    assert oct(folder.folder.stat().st_mode & 0o777) == "0o700"
    assert modes(folder) == dict.fromkeys((".lock", "key", "issued.json", "revoked.json"), "0o600")


def test_what_is_kept_of_a_token_does_not_make_one(folder, issued):
    token, claims = issued
    kept = (folder.folder / "issued.json").read_text() + (folder.folder / "key").read_bytes().hex()
    assert claims.token_id in kept
    assert token not in kept
    assert token.rpartition(".")[2] not in kept


def test_a_token_is_good_for_its_days(book, issued, wall):
    token, claims = issued
    assert book.claims(token) == claims
    wall.now_s = NOW + DAY_S
    with pytest.raises(Unauthorized, match="expired"):
        book.claims(token)


def test_a_revoked_token_is_refused_within_a_look_and_no_other(book, folder, issued, monotonic):
    other, _ = folder.issue("camera-2", "device", days=1, now_s=NOW)
    book.claims(issued[0])
    folder.revoke(issued[1].token_id, now_s=NOW)
    monotonic.now_s += LOOK_EVERY_S
    with pytest.raises(Unauthorized, match="'camera-1' was revoked"):
        book.claims(issued[0])
    with pytest.raises(Unauthorized, match="revoked"):
        book.check_still(issued[1])
    assert book.claims(other).subject == "camera-2"


def test_a_new_key_ends_every_token_of_the_old_one(book, folder, issued, monotonic):
    (folder.folder / "key").unlink()
    folder.issue("camera-2", "device", days=1, now_s=NOW)
    monotonic.now_s += LOOK_EVERY_S
    with pytest.raises(Unauthorized, match="key was changed"):
        book.check_still(issued[1])
    with pytest.raises(Unauthorized):
        book.claims(issued[0])


@pytest.mark.parametrize("harm", ["spoil", "remove the key"])
def test_a_folder_that_breaks_while_the_cluster_runs_forgives_nobody(book, folder, issued, monotonic, caplog, harm):
    other, _ = folder.issue("camera-2", "device", days=1, now_s=NOW)
    folder.revoke(issued[1].token_id, now_s=NOW)
    monotonic.now_s += LOOK_EVERY_S
    with pytest.raises(Unauthorized):
        book.claims(issued[0])
    if harm == "spoil":
        (folder.folder / "revoked.json").write_text("{")
    else:
        (folder.folder / "key").unlink()
    monotonic.now_s += LOOK_EVERY_S
    with pytest.raises(Unauthorized, match="revoked"):
        book.claims(issued[0])
    assert book.claims(other).subject == "camera-2"
    assert "tokens.unreadable" in caplog.text


def test_the_folder_is_not_read_again_for_every_frame(book, folder, issued, monkeypatch):
    monkeypatch.setattr(folder, "stamp", lambda: pytest.fail("looked"))
    for _ in range(10):
        book.claims(issued[0])


def test_revocations_of_tokens_that_have_expired_are_dropped(folder):
    short = folder.issue("a", "device", days=1, now_s=NOW)[1]
    long = folder.issue("b", "device", days=10, now_s=NOW)[1]
    folder.revoke(short.token_id, now_s=NOW)
    folder.revoke(long.token_id, now_s=NOW + 2 * DAY_S)
    assert [revoked.token_id for revoked in folder.revoked()] == [long.token_id]


def test_what_was_not_issued_here_cannot_be_revoked(folder, issued):
    with pytest.raises(SettingError, match="no token '0000000000000000'") as caught:
        folder.revoke("0" * 16, now_s=NOW)
    assert "token list" in caught.value.mend


def test_tokens_issued_at_once_are_all_kept(folder):
    def work(name):
        for number in range(5):
            folder.issue(f"{name}-{number}", "device", days=1, now_s=NOW)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({claims.token_id for claims in folder.issued()}) == 20
    assert len({claims.key_id for claims in folder.issued()}) == 1


def test_a_key_that_others_may_read_is_no_key(folder, issued):
    os.chmod(folder.folder / "key", 0o604)
    with pytest.raises(SettingError, match="others may read") as caught:
        folder.key()
    assert "chmod 600" in caught.value.mend


def test_a_folder_without_a_key_says_how_to_make_one(tmp_path):
    with pytest.raises(SettingError, match="no key for tokens") as caught:
        TokenBook(TokenFolder(tmp_path / "none"))
    assert "isthmus token create" in caught.value.mend


@pytest.mark.parametrize("text", ["", "[]", '{"tokens": [5]}', '{"tokens": [], "more": 1}', "\xff"])
def test_records_that_are_spoilt_are_said_to_be(folder, issued, text):
    (folder.folder / "issued.json").write_text(text, encoding="latin-1")
    with pytest.raises(SettingError, match=r"issued\.json cannot be read"):
        folder.issued()


def test_a_folder_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingError, match="cannot be used"):
        TokenFolder(tmp_path / "file" / "tokens").issue("a", "device", days=1, now_s=NOW)


def test_the_records_are_json_for_other_tools(folder, issued):
    (kept,) = json.loads((folder.folder / "issued.json").read_text())["tokens"]
    assert (kept["subject"], kept["role"], kept["expires_s"]) == ("camera-1", "device", NOW + DAY_S)


def test_the_folder_of_a_user_is_where_xdg_says(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "isthmus" / "tokens"
