"""Words with their speakers in, speaker-attributed JSON, SRT, WebVTT or text out."""

from __future__ import annotations

import copy
import html
import json
from typing import TYPE_CHECKING, Any

from wavlm_diarizer.errors import OptionError
from wavlm_diarizer.formats.times import clock
from wavlm_diarizer.words import Word, utterances

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NOBODY = "UNKNOWN"
"""What stands for the speaker of words that nobody was found for, where a name has to stand."""
ANY_LENGTH = 10**9


def dumps(words: Sequence[Word], form: str, source: Any = None) -> str:
    """The transcript as text of one form: ``json``, ``srt``, ``vtt`` or ``text``.

    ``source``: the recogniser's JSON that the words were read from; the ``json`` form is a copy of it in which every word, and every
    segment with words, has a ``speaker`` (a segment's is who says most of its words). Without it the words are listed.
    """
    if form not in _FORMS:
        raise OptionError(f"There is no transcript format {form!r}; there are {', '.join(_FORMS)}.")
    return _FORMS[form](words, source)


def _json(words: Sequence[Word], source: Any) -> str:
    """The recogniser's own structure with speakers."""
    if source is None:
        content: Any = {"words": [{"word": word.text, "start": word.start, "end": word.end, "speaker": word.speaker} for word in words]}
    else:
        content = copy.deepcopy(source)
        left = iter(words)
        items = content
        if isinstance(content, dict):
            items = next(content[key] for key in ("segments", "chunks", "word_segments", "words") if content.get(key) is not None)
        for item in items:
            inner = item.get("words")
            if not inner:
                item["speaker"] = next(left).speaker
                continue
            for one in inner:
                one["speaker"] = next(left).speaker
            speakers = [one["speaker"] for one in inner]
            item["speaker"] = max(speakers, key=lambda speaker: (speakers.count(speaker), -speakers.index(speaker)))
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def _srt(words: Sequence[Word], _source: Any) -> str:
    """Subtitles with the speaker before the text."""
    blocks = []
    for number, one in enumerate(utterances(words), start=1):
        start, end = round(one.start * 1000), round(one.end * 1000)
        blocks.append(f"{number}\n{clock(start, ',')} --> {clock(max(end, start + 1), ',')}\n{one.speaker or NOBODY}: {one.text}\n")
    return "\n".join(blocks)


def _vtt(words: Sequence[Word], _source: Any) -> str:
    """Subtitles with a voice tag."""
    blocks = ["WEBVTT\n"]
    for one in utterances(words):
        start, end = round(one.start * 1000), round(one.end * 1000)
        speaker, text = html.escape(one.speaker or NOBODY, quote=False), html.escape(one.text, quote=False)
        blocks.append(f"{clock(start)} --> {clock(max(end, start + 1))}\n<v {speaker}>{text}\n")
    return "\n".join(blocks)


def _text(words: Sequence[Word], _source: Any) -> str:
    """One paragraph for each speaker's stretch."""
    return "".join(
        f"[{clock(round(one.start * 1000))}] {one.speaker or NOBODY}: {one.text}\n" for one in utterances(words, longest=ANY_LENGTH)
    )


_FORMS: dict[str, Callable[[Sequence[Word], Any], str]] = {"json": _json, "srt": _srt, "vtt": _vtt, "text": _text}
