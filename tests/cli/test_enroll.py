"""Voices on the command line: enroll, then diarize with names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile

from fake_model import voiced
from wavlm_diarizer import Diarization
from wavlm_diarizer.cli import main

RATE = 16_000


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "a=da.wav", voiced([(0.2, 3.8, 0, 2)], 4.0), RATE)
    soundfile.write(tmp_path / "grace.wav", voiced([(0.2, 3.8, 1, 0)], 4.0), RATE)
    soundfile.write(tmp_path / "meeting.wav", voiced([(0.3, 3.1, 0, 0), (3.5, 6.2, 1, 1), (6.6, 9.7, 0, 2)], 10.0), RATE)
    return tmp_path


def test_enrolled_people_are_named_in_recordings(clips: Path, fake_with_voices: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, voices = str(fake_with_voices), str(clips / "voices.json")
    assert main(["enroll", f"Ada L.={clips / 'a=da.wav'}", f"Grace={clips / 'grace.wav'}", "-o", voices, "-m", model]) == 0
    assert capsys.readouterr().err == "Ada L.: 3.6 s of speech\nGrace: 3.6 s of speech\n"
    out = clips / "meeting.json"
    assert main(["diarize", str(clips / "meeting.wav"), "--voices", voices, "-m", model, "-o", str(out), "--embeddings", "-q"]) == 0
    result = Diarization.load(out)
    assert result.speakers == ("Grace", "SPEAKER_01", "Ada L.")
    assert set(result.known) == {"Grace", "Ada L."}
    assert result.embeddings is not None


def test_the_number_of_speakers_can_be_told(clips: Path, fake_with_voices: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["diarize", str(clips / "meeting.wav"), "-m", str(fake_with_voices), "-f", "json"]
    for options, count in (([], 3), (["--num-speakers", "2"], 2), (["--max-speakers", "1"], 1), (["--min-speakers", "3"], 3)):
        assert main([*command, *options]) == 0
        assert len(json.loads(capsys.readouterr().out)["speakers"]) == count
    assert main([*command, "--num-speakers", "0"]) == 2
    assert "num_speakers must be a whole number from 1 up" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["Ada"], ["=x.wav"], ["Ada="], ["Ada=grace.wav", "Ada=grace.wav"], ["SPEAKER_00=grace.wav"]])
def test_clips_without_a_proper_name_are_one_sentence_and_no_file(
    words: list[str], clips: Path, fake_with_voices: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clips)
    assert main(["enroll", *words, "-o", "voices.json", "-m", str(fake_with_voices)]) in {1, 2}
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (clips / "voices.json").exists()


def test_one_bad_clip_writes_nothing(clips: Path, fake_with_voices: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"Grace={clips / 'grace.wav'}", f"All={clips / 'meeting.wav'}"]
    assert main(["enroll", *words, "-o", str(clips / "voices.json"), "-m", str(fake_with_voices)]) == 1
    assert "In the clip of All (meeting) a second person speaks" in capsys.readouterr().err
    assert not (clips / "voices.json").exists()


def test_embeddings_are_for_json_and_models_that_know_voices(
    clips: Path, fake: Path, fake_with_voices: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    meeting = str(clips / "meeting.wav")
    assert main(["diarize", meeting, "-m", str(fake_with_voices), "--embeddings"]) == 2
    assert main(["diarize", meeting, "-m", str(fake), "--embeddings", "-f", "json"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert ["-f json" in lines[0], "knows no voices" in lines[1], len(lines)] == [True, True, 2]
