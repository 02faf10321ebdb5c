from dataclasses import dataclass
from typing import Annotated, Literal

import pytest

from wire.errors import MalformedMessage, MessageTooLarge
from wire.ids import PointName
from wire.records import Hex, Length, Range, from_plain, to_plain


@dataclass(frozen=True, slots=True)
class Inner:
    wait_s: Annotated[float, Range(0.0, 10.0)]
    names: Annotated[tuple[Annotated[str, Length(4)], ...], Length(3, least=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    count: Annotated[int, Range(0, 255)]
    any_int: int
    any_float: float
    flag: bool
    mode: Literal["a", "b"]
    data: Annotated[bytes, Length(4)]
    digest: Annotated[str, Hex(4)]
    point: Annotated[PointName, Length(8)]
    maybe: Inner | None
    inner: Inner
    many: tuple[Inner, ...]


INNER = Inner(1.5, ("x", "y"))
OUTER = Outer(
    count=1,
    any_int=-5,
    any_float=2.5,
    flag=True,
    mode="b",
    data=b"1234",
    digest="00af",
    point=PointName("mid"),
    maybe=None,
    inner=INNER,
    many=(INNER, INNER),
)


def changed(**fields):
    return {**to_plain(OUTER), **fields}


def test_a_record_survives_the_way_to_plain_values_and_back():
    plain = to_plain(OUTER)
    assert plain["inner"] == {"wait_s": 1.5, "names": ["x", "y"]}
    assert plain["many"] == [plain["inner"], plain["inner"]]
    assert from_plain(Outer, plain) == OUTER
    assert from_plain(Outer, changed(maybe=plain["inner"])).maybe == INNER


def test_an_integer_is_a_number_and_becomes_a_float():
    value = from_plain(Outer, changed(any_float=3)).any_float
    assert (value, type(value)) == (3.0, float)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("count", True),
        ("count", 1.0),
        ("count", "1"),
        ("count", None),
        ("count", -1),
        ("count", 256),
        ("any_int", False),
        ("any_float", True),
        ("any_float", float("nan")),
        ("any_float", float("inf")),
        ("any_float", 10**400),
        ("any_float", "1.0"),
        ("flag", 1),
        ("flag", None),
        ("mode", "c"),
        ("mode", []),
        ("mode", 1),
        ("data", "1234"),
        ("data", bytearray(b"1")),
        ("digest", "00AF"),
        ("digest", "00a"),
        ("digest", "00af0"),
        ("digest", "0٣af"),
        ("point", b"mid"),
        ("point", "\ud800"),
        ("maybe", 0),
        ("inner", None),
        ("inner", []),
        ("many", {}),
        ("many", (INNER,)),
    ],
)
def test_a_wrong_value_is_refused_with_the_path_of_its_field(field, value):
    with pytest.raises(MalformedMessage, match=rf"^outer\.{field} "):
        from_plain(Outer, changed(**{field: value}), where="outer")


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"data": b"12345"}, "data"),
        ({"point": "123456789"}, "point"),
        ({"inner": {"wait_s": 0, "names": ["1", "2", "3", "4"]}}, "inner.names"),
        ({"many": [to_plain(INNER), {"wait_s": 0, "names": ["1", "12345"]}]}, "many[1].names[1]"),
    ],
)
def test_what_is_over_its_length_is_too_large(fields, path):
    with pytest.raises(MessageTooLarge) as caught:
        from_plain(Outer, changed(**fields))
    assert caught.value.message.startswith(f"message.{path} has ")


@pytest.mark.parametrize(
    ("inner", "text"),
    [
        ({"wait_s": 1}, "x.inner.names is missing"),
        ({"wait_s": 1, "names": ["a"], "extra": 0}, "x.inner.extra is an unknown field"),
        ({"wait_s": 1, "names": ["a"], b"b": 0}, "x.inner has an unknown field b'b'"),
        ({"wait_s": 1, "names": ["a"], "\n" * 99: 0}, "x.inner has an unknown field '\\n\\n"),
        ({"wait_s": 1, "other": ["a"]}, "x.inner.other is an unknown field"),
        ({"wait_s": 1, "names": []}, "x.inner.names has 0 items, and needs 1"),
        ({"wait_s": 11, "names": ["a"]}, "x.inner.wait_s must be between 0.0 and 10.0"),
    ],
)
def test_an_error_names_the_whole_path_and_what_is_wrong(inner, text):
    with pytest.raises(MalformedMessage) as caught:
        from_plain(Outer, changed(inner=inner), where="x")
    assert caught.value.message.startswith(text)
    assert len(caught.value.message) < 120


@pytest.mark.parametrize(
    "hint", [dict[str, int], int | str, tuple[int, int], Literal[1], Annotated[int, Length(3)], object]
)
def test_an_annotation_that_the_codec_does_not_know_is_our_own_fault(hint):
    Odd = dataclass(type("Odd", (), {"__annotations__": {"field": hint}}))  # noqa: N806
    with pytest.raises(TypeError):
        from_plain(Odd, {"field": 1})
