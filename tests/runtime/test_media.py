from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av")

from wavlm_diarizer.audio import open_audio  # noqa: E402
from wavlm_diarizer.errors import AudioFormatError  # noqa: E402
from wavlm_diarizer.media import MediaDecoder  # noqa: E402

RATE = 44_100


def muxed(container: str, codec: str, seconds: float = 4.0, channels: int = 2, options: dict[str, str] | None = None) -> bytes:
    """A tone in a container that soundfile does not read."""
    time = np.arange(round(seconds * RATE)) / RATE
    samples = np.tile(0.3 * np.sin(2 * np.pi * 440 * time), (channels, 1)).astype(np.float32)
    handle, path = tempfile.mkstemp()  # a path, because moving the index to the front reads the file again
    os.close(handle)
    with av.open(path, "w", format=container, options=options or {}) as out:
        stream = out.add_stream(codec, rate=RATE, layout="stereo" if channels == 2 else "mono")
        for start in range(0, samples.shape[1], 1024):
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples[:, start : start + 1024]), format="fltp", layout=stream.layout.name
            )
            frame.sample_rate = RATE
            frame.pts = start
            for packet in stream.encode(frame):
                out.mux(packet)
        for packet in stream.encode(None):
            out.mux(packet)
    data = Path(path).read_bytes()
    Path(path).unlink()
    return data


@pytest.mark.parametrize(("container", "codec"), [("mp4", "aac"), ("matroska", "aac"), ("adts", "aac"), ("mpegts", "aac")])
def test_what_only_ffmpeg_reads_is_decoded(container: str, codec: str) -> None:
    with open_audio(muxed(container, codec)) as stream:
        assert isinstance(stream._decoder, MediaDecoder)
        samples = np.concatenate(list(stream.blocks()))
        assert (stream.channels, stream.source_rate, stream.complete) == (2, RATE, True)
    assert len(samples) == pytest.approx(4 * 16_000, abs=2000)
    assert np.abs(samples[16_000:32_000]).max() == pytest.approx(0.3, abs=0.03)


def test_the_block_size_changes_nothing() -> None:
    data = muxed("mp4", "aac")
    results = []
    for seconds in (0.05, 10.0):
        with open_audio(data, block_seconds=seconds, per_channel=True) as stream:
            results.append(np.concatenate(list(stream.blocks())))
    assert np.array_equal(*results)


def test_a_truncated_container_gives_what_decodes_and_says_so() -> None:
    data = muxed("mp4", "aac", options={"movflags": "faststart"})
    with open_audio(data[: int(len(data) * 0.6)]) as stream:
        samples = np.concatenate(list(stream.blocks()))
        assert not stream.complete
        assert "truncated" in stream.warnings[0]
    assert 16_000 < len(samples) < 3.5 * 16_000


def test_a_container_without_its_index_is_an_error() -> None:
    data = muxed("mp4", "aac")
    with pytest.raises(AudioFormatError, match="beginning or index"):
        open_audio(data[: int(len(data) * 0.6)])


def test_a_film_without_sound_is_an_error() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for packet in stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), dtype=np.uint8), format="rgb24")):
            out.mux(packet)
        for packet in stream.encode(None):
            out.mux(packet)
    with pytest.raises(AudioFormatError, match="no audio track"):
        open_audio(file.getvalue())
