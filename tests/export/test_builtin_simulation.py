"""Packing clips and simulating conversations from them, with tones instead of voices."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("torch")

from wavlm_diarizer.errors import OptionError
from wavlm_export.builtin import config, noise, rooms, voices
from wavlm_export.builtin.conversations import TAIL, Conversations, as_annotated
from wavlm_export.builtin.prepare import noises, prepare, speech_by_energy

HOP = config.HOP
UNDISTURBED = config.Simulation(
    seconds=4.0,
    speakers=(0.0, 1.0),
    speeds=(1.0,),
    reverberation=0.0,
    noise=0.0,
    telephone=0.0,
    codec=0.0,
    window_gain_db=(0.0, 0.0),
    events=0.0,
    bystander=0.0,
    pause_seconds=0.0,
)


def clip(seconds: float, hertz: float, seed: int) -> np.ndarray:
    """A buzz with pauses at both ends, 0.2 s each."""
    time = np.arange(int(seconds * config.RATE)) / config.RATE
    sound = 0.1 * np.sign(np.sin(2 * np.pi * hertz * time)) + 1e-4 * np.random.default_rng(seed).standard_normal(len(time))
    sound[:3200] *= 1e-3
    sound[-3200:] *= 1e-3
    return sound.astype(np.float32)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> config.Data:
    root = tmp_path_factory.mktemp("voices")
    for number in range(5):
        folder = root / "single" / f"voice{number}"
        folder.mkdir(parents=True)
        for index in range(3):
            soundfile.write(folder / f"{index}.flac", clip(2.0 + index, 90.0 + 40 * number, index), config.RATE)
    (root / "single" / "short").mkdir()
    soundfile.write(root / "single" / "short" / "0.flac", clip(1.0, 100.0, 0), config.RATE)
    data = config.Data(single=str(root / "single"), packed=str(root / "packed"), unseen=("voice4",), least_seconds=5.0)
    prepare(data)
    return data


@pytest.fixture
def cast(data: config.Data) -> voices.Cast:
    return voices.Cast(voices.load(data.packed), (1.0, 0.8, 1.25))


def equal(one: Any, other: Any) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("samples", "activity", "counted", "people"))


def test_a_pack_has_every_voice_that_is_long_enough_at_one_loudness(data: config.Data) -> None:
    packed = voices.load(data.packed)
    assert [voice.name for voice in packed] == [f"voice{number}" for number in range(5)]
    for voice in packed:
        assert len(voice.samples) == len(voice.speech) * HOP
        assert sum(count for _, count in voice.clips) == len(voice.speech)
        spoken = voice.samples[np.repeat(voice.speech, HOP)] / 32768
        assert np.sqrt(np.mean(spoken**2)) == pytest.approx(0.08, rel=0.01)


def test_preparing_again_keeps_what_is_packed(data: config.Data) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in Path(data.packed).glob("*.npy")}
    prepare(data)
    assert {path.name: path.stat().st_mtime_ns for path in Path(data.packed).glob("*.npy")} == before


def test_speech_by_energy_finds_the_sound_and_not_the_pauses() -> None:
    speech = speech_by_energy(clip(3.0, 120.0, 0))
    assert speech.tolist() == [10 <= frame < 140 for frame in range(150)]


def test_a_missing_folder_of_clips_is_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"data\.single"):
        prepare(config.Data(single=str(tmp_path / "none"), packed=str(tmp_path / "packed")))


def test_training_before_preparing_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"run prepare first"):
        voices.load(tmp_path)


def test_a_speed_changes_pitch_and_length_together(cast: voices.Cast) -> None:
    random = np.random.default_rng(0)
    for person, factor in ((0, 1.0), (1, 0.8), (2, 1.25)):
        samples, speech = cast.speak(person, 200, random)
        assert len(samples) == 200 * HOP
        assert len(speech) == 200
        piece = samples[np.repeat(speech, HOP)]
        spectrum = np.abs(np.fft.rfft(piece[: config.RATE] * np.hanning(config.RATE)))
        assert int(np.argmax(spectrum)) == pytest.approx(90 * factor, abs=2)


def test_the_people_of_a_conversation_have_different_voices(cast: voices.Cast) -> None:
    random = np.random.default_rng(1)
    for _ in range(50):
        drawn = cast.draw(4, random)
        assert len({person // 3 for person in drawn}) == 4
    assert len(cast.draw(9, random)) == 5


def test_a_conversation_is_the_same_whenever_and_wherever_it_is_made(cast: voices.Cast) -> None:
    settings = config.Simulation(seconds=2.0)
    first = [Conversations(cast, settings, 3)[number] for number in range(8)]
    again = Conversations(cast, settings, 3)
    assert all(equal(again[number], first[number]) for number in reversed(range(8)))
    assert not equal(Conversations(cast, settings, 4)[1], first[1])


def test_conversations_are_whole_windows_of_finite_sound_within_range(cast: voices.Cast) -> None:
    conversations = Conversations(cast, config.Simulation(seconds=2.0), 0)
    for number in range(40):
        one = conversations[number]
        assert one.samples.dtype == one.activity.dtype == np.float32
        assert one.samples.shape == (100 * HOP + TAIL,)
        assert np.isfinite(one.samples).all()
        assert np.abs(one.samples).max() <= 1
        assert one.samples.std() > 0
        assert one.activity.shape == (100, 3)
        assert set(np.unique(one.activity)) <= {0.0, 1.0}
        assert ((one.people >= 0) == one.activity.any(axis=0)).all()


@pytest.mark.parametrize("count", range(5))
def test_the_asked_number_of_people_speaks_and_a_fourth_is_not_counted(cast: voices.Cast, count: int) -> None:
    shares = tuple(float(number == count) for number in range(5))
    conversations = Conversations(cast, config.Simulation(seconds=8.0, speakers=shares, full_overlap=1.0), 0)
    made = [conversations[number] for number in range(20)]
    assert max(int((one.people >= 0).sum()) for one in made) == min(count, 3)
    assert any((one.counted == 0).any() for one in made) == (count == 4)


def test_without_any_disturbance_the_labels_are_where_the_sound_is(cast: voices.Cast) -> None:
    conversations = Conversations(voices.Cast(cast.voices, (1.0,)), UNDISTURBED, 0)
    for number in range(20):
        one = conversations[number]
        level = np.sqrt(np.mean(one.samples[: 200 * HOP].reshape(200, HOP) ** 2, axis=1))
        assert np.mean((level > 3e-3) == one.activity.any(axis=1)) > 0.97


@pytest.mark.parametrize("mixture", [{"full_overlap": 1.0}, {"full_overlap": 0.0, "laid_over": 1.0}])
def test_pauses_count_as_speech_in_a_conversation_and_not_in_a_mixture(cast: voices.Cast, mixture: dict[str, float]) -> None:
    two = replace(UNDISTURBED, seconds=8.0, speakers=(0.0, 0.0, 1.0), full_overlap=0.0, laid_over=0.0)
    for settings, filled in ((two, True), (replace(two, **mixture), False)):
        without = Conversations(cast, settings, 0)
        with_them = Conversations(cast, replace(settings, pause_seconds=0.5), 0)
        pairs = [(with_them[number].activity, without[number].activity) for number in range(10)]
        assert any(not np.array_equal(one, other) for one, other in pairs) == filled
        assert all(one.sum() >= other.sum() for one, other in pairs)
        shortest = min(_shortest_pause(one) for one, _ in pairs)
        assert (shortest >= 25) == filled


def _shortest_pause(activity: np.ndarray) -> int:
    """Of one person while nobody else talks, in frames."""
    lengths = [400]
    for column in activity.T:
        on = np.flatnonzero(column)
        pauses = [slice(first + 1, after) for first, after in itertools.pairwise(on) if after - first > 1]
        lengths += [pause.stop - pause.start for pause in pauses if not activity[pause].any()]
    return int(min(lengths))


def test_only_pauses_that_are_short_and_that_nobody_else_talks_in_are_filled() -> None:
    one = np.zeros((100, 2), dtype=bool)
    one[10:20, 0] = one[30:40, 0] = one[51:60, 0] = one[65:90, 0] = True
    one[33:35, 1] = one[61:63, 1] = True
    filled = as_annotated(one, 10)
    assert np.flatnonzero(filled[:, 0]).tolist() == [*range(10, 40), *range(51, 60), *range(65, 90)]
    assert np.array_equal(filled[:, 1], one[:, 1])


def test_recordings_laid_over_each_other_overlap_more_than_conversations(cast: voices.Cast) -> None:
    two = replace(UNDISTURBED, seconds=8.0, speakers=(0.0, 0.0, 1.0), full_overlap=0.0, pause_seconds=0.0)
    overlap = {}
    for share in (0.0, 1.0):
        made = Conversations(cast, replace(two, laid_over=share), 0)
        both = [made[number].activity.sum(axis=1) > 1 for number in range(20)]
        overlap[share] = float(np.mean(both))
    assert overlap[1.0] > 0.3 > overlap[0.0] > 0


def test_in_conversation_loudness_differs_from_sentence_to_sentence_and_some_think_before_they_go_on(cast: voices.Cast) -> None:
    steady, _ = cast.speak(0, 1000, np.random.default_rng(0))
    lively, talking = cast.speak(0, 1000, np.random.default_rng(0), voices.Manner(hesitates=1.0, level_db=3.0))
    assert _spread(steady) < 1.5 < _spread(lively)
    gaps = np.diff(np.flatnonzero(talking))
    assert max(gaps) > 15


def _spread(samples: np.ndarray) -> float:
    """Of the loudness of the seconds in which somebody speaks, in dB."""
    level = np.sqrt(np.mean(samples.reshape(-1, config.RATE // 4) ** 2, axis=1))
    return float(np.std(20 * np.log10(level[level > 0.5 * np.median(level)])))


def test_an_event_is_heard_for_a_moment_and_not_labelled(cast: voices.Cast) -> None:
    quiet = Conversations(cast, UNDISTURBED, 0)
    loud = Conversations(cast, replace(UNDISTURBED, events=1.0), 0)
    shares = []
    for number in range(20):
        assert np.array_equal(quiet[number].activity, loud[number].activity)
        shares.append(np.mean(np.abs(loud[number].samples - quiet[number].samples) > 3e-3))
    assert 0 < np.mean(shares) < 0.75
    assert max(shares) > 0.3


def test_a_bystander_is_heard_faintly_and_not_labelled(cast: voices.Cast) -> None:
    quiet = Conversations(cast, UNDISTURBED, 0)
    faint = Conversations(cast, replace(UNDISTURBED, bystander=1.0), 0)
    for number in range(10):
        assert np.array_equal(quiet[number].activity, faint[number].activity)
        one, other = quiet[number].samples, faint[number].samples
        below = 10 * np.log10(np.mean(one**2) / np.mean((other - one) ** 2))
        assert 20 < below < 42


def test_noise_is_as_loud_as_asked_whatever_its_kind(cast: voices.Cast) -> None:
    for seed in range(30):
        sound = noise.noise(16_000, cast, (), np.random.default_rng(seed))
        assert np.isfinite(sound).all()
        assert np.sqrt(np.mean(sound**2)) == pytest.approx(1.0, rel=1e-3)


def test_recorded_noise_is_read_at_one_loudness_and_mixed_in(tmp_path: Path, cast: voices.Cast) -> None:
    soundfile.write(tmp_path / "a.flac", 0.01 * np.ones(4000), config.RATE)
    soundfile.write(tmp_path / "other_rate.wav", np.ones(400), 8000)
    (one,) = noises(str(tmp_path))
    assert one[0] == pytest.approx(0.08 * 32767, rel=0.01)
    assert noises("") == []
    with_it, without = (noise.noise(16_000, cast, recordings, np.random.default_rng(2)) for recordings in ([one], ()))
    assert not np.array_equal(with_it, without)


def test_convolving_is_the_sum_of_delayed_copies() -> None:
    random = np.random.default_rng(0)
    samples, response = random.standard_normal(500).astype(np.float32), random.standard_normal(90).astype(np.float32)
    assert np.allclose(rooms.convolve(samples, response), np.convolve(samples, response)[:500], atol=1e-4)


def test_people_in_one_room_have_its_reverberation_time(cast: voices.Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[float | None] = []

    def noted(random: np.random.Generator, *, far: bool, seconds: float | None = None) -> np.ndarray:
        heard.append(seconds)
        return rooms.room(random, far=far, seconds=seconds)

    monkeypatch.setattr("wavlm_export.builtin.conversations.room", noted)
    settings = replace(UNDISTURBED, speakers=(0.0, 0.0, 0.0, 1.0), reverberation=1.0)
    apart = Conversations(cast, settings, 3)[0]
    assert heard == [None] * 3
    heard.clear()
    together = Conversations(cast, replace(settings, one_room=1.0), 3)[0]
    assert len(set(heard)) == 1
    assert heard[0] is not None
    assert 0.1 <= heard[0] <= 0.8
    assert np.array_equal(apart.people, together.people)
    assert not np.array_equal(apart.samples, together.samples)


def test_a_telephone_passes_speech_and_stops_the_rest() -> None:
    time = np.arange(16_000) / 16_000
    for hertz, passes in ((100, False), (1000, True), (5000, False)):
        tone = np.sin(2 * np.pi * hertz * time).astype(np.float32)
        assert bool(np.std(rooms.telephone(tone)) > 0.5 * np.std(tone)) is passes


def test_recipes_are_read_and_mistakes_are_named(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text('[training]\nsteps = 7\npeak_rate = 1\n[data]\nunseen = ["a"]\n')
    recipe = config.read(path)
    assert recipe == replace(
        config.Recipe(), training=replace(config.Training(), steps=7, peak_rate=1.0), data=replace(config.Data(), unseen=("a",))
    )
    for tables, message in (
        ({"trainin": {}}, "trainin"),
        ({"training": {"step": 7}}, "step"),
        ({"training": {"steps": "7"}}, "int"),
        ({"training": 7}, "not a table"),
    ):
        with pytest.raises(OptionError, match=message):
            config.from_tables(tables)
    path.write_text("[training")
    with pytest.raises(OptionError, match="TOML"):
        config.read(path)
    with pytest.raises(OptionError, match="cannot be read"):
        config.read(tmp_path / "none.toml")


def test_the_packs_index_says_who_labelled_it(data: config.Data) -> None:
    assert json.loads((Path(data.packed) / voices.INDEX).read_text())["teacher"] == ""
