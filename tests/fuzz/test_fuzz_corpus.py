from pathlib import Path

import pytest

from loadtests.fuzz_corpus import grow
from loadtests.fuzz_target import PLANS, Target

CORPUS = Path(__file__).with_name("corpus")
MAX_CORPUS_BYTES = 500_000
DECODING = [plan for plan in PLANS if not plan.sanitized]


@pytest.fixture(params=DECODING, ids=lambda plan: plan.name)
def fuzzed(request, tmp_path):
    target: Target = request.param.made(tmp_path)
    yield request.param, target
    target.close()


@pytest.mark.filterwarnings("default")  # what Pillow and numpy warn of is no fault of the reader's
def test_every_input_of_the_corpus_is_taken_or_refused_with_a_typed_error(fuzzed):
    plan, target = fuzzed
    kept = sorted((CORPUS / plan.corpus).glob("*"))
    assert kept, f"{plan.corpus} has no corpus"
    outcomes = {path.name: target.run(path.read_bytes()) for path in kept}
    assert all(outcomes.values()), outcomes


def test_every_seed_of_a_target_is_taken(fuzzed):
    plan, target = fuzzed
    outcomes = {target.run(data) for data in target.seeds}
    # A look that refines nothing, and loops that run out of words, are seeds too.
    assert "accepted" in outcomes
    assert len(outcomes) == 1 or plan.name in ("replica", "lanes")


def test_the_corpus_has_a_folder_for_each_target_and_is_small():
    assert {path.name for path in CORPUS.iterdir()} == {plan.corpus for plan in PLANS}
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < MAX_CORPUS_BYTES


def test_a_corpus_grows_by_the_smallest_inputs_that_were_found_and_no_twice(tmp_path):
    found, corpus = tmp_path / "found", tmp_path / "corpus"
    found.mkdir()
    for size in (30_000, 3, 1, 2):
        (found / str(size)).write_bytes(b"x" * size)
    assert grow(corpus, found) == 3
    assert sorted(path.stat().st_size for path in corpus.iterdir()) == [1, 2, 3]
    assert grow(corpus, found) == 0
