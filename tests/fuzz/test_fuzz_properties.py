import warnings
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loadtests.fuzz_decoders import PNG_MAGIC, with_png_checksums
from loadtests.fuzz_mutation import Mutator, mutated_value
from loadtests.fuzz_target import MAX_INPUT_BYTES, PLANS

QUICK = [plan for plan in PLANS if not plan.sanitized and plan.name not in ("bundle", "replica")]
SLOW = [plan for plan in PLANS if plan.name in ("bundle", "replica")]
many = settings(derandomize=True, deadline=None, max_examples=300, suppress_health_check=list(HealthCheck))
few = settings(many, max_examples=60)

# Hypothesis chooses what a change is made of, and can so make it smaller when it finds something.
changes = st.randoms(use_true_random=False)


@pytest.fixture(scope="module")
def targets(tmp_path_factory):
    made = {}

    def of(plan):
        if plan.name not in made:
            made[plan.name] = plan.made(tmp_path_factory.mktemp(plan.name))
        return made[plan.name]

    yield of
    for target in made.values():
        target.close()


def run(target, data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow and numpy warn of odd files, as they may
        assert isinstance(target.run(data), str)


@pytest.mark.parametrize("plan", QUICK, ids=lambda plan: plan.name)
@given(data=st.binary(max_size=400))
@many
def test_any_bytes_are_taken_or_refused_with_a_typed_error(targets, plan, data):
    run(targets(plan), data)


@pytest.mark.parametrize("plan", QUICK, ids=lambda plan: plan.name)
@given(random=changes, number=st.integers(0, 100))
@many
def test_a_changed_input_is_taken_or_refused_with_a_typed_error(targets, plan, random, number):
    target = targets(plan)
    changed = Mutator(random, target.tree, MAX_INPUT_BYTES).mutated(target.seeds[number % len(target.seeds)])
    run(target, changed)


@pytest.mark.parametrize("plan", SLOW, ids=lambda plan: plan.name)
@given(random=changes, number=st.integers(0, 100))
@few
def test_what_takes_long_takes_or_refuses_a_changed_input_too(targets, plan, random, number):
    target = targets(plan)
    changed = Mutator(random, target.tree, MAX_INPUT_BYTES).mutated(target.seeds[number % len(target.seeds)])
    run(target, changed)


def test_the_same_seed_makes_the_same_changes():
    def made(seed):
        mutator = Mutator(Random(seed), None, 64)
        return [mutator.mutated(bytes(range(40)), b"other") for _ in range(50)]

    assert made(3) == made(3) != made(4)
    assert max(map(len, made(3))) <= 64


@given(random=changes)
@many
def test_a_changed_tree_leaves_the_one_it_was_made_of_alone(random):
    tree = {"a": [1, 2.5, None], "b": {"c": b"bytes", "d": "text"}}
    mutated_value(tree, random)
    assert tree == {"a": [1, 2.5, None], "b": {"c": b"bytes", "d": "text"}}


def test_checksums_of_a_png_are_put_right_and_a_cut_chunk_is_left_as_it_is():
    good = PNG_MAGIC + bytes.fromhex("0000000049454e44ae426082")
    assert with_png_checksums(good[:-4] + b"\0\0\0\0") == good
    assert with_png_checksums(good[:-2]) == good[:-2]
