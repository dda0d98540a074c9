"""What UEM files promise: stretches as written, in order, and a clear sentence about a bad line."""

from __future__ import annotations

from pathlib import Path

import pytest

from wavlm_diarizer import uem
from wavlm_diarizer.errors import FormatError, OutputError


def test_stretches_are_read_in_order_and_joined_where_they_touch() -> None:
    text = ";; a comment\nb 1 5 7.5\na 1 30 40\n\na 1 0.000 10.000\na 2 10 12\n"
    assert uem.loads(text) == {"b": ((5.0, 7.5),), "a": ((0.0, 12.0), (30.0, 40.0))}


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    stretches = {"meeting": ((0.0, 30.25), (60.0, 61.001)), "call": ((1.5, 2.0),)}
    uem.save(stretches, tmp_path / "all.uem")
    assert uem.load(tmp_path / "all.uem") == stretches
    assert (tmp_path / "all.uem").read_text() == "meeting 1 0.000 30.250\nmeeting 1 60.000 61.001\ncall 1 1.500 2.000\n"
    assert [path.name for path in tmp_path.iterdir()] == ["all.uem"]


def test_blanks_in_names_are_written_as_rttm_has_them() -> None:
    assert uem.dumps({"my call": [(0, 1)]}) == "my_call 1 0.000 1.000\n"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a 1 0", "4 fields"),
        ("a 1 x 2", "start"),
        ("a 1 2 1", "0 <= start < end"),
        ("a 1 -1 2", "0 <= start < end"),
        ("a z 1 2", "channel"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "bad.uem"
    path.write_text(f"a 1 0 1\n{line}\n")
    with pytest.raises(FormatError, match=reason) as caught:
        uem.load(path)
    assert str(caught.value).startswith(f"{path}: line 2: ")


def test_a_file_that_is_missing_or_no_text_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="There is no file"):
        uem.load(tmp_path / "none.uem")
    (tmp_path / "bytes.uem").write_bytes(b"\xff\xfe\x00\x01\xff")
    with pytest.raises(FormatError, match="not UTF-8"):
        uem.load(tmp_path / "bytes.uem")
    with pytest.raises(FormatError, match="cannot be read"):
        uem.load(tmp_path)
    with pytest.raises(OutputError):
        uem.save({}, tmp_path / "none" / "x.uem")
