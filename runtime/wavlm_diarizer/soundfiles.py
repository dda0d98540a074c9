"""Files that libsndfile reads in, float32 blocks out, and what each kind of file promises about its own length."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, BinaryIO

from wavlm_diarizer.errors import AudioFormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

SMALL_READ = 4096
"""Frames per read of a compressed file: after an error the rest of that read is lost, and this is at most one FLAC block."""
UNKNOWN_SIZES = frozenset({0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0xFFFFFFFFFFFFFFFF})
"""Data sizes that writers put into a header when they write to a pipe and do not know the length."""
TOLERANCE_SECONDS = 0.1
"""Encoders pad and round; a recording is truncated only if more than this is missing."""


class UnknownFormatError(AudioFormatError):
    """libsndfile does not know the format."""


class SoundFileDecoder:
    """Decodes one file with libsndfile. Raises :class:`UnknownFormatError` if it does not know the format."""

    def __init__(self, file: BinaryIO, label: str, *, owned: bool) -> None:
        import soundfile

        self._library_error = soundfile.LibsndfileError
        self._own = file if owned else None
        self._missing = _missing_share(file)
        self._ended = _ogg_has_end(file)
        self.estimated = _is_mpeg_without_count(file)
        """Whether libsndfile only estimates the length: it reads no further than that."""
        file.seek(0)
        try:
            self._file = _sequential(soundfile)(file)
        except (soundfile.LibsndfileError, TypeError) as error:
            raise UnknownFormatError(f"{label} is not audio in a format that libsndfile knows.") from error
        self.rate: int = self._file.samplerate
        self.channels: int = self._file.channels
        self._promised: int = self._file.frames
        unknown = self._promised <= 0 or self._promised >= 2**62
        self.seconds: float | None = None if unknown else self._promised / self.rate
        self._error: str | None = None

    def blocks(self, frames: int) -> Iterator[NDArray[np.float32]]:
        """Yield blocks of about ``frames`` samples (compressed files: fewer) until the end, or until libsndfile can decode no more."""
        compressed = self._file.format in {"FLAC", "OGG", "MP3", "MPEG"}
        # One size whatever was asked for: an MP3 decoder rounds otherwise in the last bit when it is read in other steps.
        size = SMALL_READ if compressed else frames
        while True:
            try:
                # Read until nothing comes, not until the promised number: the header of an MP3 may only estimate it.
                block = self._file.read(size, dtype="float32", always_2d=True)
            except self._library_error as error:
                self._error = str(error).strip() or "it cannot be decoded any further"
                return
            if not len(block):
                return
            yield block

    def shortfall(self, frames: int) -> str | None:
        """Compare what was decoded with what the file promises."""
        seconds = frames / self.rate
        if self._missing is not None:
            whole = seconds / (1.0 - self._missing) if self._missing < 1.0 else float("inf")
            promise = f"its header promises {whole:.1f} s" if whole < float("inf") else "its header promises samples"
            return f"it ends after {seconds:.1f} s, and {promise}"
        if not self._ended:
            return f"it breaks off after {seconds:.1f} s, without the mark that ends such a stream"
        short = self.seconds is not None and self.seconds - seconds > TOLERANCE_SECONDS
        if short and (self._error is not None or not self.estimated):
            return f"it ends after {seconds:.1f} s, and its header promises {self.seconds:.1f} s"
        if self._error is not None:
            return f"after {seconds:.1f} s it cannot be decoded any further"
        return None

    def close(self) -> None:
        """Close the file if it is ours."""
        self._file.close()
        if self._own is not None:
            self._own.close()


def _sequential(soundfile: Any) -> Any:
    """The class ``SoundFile``, but it never seeks.

    SoundFile seeks to where it already is after every read of a seekable file, and seeking in an MP3 is not exact: with libsndfile 1.2.2
    what was read in blocks had gaps at every block. It also reads no further than the length that it estimated.
    """

    class Sequential(soundfile.SoundFile):  # type: ignore[misc]
        def seekable(self) -> bool:
            return False

    return Sequential


def _missing_share(file: BinaryIO) -> float | None:
    """The share of its sample data that an uncompressed file lacks, by its header; ``None`` if nothing is missing or not to be known.

    libsndfile itself silently takes the file's end for the recording's.
    """
    file.seek(0, 2)
    size = file.tell()
    file.seek(0)
    head = file.read(12)
    if head[:4] in {b"RIFF", b"RF64", b"RIFX"} and head[8:12] == b"WAVE":
        data = _chunk(file, size, ">" if head[:4] == b"RIFX" else "<", b"data")
    elif head[:4] == b"FORM" and head[8:12] in {b"AIFF", b"AIFC"}:
        data = _chunk(file, size, ">", b"SSND")
    elif head[:4] == b".snd":
        offset, declared = struct.unpack(">II", head[4:12])
        data = (offset, declared)
    elif head[:4] == b"riff":
        data = _wave64_data(file, size)
    else:
        return None
    if data is None:
        return None
    start, declared = data
    if declared in UNKNOWN_SIZES or size - start >= declared:
        return None
    return 1.0 - max(0, size - start) / declared


def _chunk(file: BinaryIO, size: int, order: str, wanted: bytes) -> tuple[int, int] | None:
    """Start and declared size of a chunk of a RIFF or IFF file (RF64: the size in its ``ds64`` chunk)."""
    position, large = 12, None
    while position + 8 <= size:
        file.seek(position)
        name, declared = struct.unpack(f"{order}4sI", file.read(8))
        if name == b"ds64" and size >= position + 24:
            large = struct.unpack("<Q", file.read(16)[8:])[0]
        if name == wanted:
            return position + 8, large if large is not None and declared == 0xFFFFFFFF else declared
        position += 8 + declared + declared % 2
    return None


def _wave64_data(file: BinaryIO, size: int) -> tuple[int, int] | None:
    """Start and declared size of the data chunk of a Sony Wave64 file: 16-byte names, 8-byte sizes that count the head, aligned to 8."""
    position = 40
    while position + 24 <= size:
        file.seek(position)
        head = file.read(24)
        declared = struct.unpack("<Q", head[16:])[0]
        if head[:4] == b"data":
            return position + 24, declared - 24
        if declared < 24:
            return None
        position += -(-declared // 8) * 8
    return None


def _ogg_has_end(file: BinaryIO) -> bool:
    """Whether an Ogg file's last page says that it is the last one (RFC 3533, header type 0x04); true for any other kind of file."""
    file.seek(0)
    if file.read(4) != b"OggS":
        return True
    file.seek(0, 2)
    # A page is at most 65,307 bytes long, so the last one begins within this.
    file.seek(max(0, file.tell() - 65_400))
    tail = file.read()
    last = tail.rfind(b"OggS")
    if last < 0 or len(tail) < last + 27:
        return False
    segments = tail[last + 26]
    table = tail[last + 27 : last + 27 + segments]
    whole = len(table) == segments and len(tail) >= last + 27 + segments + sum(table)
    return whole and bool(tail[last + 5] & 0x04)


def _is_mpeg_without_count(file: BinaryIO) -> bool:
    """Whether the file is an MP3 without a frame count (Xing, Info or VBRI header), whose length libsndfile can only estimate."""
    file.seek(0)
    head = file.read(10)
    start = 0
    if head[:3] == b"ID3" and len(head) == 10:
        # The tag's size: four bytes of seven bits each.
        start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    elif not (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0):
        return False
    file.seek(start)
    frame = file.read(4096)
    return not any(mark in frame for mark in (b"Xing", b"Info", b"VBRI"))
