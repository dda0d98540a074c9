from __future__ import annotations

import io
import os
import struct
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from wavlm_diarizer.audio import AudioStream, open_audio
from wavlm_diarizer.errors import AudioAccessError, AudioContentError, AudioError, AudioFormatError, AudioNotFoundError, OptionError

RATE = 16_000


def tone(seconds: float, rate: int = RATE, channels: int = 1) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    return np.stack([0.3 * np.sin(2 * np.pi * (220 + 110 * index) * time) for index in range(channels)], axis=1)


def encoded(samples: np.ndarray, rate: int = RATE, form: str = "WAV", subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form, subtype=subtype)
    return file.getvalue()


def read(stream: AudioStream) -> np.ndarray:
    with stream:
        blocks = list(stream.blocks())
    return np.concatenate(blocks) if blocks else np.zeros((0, 1), dtype=np.float32)


KINDS = [
    ("WAV", "PCM_U8", 0.02),
    ("WAV", "PCM_16", 1e-4),
    ("WAV", "PCM_24", 1e-6),
    ("WAV", "PCM_32", 1e-6),
    ("WAV", "FLOAT", 1e-6),
    ("WAV", "DOUBLE", 1e-6),
    ("WAV", "ULAW", 0.02),
    ("FLAC", "PCM_16", 1e-4),
    ("FLAC", "PCM_S8", 0.02),
    ("AIFF", "PCM_16", 1e-4),
    ("AU", "PCM_16", 1e-4),
    ("W64", "PCM_16", 1e-4),
    ("RF64", "PCM_16", 1e-4),
    ("CAF", "PCM_16", 1e-4),
    ("OGG", "VORBIS", 0.05),
    ("OGG", "OPUS", 0.05),
    ("MP3", "MPEG_LAYER_III", 0.05),
]


@pytest.mark.parametrize(("form", "subtype", "tolerance"), KINDS)
def test_every_kind_of_file_gives_its_samples(tmp_path: Path, form: str, subtype: str, tolerance: float) -> None:
    path = tmp_path / f"tone.{form.lower()}"
    path.write_bytes(encoded(tone(2.0), form=form, subtype=subtype))
    stream = open_audio(path)
    samples = read(stream)
    assert (stream.name, stream.channels, stream.source_rate, stream.complete, stream.warnings) == ("tone", 1, RATE, True, [])
    assert stream.seconds_hint == pytest.approx(2.0, abs=0.1)
    assert samples.dtype == np.float32
    assert len(samples) == pytest.approx(2 * RATE, abs=0 if form not in {"OGG", "MP3"} else 1200)
    middle = slice(RATE // 2, RATE)
    assert samples[middle] == pytest.approx(tone(2.0)[middle], abs=tolerance)


@pytest.mark.parametrize("give", ["path", "string", "bytes", "file", "memory"])
def test_every_kind_of_source_gives_the_same_samples(tmp_path: Path, give: str) -> None:
    data = encoded(tone(0.5))
    path = tmp_path / "käse und wein.wav"
    path.write_bytes(data)
    with path.open("rb") as file:
        source = {"path": path, "string": str(path), "bytes": data, "file": file, "memory": io.BytesIO(data)}[give]
        stream = open_audio(source)
        samples = read(stream)
        assert not file.closed
    assert np.array_equal(samples, read(open_audio(data)))
    assert stream.name == ("audio" if give in {"bytes", "memory"} else "käse und wein")


@pytest.mark.parametrize("rate", [4000, 8000, 11_025, 22_050, 44_100, 48_000, 96_000, 384_000])
def test_resampling_in_blocks_is_resampling_at_once(rate: int) -> None:
    samples = tone(1.2345, rate).astype(np.float32)
    streamed = read(open_audio((samples, rate), block_seconds=0.1))
    assert len(streamed) == round(len(samples) * RATE / rate)
    assert np.array_equal(streamed[:, 0], soxr.resample(samples[:, 0], rate, RATE))


def test_an_event_keeps_its_time_at_any_rate() -> None:
    for rate in (8000, 44_100, 48_000):
        click = np.zeros(rate * 2)
        click[rate] = 1.0
        assert int(np.argmax(np.abs(read(open_audio((click, rate)))))) == RATE


@given(st.integers(1, 3), st.floats(0.001, 3.0), st.sampled_from([8000, 16_000, 44_100]))
@settings(max_examples=30, deadline=None)
def test_samples_are_the_same_whatever_the_block_size(channels: int, block_seconds: float, rate: int) -> None:
    data = encoded(tone(1.1, rate, channels), rate, "FLAC")
    assert np.array_equal(read(open_audio(data, block_seconds=block_seconds)), read(open_audio(data)))


@pytest.mark.parametrize(("form", "subtype"), [("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS"), ("OGG", "OPUS")])
def test_compressed_files_read_in_blocks_are_those_read_at_once(form: str, subtype: str) -> None:
    data = encoded(np.random.default_rng(1).normal(0, 0.1, RATE * 3), form=form, subtype=subtype)
    whole = soundfile.read(io.BytesIO(data), dtype="float32")[0]
    samples = read(open_audio(data, block_seconds=0.3))
    assert samples[:, 0] == pytest.approx(whole, abs=1e-6)
    assert np.array_equal(samples, read(open_audio(data, block_seconds=0.0123)))


@pytest.mark.parametrize(
    ("dtype", "value", "expected"),
    [
        ("int8", 64, 0.5),
        ("uint8", 192, 0.5),
        ("int16", -16_384, -0.5),
        ("int32", 2**30, 0.5),
        ("uint16", 49_152, 0.5),
        ("float16", 0.5, 0.5),
        ("float64", 1.5, 1.5),
    ],
)
def test_arrays_of_every_type_are_scaled(dtype: str, value: float, expected: float) -> None:
    given_array = np.full(1000, value, dtype=dtype)
    assert read(open_audio((given_array, RATE)))[:, 0] == pytest.approx(np.full(1000, expected), abs=1e-6)
    assert (given_array == np.full(1000, value, dtype=dtype)).all()


def test_channels_are_mixed_down_picked_or_kept() -> None:
    both = np.stack([np.full(800, 0.5), np.full(800, -0.1)], axis=1)
    assert read(open_audio((both, RATE))) == pytest.approx(np.full((800, 1), 0.2))
    assert read(open_audio((both, RATE), channel=2)) == pytest.approx(np.full((800, 1), -0.1))
    assert read(open_audio((both, RATE), per_channel=True)) == pytest.approx(both)
    assert read(open_audio((both, 8000), per_channel=True)).shape == (1600, 2)


def test_thirty_two_channels_are_mixed_down() -> None:
    samples = np.tile(np.linspace(-0.5, 0.5, 32), (1000, 1))
    data = encoded(samples, subtype="FLOAT")
    assert read(open_audio(data)) == pytest.approx(np.zeros((1000, 1)), abs=1e-6)
    assert read(open_audio(data, channel=32)) == pytest.approx(np.full((1000, 1), 0.5), abs=1e-6)


@pytest.mark.parametrize("channel", [0, 3, -1])
def test_a_channel_that_is_not_there_is_refused(channel: int) -> None:
    with pytest.raises(OptionError, match="channels 1 to 2"):
        open_audio((np.zeros((100, 2)), RATE), channel=channel)
    with pytest.raises(OptionError, match="not both"):
        open_audio((np.zeros((100, 2)), RATE), channel=1, per_channel=True)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused_with_their_time(bad: float) -> None:
    samples = np.zeros((RATE * 3, 2), dtype=np.float32)
    samples[RATE * 2, 1] = bad
    with pytest.raises(AudioContentError, match=r"not a finite number .* at 2\.000 s"):
        read(open_audio(encoded(samples, subtype="FLOAT"), block_seconds=0.3))
    assert len(read(open_audio((samples, RATE), channel=1))) == len(samples)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ((np.zeros(5), 0), "sample rate"),
        ((np.zeros(5), 16_000.5), "sample rate"),
        ((np.zeros(5), True), "sample rate"),
        ((np.zeros(5), 10**9), "sample rate"),
        ((np.zeros((2, 3, 4)), RATE), "shape"),
        ((np.zeros((5, 0)), RATE), "shape"),
        ((np.zeros((2, 160_000)), RATE), "transpose"),
        ((np.zeros(5, dtype=complex), RATE), "complex"),
        ((np.zeros(5, dtype=bool), RATE), "bool"),
        ((np.array(["a"]), RATE), "floats"),
        ((RATE, np.zeros(5)), "in this order"),
        ((np.zeros(5),), "tuple of 1"),
    ],
)
def test_arrays_that_make_no_sense_are_refused(source: tuple[object, ...], reason: str) -> None:
    with pytest.raises(AudioContentError, match=reason):
        open_audio(source)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "content", [b"not audio at all, just a line of text\n" * 50, bytes(1000), b"\x00", b"RIFF\x10\x00\x00\x00WAVE", b"%PDF-1.7 ..."]
)
def test_what_is_not_audio_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "letter.wav"
    path.write_bytes(content)
    with pytest.raises(AudioFormatError, match=r"letter\.wav") as error:
        read(open_audio(path))
    assert "\n" not in str(error.value)


def test_an_empty_file_is_named_and_a_recording_without_samples_is_empty(tmp_path: Path) -> None:
    (tmp_path / "nothing.wav").write_bytes(b"")
    with pytest.raises(AudioFormatError, match=r"nothing\.wav is empty"):
        open_audio(tmp_path / "nothing.wav")
    assert len(read(open_audio(encoded(np.zeros((0, 1)))))) == 0
    assert len(read(open_audio((np.zeros(0), RATE)))) == 0


def test_paths_that_cannot_be_read_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AudioNotFoundError, match="There is no file"):
        open_audio(tmp_path / "missing.wav")
    with pytest.raises(AudioNotFoundError, match="is a folder"):
        open_audio(tmp_path)
    (tmp_path / "link.wav").symlink_to(tmp_path / "gone.wav")
    with pytest.raises(FileNotFoundError):
        open_audio(tmp_path / "link.wav")

    def refuse(*_arguments: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "secret.wav").write_bytes(b"RIFF")
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(AudioAccessError, match="no permission"):
        open_audio(tmp_path / "secret.wav")


def test_objects_that_are_no_recordings_are_refused() -> None:
    with pytest.raises(AudioFormatError, match="not int"):
        open_audio(7)  # type: ignore[arg-type]
    with pytest.raises(AudioFormatError, match="text, not bytes"):
        open_audio(io.StringIO("RIFF"))  # type: ignore[arg-type]


class Pipe(io.RawIOBase):
    """A source that can be read once and cannot seek."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:
        chunk = self._data.read(min(len(buffer), 1000))
        buffer[: len(chunk)] = chunk
        return len(chunk)


def test_a_pipe_is_read_through_a_temporary_copy_that_is_gone_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    copies = []
    make = tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: copies.append(make()) or copies[-1])
    data = encoded(tone(1.0))
    assert np.array_equal(read(open_audio(Pipe(data))), read(open_audio(data)))  # type: ignore[arg-type]
    assert [copy.closed for copy in copies] == [True]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_real_pipe_is_read() -> None:
    data = encoded(tone(0.2))
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        assert np.array_equal(read(open_audio(file)), read(open_audio(data)))


def test_a_file_object_is_read_from_where_it_stands() -> None:
    file = io.BytesIO(b"a header of someone's own" + encoded(tone(0.3)))
    file.seek(25)
    assert len(read(open_audio(file))) == round(0.3 * RATE)


@pytest.mark.parametrize("keep", [0.9, 0.5, 0.2])
@pytest.mark.parametrize(("form", "subtype"), [(form, subtype) for form, subtype, _ in KINDS if form != "CAF"])
def test_a_truncated_file_gives_what_decodes_and_says_so(form: str, subtype: str, keep: float) -> None:
    whole = encoded(np.random.default_rng(0).normal(0, 0.1, (RATE * 8, 1)), form=form, subtype=subtype)
    stream = open_audio(whole[: int(len(whole) * keep)])
    samples = read(stream)
    # A compressed file loses the block or page in which it breaks off, an Ogg page up to a second.
    assert 8 * RATE * keep - 1.3 * RATE <= len(samples) <= 8 * RATE * keep * 1.05
    assert not stream.complete
    assert len(stream.warnings) == 1
    assert "truncated" in stream.warnings[0]


def test_a_file_of_which_nothing_decodes_is_an_error() -> None:
    whole = encoded(tone(8.0), form="FLAC")
    with pytest.raises(AudioFormatError, match="Nothing of"):
        read(open_audio(whole[:300]))


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF])
def test_a_wave_file_written_to_a_pipe_is_not_truncated(size: int) -> None:
    data = bytearray(encoded(tone(1.0)))
    at = data.index(b"data") + 4
    data[4:8] = struct.pack("<I", size or 36)
    data[at : at + 4] = struct.pack("<I", size)
    stream = open_audio(bytes(data))
    samples = read(stream)
    assert stream.complete
    assert len(samples) == (RATE if size else 0)


def test_bytes_after_the_samples_are_no_harm() -> None:
    stream = open_audio(encoded(tone(1.0)) + b"LIST\x04\x00\x00\x00abcd")
    assert (len(read(stream)), stream.complete) == (RATE, True)


def mp3_without_count() -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(0).normal(0, 0.1, RATE * 4)
    soundfile.write(file, noise, RATE, format="MP3", bitrate_mode="CONSTANT", compression_level=0.5)
    data = file.getvalue()
    mark = next(mark for mark in (b"Xing", b"Info") if mark in data[:4096])
    return data.replace(mark, bytes(4), 1)


def test_an_mp3_without_a_frame_count_is_read_whole_where_ffmpeg_is() -> None:
    pytest.importorskip("av")
    stream = open_audio(mp3_without_count())
    assert len(read(stream)) == pytest.approx(4 * RATE, abs=3000)
    assert (stream.complete, stream.warnings) == (True, [])


def test_an_mp3_without_a_frame_count_warns_where_ffmpeg_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wavlm_diarizer.media", None)
    stream = open_audio(mp3_without_count())
    assert len(read(stream)) > RATE
    assert stream.complete
    assert "its end may be missing" in stream.warnings[0]


def test_without_the_media_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wavlm_diarizer.media", None)
    with pytest.raises(AudioFormatError, match=r"wavlm-diarizer\[media\]"):
        open_audio(b"\x00\x00\x00\x20ftypM4A " + bytes(100))


def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "long.wav"
    peaks = []
    for minutes in (1, 4):
        soundfile.write(path, np.zeros(minutes * 60 * 48_000, dtype=np.int16), 48_000)
        tracemalloc.start()
        with open_audio(path, block_seconds=1.0) as stream:
            assert sum(len(block) for block in stream.blocks()) == minutes * 60 * RATE
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.2 + 100_000


def test_closing_early_leaves_nothing_open(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    path.write_bytes(encoded(tone(3.0)))
    with open_audio(path, block_seconds=0.1) as stream:
        assert len(next(stream.blocks()))
    path.unlink()
    assert issubclass(AudioFormatError, AudioError)
