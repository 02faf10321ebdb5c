import json
import time

import pytest
from click.testing import CliRunner

from cluster.cli.main import isthmus
from serve_apps.token_book import TokenBook
from serve_apps.token_folder import TokenFolder
from wire.errors import SettingError, Unauthorized


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "tokens"


@pytest.fixture
def run(folder):
    def call(*words):
        done = CliRunner().invoke(isthmus, ["token", *words, "--tokens", str(folder)])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return call


def test_a_created_token_is_the_only_thing_on_standard_output_and_is_good(run, folder):
    token = run("create", "camera-1").stdout
    assert token.endswith("\n")
    claims = TokenBook(TokenFolder(folder)).claims(token.strip())
    assert (claims.subject, claims.role) == ("camera-1", "device")
    assert claims.expires_s - claims.issued_s == 90 * 86400


def test_an_operators_token_for_half_a_day(run, folder):
    made = json.loads(run("create", "ops", "--role", "operator", "--days", "0.5", "--json").stdout)
    claims = TokenBook(TokenFolder(folder)).claims(made["token"])
    assert (claims.role, claims.token_id, claims.expires_s - claims.issued_s) == ("operator", made["id"], 43200)


def test_a_list_says_what_became_of_each_token_and_shows_none(run, folder):
    tokens = [json.loads(run("create", name, "--json").stdout) for name in ("a", "b")]
    TokenFolder(folder).issue("c", "device", days=1, now_s=time.time() - 2 * 86400)
    run("revoke", tokens[1]["id"])
    listed = run("list", "--json").stdout
    assert [(row["subject"], row["state"]) for row in json.loads(listed)] == [
        ("a", "good"), ("b", "revoked"), ("c", "expired"),
    ]  # fmt: skip
    assert "camera" not in listed
    assert not any(made["token"].rpartition(".")[2] in listed + run("list").output for made in tokens)


def test_a_revoked_token_is_not_good_any_more(run, folder):
    made = json.loads(run("create", "a", "--json").stdout)
    assert "revoked the device token" in run("revoke", made["id"]).stderr
    with pytest.raises(Unauthorized, match="revoked"):
        TokenBook(TokenFolder(folder)).claims(made["token"])


@pytest.mark.parametrize("device", ["", "x" * 65])
def test_a_name_that_no_device_can_have_gets_no_token(run, folder, device):
    with pytest.raises(SettingError, match="1 to 64 characters"):
        run("create", device)
    assert not folder.exists()


def test_a_token_that_was_never_issued_cannot_be_revoked(run):
    with pytest.raises(SettingError, match="was issued here"):
        run("revoke", "0" * 16)


@pytest.mark.parametrize("days", ["0", "-1", "inf", "nan", "100000"])
def test_a_token_is_for_some_days(run, days):
    with pytest.raises(SettingError, match="cannot be good for"):
        run("create", "a", "--days", days)
