"""Data packed with Rob Northen's ProPack, method 1, in, what was packed out.

A header of 18 bytes, big-endian: ``RNC``, the method, the unpacked and the packed length, the checksums of both, two bytes of no use
here. Then words of 16 bits, little-endian, read from the lowest bit up, and among them bytes that are copied as they are. After two bits
without meaning there are blocks: three codes, for the numbers of bytes to copy from here, of how far back, and of how many from there; the
number of pairs of copies; and the pairs. The last one of a block has only its first half.
"""

from __future__ import annotations

import struct

HEADER = struct.Struct(">3sBIIHHBB")
MAGIC, METHOD = b"RNC", 1


class PackedError(ValueError):
    """Data that ends too early, or that no ProPack has written."""


def is_packed(data: bytes) -> bool:
    """Whether it begins as packed data does."""
    return data[:4] == MAGIC + bytes([METHOD])


def unpacked(data: bytes) -> bytes:
    """The data that was packed. Raises :class:`PackedError` if it is none or is not what its checksum says."""
    if len(data) < HEADER.size or not is_packed(data):
        raise PackedError("This is not packed by ProPack's method 1.")
    _, _, length, _, checksum, _, _, _ = HEADER.unpack_from(data)
    bits, out = _Bits(data, HEADER.size), bytearray()
    bits.take(2)
    while len(out) < length:
        here, back, long = (_Code(bits) for _ in range(3))
        pairs = bits.take(16)
        for last in range(pairs - 1, -1, -1):
            copied = here.read(bits)
            if copied:
                out += bits.raw(copied)
            if last:
                distance = back.read(bits) + 1
                count = long.read(bits) + 2
                if distance > len(out):
                    raise PackedError("Packed data points before its beginning.")
                # What is copied may reach into itself.
                piece = bytes(out[-distance:])[:count]
                out += (piece * (count // len(piece) + 1))[:count]
        if not pairs:
            raise PackedError("Packed data has a block of nothing.")
    if len(out) != length or _checksum(out) != checksum:
        raise PackedError("Packed data is not what its checksum says.")
    return bytes(out)


class _Bits:
    """Words of bits, and bytes that stand between them."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at, self._held, self._count = data, at, 0, 0
        self._fill()

    def _fill(self) -> None:
        """Take one more word; after the end there are zeros, with which no block can begin."""
        word = self._data[self._at : self._at + 2]
        self._held |= int.from_bytes(word, "little") << self._count
        self._at += 2
        self._count += 16

    def peek(self) -> int:
        """The next 16 bits, the first one lowest."""
        return self._held & 0xFFFF

    def take(self, count: int) -> int:
        """The next ``count`` bits, at most 16."""
        value = self._held & ((1 << count) - 1)
        self._held >>= count
        self._count -= count
        if self._count < 16:
            self._fill()
        return value

    def raw(self, count: int) -> bytes:
        """The next ``count`` bytes: they stand where the last word that was taken does, which follows after them."""
        self._at -= 2
        self._count -= 16
        self._held &= (1 << self._count) - 1
        piece = self._data[self._at : self._at + count]
        if len(piece) < count:
            raise PackedError("Packed data ends too early.")
        self._at += count
        self._fill()
        return piece


class _Code:
    """A prefix code of at most 16 numbers of bits, each followed by so many bits less one."""

    def __init__(self, bits: _Bits) -> None:
        lengths = [bits.take(4) for _ in range(bits.take(5))]
        self._entries: list[tuple[int, int, int, int]] = []
        code = 0
        for length in range(1, max(lengths, default=0) + 1):
            for number, own in enumerate(lengths):
                if own == length:
                    mirrored = int(format(code, f"0{length}b")[::-1], 2)
                    self._entries.append((mirrored, (1 << length) - 1, length, number))
                    code += 1
            code <<= 1

    def read(self, bits: _Bits) -> int:
        """The next number."""
        ahead = bits.peek()
        for code, mask, length, number in self._entries:
            if ahead & mask == code:
                bits.take(length)
                return number if number < 2 else 1 << (number - 1) | bits.take(number - 1)
        raise PackedError("Packed data has a code that stands for nothing.")


def _checksum(data: bytes | bytearray) -> int:
    """CRC-16 (polynomial 0xA001, from 0)."""
    value = 0
    for byte in data:
        value = value >> 8 ^ _CRC[(value ^ byte) & 0xFF]
    return value


def _crc_table() -> tuple[int, ...]:
    table = []
    for number in range(256):
        value = number
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
        table.append(value)
    return tuple(table)


_CRC = _crc_table()
