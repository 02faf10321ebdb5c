import base64
import dataclasses
import hashlib
import hmac
import json

import pytest

from serve_apps.tokens import MAX_TOKEN_CHARS, PREFIX, SigningKey
from wire.errors import Unauthorized
from wire.records import to_plain

NOW = 1_000_000


@pytest.fixture
def key():
    return SigningKey.make()


@pytest.fixture
def claims(key):
    return key.claims("camera-1", "device", issued_s=NOW, expires_s=NOW + 60)


@pytest.fixture
def token(key, claims):
    return key.sign(claims)


def signed_by_hand(key, payload):
    """A token of any payload that this key has signed."""
    signed = f"{PREFIX}.{base64.urlsafe_b64encode(payload).rstrip(b'=').decode()}"
    digest = hmac.new(key.secret, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def test_a_token_says_what_was_signed_until_it_expires(key, claims, token):
    assert key.verify(token, now_s=NOW + 59.9) == claims
    with pytest.raises(Unauthorized, match="'camera-1' has expired"):
        key.verify(token, now_s=NOW + 60)


def test_two_tokens_for_one_device_have_different_ids(key):
    ids = {key.claims("c", "device", issued_s=0, expires_s=1).token_id for _ in range(50)}
    assert len(ids) == 50


def test_a_token_is_text_that_a_header_can_carry(token):
    assert token.startswith("isthmus1.")
    assert len(token) < MAX_TOKEN_CHARS
    assert not set(token) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


def test_no_character_of_a_token_can_be_changed(key, token):
    for place, character in enumerate(token):
        other = "B" if character != "B" else "C"
        with pytest.raises(Unauthorized):
            key.verify(token[:place] + other + token[place + 1 :], now_s=NOW)


def test_another_key_signs_nothing_for_us(claims, key):
    with pytest.raises(Unauthorized, match="signature is not this cluster's"):
        key.verify(SigningKey.make().sign(claims), now_s=NOW)


def test_a_role_cannot_be_put_on_by_hand(key, claims, token):
    operator = dataclasses.replace(claims, role="operator")
    forged = SigningKey.make().sign(operator).rpartition(".")[0] + "." + token.rpartition(".")[2]
    with pytest.raises(Unauthorized, match="signature"):
        key.verify(forged, now_s=NOW)


def test_a_signature_has_one_spelling_only(key, token):
    for other in (token + "=", token + "A", token + ".", " " + token, token + "\n"):
        with pytest.raises(Unauthorized):
            key.verify(other, now_s=NOW)


@pytest.mark.parametrize(
    "text", ["", ".", "..", "isthmus1", "isthmus1..", "isthmus2.a.b", "é.è.à", "a" * (MAX_TOKEN_CHARS + 1), "\0.\0.\0"]
)
def test_what_is_no_token_is_refused(key, text):
    with pytest.raises(Unauthorized) as caught:
        key.verify(text, now_s=NOW)
    assert caught.value.mend


@pytest.mark.parametrize(
    "payload",
    [b"", b"null", b"[]", b"\xff", b"{}", b'{"token_id": 5}', b"[" * 10_000],
    ids=["empty", "null", "list", "binary", "no fields", "wrong type", "deep"],
)
def test_a_payload_that_we_signed_but_cannot_read_is_refused(key, payload):
    with pytest.raises(Unauthorized):
        key.verify(signed_by_hand(key, payload), now_s=NOW)


def test_a_field_of_a_later_version_is_not_overlooked(key, claims):
    payload = json.dumps({**to_plain(claims), "only_on_sundays": True}).encode()
    with pytest.raises(Unauthorized, match="this version can read"):
        key.verify(signed_by_hand(key, payload), now_s=NOW)


def test_neither_the_key_nor_an_error_shows_a_secret(key, token):
    assert key.secret.hex() not in repr(key)
    assert repr(key.secret) not in repr(key)
    for bad in (token[:-1] + ("A" if token[-1] != "A" else "B"), token):
        with pytest.raises(Unauthorized) as caught:
            key.verify(bad, now_s=NOW + 100)
        assert token[-20:-2] not in str(caught.value) + repr(caught.value)
