from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import fake_model
from fake_model import voiced
from wavlm_diarizer import Clustering, Diarization, Diarizer, Turn, Voices
from wavlm_diarizer.errors import VoicesError
from wavlm_diarizer.voices import Voice, similarity

RATE = 16_000
MEETING = [(0.3, 3.1, 0, 0), (3.5, 6.2, 1, 1), (6.6, 9.7, 0, 2), (10.2, 13.3, 1, 0), (13.7, 16.9, 0, 3)]
KEY = ("0" * 64, "1" * 64)


def clip(voice: int, seconds: float = 4.0) -> tuple[np.ndarray, int]:
    return voiced([(0.2, seconds - 0.2, voice % 2, voice)], seconds), RATE


def people(*vectors: np.ndarray, seconds: float = 100.0) -> Voices:
    return Voices(tuple(Voice(f"P{number}", vector, seconds) for number, vector in enumerate(vectors)), *KEY)


@pytest.fixture(scope="module")
def diarizer(fake_with_voices: Path) -> Diarizer:
    return Diarizer(fake_with_voices)


@pytest.fixture(scope="module")
def voices(diarizer: Diarizer) -> Voices:
    return diarizer.enroll({"Ada": clip(2), "Grace": clip(0)})


def test_known_people_get_their_names_and_the_others_keep_theirs(diarizer: Diarizer, voices: Voices) -> None:
    unnamed = diarizer((voiced(MEETING, 17.0), RATE))
    result = diarizer((voiced(MEETING, 17.0), RATE), voices=voices)
    assert result.speakers == ("Grace", "SPEAKER_01", "Ada", "SPEAKER_03")
    assert [(turn.start, turn.end) for turn in result.turns] == [(turn.start, turn.end) for turn in unnamed.turns]
    assert dict(result.known) == {"Grace": pytest.approx(1.0, abs=0.02), "Ada": pytest.approx(1.0, abs=0.02)}


def test_who_is_not_there_is_not_found(diarizer: Diarizer) -> None:
    voices = diarizer.enroll({"Ada": clip(3)})
    result = diarizer((voiced(MEETING[:4], 14.0), RATE), voices=voices)
    assert result.speakers == ("SPEAKER_00", "SPEAKER_01", "SPEAKER_02")
    assert dict(result.known) == {}


def test_two_speakers_never_get_one_name(diarizer: Diarizer) -> None:
    found = people(np.eye(4)[0]).match(np.array([[1.0, 0.4, 0, 0], [1.0, 0.3, 0, 0], [1.0, 0.5, 0, 0]]), [99.0] * 3, diarizer.settings)
    assert {speaker: name for speaker, (name, _) in found.items()} == {1: "P0"}


def test_names_go_to_speakers_as_a_whole(diarizer: Diarizer) -> None:
    # Both speakers resemble P0 most; the second one cannot be anybody else.
    known = people(np.array([1.0, 0, 0, 0]), np.array([0.8, 0.6, 0, 0]))
    found = known.match(np.array([[0.95, 0.31, 0, 0], [1.0, -0.2, 0, 0]]), [99.0, 99.0], diarizer.settings)
    assert {speaker: name for speaker, (name, _) in found.items()} == {0: "P1", 1: "P0"}


def test_many_voices_are_no_trouble(diarizer: Diarizer) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((500, 64))
    found = people(*vectors).match(vectors[[400, 3, 77]], [99.0] * 3, diarizer.settings)
    assert {speaker: name for speaker, (name, _) in found.items()} == {0: "P400", 1: "P3", 2: "P77"}


def test_the_threshold_is_the_models(diarizer: Diarizer) -> None:
    strict = replace(diarizer.settings, clustering=Clustering(known=0.9, half_seconds=0.0))
    loose = replace(diarizer.settings, clustering=Clustering(known=0.7, half_seconds=0.0))
    heard = np.array([[0.8, 0.6, 0, 0]])
    assert people(np.eye(4)[0]).match(heard, [99.0], strict) == {}
    assert people(np.eye(4)[0]).match(heard, [99.0], loose) == {0: ("P0", pytest.approx(0.8))}


def test_little_speech_is_made_up_for(diarizer: Diarizer) -> None:
    settings = replace(diarizer.settings, clustering=Clustering(half_seconds=1.0))
    ((_, one),) = people(np.eye(4)[0]).match(np.array([[0.7, 0.714, 0, 0]]), [1.0], settings).values()
    assert one == pytest.approx(0.7 / 0.5**0.5, rel=0.01)


def test_who_was_never_heard_alone_is_nobody_known(diarizer: Diarizer) -> None:
    assert people(np.eye(4)[0]).match(np.zeros((1, 4)), [5.0], replace(diarizer.settings, clustering=Clustering(known=-0.5))) == {}


def test_voices_survive_a_file_and_are_the_same_on_all_precisions_of_one_checkpoint(voices: Voices, tmp_path: Path) -> None:
    voices.save(tmp_path / "voices.json")
    again = Voices.load(tmp_path / "voices.json")
    assert again.names == ("Ada", "Grace")
    for before, after in zip(voices.people, again.people, strict=True):
        assert similarity(before.embedding, after.embedding) == pytest.approx(1.0, abs=1e-5)
    other = fake_model.write(tmp_path / "int8.onnx", fake_model.voice_settings(precision="int8", graph="fast").to_metadata(), voices=True)
    assert Diarizer(other)((voiced(MEETING, 17.0), RATE), voices=again).speakers[0] == "Grace"


@pytest.mark.parametrize("changes", [{"weights_sha256": "2" * 64}, {"speaker_weights_sha256": "2" * 64}])
def test_another_model_refuses_them_in_one_sentence(voices: Voices, tmp_path: Path, changes: dict[str, str]) -> None:
    other = fake_model.write(tmp_path / "other.onnx", fake_model.voice_settings(**changes).to_metadata(), voices=True)
    with pytest.raises(VoicesError, match=r"^These voices were enrolled with another model than .*: enroll them again with this one\.$"):
        Diarizer(other)((voiced(MEETING, 17.0), RATE), voices=voices)


def test_a_model_without_voices_refuses_them(voices: Voices, fake: Path) -> None:
    with pytest.raises(VoicesError, match="knows no voices"):
        Diarizer(fake)((voiced(MEETING, 17.0), RATE), voices=voices)
    with pytest.raises(VoicesError, match="knows no voices"):
        Diarizer(fake).enroll({"Ada": clip(0)})


def test_a_model_that_does_not_know_its_weights_enrolls_nobody(tmp_path: Path) -> None:
    path = fake_model.write(tmp_path / "m.onnx", fake_model.voice_settings(speaker_weights_sha256="").to_metadata(), voices=True)
    with pytest.raises(VoicesError, match="does not say which weights"):
        Diarizer(path).enroll({"Ada": clip(0)})


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.zeros(0, dtype=np.float32), r"0\.0 s"),
        (np.zeros(5 * RATE, dtype=np.float32), r"0\.0 s"),
        (clip(0, 1.5)[0], r"1\.1 s"),
        (voiced([(0.2, 5.0, 0, 0), (5.2, 8.0, 1, 1)], 8.2), r"a second person speaks for 2\.8 s"),
    ],
)
def test_a_clip_that_is_not_one_persons_speech_is_refused(diarizer: Diarizer, samples: np.ndarray, words: str) -> None:
    with pytest.raises(VoicesError, match=f"the clip of Ada .*{words}"):
        diarizer.enroll({"Ada": (samples, RATE)})


def test_a_cough_in_a_clip_is_no_second_person(diarizer: Diarizer) -> None:
    samples = voiced([(0.2, 7.0, 0, 0), (7.2, 7.6, 1, 1)], 8.0)
    assert diarizer.enroll({"Ada": (samples, RATE)}).people[0].embedding.argmax() == 0


@pytest.mark.parametrize("name", ["", " ", "A=B", "Ada\nGrace", "Ada ", "SPEAKER_00", "CH1_SPEAKER_02"])
def test_names_that_nobody_can_have_are_refused(diarizer: Diarizer, name: str) -> None:
    with pytest.raises(VoicesError):
        diarizer.enroll({name: clip(0)})


GOOD = {
    "format": "wavlm-diarizer voices",
    "version": 1,
    "weights_sha256": KEY[0],
    "speaker_weights_sha256": KEY[1],
    "voices": [{"name": "Ada", "seconds": 3.0, "embedding": [1.0, 0.0]}],
}


def voice(**changes: object) -> dict[str, object]:
    return {"voices": [{**GOOD["voices"][0], **changes}]}  # type: ignore[index, dict-item]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": "wavlm-diarizer"}, "no voices file"),
        ({"version": 2}, "update wavlm-diarizer"),
        ({"version": "1"}, "no version"),
        ({"weights_sha256": "abc"}, "which model"),
        ({"voices": {}}, "no list"),
        ({"voices": [GOOD["voices"][0], GOOD["voices"][0]]}, "there twice"),  # type: ignore[index]
        ({"voices": ["Ada"]}, "no embedding"),
        (voice(embedding=[1.0, "x"]), "not made of numbers"),
        (voice(embedding=[0.0, 0.0]), "not all zero"),
        (voice(embedding=[]), "not all zero"),
        (voice(embedding=[float("inf"), 1.0]), "finite"),
        (voice(seconds=-1), "some seconds"),
        (voice(name="a\nb"), "one line"),
        (voice(name=7), "one line"),
    ],
)
def test_a_file_that_is_no_voices_file_is_refused_with_its_name(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    path = tmp_path / "voices.json"
    path.write_text(json.dumps(GOOD | changes))
    with pytest.raises(VoicesError, match=f"voices.json: .*{words}"):
        Voices.load(path)


def test_files_that_are_not_there_or_no_json_are_refused(tmp_path: Path) -> None:
    with pytest.raises(VoicesError, match="There is no file"):
        Voices.load(tmp_path / "voices.json")
    for content in (b"", b"\xff\xfe{", b"[" * 100_000):
        (tmp_path / "voices.json").write_bytes(content)
        with pytest.raises(VoicesError, match="not JSON"):
            Voices.load(tmp_path / "voices.json")
    with pytest.raises(VoicesError, match="cannot be read"):
        Voices.load(tmp_path)


def test_similarity_is_the_cosine_and_0_without_a_voice() -> None:
    assert similarity([3.0, 0.0], [5.0, 5.0]) == pytest.approx(0.5**0.5)
    table = similarity([[1.0, 0.0], [0.0, 0.0]], [[2.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    assert table.tolist() == [[1.0, 0.0, -1.0], [0.0, 0.0, 0.0]]


def test_what_is_known_of_the_speakers_survives_json_and_embeddings_only_if_asked_for(
    diarizer: Diarizer, voices: Voices, tmp_path: Path
) -> None:
    result = diarizer((voiced(MEETING, 17.0), RATE), voices=voices, name="meeting")
    document = json.loads(result.dumps("json"))
    assert [entry.get("similarity") is None for entry in document["speakers"]] == [False, True, False, True]
    assert all("embedding" not in entry for entry in document["speakers"])
    assert all(0.9 < turn["confidence"] <= 1.0 for turn in document["turns"])
    result.save(tmp_path / "meeting.json", embeddings=True)
    again = Diarization.load(tmp_path / "meeting.json")
    assert again == result
    assert dict(again.known) == pytest.approx(dict(result.known), abs=1e-6)
    assert again.embeddings == pytest.approx(result.embeddings, abs=1e-5)
    with pytest.raises(ValueError, match="no place for embeddings; these have: json"):
        result.save(tmp_path / "meeting.rttm", embeddings=True)


def test_csv_has_the_confidence_where_it_is_known(diarizer: Diarizer) -> None:
    result = diarizer((voiced(MEETING, 17.0), RATE))
    assert result.dumps("csv").splitlines()[0] == "start,end,duration,speaker,channel,confidence"
    assert Diarization(result.turns).dumps("csv").splitlines()[0] == "start,end,duration,speaker,channel"


def test_who_is_known_follows_names_and_crops() -> None:
    result = Diarization(
        [Turn(0.0, 1.0, "Ada"), Turn(2.0, 3.0, "Bob"), Turn(4.0, 5.0, "Cy")], known={"Ada": 0.9, "Bob": 0.7, "Nobody": 1.0}
    )
    assert dict(result.known) == {"Ada": 0.9, "Bob": 0.7}
    assert dict(result.crop(1.5).known) == {"Bob": 0.7}
    assert dict(result.rename({"Ada": "X"}).known) == {"X": 0.9, "Bob": 0.7}
    assert dict(result.rename({"Ada": "X", "Bob": "X"}).known) == {"X": 0.9}
    assert result == Diarization(result.turns)
