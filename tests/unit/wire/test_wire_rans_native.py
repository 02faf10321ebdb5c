import ctypes
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wire import rans_native
from wire.errors import TruncatedBitstream
from wire.rans_lanes import LOWEST_STATE, Lanes, push, push_by_numpy, slot_entries
from wire.rans_native import NativeLanes, native_lanes
from wire.rans_tables import TOTAL

needs_compiler = pytest.mark.skipif(
    shutil.which("cc") is None, reason="no compiler was at hand when this was installed"
)


def frame(seed: int, steps: int, lanes: int):
    """Random tables of four rows and five symbols, one of them never coming, and symbols coded by them."""
    random = np.random.default_rng(seed)
    tables = np.zeros((4, 5), np.uint32)
    tables[:, :4] = random.multinomial(TOTAL - 4, [0.9, 0.05, 0.03, 0.02], 4) + 1
    tables[0] = 0
    tables[0, 0] = TOTAL
    rows = random.integers(0, 4, (steps, lanes)).astype(np.uint32)
    symbols = np.where(rows == 0, 0, random.integers(0, 4, (steps, lanes)))
    starts = np.cumsum(tables, axis=1, dtype=np.uint32) - tables
    states = random.integers(LOWEST_STATE, 2**32, lanes, dtype=np.uint64).astype(np.uint32)
    return tables, rows, symbols, states, tables[rows, symbols], starts[rows, symbols]


@needs_compiler
def test_the_loops_were_compiled_when_isthmus_was_installed():
    assert native_lanes() is not None


@needs_compiler
@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**31), st.integers(1, 40), st.integers(1, 20))
def test_the_compiled_loops_give_the_states_words_and_symbols_of_numpy(seed, steps, lanes):
    tables, rows, symbols, states, frequencies, starts = frame(seed, steps, lanes)
    first, words = push(states.copy(), frequencies, starts)
    for mine, of_numpy in zip((first, words), push_by_numpy(states.copy(), frequencies, starts), strict=True):
        assert mine.dtype == np.uint32
        np.testing.assert_array_equal(mine, of_numpy)
    entries = slot_entries(tables)
    compiled, plain = Lanes(first.copy(), words, entries), Lanes(first.copy(), words, entries)
    half = steps // 2
    for part in (rows[:half], rows[half:]):
        np.testing.assert_array_equal(compiled.pop(part), plain.pop_by_numpy(part))
    assert compiled.read == plain.read == words.size
    np.testing.assert_array_equal(compiled.states, states)
    np.testing.assert_array_equal(Lanes(first.copy(), words, entries).pop(rows), symbols)


@pytest.mark.parametrize("native", [True, False])
def test_a_missing_word_is_a_truncated_bitstream_with_and_without_the_compiled_loops(native, monkeypatch):
    if not native:
        monkeypatch.setattr("wire.rans_lanes.native_lanes", lambda: None)
    tables, rows, _, states, frequencies, starts = frame(3, 60, 4)
    first, words = push(states, frequencies, starts)
    with pytest.raises(TruncatedBitstream):
        Lanes(first, words[:-1], slot_entries(tables)).pop(rows)


def test_without_a_compiled_library_numpy_does_the_work(monkeypatch, tmp_path):
    monkeypatch.setattr(rans_native, "__file__", str(tmp_path / "rans_native.py"))
    assert native_lanes.__wrapped__() is None


def test_a_library_of_something_else_is_not_taken(monkeypatch):
    with pytest.raises(AttributeError):
        NativeLanes(ctypes.CDLL(None))
