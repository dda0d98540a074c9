"""Synthesised voices, worse conditions and trials of voices, with tones instead of speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("torch")

from wavlm_diarizer.diarization import Diarization, Turn
from wavlm_diarizer.errors import OptionError
from wavlm_diarizer.voice_join import WindowAnswer
from wavlm_export.builtin import config, kokoro, noise_recordings, synthesis, trials, voices
from wavlm_export.builtin.conditions import CONDITIONS, worsened
from wavlm_export.builtin.prepare import prepare
from wavlm_export.builtin.sentences import PARTS, sentence


def speaker(name: str, hertz: float, said: list[str]) -> synthesis.Speaker:
    def say(text: str, random: np.random.Generator) -> np.ndarray:
        said.append(f"{name}: {text}")
        return np.sin(np.arange(config.RATE) * hertz * random.uniform(0.9, 1.1)).astype(np.float32)

    return synthesis.Speaker(name, "package", "MIT", "en", say)


def test_every_synthesiser_gets_its_clips_once_and_its_licence_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    cast = [speaker("low", 0.05, said), speaker("high", 0.1, said)]
    monkeypatch.setattr(synthesis, "speakers", lambda _: cast)
    data = config.Data(synthetic=str(tmp_path / "made"), synthetic_seconds=2.5)
    folder = synthesis.voices(data)
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.flac")) == [
        f"{name}/{number:04d}.flac" for name in ("high", "low") for number in range(3)
    ]
    assert len(set(said)) == len(said) == 6
    assert (folder / synthesis.SOURCES).read_text().splitlines() == ["speaker\tpackage\tlicence", "low\tpackage\tMIT", "high\tpackage\tMIT"]
    synthesis.voices(data)
    assert len(said) == 6


def test_synthesised_voices_are_packed_beside_human_ones(tmp_path: Path) -> None:
    for name in ("single/human", "made/machine"):
        (tmp_path / name).mkdir(parents=True)
        soundfile.write(tmp_path / name / "0.flac", 0.1 * np.sin(np.arange(3 * config.RATE) * 0.1), config.RATE)
    data = config.Data(
        single=str(tmp_path / "single"), synthetic=str(tmp_path / "made"), packed=str(tmp_path / "packed"), least_seconds=1.0
    )
    assert [voice.name for voice in voices.load(prepare(data))] == ["human", "machine"]


def test_a_silent_synthesiser_and_none_at_all_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = config.Data(synthetic=str(tmp_path))
    mute = synthesis.Speaker("mute", "package", "MIT", "en", lambda *_: np.zeros(config.RATE, dtype=np.float32))
    monkeypatch.setattr(synthesis, "speakers", lambda _: [mute])
    with pytest.raises(OptionError, match="mute of package says nothing"):
        synthesis.voices(data)
    monkeypatch.setattr(synthesis, "speakers", lambda _: [])
    with pytest.raises(OptionError, match="No speech synthesiser"):
        synthesis.voices(data)
    with pytest.raises(OptionError, match=r"data\.synthetic"):
        synthesis.voices(config.Data())
    with pytest.raises(OptionError, match="fetch Kokoro"):
        kokoro.Kokoro(tmp_path)


@pytest.mark.parametrize("language", [*PARTS, "xx"])
def test_sentences_are_many_and_the_same_each_time(language: str) -> None:
    drawn = {sentence(language, np.random.default_rng(number)) for number in range(50)}
    assert len(drawn) > 45
    assert sentence(language, np.random.default_rng(3)) == sentence(language, np.random.default_rng(3))


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_condition_is_the_same_each_time_and_another_for_another_recording(condition: str) -> None:
    samples = (0.1 * np.sin(np.arange(config.RATE) * 0.1)).astype(np.float32)
    first = worsened(samples, condition, "one")
    assert first.shape == samples.shape
    assert np.abs(first).max() <= 1
    assert np.array_equal(first, worsened(samples, condition, "one"))
    assert any(not np.array_equal(first, worsened(samples, condition, other)) for other in "abcdefgh")
    assert not np.allclose(first, samples, atol=1e-3)


def test_an_unknown_condition_is_named() -> None:
    with pytest.raises(OptionError, match="no condition windy"):
        worsened(np.zeros(100, dtype=np.float32), "windy", "one")


def test_the_equal_error_rate_is_nothing_for_voices_apart_and_half_for_chance() -> None:
    random = np.random.default_rng(0)
    people = np.repeat(np.arange(6), 20)
    apart = np.eye(6)[people] + 0.01 * random.standard_normal((120, 6))
    assert trials.equal_error_rate(apart, people) == pytest.approx(0.0, abs=1e-6)
    assert trials.equal_error_rate(random.standard_normal((120, 6)), people) == pytest.approx(0.5, abs=0.05)


def test_voices_within_a_recording_are_compared_where_they_are_clear() -> None:
    frames = 200
    reference = Diarization(
        [Turn(4.0 * number, 4.0 * number + 4.0, "ab"[number % 2]) for number in range(12)] + [Turn(0.0, 1.0, "b")], name="meeting"
    )
    alone, nobody = np.zeros((frames, 3)), np.zeros(3)
    alone[:, 1] = 0.9
    voice = {"a": np.array([1.0, 0.2, 0.0]), "b": np.array([0.0, 1.0, 0.2])}

    def answers(heard: str, probabilities: np.ndarray = alone) -> list[tuple[int, WindowAnswer]]:
        return [
            (number * frames, WindowAnswer(probabilities, np.stack([nobody, voice[who], nobody]), np.array([0, frames, 0])))
            for number, who in enumerate(heard)
        ]

    assert trials.equal_error_rate_within(answers("ab" * 6), reference) == 0.0
    assert trials.equal_error_rate_within(answers("aabbaa" * 2), reference) > 0.3
    # Windows that share audio with one before do not count, nor does who is hardly ever alone, and few pairs say nothing.
    late = [(first + 50, answer) for first, answer in answers("ba" * 6)]
    assert trials.equal_error_rate_within(sorted(answers("ab" * 6) + late, key=lambda one: one[0]), reference) == 0.0
    both = alone.copy()
    both[40:, 2] = 0.9
    assert trials.equal_error_rate_within(answers("ab" * 6, both), reference) is None
    assert trials.equal_error_rate_within(answers("abababab"), reference) is None
    assert trials.equal_error_rate_within([(0, WindowAnswer(alone))], reference) is None
    assert trials.equal_error_rate_within([], reference) is None
    assert trials.equal_error_rate_within(answers("ab" * 6), Diarization([], name="nobody")) is None


def test_noise_comes_from_packages_without_voices_and_music_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unpacked(package: str, scratch: Path) -> str:
        sounds = scratch / package / "sounds"
        sounds.mkdir(parents=True)
        tone = 0.1 * np.sin(np.arange(8000) * 0.1)
        soundfile.write(sounds / "click.wav", tone, 8000)
        soundfile.write(sounds / "speak-princess.wav", tone, 8000)
        soundfile.write(sounds / "silence.wav", np.zeros(8000), 8000)
        soundfile.write(sounds / "song.wav", np.concatenate([np.full(8000, value / 1000) for value in range(100)]), 8000)
        return "1.0"

    monkeypatch.setattr(noise_recordings, "PACKAGES", {"effects": "CC0"})
    monkeypatch.setattr(noise_recordings, "_unpacked", unpacked)
    folder = noise_recordings.fetch(config.Data(noises=str(tmp_path / "noise")))
    files = sorted(folder.glob("*.flac"))
    assert [path.name for path in files] == [
        "effects_0000_click.flac",
        *(f"effects_{number:04d}_song.flac" for number in (1, 2, 3)),
    ]
    pieces = [soundfile.read(path)[0] for path in files[1:]]
    assert [len(piece) for piece in pieces] == [20 * config.RATE] * 3
    assert [float(np.median(piece)) for piece in pieces] == pytest.approx([0.0165, 0.0495, 0.0835], abs=0.0015)
    assert (folder / "SOURCES.tsv").read_text().splitlines()[1:] == ["effects\t1.0\tCC0\t4"]
