"""Anything that ffmpeg decodes in, float32 blocks out, through PyAV (extra ``media``). Importing this needs ``av``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

import av
import av.error
import numpy as np

from wavlm_diarizer.errors import AudioFormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

TOLERANCE_SECONDS = 0.5
"""Containers state durations with the encoder's padding; only more than this is missing audio."""


class MediaDecoder:
    """Decodes the first audio track of a file with ffmpeg. Raises :class:`AudioFormatError` if there is none or it is not media at all."""

    estimated = False

    def __init__(self, file: BinaryIO, label: str, *, owned: bool) -> None:
        self._own = file if owned else None
        try:
            self._container = av.open(file, mode="r", metadata_errors="ignore")
        except (av.error.FFmpegError, ValueError) as error:
            raise AudioFormatError(f"{label} is not audio that ffmpeg can decode, or it lacks its beginning or index.") from error
        if not self._container.streams.audio:
            self._container.close()
            raise AudioFormatError(f"{label} has no audio track.")
        self._stream = self._container.streams.audio[0]
        context = self._stream.codec_context
        self.rate: int = context.sample_rate or 0
        self.channels: int = context.channels or 0
        if not self.rate or not self.channels:
            self._container.close()
            raise AudioFormatError(f"The audio track of {label} does not say its sample rate and channels.")
        self.seconds: float | None = None
        if self._stream.duration and self._stream.time_base:
            self.seconds = float(self._stream.duration * self._stream.time_base)
        self._broken = False

    def blocks(self, frames: int) -> Iterator[NDArray[np.float32]]:
        """Yield the decoder's own blocks, joined to about ``frames`` samples."""
        layout = self._stream.codec_context.layout
        # One format and rate throughout, even where a stream changes them on the way.
        convert = av.AudioResampler(format="fltp", layout=layout, rate=self.rate)
        waiting: list[NDArray[np.float32]] = []
        count = 0
        for frame in self._frames():
            for converted in convert.resample(frame):
                samples = converted.to_ndarray().T.astype(np.float32, copy=False)
                waiting.append(samples)
                count += len(samples)
            if count >= frames:
                yield np.concatenate(waiting)
                waiting, count = [], 0
        if count:
            yield np.concatenate(waiting)

    def shortfall(self, frames: int) -> str | None:
        """Compare what was decoded with what the container promises."""
        seconds = frames / self.rate
        if self.seconds is not None and self.seconds - seconds > TOLERANCE_SECONDS:
            return f"it ends after {seconds:.1f} s, and its container promises {self.seconds:.1f} s"
        if self._broken:
            return f"parts of it cannot be decoded; {seconds:.1f} s could"
        return None

    def close(self) -> None:
        """Close the container, and the file if it is ours."""
        self._container.close()
        if self._own is not None:
            self._own.close()

    def _frames(self) -> Iterator[Any]:
        """Every decoded frame, then ``None`` to flush; ends early where ffmpeg cannot go on."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except av.error.FFmpegError:
                self._broken = True
                break
            try:
                yield from packet.decode()
            except av.error.FFmpegError:
                # One damaged packet: ffmpeg goes on with the next, and so do we.
                self._broken = True
        yield None
