import pytest

from loadtests.load_shapes import Shape
from loadtests.locust_settings import LocustSettings
from wire.errors import SettingError


def counts(name, seconds=100.0):
    shape = Shape(name, 20, seconds)
    return [shape.agents_at(at) for at in range(int(seconds))]


def test_a_ramp_only_grows_and_reaches_all():
    found = counts("ramp")
    assert found == sorted(found)
    assert (found[0], found[-1]) == (1, 20)


def test_a_spike_is_there_at_once_and_gone_at_once():
    found = counts("spike")
    assert (found[24], found[25], found[74], found[75]) == (2, 20, 20, 2)


def test_a_day_has_one_noon():
    found = counts("diurnal")
    assert found[50] == 20
    assert found[:51] == sorted(found[:51])
    assert found[50:] == sorted(found[50:], reverse=True)


def test_overload_is_twice_what_is_held_before_and_after():
    found = counts("overload")
    assert (found[10], found[50], found[90]) == (10, 20, 10)


def test_a_shape_ends_the_run():
    assert Shape("ramp", 5, 60.0).agents_at(60.0) is None


def test_settings_are_read_from_the_environment():
    given = {"ISTHMUS_SHAPE": "spike", "ISTHMUS_AGENTS": "7", "ISTHMUS_LINKS": "a=0:5;9:down,b=0:1", "ISTHMUS_FPS": "4"}
    settings = LocustSettings.read(given)
    assert settings.shape == Shape("spike", 7, 120.0)
    assert settings.links == {"a": "0:5,9:down", "b": "0:1"}
    assert settings.fps == 4.0


@pytest.mark.parametrize("given", [{"SHAPE": "square"}, {"FPS": "fast"}, {"LINKS": "wifi"}])
def test_a_setting_that_makes_no_sense_is_refused(given):
    with pytest.raises(SettingError):
        LocustSettings.read({f"ISTHMUS_{name}": value for name, value in given.items()})
