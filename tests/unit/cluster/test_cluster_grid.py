import pytest

from cluster.codecs.weights import CodecKey
from cluster.points import Cuts
from cluster.training.grid import expand_grid
from cluster.training.plan import TrainingPlan
from wire.errors import SettingError, UnknownPoint


@pytest.fixture(scope="module")
def expand(toy):
    cuts = Cuts(toy.module, toy.example())

    def run(points, codecs, settings):
        return expand_grid(cuts, "toy", TrainingPlan(), points=points, codecs=codecs, settings=settings)

    return run


def keys(grid):
    return [str(job) for job in grid.jobs]


def test_every_point_has_every_codec_with_every_setting(expand):
    grid = expand(["stem", "add"], ["bottlenet", "offload-autoencoder"], ["c4-s2", "c2-s4"])
    assert keys(grid) == [
        f"{point} {codec} {setting}"
        for point in ("stem", "add")
        for codec in ("bottlenet", "offload-autoencoder")
        for setting in ("c4-s2", "c2-s4")
    ]
    assert grid.skipped == ()


def test_one_of_each_is_one_job(expand):
    (job,) = expand(["stem"], ["bottlenet"], ["c4-s2"]).jobs
    assert job.key == CodecKey("toy", "stem", "bottlenet", "c4-s2")
    assert job.folder == "stem.bottlenet-c4-s2"


def test_a_setting_is_skipped_for_a_codec_that_does_not_take_it_where_another_does(expand):
    grid = expand(["stem"], ["jalad", "bottlenet"], ["c4", "c4-s2"])
    assert keys(grid) == ["stem jalad c4", "stem bottlenet c4-s2"]
    assert [reason.partition(":")[0] for reason in grid.skipped] == ["stem jalad c4-s2", "stem bottlenet c4"]


def test_a_setting_that_no_codec_takes_is_refused(expand):
    with pytest.raises(SettingError, match=r"^'c9' is no setting of jalad"):
        expand(["stem"], ["jalad", "bottlenet"], ["c4", "c4-s2", "c9"])


def test_a_codec_that_takes_no_setting_is_refused(expand):
    with pytest.raises(SettingError, match="no setting of offload-compressive"):
        expand(["stem"], ["jalad", "offload-compressive"], ["c4"])


def test_a_codec_that_does_not_fit_one_of_the_points_is_refused_and_the_point_is_named(expand):
    with pytest.raises(SettingError, match=r"^flatten: bottlenet .*does not fit"):
        expand(["stem", "flatten"], ["bottlenet"], ["c4-s2"])


def test_what_does_not_exist_is_refused(expand):
    with pytest.raises(UnknownPoint):
        expand(["stem", "nowhere"], ["jalad"], ["c4"])
    with pytest.raises(SettingError, match="abacus"):
        expand(["stem"], ["jalad", "abacus"], ["c4"])


def test_what_is_said_twice_or_in_two_ways_is_one_job(expand):
    grid = expand(["stem", "stem"], ["deepcod", "deepcod"], ["c4-s2", "c4-s2-l16", "c4-s2"])
    assert keys(grid) == ["stem deepcod c4-s2-l16"]
    assert grid.jobs[0].folder == "stem.deepcod-c4-s2"


def test_only_codecs_that_learn_need_the_features_of_their_points(expand):
    assert expand(["stem", "add"], ["jalad"], ["c4"]).learned_points == ()
    assert expand(["stem", "add"], ["jalad", "bottlenet"], ["c4", "c4-s2"]).learned_points == ("stem", "add")
