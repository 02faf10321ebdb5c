import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.bundles.synthetic import write_synthetic
from cluster.profiling.option_profile import GraphSeconds, OptionProfile, OptionTimes
from cluster.triton.repository import ModelSpec, model_config
from cluster.triton.tuning import DEFAULT_MAX_BATCH, LONGEST_BATCH_S, Tuning, tune, tunings
from wire.errors import SettingError
from wire.tensor_form import TensorForm

bounded = settings(derandomize=True, deadline=None, max_examples=100)


def times_of(**seconds):
    return [
        GraphSeconds(batch=int(size.removeprefix("of_")), seconds=each, spread_s=0.0) for size, each in seconds.items()
    ]


def test_without_a_profile_the_defaults_hold():
    assert tune([], cores=8, threads=1) == Tuning(DEFAULT_MAX_BATCH, 1, ())


def test_the_largest_batch_is_the_smallest_one_with_nearly_the_best_rate():
    gpu = times_of(of_1=0.002, of_4=0.0025, of_16=0.004, of_32=0.0078, of_64=0.0157)
    assert tune(gpu, cores=8, threads=1) == Tuning(16, 1, (4, 16))


def test_no_batch_takes_longer_than_a_frame_behind_it_should_wait():
    slow = times_of(of_1=0.03, of_4=0.09, of_16=0.3)
    assert tune(slow, cores=8, threads=1).max_batch == 4
    assert tune(times_of(of_1=3.0, of_4=3.1), cores=8, threads=1).max_batch == 1


def test_where_batches_bring_nothing_the_other_cores_are_used_instead():
    assert tune(times_of(of_1=0.01, of_4=0.04, of_16=0.16), cores=8, threads=2) == Tuning(1, 4, ())
    assert tune(times_of(of_1=0.01, of_4=0.04), cores=1, threads=2).instances == 1


@bounded
@given(
    st.lists(st.integers(1, 64), min_size=1, max_size=6, unique=True),
    st.lists(st.floats(1e-4, 2.0), min_size=6, max_size=6),
    st.integers(1, 64),
    st.integers(1, 8),
)
def test_what_is_chosen_was_measured_and_is_quick_enough_where_any_is(sizes, seconds, cores, threads):
    times = [GraphSeconds(batch=size, seconds=each, spread_s=0.0) for size, each in zip(sizes, seconds, strict=False)]
    tuning = tune(times, cores=cores, threads=threads)
    chosen = next(each for each in times if each.batch == tuning.max_batch)
    assert chosen.seconds <= LONGEST_BATCH_S or chosen.batch == min(sizes)
    assert 1 <= tuning.instances <= max(1, cores // threads)
    assert set(tuning.preferred) <= set(sizes)


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    return write_synthetic(tmp_path_factory.mktemp("synthetic"))


def profile_of(of, **changes):
    (option,) = [option for option in of.manifest.options if option.cluster_graph]
    row = OptionTimes(
        id=option.id, point=option.point, codec=option.codec, rate=option.rate, graph=option.cluster_graph,
        coder_s=0.001, coder_spread_s=0.0, batches=tuple(times_of(of_1=0.01, of_8=0.02)),
    )  # fmt: skip
    profile = OptionProfile(
        side="cluster", backbone="b", bundle=of.digest, machine="m", engine="triton", threads=1, repeats=1,
        emulated=None, factor=1.0, rows=(row,),
    )  # fmt: skip
    return dataclasses.replace(profile, **changes)


def test_every_graph_of_a_bundle_is_tuned_by_its_own_times(synthetic):
    (graph,) = {option.cluster_graph for option in synthetic.manifest.options if option.cluster_graph}
    assert tunings(profile_of(synthetic), synthetic, cores=2) == {graph: Tuning(8, 1, (8,))}


@pytest.mark.parametrize("changes", [{"bundle": "0" * 64}, {"side": "device"}, {"emulated": "gpu", "factor": 0.1}])
def test_a_profile_of_something_else_is_refused_with_a_mend(synthetic, changes):
    with pytest.raises(SettingError) as caught:
        tunings(profile_of(synthetic, **changes), synthetic, cores=2)
    assert "isthmus profile cluster" in caught.value.mend


def spec(**changes):
    return ModelSpec(
        name="m", graph=None, form=TensorForm.symbols((1, 1, 1)), classes=3, max_batch=16, **changes
    )  # fmt: skip


def test_triton_computes_as_many_batches_at_a_time_as_there_are_instances():
    assert "instance_group [ { count: 3 kind: KIND_CPU } ]" in model_config(spec(instances=3))


def test_triton_joins_batches_only_on_its_own_backend_and_only_to_sizes_that_are_preferred():
    assert "dynamic_batching" not in model_config(spec(preferred_batches=(4, 16)))
    assert "dynamic_batching" not in model_config(spec(backend="onnxruntime"))
    config = model_config(spec(backend="onnxruntime", preferred_batches=(4, 16)))
    assert "dynamic_batching { preferred_batch_size: [ 4, 16 ] max_queue_delay_microseconds: 0 }" in config
