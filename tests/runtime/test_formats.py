"""What turn files promise: exact text, nothing lost when they are read back, and a clear sentence about a bad one."""

import contextlib
import json
import re
from decimal import Decimal
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wavlm_diarizer import formats
from wavlm_diarizer.diarization import Diarization, Turn
from wavlm_diarizer.errors import FormatError
from wavlm_diarizer.formats import FORMATS, rttm, times
from wavlm_diarizer.turns import clean_name

READABLE = [known.name for known in FORMATS.values() if known.readable]
WITHOUT_CHANNELS = {"srt", "vtt", "audacity", "textgrid"}

MEETING = Diarization(
    [Turn(0.52, 3.1, "SPEAKER_00"), Turn(2.88, 7.42, "SPEAKER_01"), Turn(7.42, 9, "Ann Lee")], duration=10.5, name="meeting"
)

HARD_NAMES = [
    '"',
    '""',
    "A\tB",
    "A\n\nB",
    "-->",
    "<v A>",
    "&amp;",
    "<NA>",
    ";;",
    "1",
    "00:00 --> 00:01",
    "!",
    "\\",
    ",",
    "NOTE",
    "田中 さん",
    "\ufeff",
]
names = (st.text(min_size=1, max_size=12) | st.sampled_from(HARD_NAMES)).filter(clean_name)


@st.composite
def results(draw: st.DrawFn) -> Diarization:
    """Turns on the grid of milliseconds, up to 200 hours, touching and overlapping, with names of all kinds."""
    speakers = draw(st.lists(names, min_size=1, max_size=3))
    offset = draw(st.sampled_from([0, 36_000_000, 720_000_000]))
    spans = draw(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 30), st.sampled_from(speakers), st.integers(1, 2)), max_size=8))
    turns = [Turn((offset + start) / 1000, (offset + start + length) / 1000, who, channel) for start, length, who, channel in spans]
    return Diarization(turns, name=draw(names))


def as_seen_by(name: str, result: Diarization) -> Diarization:
    """What is left of a result in a format: blanks, channels and, in Praat's tiers, the seams of a speaker's turns may be lost."""
    turns = list(result.turns)
    if name == "rttm":
        turns = [Turn(turn.start, turn.end, turn.speaker.replace(" ", "_"), turn.channel) for turn in turns]
    if name in WITHOUT_CHANNELS:
        turns = [Turn(turn.start, turn.end, turn.speaker) for turn in turns]
    if name == "textgrid":
        joined: list[Turn] = []
        for turn in sorted(turns, key=lambda turn: (turn.speaker, turn)):
            if joined and joined[-1].speaker == turn.speaker and turn.start <= joined[-1].end:
                turn = Turn(joined[-1].start, max(turn.end, joined.pop().end), turn.speaker)  # noqa: PLW2901
            joined.append(turn)
        turns = joined
    return Diarization(turns, name=result.name.replace(" ", "_") if name == "rttm" and turns else result.name)


@pytest.mark.parametrize("name", READABLE)
@given(result=results())
@example(Diarization([Turn(0, 1, name) for name in HARD_NAMES]))
def test_what_is_written_is_read_back(name, result):
    text = FORMATS[name].dumps(result)
    # RTTM holds the recording's name; where nobody speaks it holds nothing.
    given_name = result.name if name not in {"rttm", "json"} or not result.turns else None
    back = FORMATS[name].loads(text, name=given_name)
    expected = as_seen_by(name, result)
    assert back.turns == expected.turns
    assert back.name == expected.name
    if result.turns:
        assert back.duration == expected.duration


@pytest.mark.parametrize("name", [*READABLE, "text"])
@given(
    spans=st.lists(st.tuples(st.integers(0, 16_000_000), st.integers(1, 400), st.sampled_from("AB")), max_size=8),
)
def test_times_of_any_sample_are_kept_within_rounding_and_no_turn_is_lost(name, spans):
    result = Diarization([Turn(start / 16_000, (start + length) / 16_000, who) for start, length, who in spans])
    text = FORMATS[name].dumps(result)
    if name == "text":
        assert text.count("\n") == len(spans)
        return
    back = FORMATS[name].loads(text)
    if name == "textgrid":
        assert back.speaking_time() == pytest.approx(result.speaking_time())
        return
    assert len(back.turns) == len(result.turns)
    # Rounding may swap turns that are less than a millisecond apart.
    for field in ("start", "end"):
        written = sorted(getattr(turn, field) for turn in result.turns)
        read = sorted(getattr(turn, field) for turn in back.turns)
        assert all(abs(a - b) <= 0.001 + 1e-9 for a, b in zip(written, read, strict=True))


@pytest.mark.parametrize("name", READABLE)
def test_nobody_speaking_is_read_back_as_nobody_speaking(name):
    for duration in (0.0, 12.5):
        result = Diarization([], duration=duration, name="x")
        back = FORMATS[name].loads(FORMATS[name].dumps(result), name="x")
        assert (back.turns, back.speakers, back.name) == ((), (), "x")
        if name == "json" or (name == "textgrid" and duration):
            assert back == result


@pytest.mark.parametrize("name", READABLE)
@pytest.mark.parametrize("change", ["\r\n", "bom", "utf-16-le", "utf-16-be"])
def test_line_ends_and_encodings_of_other_programs_are_read(tmp_path, name, change):
    result = Diarization([Turn(0.5, 1.5, "Zoë"), Turn(1.5, 2.5, "B")], name="x")
    text = FORMATS[name].dumps(result)
    text = text.replace("\n", "\r\n") if change == "\r\n" else "\ufeff" + text
    path = tmp_path / f"x{FORMATS[name].ending}"
    path.write_bytes(text.encode(change if change.startswith("utf-16") else "utf-8"))
    assert formats.load(path) == result


def test_rttm_is_that_of_nist():
    assert FORMATS["rttm"].dumps(MEETING) == (
        "SPEAKER meeting 1 0.520 2.580 <NA> <NA> SPEAKER_00 <NA> <NA>\n"
        "SPEAKER meeting 1 2.880 4.540 <NA> <NA> SPEAKER_01 <NA> <NA>\n"
        "SPEAKER meeting 1 7.420 1.580 <NA> <NA> Ann_Lee <NA> <NA>\n"
    )


def test_touching_turns_still_touch_after_rounding():
    third = 1 / 3
    lines = FORMATS["rttm"].dumps(Diarization([Turn(0.1004, third, "A"), Turn(third, 1.0006, "B")])).splitlines()
    first, second = ([Decimal(field) for field in line.split()[3:5]] for line in lines)
    assert first == [Decimal("0.100"), Decimal("0.233")]
    assert sum(first) == second[0]
    assert sum(second) == Decimal("1.001")


def test_a_turn_shorter_than_a_millisecond_is_written_as_one():
    result = Diarization([Turn(1, 1.0001, "A")])
    assert FORMATS["rttm"].dumps(result).split()[3:5] == ["1.000", "0.001"]
    assert "00:00:01.000 --> 00:00:01.001" in FORMATS["vtt"].dumps(result)
    assert FORMATS["audacity"].dumps(result) == "1.000000\t1.000100\tA\n"


def test_rttm_of_nine_or_ten_fields_with_comments_and_other_types_is_read():
    text = """;; a comment
SPKR-INFO two 1 <NA> <NA> <NA> adult_male B <NA> <NA>

SPEAKER one 1 0.5 1.25 <NA> <NA> A <NA>
LEXEME one 1 0.5 0.2 hello lex A 0.9 <NA>
SPEAKER\ttwo 2 10 5 <NA> <NA> B 0.9 <NA>
  SPEAKER one 1 .1 2e-1 <NA> <NA> C <NA> <NA>
SPEAKER one 1 7.0 0.0 <NA> <NA> A <NA> <NA>
"""
    recordings = rttm.loads_all(text)
    assert list(recordings) == ["one", "two"]
    assert recordings["one"].turns == (Turn(0.1, 0.3, "C"), Turn(0.5, 1.75, "A"))
    assert recordings["two"].turns == (Turn(10, 15, "B", 2),)


def test_one_of_several_recordings_is_chosen_by_its_name(tmp_path):
    path = tmp_path / "all.rttm"
    other = Diarization([Turn(1, 2, "B")], name="an other")
    path.write_text(MEETING.dumps() + other.dumps())
    assert formats.load(path, name="an other").name == "an_other"
    assert {name: len(found.turns) for name, found in formats.load_all(path).items()} == {"meeting": 3, "an_other": 1}
    with pytest.raises(FormatError, match=r"all\.rttm: there are 2 recordings \(meeting, an_other\); choose one"):
        formats.load(path)
    with pytest.raises(FormatError, match="no recording x; there is meeting, an_other"):
        formats.load(path, name="x")


def test_csv_is_a_table_with_a_header():
    result = Diarization([Turn(0, 1.5, 'Lee, "Ann"'), Turn(1, 2, "B", 2)])
    assert FORMATS["csv"].dumps(result) == (
        'start,end,duration,speaker,channel\n0.000,1.500,1.500,"Lee, ""Ann""",1\n1.000,2.000,1.000,B,2\n'
    )


def test_csv_of_other_programs_is_read():
    text = "\nSpeaker, START ,notes,duration\nA,1,x,0.5\n\n,,,\nB,2,,1\n"
    assert FORMATS["csv"].loads(text).turns == (Turn(1, 1.5, "A"), Turn(2, 3, "B"))


def test_srt_has_numbers_commas_and_hours_of_any_length():
    result = Diarization([Turn(0.52, 3.1, "A"), Turn(360_000, 360_061.5, "B")])
    assert FORMATS["srt"].dumps(result) == ("1\n00:00:00,520 --> 00:00:03,100\nA\n\n2\n100:00:00,000 --> 100:01:01,500\nB\n")


def test_webvtt_names_the_voice_and_escapes_it():
    assert FORMATS["vtt"].dumps(Diarization([Turn(0.52, 3.1, "R&D <x>")])) == (
        "WEBVTT\n\n00:00:00.520 --> 00:00:03.100\n<v R&amp;D &lt;x&gt;>R&amp;D &lt;x&gt;\n"
    )


def test_webvtt_of_other_programs_is_read():
    text = """WEBVTT - a title
Kind: captions

STYLE
::cue { color: red }

NOTE
no cue

intro
01:02.500 --> 01:03.000 align:start line:0
<v.loud Ann Lee>Hello</v>
and more
"""
    assert FORMATS["vtt"].loads(text).turns == (Turn(62.5, 63, "Ann Lee"),)


def test_audacity_points_and_frequencies_are_passed_over():
    text = "0.5\t1.5\tA\n\\\t100.0\t200.0\n2.0\t2.0\ta point\n"
    assert FORMATS["audacity"].loads(text).turns == (Turn(0.5, 1.5, "A"),)


def test_a_textgrid_tier_is_filled_without_gaps():
    result = Diarization([Turn(0, 1, "A"), Turn(1, 2, "A"), Turn(3, 4, "A"), Turn(3.5, 5, "A"), Turn(0.5, 6, 'B "x"')], duration=6)
    text = FORMATS["textgrid"].dumps(result)
    tiers = text.split("    item [")[1:]
    for tier, expected in zip(tiers, (["0.0", "2.0", "3.0", "5.0"], ["0.0", "0.5"]), strict=True):
        starts, ends = (re.findall(rf"^ {{12}}{bound} = (.*)$", tier, re.MULTILINE) for bound in ("xmin", "xmax"))
        assert starts == expected
        assert ends == [*expected[1:], "6.0"]
        assert f"intervals: size = {len(expected)}\n" in tier
    assert 'name = "B ""x"""' in tiers[1]
    assert re.findall(r"text = (.*)", tiers[0]) == ['"A"', '""', '"A"', '""']


def test_a_textgrid_always_has_a_tier_and_a_length():
    text = FORMATS["textgrid"].dumps(Diarization([]))
    assert "size = 1\n" in text
    assert re.findall(r"xmax = (.*)", text) == ["0.001"] * 3


def test_praats_short_form_with_points_and_comments_is_read():
    text = """File type = "ooTextFile"
"TextGrid"

0
10 ! seconds
<exists>
3
"TextTier" "clicks" 0 10 1
2.5
"a ""mark"" over
two lines"
"IntervalTier" "Ann" 0 10 3
0 2 "" 2 3.5 "hello" 3.5 10 " "
"IntervalTier" "nobody" 0 10 1
0 10 ""
"""
    assert FORMATS["textgrid"].loads(text, name="x") == Diarization([Turn(2, 3.5, "Ann")], duration=10, name="x")
    assert FORMATS["textgrid"].loads('"ooTextFile" "TextGrid" 0 3 <absent>').duration == 3


def test_text_is_lines_for_people():
    assert FORMATS["text"].dumps(MEETING).splitlines()[0] == "00:00:00.520 - 00:00:03.100  SPEAKER_00"
    with pytest.raises(FormatError, match="made for people and cannot be read back; these can: rttm, json"):
        FORMATS["text"].loads("")


# JSON


def check(value: object, schema: dict, where: str = "document") -> None:
    """The part of JSON Schema that ours uses, by hand; and every field must be described, which the schema itself leaves open."""
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "integer": int, "number": int | float}
    known = {
        "$schema",
        "title",
        "description",
        "type",
        "const",
        "required",
        "properties",
        "items",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "minLength",
    }
    assert set(schema) <= known, where
    allowed = schema.get("type", list(kinds))
    allowed = [allowed] if isinstance(allowed, str) else allowed
    assert any(isinstance(value, kinds[kind]) and (kind == "boolean" or not isinstance(value, bool)) for kind in allowed), where
    assert value == schema.get("const", value), where
    if isinstance(value, dict) and "properties" in schema:
        assert set(schema["required"]) <= set(value) <= set(schema["properties"]), where
        for key, entry in value.items():
            assert schema["properties"][key]["description"], key
            check(entry, schema["properties"][key], f"{where}.{key}")
    if isinstance(value, list):
        for index, entry in enumerate(value):
            check(entry, schema["items"], f"{where}[{index}]")
    if isinstance(value, str):
        assert len(value) >= schema.get("minLength", 0), where
    if isinstance(value, int | float) and not isinstance(value, bool):
        assert value >= schema.get("minimum", value), where
        assert value <= schema.get("maximum", value), where
        assert value > schema.get("exclusiveMinimum", value - 1), where


SCHEMA = json.loads(resources.files("wavlm_diarizer.formats").joinpath("diarization.schema.json").read_text("utf-8"))
FULL = Diarization(
    MEETING.turns,
    duration=10.5,
    name="meeting",
    complete=False,
    warnings=["The recording is truncated."],
    uncertain_joins=[5.0],
    model={"source": "x", "nested": {"list": [1]}},
)
RICH = Diarization(
    [Turn(0.0, 1.0, "A"), Turn(1.0, 2.0, "B")],
    speakers=["A", "B"],
    activity=np.full((100, 2), 0.75),
    embeddings=np.eye(2, 3),
    known={"B": 0.9},
)


@pytest.mark.parametrize("result", [FULL, MEETING, Diarization([])])
def test_json_conforms_to_its_schema(result):
    check(json.loads(result.dumps("json")), SCHEMA)


def test_json_with_all_that_is_optional_conforms_to_its_schema():
    document = json.loads(RICH.dumps("json", embeddings=True))
    check(document, SCHEMA)
    assert document["speakers"][1] == {"name": "B", "speaking_time": 1.0, "similarity": 0.9, "embedding": [0.0, 1.0, 0.0]}
    assert document["turns"][0]["confidence"] == 0.75


@pytest.mark.parametrize("speaker", [{"embedding": 1}, {"embedding": ["x"]}, {"similarity": "much"}, {"name": "C", "embedding": [1.0]}])
def test_json_with_voices_without_sense_is_refused(speaker):
    document = json.loads(RICH.dumps("json", embeddings=True))
    document["speakers"][0] |= speaker
    with pytest.raises(FormatError):
        FORMATS["json"].loads(json.dumps(document))


def test_the_schema_check_can_fail():
    document = json.loads(FULL.dumps("json"))
    for change in (
        {"extra": 1},
        {"version": "1"},
        {"version": 2},
        {"duration": -1},
        {"name": ""},
        {"turns": [{"start": 0}]},
        {"complete": 1},
    ):
        with pytest.raises(AssertionError):
            check(document | change, SCHEMA)


def test_every_field_of_the_json_is_documented():
    page = (Path(__file__).parents[2] / "docs" / "json.md").read_text("utf-8")

    def fields(schema: dict) -> set[str]:
        inner = schema.get("items", schema)
        return set(inner.get("properties", {})).union(*(fields(entry) for entry in inner.get("properties", {}).values()))

    assert fields(SCHEMA) >= {"turns", "speaking_time", "hop", "channel"}
    assert {field for field in fields(SCHEMA) if f"`{field}`" not in page} == set()
    example_document = json.loads(re.search(r"```json\n(.*?)```", page, re.DOTALL)[1])
    check(example_document, SCHEMA)
    assert FORMATS["json"].loads(json.dumps(example_document)).speakers == ("SPEAKER_00", "SPEAKER_01")


def test_json_keeps_everything_but_the_probabilities():
    back = FORMATS["json"].loads(FULL.dumps("json"))
    assert back == FULL
    for field in ("complete", "warnings", "uncertain_joins", "model", "time_base", "speakers"):
        assert getattr(back, field) == getattr(FULL, field)


def test_json_needs_only_what_cannot_be_guessed_and_passes_over_the_rest():
    document = {"format": "wavlm-diarizer", "version": 1, "name": "x", "duration": 3, "later": [1]}
    turn = {"start": 0, "end": 2, "speaker": "A", "words": []}
    assert FORMATS["json"].loads(json.dumps(document | {"turns": [turn]})) == Diarization([Turn(0, 2, "A")], duration=3, name="x")


# Bad files

GOOD_JSON = '{"format": "wavlm-diarizer", "version": 1, "name": "x", "duration": 9, "turns": [{"start": 0, "end": 1, "speaker": "A"}]}'
BAD = [
    ("rttm", "RIFF\x00\x01", "line 1: 'RIFF"),
    ("rttm", "SPEAKER x 1 0 1 <NA> <NA> A <NA>\nSPEAKER x 1 0 1 <NA> A", "line 2: a SPEAKER line has 9 or 10 fields, not 7"),
    ("rttm", "SPEAKER x 1 0,5 1 <NA> <NA> A <NA>", "line 1: the onset must be a number of seconds, not '0,5'"),
    ("rttm", "SPEAKER x 1 nan 1 <NA> <NA> A <NA>", "line 1: the onset"),
    ("rttm", "SPEAKER x 1 0 -1 <NA> <NA> A <NA>", "line 1: a turn needs 0 <= start < end"),
    ("rttm", "SPEAKER x 1 0 1e999 <NA> <NA> A <NA>", "line 1: a turn needs 0 <= start < end"),
    ("rttm", "SPEAKER x 0 0 1 <NA> <NA> A <NA>", "line 1: the channel must be a number from 1 up, not '0'"),
    ("json", "", "line 1: this is not JSON"),
    ("json", '{"format":\n wavlm}', "line 2: this is not JSON"),
    ("json", "[" * 100_000, "not JSON that can be read"),
    ("json", "[1]", "not a diarization"),
    ("json", '{"turns": []}', "not a diarization"),
    ("json", GOOD_JSON.replace('"version": 1', '"version": 2'), "version 2, and this program reads up to 1; update"),
    ("json", GOOD_JSON.replace('"version": 1', '"version": 1.5'), "version must be a whole number"),
    ("json", GOOD_JSON.replace('"duration": 9, ', ""), "duration is missing"),
    ("json", GOOD_JSON.replace('"duration": 9', '"duration": 0.5'), "reach the end of the last turn"),
    ("json", GOOD_JSON.replace('"duration": 9', '"duration": NaN'), "duration must be a finite number"),
    ("json", GOOD_JSON.replace('"duration": 9', '"duration": 1' + "0" * 400), "duration must be a finite number"),
    ("json", GOOD_JSON.replace('"duration": 9', '"duration": 1' + "0" * 5000), "not JSON that can be read"),
    ("json", GOOD_JSON.replace('"end": 1', '"end": "1"'), r"turns\[0\]\.end must be a finite number, not '1'"),
    ("json", GOOD_JSON.replace('"end": 1', '"end": true'), r"turns\[0\]\.end must be a finite number"),
    ("json", GOOD_JSON.replace('"end": 1', '"end": 0'), r"turns\[0\]: A turn needs"),
    ("json", GOOD_JSON.replace('"speaker": "A"', '"speaker": 7'), r"turns\[0\]\.speaker must be a text"),
    ("json", GOOD_JSON.replace('[{"start": 0, "end": 1, "speaker": "A"}]', "[1]"), r"turns\[0\] must be an object"),
    ("json", GOOD_JSON.replace('[{"start": 0, "end": 1, "speaker": "A"}]', "1"), "turns must be a list"),
    ("csv", "", "there is no header"),
    ("csv", "0,1,A\n", "line 1: the header must name start, speaker and end or duration"),
    ("csv", "start,end,speaker\n0,1\n", "line 2: the header has 3 columns, and this row 2"),
    ("csv", "start,end,speaker\n0,x,A\n", "line 2: the end must be a number of seconds, not 'x'"),
    ("csv", "start,end,speaker\n0,1,\n", "line 2: the turn from 0.0 s to 1.0 s needs a speaker"),
    ("csv", 'start,end,speaker\n0,1,"A\n', "line 2: this is not CSV"),
    ("csv", "start,end,speaker,channel\n0,1,A,left\n", "line 2: the channel"),
    ("srt", "hello\n", "line 1: a line 'start --> end' was expected, not 'hello'"),
    ("srt", "1\nhello\n", "line 2: a line 'start --> end' was expected, not 'hello'"),
    ("srt", "1\n00:00:01 --> 00:61:00\nA\n", "line 2: '00:61:00' is not a time"),
    ("srt", "1\n00:00:01,000 --> 00:00:02,000\n", "line 2: the turn from 1.0 s to 2.0 s needs a speaker"),
    ("srt", "1\n00:00:03,000 --> 00:00:02,000\nA\n", "line 2: a turn needs"),
    ("vtt", "1\n00:01.000 --> 00:02.000\nA\n", "line 1: a WebVTT file begins with WEBVTT"),
    ("vtt", "WEBVTT\n\n00:01.000 --> 00:02.000\nA\n", "line 3: the cue has no voice tag"),
    ("vtt", "WEBVTT\n\nhello\n", "line 3: a line 'start --> end' was expected"),
    ("audacity", "0.0 1.0 A\n", "line 1: a label is start, end and speaker parted by tabs"),
    ("audacity", "0.0\t1.0\tA\n0.0\tx\tA\n", "line 2: the end must be a number of seconds"),
    ("textgrid", "", "line 1: the TextGrid ends where a text in quotes was expected"),
    ("textgrid", '"ooTextFile" "PitchTier" 0 1', "line 1: a TextGrid begins with"),
    ("textgrid", '"ooTextFile"\n"TextGrid"\n0 1 1', "line 3: <exists> was expected in the TextGrid, not '1'"),
    ("textgrid", '"ooTextFile"\n"TextGrid"\n0 1 <exists>\n9999999\n', "line 5: the TextGrid ends where a text in quotes"),
    ("textgrid", '"ooTextFile" "TextGrid" 0 1 <exists> 1\n"IntervalTier" "A" 0 1 1 0\n"x" "y"', "line 3: a number was expected"),
    ("textgrid", '"ooTextFile" "TextGrid" 0 1 <exists> 1\n"IntervalTier" "A" 0 1 1 0\n1 2', "line 3: a text in quotes was expected"),
]


@pytest.mark.parametrize(("name", "text", "message"), BAD)
def test_a_bad_file_is_one_sentence_with_the_file_and_the_line(tmp_path, name, text, message):
    path = tmp_path / f"bad{FORMATS[name].ending}"
    path.write_text(text, "utf-8")
    with pytest.raises(FormatError, match=f"^{re.escape(str(path))}: .*{message}") as caught:
        formats.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", READABLE)
@given(text=st.text(max_size=200) | st.text(alphabet='0123456789.:-> \n\t"<>,v', max_size=200))
def test_no_text_makes_a_reader_fail_in_another_way(name, text):
    with contextlib.suppress(FormatError):
        assert isinstance(FORMATS[name].loads(text), Diarization)


@pytest.mark.parametrize("name", READABLE)
@given(data=st.data())
def test_no_damage_to_a_good_file_makes_a_reader_fail_in_another_way(name, data):
    text = FORMATS[name].dumps(FULL)
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, len(text)))
    damaged = text[:start] + data.draw(st.sampled_from(["", "x", "-", "\n", '"', "0", "null", "1e400"])) + text[stop:]
    with contextlib.suppress(FormatError):
        assert isinstance(FORMATS[name].loads(damaged), Diarization)


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path):
    with pytest.raises(FormatError, match=r"There is no file .*x\.rttm\."):
        formats.load(tmp_path / "x.rttm")
    folder = tmp_path / "y.rttm"
    folder.mkdir()
    with pytest.raises(FormatError, match=r"y\.rttm cannot be read"):
        formats.load(folder)
    path = tmp_path / "z.rttm"
    path.write_bytes(b";; fine\nSPEAKER \xff\xfe 1")
    with pytest.raises(FormatError, match=r"z\.rttm: line 2: the text is not UTF-8"):
        formats.load(path)
    path.write_bytes(b"\xff\xfeS")
    with pytest.raises(FormatError, match=r"z\.rttm: line 1: the text is not UTF-16"):
        formats.load(path)


def test_the_recording_is_named_after_a_file_that_names_none(tmp_path):
    for ending, kind in [(".csv", None), (".labels.txt", None), (".TEXTGRID", None), (".data", "csv")]:
        path = tmp_path / f"a meeting.x{ending}"
        MEETING.save(path, kind)
        assert formats.load(path, kind).name == "a meeting.x"
        assert formats.load(path, kind, name="y").name == "y"
        assert list(formats.load_all(path, kind)) == ["a meeting.x"]


# The table


def test_every_format_has_its_module_and_an_ending_of_its_own():
    endings = [ending for known in FORMATS.values() for ending in known.endings]
    assert len(set(endings)) == len(endings)
    for name, known in FORMATS.items():
        assert formats.by_name(name.upper()) is known
        assert formats.by_path(f"some.folder/x{known.ending.upper()}") is known
        assert known.dumps(MEETING)


def test_the_longest_ending_that_fits_wins():
    assert formats.by_path("x.txt").name == "text"
    assert formats.by_path("x.labels.txt").name == "audacity"


@given(st.integers(0, 10**12))
def test_clock_times_are_read_back(milliseconds):
    for point in ".,":
        assert times.parse_clock(times.clock(milliseconds, point), 1) == Decimal(milliseconds) / 1000
