"""What fetching recordings promises: turns as the packages ship them, clips cut to speech, mixtures that a seed repeats exactly."""

from __future__ import annotations

import importlib.util
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recordings import archives, fetch, mixtures, rnc, single, sound, turns
from recordings.packages import AMI, DRASCULA, QUEEN, SEVERAL_VOICES, SKY, UNSEEN, VOICES, Package
from recordings.sky import SKY_VOICES

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


def propack(pairs: list[tuple[bytes, tuple[int, int] | None]], unpacked: bytes) -> bytes:
    """Data packed by ProPack's method 1 as one block: bytes as they are, and after them how far back and how many to copy, or nothing."""
    lengths = [4] * 16  # one code of four bits for each number of bits
    bits, raws = [0, 0], []

    def put(value: int, count: int) -> None:
        bits.extend(value >> place & 1 for place in range(count))

    def number(value: int) -> None:
        kind = value if value < 2 else value.bit_length()
        put(int(format(kind, "04b")[::-1], 2), 4)
        if kind > 1:
            put(value - (1 << (kind - 1)), kind - 1)

    for _ in range(3):
        put(len(lengths), 5)
        for length in lengths:
            put(length, 4)
    put(len(pairs), 16)
    for raw, copied in pairs:
        number(len(raw))
        if raw:
            raws.append((len(bits), raw))
        if copied is not None:
            number(copied[0] - 1)
            number(copied[1] - 2)
    padded = [*bits, *[0] * (-len(bits) % 16 + 16)]
    words = [sum(bit << place for place, bit in enumerate(padded[at : at + 16])).to_bytes(2, "little") for at in range(0, len(padded), 16)]
    body, done = b"", 0
    for at, raw in raws:
        # Whoever reads is one word ahead, and the bytes stand before that word.
        ahead = -(-at // 16)
        body += b"".join(words[done:ahead]) + raw
        done = ahead
    body += b"".join(words[done:])
    checksum = 0
    for byte in unpacked:
        checksum ^= byte
        for _ in range(8):
            checksum = checksum >> 1 ^ (0xA001 if checksum & 1 else 0)
    return rnc.HEADER.pack(b"RNC", 1, len(unpacked), len(body), checksum, 0, 0, 1) + body


def test_what_propack_packed_is_unpacked() -> None:
    text = b"abcabcabcabxyzbx" + b"x" * 39 + b"."
    # A copy may reach into itself; a pair may have no bytes of its own.
    packed = propack([(b"abc", (3, 8)), (b"xyz", (4, 2)), (b"", (1, 39)), (b".", None)], text)
    assert rnc.unpacked(packed) == text
    assert rnc.is_packed(packed)
    assert not rnc.is_packed(text)


@pytest.mark.parametrize("spoiled", ["another", "short", "changed", "before"])
def test_what_is_not_whole_is_not_unpacked(spoiled: str) -> None:
    text = bytes(range(60)) * 2
    packed = propack([(text[:60], (60, 60)), (b"", None)], text)
    assert rnc.unpacked(packed) == text
    data = {
        "another": b"RNC\x02" + packed[4:],
        "short": packed[:60],
        "changed": packed[:-4].replace(bytes([30, 31]), bytes([30, 32])) + packed[-4:],
        "before": propack([(b"ab", (3, 4)), (b"", None)], b"abcdef"),
    }[spoiled]
    with pytest.raises(rnc.PackedError):
        rnc.unpacked(data)


def test_the_lines_of_the_packed_game_are_found_by_its_index(tmp_path: Path) -> None:
    sound = bytes([128, 130, 126, 128] * 10)
    packed = propack([(sound[:4], (4, 36)), (b"", None)], sound)
    line, other = bytes(22) + packed, b"a picture"
    disk = line + bytes(-len(line) % 16)
    second = len(disk)
    disk += line + other
    entries = [
        (50_007, 0, len(line)),
        # In units of 16 bytes.
        (50_008, 1 << 23 | second // 16, len(line)),
        (50_009, second + len(line), len(other) | 1 << 23),
        (61_000, 0, len(line)),
    ]
    table = b"".join(
        number.to_bytes(2, "little") + offset.to_bytes(3, "little") + size.to_bytes(3, "little") for number, offset, size in entries
    )
    (tmp_path / "sky.dnr").write_bytes(len(entries).to_bytes(4, "little") + table)
    (tmp_path / "sky.dsk").write_bytes(disk)
    archives.sky_lines(tmp_path)
    assert {path.name: path.read_bytes() for path in (tmp_path / "lines").iterdir()} == {"50007.u8": sound, "50008.u8": sound}


def test_raw_samples_of_games_are_unsigned_bytes_at_11_khz() -> None:
    wave = np.round(128 + 60 * np.sin(2 * np.pi * 220 * np.arange(11_025) / 11_025)).astype(np.uint8)
    for name in ("lines/50007.u8", "en/VB41.ALS"):
        samples = sound.read(name, wave.tobytes())
        assert len(samples) == sound.RATE
        spectrum = np.abs(np.fft.rfft(samples))
        assert int(spectrum.argmax()) == 220
        assert np.abs(samples).max() == pytest.approx(60 / 128, rel=0.02)


def test_no_line_of_a_game_is_two_peoples() -> None:
    every = [number for numbers in SKY_VOICES for number in numbers]
    assert len(every) == len(set(every))
    assert all(number in archives.SKY_LINES for number in every)
    assert all(len(numbers) > 5 for numbers in SKY_VOICES)
    for inside, name in (
        ("/x/en/12_2.ALS", "drascula_hacker"),
        ("/x/en/B3.ALS", "drascula_b"),
        ("/x/en/VB41.ALS", "drascula_vb"),
        ("/lines/50018.u8", "sky_50007"),
    ):
        assert {single.voice(inside, source) for source in VOICES} == {None, name}


def test_every_package_is_named_at_one_exact_version() -> None:
    versions: dict[str, str] = {}
    for package in (AMI, QUEEN, SKY, DRASCULA, *(source.package for source in VOICES)):
        assert versions.setdefault(package.name, package.version) == package.version
