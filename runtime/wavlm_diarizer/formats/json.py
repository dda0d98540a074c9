"""JSON: everything that is known of a result except the probabilities; its schema is ``diarization.schema.json`` beside this file.

Times are seconds at full precision, so a result that was written and read back is equal to itself. One turn stands on one line.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from wavlm_diarizer.errors import FormatError, OptionError
from wavlm_diarizer.timebase import TimeBase
from wavlm_diarizer.turns import Turn

if TYPE_CHECKING:
    from wavlm_diarizer.diarization import Diarization

KIND = "wavlm-diarizer"
"""The value of ``format``, by which such a document is known."""
VERSION = 1
"""The value of ``version``; it grows when a reader of the version before would misunderstand the document."""


def dumps(diarization: Diarization, *, embeddings: bool = False) -> str:
    """The document of one result; ``embeddings``: with the speakers' voices, which are personal data."""
    time_base = diarization.time_base
    document = {
        "format": KIND,
        "version": VERSION,
        "name": diarization.name,
        "duration": diarization.duration,
        "complete": diarization.complete,
        "warnings": diarization.warnings,
        "model": None if diarization.model is None else dict(diarization.model),
        "time_base": {"sample_rate": time_base.sample_rate, "hop": time_base.hop, "receptive_field": time_base.receptive_field},
        "uncertain_joins": diarization.uncertain_joins,
        "skipped_windows": diarization.skipped_windows,
        "speakers": _speakers(diarization, embeddings=embeddings),
        "turns": _turns(diarization),
    }
    return "{\n" + ",\n".join(f'  "{key}": {_value(value)}' for key, value in document.items()) + "\n}\n"


def loads(text: str, *, name: str | None = None) -> Diarization:
    """The result of a document; ``name`` instead of its own if given. Fields that are not known are passed over.

    Raises :class:`FormatError` for what is not JSON, not such a document, of a later version, or of another shape.
    """
    from wavlm_diarizer.diarization import Diarization

    document = _parse(text)
    if not isinstance(document, dict) or document.get("format") != KIND:
        raise FormatError(f'it is JSON, but not a diarization: a document with "format": "{KIND}" was expected.')
    version = _integer(document, "version", "")
    if version > VERSION:
        raise FormatError(f"it has version {version}, and this program reads up to {VERSION}; update wavlm-diarizer.")
    turns = [_turn(entry, f"turns[{index}]") for index, entry in enumerate(_list(document, "turns"))]
    return Diarization(
        turns,
        duration=_number(document, "duration", ""),
        name=_typed(document, "name", "", str) if name is None else name,
        time_base=_time_base(document),
        complete=_typed(document, "complete", "", bool) if "complete" in document else True,
        warnings=[str(warning) for warning in _list(document, "warnings", optional=True)],
        uncertain_joins=[_finite(seconds, "uncertain_joins") for seconds in _list(document, "uncertain_joins", optional=True)],
        skipped_windows=_integer(document, "skipped_windows", "") if "skipped_windows" in document else 0,
        **_voices(document),
        model=None if document.get("model") is None else _typed(document, "model", "", dict),
    )


def _speakers(diarization: Diarization, *, embeddings: bool) -> list[dict[str, Any]]:
    speaking_time = diarization.speaking_time()
    entries: list[dict[str, Any]] = []
    for index, speaker in enumerate(diarization.speakers):
        entry: dict[str, Any] = {"name": speaker, "speaking_time": round(speaking_time[speaker], 6)}
        if speaker in diarization.known:
            entry["similarity"] = round(diarization.known[speaker], 6)
        if embeddings and diarization.embeddings is not None:
            entry["embedding"] = [round(float(value), 6) for value in diarization.embeddings[index]]
        entries.append(entry)
    return entries


def _turns(diarization: Diarization) -> list[dict[str, Any]]:
    confidences = diarization.confidences or (None,) * len(diarization.turns)
    entries: list[dict[str, Any]] = []
    for turn, confidence in zip(diarization.turns, confidences, strict=True):
        entry = {"start": turn.start, "end": turn.end, "speaker": turn.speaker, "channel": turn.channel}
        entries.append(entry if confidence is None else entry | {"confidence": round(confidence, 4)})
    return entries


def _voices(document: dict[str, Any]) -> dict[str, Any]:
    """What a document says of its speakers beyond their turns: who is known, and their voices if all of them are there."""
    speakers = [entry for entry in _list(document, "speakers", optional=True) if isinstance(entry, dict) and "name" in entry]
    known = {str(entry["name"]): _finite(entry["similarity"], "similarity") for entry in speakers if "similarity" in entry}
    if not speakers or not all("embedding" in entry for entry in speakers):
        return {"known": known}
    rows = [[_finite(value, "embedding") for value in _typed(entry, "embedding", "", list)] for entry in speakers]
    if len(set(map(len, rows))) > 1:
        raise FormatError("the embeddings of the speakers are not of one length.")
    return {"known": known, "speakers": [str(entry["name"]) for entry in speakers], "embeddings": rows}


def _value(value: Any) -> str:
    """JSON text of one field: an object on one line, a list of objects with a line for each."""
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(f"    {_value(entry)}" for entry in value) + "\n  ]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise FormatError(f"line {error.lineno}: this is not JSON: {error.msg}.") from error
    except (ValueError, RecursionError) as error:
        # Numbers of thousands of digits and lists in lists without end.
        raise FormatError(f"this is not JSON that can be read: {error}.") from error


def _turn(entry: Any, where: str) -> Turn:
    if not isinstance(entry, dict):
        raise FormatError(f"{where} must be an object with start, end and speaker.")
    place = f"{where}."
    channel = _integer(entry, "channel", place) if "channel" in entry else 1
    try:
        return Turn(_number(entry, "start", place), _number(entry, "end", place), _typed(entry, "speaker", place, str), channel)
    except OptionError as error:
        raise FormatError(f"{where}: {error}") from error


def _time_base(document: dict[str, Any]) -> TimeBase:
    if "time_base" not in document:
        return TimeBase()
    values = _typed(document, "time_base", "", dict)
    fields = {field: _integer(values, field, "time_base.") for field in ("sample_rate", "hop", "receptive_field")}
    if min(fields.values()) < 1:
        raise FormatError(f"the numbers of time_base must be 1 or more, not {fields}.")
    return TimeBase(**fields)


def _list(document: dict[str, Any], key: str, *, optional: bool = False) -> list[Any]:
    if optional and key not in document:
        return []
    return _typed(document, key, "", list)  # type: ignore[no-any-return]


def _integer(values: dict[str, Any], key: str, place: str) -> int:
    value = _number(values, key, place)
    if value != int(value):
        raise FormatError(f"{place}{key} must be a whole number, not {value}.")
    return int(value)


def _number(values: dict[str, Any], key: str, place: str) -> float:
    if key not in values:
        raise FormatError(f"{place}{key} is missing.")
    return _finite(values[key], f"{place}{key}")


def _finite(value: Any, where: str) -> float:
    # A whole number may have more digits than a float can hold.
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300 or math.isnan(value):
        raise FormatError(f"{where} must be a finite number, not {str(value)[:40]!r}.")
    return float(value)


def _typed(values: dict[str, Any], key: str, place: str, kind: type) -> Any:
    if key not in values:
        raise FormatError(f"{place}{key} is missing.")
    if not isinstance(values[key], kind):
        names = {str: "a text", bool: "true or false", dict: "an object", list: "a list"}
        raise FormatError(f"{place}{key} must be {names[kind]}, not {str(values[key])[:40]!r}.")
    return values[key]
