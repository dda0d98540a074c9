"""Other formants at the same pitch: what makes other people of a voice, or one person who sounds a little different today."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from wavlm_export.builtin import config, vocal_tract, voices

FORMANT, PITCH = 1200.0, 125.0


def vowel(seconds: float = 1.0) -> np.ndarray:
    """Pulses through one resonance, as a voice has several."""
    count = int(seconds * config.RATE)
    pulses = np.zeros(count)
    pulses[:: int(config.RATE / PITCH)] = 1.0
    time = np.arange(800) / config.RATE
    sound = np.convolve(pulses, np.exp(-600 * time) * np.sin(2 * np.pi * FORMANT * time))[:count]
    return (0.2 * sound / np.abs(sound).max()).astype(np.float32)


def harmonics(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The frequencies of the multiples of the pitch below 4 kHz, and how strong each is."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    hertz = PITCH * np.arange(1, 32)
    return hertz, spectrum[np.round(hertz * len(samples) / config.RATE).astype(int)]


@pytest.fixture
def cast() -> voices.Cast:
    every = []
    for number in range(2):
        samples = (32767 * vowel(4.0)).astype(np.int16)
        every.append(voices.Voice(f"voice{number}", samples, np.ones(200, dtype=bool), ((0, 200),)))
    return voices.Cast(every, (1.0, 0.8), (1.0, 0.8, 1.25))


def test_a_tract_of_the_same_length_changes_nothing() -> None:
    for count in (0, 1, 255, 256, 257, 16_000, 16_001):
        samples = vowel()[:count] if count <= 16_000 else vowel(2.0)[:count]
        same = vocal_tract.lengthened(samples, 1.0)
        assert same.dtype == np.float32
        assert same.shape == samples.shape
        np.testing.assert_allclose(same, samples, atol=1e-6)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_a_longer_tract_has_lower_formants_and_the_same_pitch(factor: float) -> None:
    samples = vowel()
    other = vocal_tract.lengthened(samples, factor)
    hertz, before = harmonics(samples)
    _, after = harmonics(other)
    assert hertz[before.argmax()] == pytest.approx(FORMANT, abs=PITCH)
    assert hertz[after.argmax()] == pytest.approx(FORMANT / factor, abs=PITCH)
    # Between the harmonics there is as little as before.
    spectrum = np.abs(np.fft.rfft(other * np.hanning(len(other))))
    between = spectrum[np.round((hertz + PITCH / 2) * len(other) / config.RATE).astype(int)]
    assert between.max() < 0.05 * after.max()


def test_gains_are_applied_besides() -> None:
    samples = vowel()
    gains = np.where(vocal_tract.HERTZ > 2000, 0.01, 1.0)
    hertz, before = harmonics(samples)
    _, after = harmonics(vocal_tract.lengthened(samples, 1.0, gains))
    np.testing.assert_allclose(after[hertz < 1800], before[hertz < 1800], rtol=0.05)
    assert (after[hertz > 2300] < 0.1 * before[hertz > 2300]).all()


def test_every_voice_at_every_speed_with_every_tract_is_a_person(cast: voices.Cast) -> None:
    made = [cast.made(person) for person in range(len(cast))]
    assert len({(voice.name, speed, tract) for voice, speed, tract in made}) == len(cast) == 12
    for person, (_, speed, tract) in enumerate(made):
        samples, _ = cast.speak(person, 150, np.random.default_rng(0))
        assert samples.shape == (150 * config.HOP,)
        spectrum = np.abs(np.fft.rfft(samples[: config.RATE] * np.hanning(config.RATE)))
        assert int(spectrum.argmax()) == pytest.approx(FORMANT * speed / tract, abs=PITCH)


def test_someone_unlike_themselves_has_about_the_same_formants_and_another_colour(cast: voices.Cast) -> None:
    changing = voices.Cast(cast.voices, cast.speeds, cast.tracts, unlike_itself=1.0)
    usual, _ = cast.speak(0, 100, np.random.default_rng(0))
    changed = [changing.speak(0, 100, np.random.default_rng(seed))[0] for seed in range(20)]
    for one in changed:
        hertz, strength = harmonics(one[: config.RATE])
        assert hertz[strength.argmax()] == pytest.approx(FORMANT, abs=2 * PITCH)
    assert all(not np.allclose(one, usual, atol=1e-3) for one in changed)
    assert np.array_equal(changed[3], changing.speak(0, 100, np.random.default_rng(3))[0])
