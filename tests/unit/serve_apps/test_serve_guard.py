import logging

import pytest
from serve_fakes import request
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.routing import Route

from serve_apps.guard import ANYBODY, NO_GUARD, Guard
from serve_apps.token_folder import TokenFolder
from wire.errors import Forbidden, SettingError, Unauthorized

NOW_IS_FAR_FROM = 2**39


@pytest.fixture
def folder(tmp_path):
    return TokenFolder(tmp_path / "tokens")


@pytest.fixture
def tokens(folder):
    return {
        role: folder.issue(f"the-{role}", role, days=1, now_s=NOW_IS_FAR_FROM)[0] for role in ("device", "operator")
    }


@pytest.fixture
def guard(folder, tokens):
    return Guard.of(folder.folder)


def connection(**headers):
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return HTTPConnection({"type": "websocket", "headers": raw, "path": "/stream", "query_string": b""})


def bearing(token):
    return connection(authorization=f"Bearer {token}")


def test_a_device_with_a_good_token_is_let_in_by_its_name(guard, tokens):
    claims = guard.device(bearing(tokens["device"]))
    assert (claims.subject, claims.role) == ("the-device", "device")
    guard.check_device(claims, "the-device")
    with pytest.raises(Forbidden, match="that of 'the-device', not of 'another'") as caught:
        guard.check_device(claims, "another")
    assert "--device-id the-device" in caught.value.mend


def test_a_device_that_names_itself_in_a_header_is_told_at_once_that_the_token_is_anothers(guard, tokens):
    named = {"authorization": f"Bearer {tokens['device']}"}
    guard.device(connection(**named, isthmus_device="the%2Ddevice"))
    with pytest.raises(Forbidden, match="not of 'Kamera ä'"):
        guard.device(connection(**named, isthmus_device="Kamera%20%C3%A4"))


def test_only_an_operator_is_an_operator(guard, tokens):
    assert guard.operator(bearing(tokens["operator"])).subject == "the-operator"
    with pytest.raises(Forbidden, match="is no operator"):
        guard.operator(bearing(tokens["device"]))
    assert guard.device(bearing(tokens["operator"])).role == "operator"


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic dXNlcg==", "Bearer isthmus1.a.b", "\xff"])
def test_without_a_good_token_nobody_is_let_in(guard, header):
    asked = connection() if header is None else connection(authorization=header)
    with pytest.raises(Unauthorized):
        guard.device(asked)


def test_two_tokens_are_none(guard, tokens):
    asked = HTTPConnection(
        {"type": "http", "headers": [(b"authorization", f"Bearer {tokens['device']}".encode())] * 2, "path": "/"}
    )
    with pytest.raises(Unauthorized):
        guard.device(asked)


def test_without_tokens_everybody_is_let_in_but_web_pages_of_elsewhere():
    assert NO_GUARD.operator(connection(host="127.0.0.1:8765")) is ANYBODY
    NO_GUARD.check_device(ANYBODY, "any name")
    NO_GUARD.check_still(ANYBODY)
    NO_GUARD.device(connection(host="127.0.0.1:8765", origin="http://127.0.0.1:8765"))
    with pytest.raises(Forbidden, match="web page"):
        NO_GUARD.device(connection(host="127.0.0.1:8765", origin="https://example.org"))


def test_a_folder_without_a_key_stops_the_start(tmp_path):
    with pytest.raises(SettingError):
        Guard.of(tmp_path)


@pytest.fixture
def app(guard):
    async def answer(request):
        return JSONResponse({"method": request.method})

    paths = ("/open", "/read", "/metrics", "/drain")
    inner = Starlette(routes=[Route(path, answer, methods=["GET", "POST", "DELETE"]) for path in paths])
    return guard.protect(inner, open_paths={"/open"}, device_writes={"/metrics"})


@pytest.mark.parametrize(
    ("method", "path", "nobody", "device", "operator"),
    [
        ("GET", "/open", 200, 200, 200),
        ("POST", "/open", 401, 403, 200),
        ("GET", "/read", 401, 200, 200),
        ("GET", "/metrics", 401, 200, 200),
        ("POST", "/metrics", 401, 200, 200),
        ("POST", "/drain", 401, 403, 200),
        ("DELETE", "/drain", 401, 403, 200),
        ("GET", "/open/../read", 401, 404, 404),
        ("GET", "//open", 401, 404, 404),
        ("GET", "/nowhere", 401, 404, 404),
    ],
)
async def test_an_application_behind_the_guard_is_closed_but_for_what_is_named(
    app, tokens, method, path, nobody, device, operator
):
    headers = {role: {"Authorization": f"Bearer {token}"} for role, token in tokens.items()}
    assert (await request(app, method, path)).status == nobody
    assert (await request(app, method, path, headers=headers["device"])).status == device
    assert (await request(app, method, path, headers=headers["operator"])).status == operator


async def test_a_refusal_says_why_and_how_to_mend_it(app):
    response = await request(app, "GET", "/read")
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json()["code"] == "unauthorized"
    assert "--token-file" in response.json()["mend"]


async def test_nothing_that_is_logged_or_answered_shows_a_token(app, guard, tokens, caplog):
    caplog.set_level(logging.DEBUG)
    for token in (tokens["device"], tokens["device"][:-2] + "xx"):
        response = await request(app, "POST", "/drain", headers={"Authorization": f"Bearer {token}"})
        assert response.status in (401, 403)
        signature = token.rpartition(".")[2][:-4]
        assert signature not in response.body.decode() + caplog.text + repr(vars(guard))
