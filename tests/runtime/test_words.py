from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from wavlm_diarizer import Diarization, Turn
from wavlm_diarizer.cli import main
from wavlm_diarizer.errors import FormatError, OptionError
from wavlm_diarizer.transcripts import dumps
from wavlm_diarizer.words import Word, assign_words, read_words, speaker_at, utterances

TALK = Diarization((Turn(0.0, 2.0, "A"), Turn(1.5, 4.0, "B"), Turn(6.0, 8.0, "A")), duration=10.0)


def speakers(*words: tuple[float | None, float | None], **options: float) -> list[str | None]:
    return [word.speaker for word in assign_words(TALK, [{"word": "x", "start": start, "end": end} for start, end in words], **options)]


def test_a_word_belongs_to_who_speaks_during_most_of_it() -> None:
    assert speakers((0.0, 0.5), (1.2, 1.9), (1.9, 2.6), (3.0, 3.5), (7.0, 7.5)) == ["A", "A", "B", "B", "A"]


def test_a_tie_goes_to_the_word_before_and_else_to_who_began_earlier() -> None:
    assert speakers((1.6, 1.9)) == ["A"]
    assert speakers((2.5, 2.9), (1.6, 1.9)) == ["B", "B"]
    assert speakers((0.1, 0.2), (1.6, 1.9)) == ["A", "A"]


def test_a_word_in_a_pause_belongs_to_the_nearest_turn_within_reach() -> None:
    assert speakers((4.2, 4.4), (5.7, 5.8), (4.9, 5.0), (9.9, 10.0)) == ["B", "A", None, None]
    assert speakers((4.9, 5.0), nearest=2.0) == ["B"]
    assert speakers((4.2, 4.4), nearest=0.0) == [None]


def test_a_word_without_times_follows_its_neighbours() -> None:
    assert speakers((None, None), (3.0, 3.5), (None, None), (7.0, 7.1)) == ["B", "B", "B", "A"]
    assert speakers((None, None)) == [None]


def test_nobody_speaks_where_there_are_no_turns() -> None:
    nothing = Diarization((), duration=5.0)
    assert [word.speaker for word in assign_words(nothing, [{"word": "x", "start": 1, "end": 2}])] == [None]
    assert speaker_at(nothing, 1.0) is None


@pytest.mark.parametrize(
    ("start", "end", "speaker"),
    [
        (0.5, None, "A"),
        (1.7, None, "A"),
        (3.0, None, "B"),
        (5.0, None, None),
        (0.0, 4.0, "B"),
        (4.0, 6.0, None),
        (5.0, 6.1, "A"),
        (8.0, None, None),
    ],
)
def test_who_speaks_at_a_moment_or_for_most_of_a_stretch(start: float, end: float | None, speaker: str | None) -> None:
    assert speaker_at(TALK, start, end) == speaker
    assert TALK.speaker_at(start, end) == speaker


WHISPER = {
    "text": " Hello there. Hi!",
    "language": "en",
    "segments": [
        {
            "id": 0,
            "start": 0.0,
            "end": 1.0,
            "text": " Hello there.",
            "words": [
                {"word": " Hello", "start": 0.0, "end": 0.4, "probability": 0.9},
                {"word": " there.", "start": 0.4, "end": 1.0, "probability": 0.9},
            ],
        },
        {"id": 1, "start": 2.5, "end": 3.0, "text": " Hi!", "words": [{"word": " Hi!", "start": 2.5, "end": 3.0, "probability": 0.8}]},
    ],
}


@pytest.mark.parametrize(
    "given",
    [
        WHISPER,
        WHISPER["segments"],
        [word for segment in WHISPER["segments"] for word in segment["words"]],  # type: ignore[index]
        {
            "word_segments": [
                {"word": "Hello", "start": 0.0, "end": 0.4, "score": 1.0},
                {"word": "there.", "start": 0.4, "end": 1.0},
                {"word": "Hi!", "start": 2.5, "end": 3.0},
            ]
        },
        {
            "text": "...",
            "chunks": [
                {"text": " Hello", "timestamp": (0.0, 0.4)},
                {"text": " there.", "timestamp": [0.4, 1.0]},
                {"text": " Hi!", "timestamp": [2.5, None]},
            ],
        },
        [
            SimpleNamespace(
                start=0.0,
                end=1.0,
                text="x",
                words=[SimpleNamespace(word=" Hello", start=0.0, end=0.4), SimpleNamespace(word=" there.", start=0.4, end=1.0)],
            ),
            SimpleNamespace(start=2.5, end=3.0, text=" Hi!", words=None),
        ],
        (
            word
            for word in [
                {"word": "Hello", "start": 0, "end": 0.4},
                {"word": "there.", "start": 0.4, "end": 1},
                {"word": "Hi!", "start": 2.5, "end": 3},
            ]
        ),
    ],
)
def test_the_lists_of_all_common_recognisers_are_read(given: object) -> None:
    words = assign_words(TALK, given)
    assert [(word.text.strip(), word.speaker) for word in words] == [("Hello", "A"), ("there.", "A"), ("Hi!", "B")]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("some text", "word list"),
        ({"text": "only"}, "word list"),
        (7, "word list"),
        ([{"start": 1, "end": 2}], "item 0: a word has a text"),
        ([{"word": "x", "start": "1", "end": 2}], "numbers of seconds"),
        ([{"word": "x", "start": 2, "end": 1}], "ends before"),
        ([{"word": "x", "start": float("nan"), "end": 1}], "numbers of seconds"),
    ],
)
def test_what_is_not_a_word_list_is_named(given: object, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        read_words(given)


def test_words_of_one_speaker_become_utterances_of_a_readable_length() -> None:
    words = [Word(f" w{index}", index * 0.3, index * 0.3 + 0.2, "A") for index in range(60)]
    joined = utterances(words)
    assert all(len(one.text) <= 84 for one in joined)
    assert " ".join(one.text for one in joined).split() == [word.text.strip() for word in words]
    assert [one.speaker for one in utterances([Word("a", 0, 1, "A"), Word("b", 1, 2, "B"), Word("c", 5, 6, "B")])] == ["A", "B", "B"]


def test_every_form_of_transcript() -> None:
    words = assign_words(TALK, WHISPER)
    content = json.loads(dumps(words, "json", WHISPER))
    assert [segment["speaker"] for segment in content["segments"]] == ["A", "B"]
    assert content["segments"][0]["words"][1]["speaker"] == "A"
    assert content["language"] == "en"
    assert "speaker" not in WHISPER["segments"][0]  # type: ignore[index]
    assert dumps(words, "srt") == "1\n00:00:00,000 --> 00:00:01,000\nA: Hello there.\n\n2\n00:00:02,500 --> 00:00:03,000\nB: Hi!\n"
    assert dumps(words, "vtt").startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n<v A>Hello there.\n")
    assert dumps(words, "text") == "[00:00:00.000] A: Hello there.\n[00:00:02.500] B: Hi!\n"
    assert json.loads(dumps(words, "json"))["words"][2] == {"word": " Hi!", "start": 2.5, "end": 3.0, "speaker": "B"}
    with pytest.raises(OptionError, match="docx"):
        dumps(words, "docx")


def test_the_command_writes_what_its_ending_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    TALK.save(tmp_path / "turns.rttm")
    (tmp_path / "words.json").write_text(json.dumps(WHISPER))
    arguments = ["assign", str(tmp_path / "turns.rttm"), str(tmp_path / "words.json")]
    assert main(arguments) == 0
    assert capsys.readouterr().out == "[00:00:00.000] A: Hello there.\n[00:00:02.500] B: Hi!\n"
    for ending, start in ((".srt", "1\n"), (".vtt", "WEBVTT"), (".json", "{"), (".txt", "[00:")):
        assert main([*arguments, "-o", str(tmp_path / f"out{ending}")]) == 0
        assert (tmp_path / f"out{ending}").read_text().startswith(start)


@pytest.mark.parametrize(
    ("extra", "code", "reason"),
    [(["-o", "x.docx"], 2, "names no format"), (["--nearest", "-1"], 2, "--nearest"), (["-o", "no/where.srt"], 1, "cannot be written")],
)
def test_the_command_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], extra: list[str], code: int, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    TALK.save("turns.json")
    Path("words.json").write_text(json.dumps(WHISPER))
    assert main(["assign", "turns.json", "words.json", *extra]) == code
    assert reason in capsys.readouterr().err
    Path("words.json").write_text("{")
    assert main(["assign", "turns.json", "words.json"]) == 1
    assert "cannot be read as JSON" in capsys.readouterr().err
