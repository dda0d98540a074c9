"""What simulated recordings promise: turns where the sound is, the wanted overlap, the same bytes for a seed, and any length."""

from __future__ import annotations

import itertools
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recordings import sound, turns
from simulation import channel, clips, degrade, rooms, scene, simulate, talk

RATE = sound.RATE
ROOM = rooms.Room((5.0, 4.0, 3.0), 0.4, (2.5, 2.0, 0.8))


def clip(seconds: float, hertz: float) -> np.ndarray:
    """Speech's stand-in: a swelling tone, its loudest and softest 15 dB apart, with a little silence at either end."""
    time = np.arange(round(seconds * RATE)) / RATE
    tone = 0.3 * np.sin(2 * np.pi * hertz * time) * (0.6 + 0.4 * np.cos(2 * np.pi * 4 * time))
    return np.concatenate([np.zeros(RATE // 10), tone, np.zeros(RATE // 10)]).astype(np.float32)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight voices, each a tone of its own."""
    random = np.random.default_rng(5)
    folder = tmp_path_factory.mktemp("single")
    for voice in range(8):
        for index in range(8):
            sound.write(folder / f"voice{voice}" / f"{index}.flac", clip(random.uniform(0.7, 3.0), 200 * (voice + 1)))
    return folder


def conversation(people: int, habits: talk.TurnTaking, seed: int = 0) -> talk.Conversation:
    """A conversation of tones that needs no file."""
    made = {Path(f"{seconds}"): clip(seconds, 300) for seconds in (0.7, 1.2, 2.0, 3.1)}
    random = np.random.default_rng(seed)
    voices = [clips.Voice(str(one), list(made), random.spawn(1)[0], made.__getitem__) for one in range(people)]
    return talk.Conversation(voices, habits, random)


def spans_of(spoken: list[talk.Utterance]) -> list[tuple[int, int, int]]:
    return scene.joined([(*span, one.person) for one in spoken for span in one.spans()], 10**12)


def many(people: int, habits: talk.TurnTaking, count: int = 1500) -> list[talk.Utterance]:
    return list(itertools.islice(conversation(people, habits), count))


@pytest.mark.parametrize("wanted", [0.05, 0.1, 0.2])
def test_a_meeting_has_the_wanted_share_of_overlap(wanted: float) -> None:
    assert scene.overlap(spans_of(many(4, talk.TurnTaking(overlap=wanted)))) == pytest.approx(wanted, abs=0.02)


def test_without_overlap_nobody_speaks_while_another_does() -> None:
    assert scene.overlap(spans_of(many(3, talk.TurnTaking(overlap=0.0)))) == 0


def test_utterances_come_in_order_of_time_and_nobody_speaks_twice_at_once() -> None:
    spoken = many(5, talk.TurnTaking(overlap=0.3))
    assert all(before.start <= after.start for before, after in itertools.pairwise(spoken))
    for person in range(5):
        own = sorted(span for one in spoken if one.person == person for span in one.spans())
        assert all(before[1] <= after[0] for before, after in itertools.pairwise(own))


def test_everybody_has_a_part_in_a_meeting_but_not_the_same() -> None:
    spoken = many(8, talk.TurnTaking())
    speech = [sum(stop - first for one in spoken if one.person == person for first, stop in one.spans()) for person in range(8)]
    assert min(speech) > 0.01 * sum(speech)
    assert max(speech) > 1.5 * min(speech)


def test_who_is_away_takes_no_turn() -> None:
    made = {Path("a"): clip(1.0, 300)}
    random = np.random.default_rng(1)
    voices = [clips.Voice(str(one), list(made), random.spawn(1)[0], made.__getitem__) for one in range(3)]
    away = {1: (60 * RATE, 400 * RATE)}
    spoken = list(itertools.islice(talk.Conversation(voices, talk.TurnTaking(), random, away), 800))
    # A turn that began before lasts on.
    assert not [one for one in spoken if one.person == 1 and 80 * RATE < one.start < 400 * RATE]
    assert [one for one in spoken if one.person == 1 and one.start > 400 * RATE]


def test_a_long_clip_is_cut_in_its_pauses_and_loses_no_speech() -> None:
    parts = [clip(5.0, 300), np.zeros(RATE // 2, np.float32)] * 5
    found = clips.pieces(np.concatenate(parts))
    assert len(found) == 3
    assert sum(stop - first for piece in found for first, stop in piece.spans) == pytest.approx(5 * 5 * RATE, rel=0.01)
    assert all(len(piece.samples) <= (clips.LONGEST_SECONDS + 0.2) * RATE for piece in found)
    assert clips.pieces(np.zeros(RATE, np.float32)) == []


def test_the_noise_of_a_noisy_clip_is_not_speech() -> None:
    noise = np.random.default_rng(0).normal(0, 0.02, 4 * RATE).astype(np.float32)
    noise[RATE : 3 * RATE] += clip(2.0, 300)[RATE // 10 : -RATE // 10]
    (piece,) = clips.pieces(noise)
    assert sum(stop - first for first, stop in piece.spans) == pytest.approx(2 * RATE, rel=0.03)


def test_all_voices_are_equally_loud_at_0_db() -> None:
    for gain in (0.01, 1.0):
        (piece,) = clips.pieces(np.float32(gain) * clip(2.0, 300))
        first, stop = piece.spans[0]
        assert np.sqrt(np.mean(piece.samples[first:stop] ** 2)) == pytest.approx(clips.LOUDNESS, rel=0.1)


def test_every_clip_is_heard_once_before_any_comes_again() -> None:
    made = {Path(str(index)): clip(1.0 + index / 10, 300) for index in range(6)}
    voice = clips.Voice("a", list(made), np.random.default_rng(0), made.__getitem__)
    for _ in range(2):
        assert len({len(voice.next().samples) for _ in made}) == len(made)


def test_a_voice_without_speech_is_named() -> None:
    voice = clips.Voice("mute", [Path("a")], np.random.default_rng(0), lambda _: np.zeros(RATE, np.float32))
    with pytest.raises(ValueError, match="mute"):
        voice.next()


def test_the_direct_sound_of_a_room_comes_first_and_its_tail_decays_as_the_reverberation_time_says() -> None:
    response = ROOM.response(np.array([4.0, 1.0, 1.4])).astype(np.float64)
    assert np.argmax(np.abs(response)) == 0
    assert np.sum(response**2) == pytest.approx(1)
    left = 10 * np.log10(np.cumsum(response[::-1] ** 2)[::-1])
    at = [int(np.argmax(left < decibels)) / RATE for decibels in (-5, -25)]
    # Schroeder's integral: three times the time from -5 to -25 dB.
    assert 3 * (at[1] - at[0]) == pytest.approx(ROOM.reverberation, rel=0.35)


def test_a_channel_keeps_times_and_lengths_whatever_the_blocks() -> None:
    pulse = np.zeros(RATE, np.float32)
    pulse[5000] = 1
    whole, parts = (np.concatenate(list(channel.Channel()(blocks))) for blocks in ([pulse], [pulse[:700], pulse[700:701], pulse[701:]]))
    assert len(whole) == len(parts) == RATE
    assert np.argmax(whole) == 5000
    assert np.allclose(whole, parts, atol=1e-6)


@pytest.mark.parametrize(("made", "inside", "outside"), [(channel.Channel(), 3000, 5000), (channel.Channel(telephone=True), 1000, 100)])
def test_a_channel_passes_its_band_alone(made: channel.Channel, inside: float, outside: float) -> None:
    time = np.arange(RATE) / RATE
    levels = []
    for hertz in (inside, outside):
        heard = np.concatenate(list(made([(0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)])))
        levels.append(float(np.sqrt(np.mean(heard[2000:-2000] ** 2))))
    assert levels[0] == pytest.approx(0.5 / np.sqrt(2), rel=0.1)
    assert levels[1] < 0.03 * levels[0]


def test_steady_noise_has_power_1_and_falls_as_it_is_told() -> None:
    noise = np.concatenate(list(itertools.islice(channel.steady(np.random.default_rng(0), 6.0), 20)))
    assert np.sqrt(np.mean(noise**2)) == pytest.approx(1, rel=0.05)
    power = np.abs(np.fft.rfft(noise)) ** 2
    hertz = np.fft.rfftfreq(len(noise), 1 / RATE)
    bands = [10 * np.log10(power[(hertz > low) & (hertz < 1.2 * low)].mean()) for low in (500, 1000, 2000)]
    assert bands[0] - bands[1] == pytest.approx(6, abs=1)
    assert bands[1] - bands[2] == pytest.approx(6, abs=1)


def test_the_sum_of_sounds_does_not_depend_on_how_it_is_cut() -> None:
    random = np.random.default_rng(2)
    sounds = [(start, random.standard_normal(700).astype(np.float32)) for start in (100, 100, 350, 2000, 2100)]
    expected = np.zeros(5000, np.float32)
    for start, samples in sounds:
        expected[start : start + len(samples)] += samples
    blocks = list(scene.even(scene.summed(iter(sounds)), 5000))
    assert np.allclose(np.concatenate(blocks), expected)


def made(out: Path, single: Path, *more: str) -> Path:
    words = ["--voices", str(single), "--seconds", "20", "20", "--count", "1", *more]
    assert simulate.main(["meetings", str(out), *words]) == 0
    return out


def test_a_seed_gives_the_same_bytes_and_another_seed_others(single: Path, tmp_path: Path) -> None:
    hard = ("--speakers", "3", "--snr", "5", "10", "--reverberation", "0.2", "0.3", "--telephone")
    first, again, other = (made(tmp_path / name, single, *hard, "--seed", seed) for name, seed in (("a", "7"), ("b", "7"), ("c", "8")))
    for name in ("meeting3_00.flac", "meeting3_00.rttm", "SOURCES.tsv"):
        assert (first / name).read_bytes() == (again / name).read_bytes()
    assert (first / "meeting3_00.flac").read_bytes() != (other / "meeting3_00.flac").read_bytes()


def test_a_noisy_set_holds_the_conversations_of_the_clean_one(single: Path, tmp_path: Path) -> None:
    clean, noisy = made(tmp_path / "clean", single), made(tmp_path / "noisy", single, "--snr", "0", "0")
    assert (clean / "meeting2_00.rttm").read_bytes() == (noisy / "meeting2_00.rttm").read_bytes()
    quiet, loud = (soundfile.read(folder / "meeting2_00.flac")[0] for folder in (clean, noisy))
    noise = loud - quiet
    level = clips.LOUDNESS * 10 ** (scene.Surroundings.base_db / 20)
    # The channel takes what is above 4 kHz out of the noise.
    assert 0.5 * level < np.sqrt(np.mean(noise**2)) < 1.3 * level


@pytest.mark.parametrize("more", [(), ("--reverberation", "0.2", "0.2")])
def test_the_turns_are_where_the_sound_is(single: Path, tmp_path: Path, more: tuple[str, ...]) -> None:
    folder = made(tmp_path, single, "--speakers", "3", *more)
    samples, rate = soundfile.read(folder / "meeting3_00.flac")
    assert (rate, len(samples)) == (RATE, 20 * RATE)
    (spoken,) = turns.from_rttm((folder / "meeting3_00.rttm").read_text()).values()
    on = np.zeros(2000, dtype=bool)
    for start, end, _ in spoken:
        assert 0 <= start < end <= 20
        assert start * 100 == pytest.approx(round(start * 100), abs=1e-6)
        on[round(start * 100) : round(end * 100)] = True
    level = np.sqrt((samples.reshape(-1, RATE // 100) ** 2).mean(axis=1))
    # Short pauses count as speech.
    assert (level[on] > 0.003).mean() > 0.93
    # In a room every word has a tail.
    assert np.median(level[~on]) < 0.003


def test_ten_times_the_length_takes_no_more_memory(single: Path, tmp_path: Path) -> None:
    folders = clips.folders(single)
    made = scene.Scene(3, 60.0)
    scene.write(tmp_path, "warm", made, folders, list(folders), [1], clips.read)
    peaks = []
    for seconds in (60.0, 600.0):
        tracemalloc.start()
        scene.write(tmp_path, "long", scene.Scene(3, seconds), folders, list(folders), [1], clips.read)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # Ten minutes are 38 MB of samples.
    assert peaks[1] < peaks[0] + 2e6


def test_a_recording_that_was_interrupted_leaves_nothing(tmp_path: Path) -> None:
    def blocks():
        yield np.zeros(1000, np.float32)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scene.write_flac(tmp_path / "a.flac", blocks())
    assert list(tmp_path.iterdir()) == []


def test_degraded_recordings_keep_their_turns_and_have_the_noise_that_was_asked_for(single: Path, tmp_path: Path) -> None:
    clean = made(tmp_path / "clean", single)
    around = scene.Surroundings(snr_db=(10.0, 10.0), channel=channel.Channel(8000.0), base_db=0.0)
    degrade.degrade(clean, tmp_path / "noisy", around, 3)
    assert (tmp_path / "noisy/meeting2_00.rttm").read_bytes() == (clean / "meeting2_00.rttm").read_bytes()
    before, after = (soundfile.read(folder / "meeting2_00.flac", dtype="float32")[0] for folder in (clean, tmp_path / "noisy"))
    speech = degrade.speech_level(before, (clean / "meeting2_00.rttm").read_text())
    assert 20 * np.log10(speech / np.sqrt(np.mean((after - before) ** 2))) == pytest.approx(10, abs=0.5)


def test_mixtures_talk_at_the_same_time(single: Path, tmp_path: Path) -> None:
    words = ["--voices", str(single), "--seconds", "60", "--count", "1"]
    assert simulate.main(["mixtures", str(tmp_path), *words]) == 0
    (spoken,) = turns.from_rttm((tmp_path / "mixture2_00.rttm").read_text()).values()
    names = sorted({who for _, _, who in spoken})
    share = scene.overlap((round(start * 100), round(end * 100), names.index(who)) for start, end, who in spoken)
    assert 0.25 < share < 0.8


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["meetings", "--speakers", "9"], "needs as many voices, and there are 8"),
        (["meetings", "--only", "nobody"], "no voice nobody"),
        (["meetings", "--only", "unseen"], "there are 0"),
    ],
)
def test_what_cannot_be_made_is_said_in_a_sentence(
    words: list[str], said: str, single: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate.main([words[0], str(tmp_path), "--voices", str(single), *words[1:]]) == 1
    assert said in capsys.readouterr().err
    assert not list(tmp_path.glob("*.flac"))


def test_a_folder_without_recordings_cannot_be_degraded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate.main(["degrade", str(tmp_path / "out"), "--recordings", str(tmp_path)]) == 1
    assert "holds no recordings" in capsys.readouterr().err
