"""Any recording in, blocks ``[n, channels]`` of 16 kHz float32 samples out, in one pass and flat memory.

soundfile reads wav, flac, ogg, opus, mp3 and more; PyAV (extra ``media``) anything else that ffmpeg reads; soxr resamples.
"""

from __future__ import annotations

import io
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, Self

import numpy as np

from wavlm_diarizer.errors import (
    AudioAccessError,
    AudioContentError,
    AudioError,
    AudioFormatError,
    AudioNotFoundError,
    OptionError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from numpy.typing import NDArray

    AudioSource = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | tuple[NDArray[Any], int]

QUALITY = "HQ"
"""soxr's 20-bit quality, its own default: finer than any recording's noise."""
BLOCK_SECONDS = 10.0
HIGHEST_RATE = 10_000_000
"""Rates above this come from damaged headers; the fastest audio converters stay below 1 MHz."""
MOST_CHANNELS = 1024
"""As many as libsndfile reads; an array with more is most likely transposed."""


class Decoder(Protocol):
    """What reads one kind of source: float32 blocks ``[n, channels]`` at the source's own rate."""

    rate: int
    channels: int
    seconds: float | None
    """Duration by the header, ``None`` if unknown."""
    estimated: bool
    """Whether the decoder only estimates where the recording ends."""

    def blocks(self, frames: int) -> Iterator[NDArray[np.float32]]:
        """Yield blocks of at most about ``frames`` samples. Ends where the source ends, or where it can be decoded no further."""

    def shortfall(self, frames: int) -> str | None:
        """After the last block: why ``frames`` decoded samples are not the whole recording, ``None`` if they are."""

    def close(self) -> None:
        """Let go of the source."""


def open_audio(
    source: AudioSource,
    *,
    name: str | None = None,
    channel: int | None = None,
    per_channel: bool = False,
    rate: int = 16_000,
    block_seconds: float = BLOCK_SECONDS,
) -> AudioStream:
    """Open a path, bytes, a binary file object, or ``(samples, rate)`` with samples ``[n]`` or ``[n, channels]``.

    Channels are mixed down (their mean) unless ``channel`` picks one, counted from 1, or ``per_channel`` keeps them all. A file object is
    read from where it stands and left open. What cannot seek is first copied to a temporary file. ``name``: the recording's name, by
    default the file's without its ending.

    Raises :class:`AudioError` subclasses for what cannot be read, :class:`OptionError` for a channel that is not there.
    """
    if channel is not None and per_channel:
        raise OptionError("Give either a channel or per_channel, not both.")
    if block_seconds <= 0:
        raise OptionError(f"block_seconds must be positive, not {block_seconds}.")
    decoder, own, label = _open(source)
    try:
        return AudioStream(decoder, name or own, label, channel=channel, per_channel=per_channel, rate=rate, block_seconds=block_seconds)
    except BaseException:
        decoder.close()
        raise


class AudioStream:
    """One recording, read once from its beginning to its end. A context manager."""

    def __init__(
        self, decoder: Decoder, name: str, label: str, *, channel: int | None, per_channel: bool, rate: int, block_seconds: float
    ) -> None:
        self.name = name
        self.channels = decoder.channels
        """Channels of the source."""
        self.source_rate = decoder.rate
        self.seconds_hint = decoder.seconds
        """Duration by the header, ``None`` if it is not known beforehand."""
        self.warnings: list[str] = []
        """Sentences about what was found while reading."""
        self.complete = True
        """False once the source has turned out to be truncated: known after the last block."""
        if not 1 <= decoder.rate <= HIGHEST_RATE:
            raise AudioContentError(f"{label} states a sample rate of {decoder.rate} Hz, which no recording has.")
        if channel is not None and not 1 <= channel <= decoder.channels:
            has = "one channel" if decoder.channels == 1 else f"channels 1 to {decoder.channels}"
            raise OptionError(f"{label} has {has}, not a channel {channel}.")
        self._decoder = decoder
        self._label = label
        self._channel = channel
        self._per_channel = per_channel
        self._rate = rate
        self._frames = max(1, round(block_seconds * decoder.rate))
        if decoder.estimated:
            self.warnings.append(
                f"{label} is an MP3 without a frame count, so its end may be missing: pip install 'wavlm-diarizer[media]' to read it whole."
            )

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield blocks ``[n, 1]``, or ``[n, channels]`` if every channel is kept. Their concatenation is the same for any block size.

        Raises :class:`AudioContentError` at the first sample that is not a finite number, :class:`AudioFormatError` if nothing decodes.
        """
        read = 0
        resample = _Resampler(self.source_rate, self._rate, self.channels if self._per_channel else 1)
        for block in self._decoder.blocks(self._frames):
            chosen = self._choose(block, read)
            read += len(block)
            if len(out := resample(chosen, last=False)):
                yield out
        reason = self._decoder.shortfall(read)
        if reason is not None:
            if read == 0:
                raise AudioFormatError(f"Nothing of {self._label} can be decoded: {reason}.")
            self.complete = False
            self.warnings.append(f"{self._label} is truncated: {reason}. What could be decoded was diarized.")
        if read and len(out := resample(np.zeros((0, resample.channels), dtype=np.float32), last=True)):
            yield out

    def close(self) -> None:
        """Let go of the source; a file object that was given stays open."""
        self._decoder.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _choose(self, block: NDArray[np.float32], before: int) -> NDArray[np.float32]:
        """The wanted channels of a block ``[n, channels]`` as a contiguous array; ``before`` samples came earlier."""
        if self._channel is not None:
            block = block[:, self._channel - 1 : self._channel]
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            second = (before + int(np.argmin(finite))) / self.source_rate
            raise AudioContentError(f"{self._label} has a sample that is not a finite number (NaN or infinite) at {second:.3f} s.")
        if not self._per_channel and block.shape[1] > 1:
            block = block.mean(axis=1, dtype=np.float64, keepdims=True).astype(np.float32)
        return np.ascontiguousarray(block)


class _Resampler:
    """soxr's stream for ``[n, channels]`` blocks, or nothing at all where the rates are equal."""

    def __init__(self, source: int, target: int, channels: int) -> None:
        self.channels = channels
        self._stream: Any = None
        if source != target:
            import soxr

            self._stream = soxr.ResampleStream(source, target, channels, dtype="float32", quality=QUALITY)

    def __call__(self, block: NDArray[np.float32], *, last: bool) -> NDArray[np.float32]:
        if self._stream is None:
            return block
        out: NDArray[np.float32] = self._stream.resample_chunk(block if self.channels > 1 else block[:, 0], last=last)
        return out.reshape(-1, self.channels)


class _ArrayDecoder:
    """Samples that the caller already has."""

    estimated = False

    def __init__(self, samples: NDArray[Any], rate: int) -> None:
        self._samples = samples[:, None] if samples.ndim == 1 else samples
        self.rate = rate
        self.channels = self._samples.shape[1]
        self.seconds: float | None = len(samples) / rate

    def blocks(self, frames: int) -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(self._samples), frames):
            yield _as_float(self._samples[start : start + frames])

    def shortfall(self, frames: int) -> str | None:  # noqa: ARG002 - an array is never truncated
        return None

    def close(self) -> None:
        """Nothing was opened."""


def _as_float(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Whole numbers scaled to [-1, 1) by their type's range (unsigned ones around its middle), floats as they are."""
    kind = samples.dtype
    if kind.kind == "f":
        return samples.astype(np.float32)
    half = 2.0 ** (8 * kind.itemsize - 1)
    centre = half if kind.kind == "u" else 0.0
    return ((samples.astype(np.float64) - centre) / half).astype(np.float32)


def _open(source: Any) -> tuple[Decoder, str, str]:
    """The decoder for a source, the recording's name, and what errors call it."""
    if isinstance(source, tuple):
        return _array_decoder(source), "audio", "The array"
    if isinstance(source, bytes | bytearray | memoryview):
        label = "The audio in memory"
        return _decoder(io.BytesIO(source), label, owned=True), "audio", label
    if isinstance(source, str | os.PathLike):
        path = Path(source).expanduser()
        return _decoder(_opened(path), str(path), owned=True), path.stem or "audio", str(path)
    if not hasattr(source, "read"):
        raise AudioFormatError(f"A recording is a path, bytes, a binary file object or (samples, rate), not {type(source).__name__}.")
    given = getattr(source, "name", None)
    named = isinstance(given, str) and not given.startswith("<")
    label = given if named and isinstance(given, str) else "standard input" if given == "<stdin>" else "The file object"
    name = Path(label).stem if named else "stdin" if given == "<stdin>" else "audio"
    return _decoder(source, label, owned=False), name, label


def _array_decoder(source: tuple[Any, ...]) -> Decoder:
    """A decoder for ``(samples, rate)``, after all that can be wrong with them was looked at."""
    if len(source) != 2:
        raise AudioContentError(f"An array comes as (samples, rate), not as a tuple of {len(source)}.")
    samples, rate = source
    if not isinstance(samples, np.ndarray) and isinstance(rate, np.ndarray):
        raise AudioContentError("An array comes as (samples, rate), in this order.")
    samples = np.asarray(samples)
    if isinstance(rate, bool) or not isinstance(rate, int | float | np.integer | np.floating) or rate != int(rate) or rate < 1:
        raise AudioContentError(f"The sample rate must be a positive whole number, not {rate!r}.")
    if samples.dtype.kind not in "iuf" or samples.dtype.itemsize > 8:
        raise AudioContentError(f"Samples must be whole numbers or floats, not {samples.dtype}.")
    if samples.ndim not in {1, 2} or (samples.ndim == 2 and samples.shape[1] == 0):
        raise AudioContentError(f"Samples must have the shape (n,) or (n, channels), not {samples.shape}.")
    if samples.ndim == 2 and samples.shape[1] > max(MOST_CHANNELS, len(samples)):
        raise AudioContentError(f"An array of shape {samples.shape} has more channels than samples: transpose it to (n, channels).")
    return _ArrayDecoder(samples, int(rate))


def _opened(path: Path) -> BinaryIO:
    """The opened file, or the error that a user understands."""
    if path.is_dir():
        raise AudioNotFoundError(f"{path} is a folder, not a recording.")
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise AudioNotFoundError(f"There is no file {path}.") from error
    except PermissionError as error:
        raise AudioAccessError(f"You have no permission to read {path}.") from error
    except (OSError, ValueError) as error:
        raise AudioFormatError(f"{path} cannot be opened: {getattr(error, 'strerror', None) or error}.") from error


def _decoder(file: Any, label: str, *, owned: bool) -> Decoder:
    """A decoder for an opened file: soundfile's, else PyAV's. Closes the file with the decoder if it is ``owned``."""
    try:
        seekable = _seekable(file, label)
        if seekable is not file:
            if owned:
                file.close()
            file, owned = seekable, True
        first = file.read(1)
        if isinstance(first, str):
            raise AudioFormatError(f"{label} gives text, not bytes: open it in binary mode.")
        if not first:
            raise AudioFormatError(f"{label} is empty.")
        file.seek(0)
        return _first_that_reads(file, label, owned=owned)
    except AudioError:
        if owned:
            file.close()
        raise


def _first_that_reads(file: Any, label: str, *, owned: bool) -> Decoder:
    """Soundfile's decoder if it knows the format, else PyAV's if that is installed and knows it.

    An MP3 without a frame count goes to PyAV where that is installed, because libsndfile stops at the length that it estimates.
    """
    from wavlm_diarizer.soundfiles import SoundFileDecoder, UnknownFormatError

    decoder: SoundFileDecoder | None
    try:
        decoder = SoundFileDecoder(file, label, owned=owned)
    except UnknownFormatError:
        decoder = None
    if decoder is not None and not decoder.estimated:
        return decoder
    try:
        from wavlm_diarizer.media import MediaDecoder
    except ImportError:
        if decoder is not None:
            return decoder
        raise AudioFormatError(
            f"{label} is not audio in a format that soundfile reads; pip install 'wavlm-diarizer[media]' for all that ffmpeg reads."
        ) from None
    file.seek(0)
    return MediaDecoder(file, label, owned=owned)


def _seekable(file: Any, label: str) -> Any:
    """``file`` itself if it can seek and stands at its beginning, else a temporary copy of what is left in it."""
    try:
        if file.seekable() and file.tell() == 0 and not _is_pipe(file):
            return file
    except (AttributeError, OSError):
        pass  # an object with nothing but read(): it is copied
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - the decoder closes it
    try:
        while chunk := file.read(1 << 20):
            copy.write(chunk)
    except TypeError as error:
        copy.close()
        raise AudioFormatError(f"{label} gives text, not bytes: open it in binary mode.") from error
    except OSError as error:
        copy.close()
        raise AudioFormatError(f"{label} cannot be read: {error.strerror or error}.") from error
    except BaseException:
        copy.close()
        raise
    copy.seek(0)
    return copy


def _is_pipe(file: Any) -> bool:
    """Whether a file is a pipe, which some systems report as seekable."""
    try:
        mode = os.fstat(file.fileno()).st_mode
    except (AttributeError, OSError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode)
