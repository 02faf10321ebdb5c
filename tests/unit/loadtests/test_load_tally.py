from loadtests.load_tally import LoadTally


def counted(**changes) -> LoadTally:
    tally = LoadTally()
    fields = {"where": "cluster", "in_time": True, "moved_bytes": 100, "fallback": None}
    tally.note_frame("blocks.9/r3", **(fields | changes))
    return tally


def test_each_cut_has_a_row_the_most_used_first():
    tally = counted()
    for _ in range(3):
        tally.note_frame("output/whole", where="device", in_time=False, moved_bytes=0, fallback="late")
    first, second = tally.rows()
    assert (first["name"], first["share"], first["missed"], first["byDevice"]) == ("output/whole", "75.0%", 3, 3)
    assert first["fallbacks"] == "late 3"
    assert (second["name"], second["bytesAFrame"], second["fallbacks"]) == ("blocks.9/r3", 100, "–")


def test_what_two_processes_counted_adds_up():
    tally, other = counted(), counted(in_time=False, fallback="late")
    other.background_bytes["wifi"] = 7
    tally.add(LoadTally.from_plain(other.as_plain()))
    (cut,) = tally.cuts.values()
    assert (cut.frames, cut.late, cut.bytes, cut.fallbacks["late"]) == (2, 1, 200, 1)
    assert tally.background_bytes["wifi"] == 7


def test_what_is_taken_is_counted_once():
    tally = counted()
    assert tally.take().cuts["blocks.9/r3"].frames == 1
    assert tally.take().cuts == {}
