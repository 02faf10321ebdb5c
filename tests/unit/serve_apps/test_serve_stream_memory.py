import weakref
from dataclasses import replace

import numpy as np
import pytest
from serve_fakes import frame

from serve_apps.stream_memory import StreamMemory
from wire.bitstream import Coder, Header, wrap
from wire.errors import CorruptBitstream, LookMissing, UnknownOption


@pytest.fixture
def memory():
    return StreamMemory()


@pytest.fixture
def decode(bundle, memory):
    """Decode a frame as a stream does that remembers the one before it."""
    return lambda sent: memory.decode(bundle, bundle.option(sent.option_id), sent)


def spoilt(sent):
    return replace(sent, bitstream=bytes([*sent.bitstream[:-1], sent.bitstream[-1] ^ 1]))


def no_look(look, *, option_id, frame_id=1):
    """Claim to be a look that the option does not have."""
    return frame(wrap(Header(Coder.RANS, option_id, look), b""), option_id=option_id, frame_id=frame_id)


def test_a_first_look_is_decoded_as_the_only_look_of_any_option_is(bundle, decode, look_frame, bitstream, symbols):
    np.testing.assert_array_equal(decode(frame(bitstream, option_id=4)), symbols)
    first = look_frame(0)
    np.testing.assert_array_equal(decode(first), bundle.coding(bundle.option(10)).decode(first.bitstream))


def test_a_refinement_is_decoded_beside_what_the_look_before_it_came_to(bundle, decode, look_frame, looks_decoded):
    decoded = decode(look_frame(0))
    np.testing.assert_array_equal(decoded, looks_decoded[0])
    for look, coding in enumerate(bundle.refinements(bundle.option(10)), start=1):
        sent = look_frame(look)
        wanted = coding.decode(sent.bitstream, decoded)
        decoded = decode(sent)
        np.testing.assert_array_equal(decoded, wanted)
        np.testing.assert_array_equal(decoded, looks_decoded[look])


def missing(look_frame):
    """Every way in which a refinement can lack the look before it: the last frame of each is refused."""
    return {
        "no first look": [look_frame(1)],
        "another frame": [look_frame(0), look_frame(1, frame_id=2)],
        "another option": [look_frame(0), look_frame(1, option_id=11)],
        "out of turn": [look_frame(0), look_frame(2)],
        "twice": [look_frame(0), look_frame(1), look_frame(1)],
        "the last one twice": [look_frame(0), look_frame(1), look_frame(2), look_frame(2)],
        "behind the last one": [
            look_frame(0, option_id=11), look_frame(1, option_id=11), no_look(2, option_id=11),
        ],
        "a frame between": [look_frame(0), look_frame(0, frame_id=2), look_frame(1)],
        "a frame of another option between": [look_frame(0), look_frame(0, option_id=9, frame_id=2), look_frame(1)],
        "an option without refinements": [look_frame(0, option_id=9), no_look(1, option_id=9)],
    }  # fmt: skip


@pytest.mark.parametrize("case", missing(lambda *_, **__: None))
def test_a_refinement_whose_look_before_is_not_there_is_refused(decode, look_frame, case):
    *before, last = missing(look_frame)[case]
    for sent in before:
        decode(sent)
    with pytest.raises(LookMissing) as caught:
        decode(last)
    assert caught.value.mend


def test_a_refinement_that_was_refused_does_not_keep_the_right_one_away(decode, look_frame, looks_decoded):
    decode(look_frame(0))
    for wrong in (look_frame(2), look_frame(1, frame_id=2)):
        with pytest.raises(LookMissing):
            decode(wrong)
    np.testing.assert_array_equal(decode(look_frame(1)), looks_decoded[1])


def test_a_first_look_sent_again_is_decoded_as_a_first_look_and_refined_anew(decode, look_frame, looks_decoded):
    for _ in range(2):
        for look, wanted in enumerate(looks_decoded[:2]):
            np.testing.assert_array_equal(decode(look_frame(look)), wanted)


def test_a_spoilt_refinement_can_be_sent_again(decode, look_frame, looks_decoded):
    decode(look_frame(0))
    with pytest.raises(CorruptBitstream):
        decode(spoilt(look_frame(1)))
    np.testing.assert_array_equal(decode(look_frame(1)), looks_decoded[1])


def test_a_first_look_that_was_spoilt_cannot_be_refined(decode, look_frame):
    decode(look_frame(0))
    with pytest.raises(CorruptBitstream):
        decode(spoilt(look_frame(0, frame_id=2)))
    with pytest.raises(LookMissing):
        decode(look_frame(1, frame_id=2))


def test_a_refinement_of_another_option_than_its_frame_names_is_refused(decode, look_frame):
    decode(look_frame(0))
    with pytest.raises(UnknownOption):
        decode(replace(look_frame(1, option_id=11), option_id=10))


def test_each_stream_remembers_its_own_frame(bundle, decode, look_frame):
    decode(look_frame(0))
    with pytest.raises(LookMissing):
        StreamMemory().decode(bundle, bundle.option(10), look_frame(1))


def test_a_look_is_kept_only_as_long_as_it_may_be_refined(decode, look_frame, jpeg_frame):
    kept = []
    for sent in (jpeg_frame(), look_frame(0, option_id=9), look_frame(0), look_frame(1), look_frame(2)):
        decoded = weakref.ref(decode(sent))
        kept.append(decoded() is not None)
    assert kept == [False, False, True, True, False]
