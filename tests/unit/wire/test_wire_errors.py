import pytest

import wire.errors as errors
from wire.errors import ERRORS_BY_CODE, IsthmusError, RequestError
from wire.messages import MAX_REJECT_CHARS, Reject, error_from, pack, reject_from, unpack

EVERY_ERROR = [error for error in vars(errors).values() if isinstance(error, type) and issubclass(error, IsthmusError)]


def test_codes_are_unique_and_all_of_them_can_be_looked_up():
    codes = [error.code for error in EVERY_ERROR]
    assert len(set(codes)) == len(codes)
    assert {error.code: error for error in EVERY_ERROR} == ERRORS_BY_CODE


@pytest.mark.parametrize("error", EVERY_ERROR)
def test_every_error_says_what_it_is_and_has_a_failing_http_status(error):
    assert "__doc__" in vars(error)
    assert error.__doc__
    assert 400 <= error.http_status < 600
    assert 0 < error.exit_code < 126
    assert "code" in vars(error)
    assert error.__name__ in errors.__doc__


@pytest.mark.parametrize("error", EVERY_ERROR)
def test_every_error_travels_there_and_back(error):
    reject = unpack(pack(reject_from(error("no luck", mend="try harder"), 7, retry_after_s=0.5)))
    assert isinstance(reject, Reject)
    assert (reject.frame_id, reject.retry_after_s, reject.load) == (7, 0.5, None)
    assert reject.retryable is error.retryable
    back = error_from(reject)
    assert type(back) is error
    assert str(back) == "no luck (try harder)"


def test_a_code_of_a_later_version_becomes_a_request_error():
    reject = Reject(frame_id=None, code="new", message="m", retryable=True, retry_after_s=0.0, load=None)
    back = error_from(reject)
    assert type(back) is RequestError
    assert back.message == "m"


def test_a_long_or_odd_error_text_still_makes_a_reject_that_can_be_sent():
    reject = reject_from(IsthmusError("\ud800" + "é" * 5000), None)
    assert len(reject.message) == MAX_REJECT_CHARS
    assert unpack(pack(reject)) == reject
