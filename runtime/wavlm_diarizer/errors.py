"""What can go wrong, as types: every error says in one sentence what was wrong with which file and what to do.

All derive from :class:`DiarizerError`; where a builtin exception means the same, the error is that builtin too, so that
``except FileNotFoundError`` works as a Python programmer expects.
"""

from __future__ import annotations


class DiarizerError(Exception):
    """Base of every error that this package raises on purpose."""


class OptionError(DiarizerError, ValueError):
    """An argument that does not make sense, alone or together with others."""


class MissingExtraError(DiarizerError, ImportError):
    """A feature needs an optional dependency; the message names the extra that brings it."""


class AudioError(DiarizerError):
    """Something is wrong with a recording."""


class AudioNotFoundError(AudioError, FileNotFoundError):
    """There is no recording at that path."""


class AudioAccessError(AudioError, PermissionError):
    """The recording exists, but this user may not read it."""


class AudioFormatError(AudioError, ValueError):
    """The bytes are not audio that can be decoded (or there are none)."""


class AudioContentError(AudioError, ValueError):
    """The audio decodes, but its samples are not finite numbers or its shape or rate makes no sense."""


class ModelError(DiarizerError):
    """Something is wrong with a model file or with where it should be."""


class ModelNotFoundError(ModelError, FileNotFoundError):
    """No model file where one was named, or none in the local cache."""


class ModelFormatError(ModelError, ValueError):
    """The file is not a model that this package can run: not ONNX, truncated, or with other inputs and outputs."""


class ModelVersionError(ModelFormatError):
    """The model file's format is newer than this version of the package."""


class ModelSettingsError(ModelError, ValueError):
    """A model file lacks what the runtime has to know (for example ``do_normalize``), and no JSON beside it tells."""


class OutputError(DiarizerError, OSError):
    """A result could not be written; nothing half-written is left behind."""


class FormatError(DiarizerError, ValueError):
    """A turn file (RTTM, JSON ...) that cannot be read, or an output format that does not exist."""


class VoicesError(DiarizerError, ValueError):
    """Known voices that cannot be read or used: another model's, a broken file, a clip that is not one person's speech."""


class TuningError(DiarizerError):
    """Settings that were found on labelled recordings do not help others, so no file was written."""


class CheckpointError(DiarizerError, ValueError):
    """A PyTorch checkpoint that cannot be exported: not found, another task, labels that are not speakers."""


class VerificationError(DiarizerError):
    """A graph's answer differs from its reference by more than the limits, so no file was written."""
