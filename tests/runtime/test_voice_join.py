from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import fake_model
from fake_model import speech, voiced
from wavlm_diarizer import Diarizer
from wavlm_diarizer.errors import ModelFormatError, OptionError

RATE = 16_000
# start, end, the label that the model hears them as, the voice
FOUR = [
    (0.3, 3.1, 0, 0),
    (3.5, 6.2, 1, 1),
    (6.6, 9.7, 0, 2),
    (10.2, 13.3, 1, 0),
    (13.7, 16.9, 0, 3),
    (17.2, 19.8, 1, 2),
    (20.3, 23.5, 0, 1),
]


@pytest.fixture(scope="module")
def diarizer(fake_with_voices: Path) -> Diarizer:
    return Diarizer(fake_with_voices)


def order(result: object) -> list[str]:
    return [turn.speaker[-2:] for turn in result.turns]  # type: ignore[attr-defined]


def test_a_person_is_the_same_whatever_label_the_model_gives_them(diarizer: Diarizer) -> None:
    result = diarizer((voiced(FOUR, 24.0), RATE))
    assert order(result) == ["00", "01", "02", "00", "03", "02", "01"]
    assert [round(turn.start, 1) for turn in result.turns] == [start for start, *_ in FOUR]


def test_without_voices_there_are_as_many_people_as_labels(fake: Path) -> None:
    assert len(Diarizer(fake)((voiced(FOUR, 24.0), RATE)).speakers) == 2


def test_every_speaker_has_a_voice_and_it_is_theirs(diarizer: Diarizer) -> None:
    result = diarizer((voiced(FOUR, 24.0), RATE))
    assert result.embeddings is not None
    assert result.embeddings.shape == (4, 4)
    assert np.allclose(result.embeddings, np.eye(4), atol=0.05)
    with pytest.raises(ValueError, match="read-only"):
        result.embeddings[0, 0] = 1.0


def test_the_number_of_people_can_be_told_and_bounded(diarizer: Diarizer) -> None:
    recording = (voiced(FOUR, 24.0), RATE)
    assert diarizer(recording, num_speakers=4) == diarizer(recording, min_speakers=2, max_speakers=9) == diarizer(recording)
    assert len(diarizer(recording, num_speakers=2).speakers) == 2
    assert len(diarizer(recording, max_speakers=3).speakers) == 3
    with pytest.raises(OptionError, match="not both"):
        diarizer(recording, num_speakers=2, max_speakers=3)


def test_people_are_told_apart_on_each_channel(diarizer: Diarizer) -> None:
    sides = np.stack([voiced(FOUR, 24.0), voiced([(1.0, 5.0, 0, 3), (9.0, 14.0, 1, 3)], 24.0)], axis=1)
    result = diarizer((sides, RATE), per_channel=True)
    assert result.speakers == ("CH1_SPEAKER_00", "CH2_SPEAKER_00", "CH1_SPEAKER_01", "CH1_SPEAKER_02", "CH1_SPEAKER_03")
    assert result.embeddings is not None
    assert result.embeddings[1].argmax() == 3


def test_speech_in_which_nobody_is_ever_heard_alone_is_joined_by_its_overlaps(diarizer: Diarizer, monkeypatch: pytest.MonkeyPatch) -> None:
    from wavlm_diarizer.voice_join import WindowAnswer

    answer = Diarizer.answer

    def unheard(self: Diarizer, samples: np.ndarray) -> WindowAnswer:
        heard = answer(self, samples)
        return WindowAnswer(heard.probabilities, np.zeros((2, 4), dtype=np.float32), np.zeros(2, dtype=np.int64))

    monkeypatch.setattr(Diarizer, "answer", unheard)
    result = diarizer((speech([(0.5, 3.0, 0), (3.2, 6.0, 1), (6.5, 9.5, 0)], 10.0), RATE))
    assert order(result) == ["00", "01", "00"]
    assert result.embeddings is not None
    assert not result.embeddings.any()


def test_a_short_or_silent_recording_has_nobody(diarizer: Diarizer) -> None:
    for seconds in (0.01, 3.0, 20.0):
        result = diarizer((np.zeros(round(seconds * RATE), dtype=np.float32), RATE))
        assert result.speakers == ()
        assert result.embeddings is not None
        assert result.embeddings.shape == (0, 4)


def test_more_people_than_labels_need_voices(fake: Path) -> None:
    recording = (voiced(FOUR, 24.0), RATE)
    for options in ({"num_speakers": 3}, {"min_speakers": 3}):
        with pytest.raises(OptionError, match=r"tells at most 2 speakers apart.*--speaker-model"):
            Diarizer(fake)(recording, **options)
    assert len(Diarizer(fake)(recording, max_speakers=9).speakers) == 2


def test_fewer_people_than_labels_without_voices_lose_no_speech(fake: Path) -> None:
    recording = (voiced(FOUR, 24.0), RATE)
    alone = Diarizer(fake)(recording, num_speakers=1)
    assert alone.speakers == ("SPEAKER_00",)
    assert alone.speaking_time()["SPEAKER_00"] == pytest.approx(sum(Diarizer(fake)(recording).speaking_time().values()), abs=0.1)


def test_a_file_whose_voices_have_another_size_than_it_says_is_refused(tmp_path: Path) -> None:
    path = fake_model.write(tmp_path / "model.onnx", fake_model.voice_settings(embedding_size=7).to_metadata(), voices=True)
    with pytest.raises(ModelFormatError, match="embeddings of shape"):
        Diarizer(path)((voiced(FOUR, 24.0), RATE))
