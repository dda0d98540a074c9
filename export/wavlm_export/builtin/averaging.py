"""Checkpoints of several stages of one training in, the mean of their weights out: nowhere as bad as the worst of them, often the best.

Such a mean is a model of the same size and speed (Wortsman et al. 2022, "Model soups"). It works among checkpoints that come from each
other or from one start; of unrelated ones it would be noise.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from transformers import WavLMForAudioFrameClassification, WavLMForXVector

from wavlm_diarizer.errors import OptionError
from wavlm_export.builtin.model import needed_voice_folder, save_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transformers import PreTrainedModel


def average(sources: Sequence[str], output: str | Path, report: Callable[[str], None]) -> Path:
    """Write the mean of ``sd`` folders, and of the ``sv`` folders beside them, as ``output/sd`` and ``output/sv``; the former's path.

    Raises :class:`OptionError` for fewer than two folders, one that has no ``sv`` beside it, and folders of different architectures.
    """
    if len(sources) < 2:
        raise OptionError("A mean needs at least two checkpoints: name their sd folders after --of.")
    voices = [needed_voice_folder(source) for source in sources]
    sd = _mean(WavLMForAudioFrameClassification, sources)
    save_pair(sd, _mean(WavLMForXVector, [str(beside) for beside in voices]), output)
    report(f"the mean of {len(sources)} checkpoints: {Path(output) / 'sd'}")
    return Path(output) / "sd"


def _mean(kind: type[PreTrainedModel], folders: Sequence[str]) -> PreTrainedModel:
    """The first folder's model with the mean of all folders' weights."""
    model: PreTrainedModel = kind.from_pretrained(folders[0])
    total = {name: value.double() for name, value in model.state_dict().items()}
    for folder in folders[1:]:
        other = kind.from_pretrained(folder).state_dict()
        if {name: value.shape for name, value in other.items()} != {name: value.shape for name, value in total.items()}:
            raise OptionError(f"{folders[0]} and {folder} are of different architectures: there is no mean of them.")
        for name, value in other.items():
            total[name] += value
    model.load_state_dict({name: value / len(folders) for name, value in total.items()})
    return model
