"""What the page for a terminal promises: everything is on it, nothing runs over its edge, and it says where who speaks."""

import io
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from wavlm_diarizer.diarization import Diarization, Turn
from wavlm_diarizer.timeline import show


def page(result: Diarization, width: int = 80, encoding: str = "utf-8") -> list[str]:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    show(result, file=stream, width=width)
    stream.flush()
    return raw.getvalue().decode(encoding).splitlines()


TWO = Diarization([Turn(0, 5, "A"), Turn(4, 10, "B")], duration=10, name="meeting")


def test_the_page_has_the_list_the_picture_and_the_sums():
    assert page(TWO, 43) == [
        "meeting · 0:10.000 · 2 speakers · 2 turns",
        "",
        "   start       end  seconds  speaker",
        "0:00.000  0:05.000    5.000  A",
        "0:04.000  0:10.000    6.000  B",
        "",
        "A  ████████████████████",
        "B                  ████████████████████████",
        "   ┬───────┬───────┬───────┬───────┬───────",
        "   0:00    0:02    0:04    0:06    0:08",
        "",
        "             seconds   share",
        "A                5.0   50.0%",
        "B                6.0   60.0%",
        "two or more      1.0   10.0%",
        "nobody           0.0    0.0%",
    ]


def test_one_turn_of_one_speaker_is_not_called_turns_of_speakers():
    assert page(Diarization([Turn(0, 1, "A")]))[0] == "audio · 0:01.000 · 1 speaker · 1 turn"


def test_nobody_speaking_is_said():
    assert page(Diarization([], duration=12.34, name="silence")) == ["silence · 0:12.340 · 0 speakers · 0 turns", "", "Nobody speaks."]
    assert page(Diarization([]))[-1] == "Nobody speaks."


def test_every_turn_of_a_long_recording_is_listed_before_the_picture():
    turns = [Turn(7 * index, 7 * index + 5, f"SPEAKER_{index % 3:02d}") for index in range(1000)]
    lines = page(Diarization(turns, duration=7200))
    assert sum(bool(re.match(r"\d:\d\d:\d\d\.\d{3}  \d:\d\d:\d\d\.\d{3} ", line)) for line in lines) == 1000
    assert "1:56:33.000  1:56:38.000    5.000  SPEAKER_00" in lines
    assert any("0:00:00" in line and "1:00:00" in line for line in lines[-10:])


def test_a_turn_is_seen_however_short_it_is():
    lines = page(Diarization([Turn(0, 7199, "A"), Turn(3600.0, 3600.02, "B")], duration=7200), 80)
    (row,) = (line for line in lines if line.startswith("B ") and "░" in line)
    assert row.count("░") == 1
    assert abs(row.index("░") - (3 + 77 // 2)) <= 1


def test_shades_say_how_much_of_a_column_somebody_speaks():
    # 40 s in 40 columns: a second for each.
    turns = [Turn(0, 0.25, "A"), Turn(1, 1.5, "A"), Turn(2, 2.75, "A"), Turn(3, 4, "A"), Turn(5, 5.5, "A"), Turn(5.5, 6, "A")]
    lines = page(Diarization(turns, duration=40), 43)
    assert any(line == "A  ░▒▓█ █" for line in lines)


@given(
    spans=st.lists(st.tuples(st.floats(0, 100), st.floats(0.001, 50), st.integers(0, 11)), max_size=15),
    names=st.lists(st.text(min_size=1, max_size=30).map(lambda name: f"x{name}"), min_size=12, max_size=12),
    scale=st.sampled_from([0.01, 1.0, 90.0, 3600.0]),
    width=st.integers(24, 120),
)
def test_no_line_is_wider_than_the_terminal(spans, names, scale, width):
    result = Diarization([Turn(start * scale, (start + length) * scale, names[who]) for start, length, who in spans], name=names[0])
    assert [line for line in page(result, width) if cell_len(line) > width] == []


def test_a_name_that_does_not_fit_is_cut_with_a_sign():
    lines = page(Diarization([Turn(0, 1, "a name that is far too long for this terminal")]), 40)
    assert "0:00.000  0:01.000    1.000  a name tha…" in lines
    lines = page(Diarization([Turn(0, 1, "田中田中田中田中")]), 40)
    assert "0:00.000  0:01.000    1.000  田中田中田…" in lines


@pytest.mark.parametrize("width", [24, 31, 40, 80, 120])
def test_the_sums_are_whole_however_long_the_names(width):
    lines = page(Diarization([Turn(0, 1, "a name that is far too long for any terminal " * 4), Turn(1, 2, "B")], duration=4), width)
    assert [line[-6:] for line in lines[-4:]] == [" 25.0%", " 25.0%", "  0.0%", " 50.0%"]
    assert max(map(cell_len, lines)) <= width


def test_a_narrow_terminal_shows_who_rather_than_how_long():
    lines = page(Diarization([Turn(0, 1, "SPEAKER_00")]), 31)
    assert "0:00.000  0:01.000  SPEAKER_00" in lines


def test_a_stream_that_takes_only_ascii_gets_ascii():
    lines = page(Diarization([Turn(0, 1, "Zoë"), Turn(1, 1.1, "B")], duration=2), 43, "ascii")
    assert lines[0] == "audio, 0:02.000, 2 speakers, 2 turns"
    assert "Zo?  ###################" in [line.rstrip(".-=") for line in lines]
    assert any(line.lstrip().startswith("+---") for line in lines)


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "latin-1", "utf-16"])
def test_no_encoding_makes_it_fail(encoding):
    assert len(page(Diarization([Turn(0, 1, "田中 ë")]), 60, encoding)) > 8


def test_names_are_text_and_never_markup():
    assert "0:00.000  0:01.000    1.000  [red]A[/red] :smile:" in page(Diarization([Turn(0, 1, "[red]A[/red] :smile:")]))


def test_colours_are_for_terminals_only():
    assert "\x1b" not in "".join(page(TWO))
    stream = io.StringIO()
    show(TWO, console=Console(file=stream, force_terminal=True, width=60, color_system="standard", legacy_windows=False))
    # Every speaker has one colour throughout.
    assert len(re.findall(r"\x1b\[36mA", stream.getvalue())) == 3
    assert len(re.findall(r"\x1b\[33mB", stream.getvalue())) == 3


def test_rich_is_not_loaded_before_something_is_shown():
    code = "import sys, wavlm_diarizer.timeline, wavlm_diarizer.formats; assert not {'rich', 'pyannote', 'onnxruntime'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
