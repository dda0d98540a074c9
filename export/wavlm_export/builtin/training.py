"""A recipe in, a trained student out: resumable at any time, the same whether it was interrupted or not, on a CPU or a GPU."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from wavlm_diarizer.errors import OptionError
from wavlm_export.builtin import filter_bank, losses, model, prepare, together, voice_teacher, voices
from wavlm_export.builtin.conversations import Conversations
from wavlm_export.builtin.mean_weights import MeanWeights, averaged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from wavlm_export.builtin.config import Recipe, Simulation, Training
    from wavlm_export.builtin.conversations_of_takes import ConversationsOfTakes

STATE, LOG, CURVE, CHECKPOINT = "state.pt", "log.jsonl", "curve.png", "checkpoint"
VALIDATION = 48
"""Windows of unseen voices that the activity loss is measured on."""
LEAST_SOLO = 50
"""Frames that a speaker must be alone in a window for the voice head to learn from it."""
LEAST_PIECE = 25
"""Frames of a piece of that."""

Batch = tuple[torch.Tensor, ...]
"""The fields of :class:`conversations.Conversation`, each ``[batch, ...]``: samples, activity, counted, people and, if a teacher is asked,
places."""


class Windows(Dataset[tuple[Any, ...]]):
    """Conversations as tensors, by number."""

    def __init__(self, conversations: Conversations | ConversationsOfTakes) -> None:
        self._conversations = conversations

    def __getitem__(self, number: int) -> tuple[Any, ...]:
        """The fields of conversation ``number``."""
        one = self._conversations[number]
        return tuple(getattr(one, field.name) for field in fields(one))


class From(Sampler[list[int]]):
    """The numbers of the batches from one step to another, in one of some processes."""

    def __init__(self, step: int, steps: int, batch: int, rank: int = 0, processes: int = 1) -> None:
        self._step, self._steps, self._batch, self._rank, self._processes = step, steps, batch, rank, processes

    def __iter__(self) -> Iterator[list[int]]:
        """The numbers of each batch: step ``s`` of a process always has the same, and no other process has any of them."""
        for step in range(self._step, self._steps):
            first = (step * self._processes + self._rank) * self._batch
            yield list(range(first, first + self._batch))


def cast(recipe: Recipe) -> voices.Cast:
    """The people of the training: every packed voice that is not held out.

    Raises :class:`OptionError` if alike ones are to be drawn together and there is no voice teacher.
    """
    every = voices.load(recipe.data.packed)
    kept = [one for one in every if one.name not in recipe.data.unseen]
    simulation, teacher = recipe.simulation, recipe.data.voice_teacher
    people = voices.Cast(kept, simulation.speeds, simulation.tracts, simulation.unlike_itself)
    if not simulation.alike:
        return people
    if not teacher:
        raise OptionError("simulation.alike asks a voice teacher who is alike: set data.voice_teacher.")
    return people.alike(voice_teacher.centres(people, teacher, Path(recipe.data.packed))[0], simulation.alike)


def simulated(recipe: Recipe, simulation: Simulation, seed: int, batches: int) -> DataLoader[tuple[Any, ...]]:
    """So many batches of conversations of that cast, by the recipe's workers; other ones than the training's with another seed."""
    conversations = Conversations(cast(recipe), simulation, seed, prepare.noises(recipe.data.noises))
    return _loader(conversations, From(0, batches, recipe.training.batch), recipe.training.workers)


def _loader(conversations: Conversations | ConversationsOfTakes, numbers: From, workers: int) -> DataLoader[tuple[Any, ...]]:
    """Batches of conversations, simulated by other processes while the student learns."""
    return DataLoader(
        Windows(conversations),
        batch_sampler=numbers,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_apart,
        # A forked process shares the packed voices; a spawned one would be sent all of them.
        multiprocessing_context="fork" if workers and hasattr(os, "fork") else None,
    )


class Trainer:
    """A student, its optimisers and the step it has come to."""

    learns_places = True
    """Whether a voice teacher, if there is one, is asked for the places of people."""

    def __init__(self, recipe: Recipe, rank: int = 0) -> None:
        """``rank``: which of the recipe's processes this is."""
        self.recipe, self.settings, self.rank = recipe, recipe.training, rank
        best = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(best if self.settings.device == "auto" else self.settings.device)
        self.folder = Path(self.settings.folder)
        noise = prepare.noises(recipe.data.noises)
        teacher = recipe.data.voice_teacher
        if self.settings.heard_weight and not teacher:
            raise OptionError("training.heard_weight asks a voice teacher: set data.voice_teacher.")
        placed, listener = None, None
        # The teacher's places take minutes, and are kept.
        with together.first_alone(rank):
            people = cast(recipe)
            if teacher and self.learns_places:
                centres, middle = voice_teacher.centres(people, teacher, Path(recipe.data.packed))
                placed = torch.from_numpy(centres)
                listener = voice_teacher.Listener(teacher, middle) if self.settings.heard_weight else None
        self.conversations: Conversations | ConversationsOfTakes = Conversations(
            people, recipe.simulation, self.settings.seed, noise, listener
        )
        self._held = unseen(recipe, noise)
        torch.manual_seed(self.settings.seed)
        self.student, self.voice_taken = model.Student(recipe.model, len(people), placed), False
        if self.settings.start:
            self.voice_taken = model.start_from(self.student, self.settings.start, deeper=True)
        elif filter_bank.wanted(recipe.model):
            filter_bank.begin(self.student)
        model.freeze(self.student, self.settings.frozen_convolutions, only_voice=self.settings.only_voice)
        self.learner = self.whole().to(self.device)
        self.energies = losses.LogMel().to(self.device)
        rate, matrices = self.settings.peak_rate, self._groups(_muons)
        others = self._groups(lambda name, value: not _muons(name, value))
        self.optimisers: list[torch.optim.Optimizer] = [torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), fused=True)]
        if matrices:
            # Muon (Jordan et al. 2024) for the transformer's matrices, with the step sizes of AdamW.
            self.optimisers.append(torch.optim.Muon(matrices, lr=rate, adjust_lr_fn="match_rms_adamw"))
        self.step = 0
        self.answer = torch.compile(self.learner) if self.settings.compile else self.learner
        self._mean = MeanWeights(self.learner, self.settings.mean_steps) if self.settings.mean_steps else None
        if (self.folder / STATE).exists():
            self._resume()

    def as_written(self) -> AbstractContextManager[None]:
        """While in it, the student has the weights that a checkpoint gets."""
        return nullcontext()

    def whole(self) -> torch.nn.Module:
        """What learns: the student and whatever else has weights of its own."""
        return self.student

    def _groups(self, wanted: Callable[[str, torch.nn.Parameter], bool]) -> list[dict[str, Any]]:
        """Of what learns and is wanted, groups by the decay of its weights and by how many times the rate it learns with."""
        groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
        for name, value in self.learner.named_parameters():
            if value.requires_grad and wanted(name, value):
                times = self.settings.voice_rate if name.removeprefix("student.").startswith(("sv.", "voices.", "head.", "early.")) else 1.0
                groups.setdefault((times, self.settings.weight_decay if value.ndim > 1 else 0.0), []).append(value)
        return [{"params": values, "weight_decay": decay, "times": times} for (times, decay), values in groups.items()]

    def _resume(self) -> None:
        state = torch.load(self.folder / STATE, map_location=self.device, weights_only=True)
        if self.student.centres.requires_grad and state["people"] != len(self.conversations.cast):
            raise OptionError(
                f"{self.folder / STATE} was trained on other voices: choose another training.folder, started from its checkpoint."
            )
        if not self.student.centres.requires_grad:
            # A teacher's centres belong to the voices of now: more of them may have come since.
            (name,) = (key for key in state["student"] if key.split(".")[-1] == "centres")
            state["student"][name] = self.student.centres.detach()
        self.learner.load_state_dict(state["student"])
        if self._mean and "mean" in state:
            self._mean.load(state["mean"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.step = state["step"]

    def save(self) -> None:
        """Write the state aside, then rename it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        aside = self.folder / (STATE + ".part")
        state = {
            "student": self.learner.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "step": self.step,
            "people": len(self.conversations.cast),
        }
        if self._mean:
            state["mean"] = self._mean.state()
        torch.save(state, aside)
        aside.replace(self.folder / STATE)

    def write(self) -> Path:
        """Write the checkpoints ``sd`` and ``sv``, of the mean of the weights if there is one; their folder."""
        with self._mean.in_place() if self._mean else nullcontext(), self.as_written():
            model.save(self.student, self.folder / CHECKPOINT)
        return self.folder / CHECKPOINT

    def batches(self) -> Iterator[Batch]:
        """The batches that are left."""
        settings = self.settings
        numbers = From(self.step, settings.steps, settings.batch, self.rank, settings.processes)
        yield from _loader(self.conversations, numbers, self.settings.workers)

    def learn(self, batch: Batch) -> dict[str, float]:
        """One step; the losses."""
        rate = learning_rate(self.step, self.settings)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate * group["times"]
        parts, weights = self.parts(tuple(part.to(self.device, non_blocking=True) for part in batch))
        loss = sum((weights[name] * value for name, value in parts.items()), torch.zeros((), device=self.device))
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.learner.parameters(), self.settings.clip)
        for optimiser in self.optimisers:
            optimiser.step()
        self.step += 1
        if self._mean:
            self._mean.add(self.step)
        values = {name: float(value.detach()) for name, value in parts.items()}
        if not all(math.isfinite(value) for value in values.values()):
            raise OptionError(f"The loss is not finite at step {self.step}: lower training.peak_rate and resume.")
        return values

    def parts(self, batch: Batch) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
        """The losses of a batch, and what each counts for."""
        samples, activity, counted, people, places = batch
        with torch.autocast(self.device.type, torch.bfloat16):
            answer = self.answer(samples)
        frames = answer.activity.shape[1]
        activity, counted = activity[:, :frames], counted[:, :frames]
        target = losses.voice_target(activity, people, counted)
        settings = self.settings
        parts = {"embedding": self._embedding_loss(answer.frames, target, people, places)}
        if not settings.only_voice:
            weighted = counted * (1 + settings.overlap_weight * (activity.sum(dim=-1) > 1))
            parts["activity"] = losses.activity_loss(answer.activity, activity, weighted)
            parts["voice"] = losses.voice_loss(answer.voices, self.student.centres, target)
            if settings.mel_weight and settings.frozen_convolutions < len(self.recipe.model.conv_dim):
                parts["mel"] = losses.mel_loss(answer.mels, self.energies(samples))
        return parts, {
            "activity": 1.0,
            "voice": settings.voice_weight,
            "embedding": settings.embedding_weight,
            "mel": settings.mel_weight,
        }

    def _embedding_loss(self, frames: torch.Tensor, target: torch.Tensor, people: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Names the voice of every speaker who is alone for a second, by the voice head pooled over just those frames."""
        window, column, mask = alone(frames, target, people)
        settings, pieces = self.settings, self.settings.pieces
        masks = [mask, *(piece(mask, self.step * pieces + number) for number in range(pieces))]
        embeddings = self.student.embeddings(frames[window].repeat(len(masks), 1, 1), torch.cat(masks))
        centres, named = self.student.centres, people[window, column].repeat(len(masks))
        loss = settings.margin_weight * losses.margin_loss(embeddings, centres, named)
        # Learned centres may move to where the embeddings are; a teacher's say where those should be.
        if not centres.requires_grad:
            loss = loss + settings.place_weight * losses.place_loss(embeddings, centres, named)
        if settings.heard_weight:
            loss = loss + settings.heard_weight * losses.heard_loss(embeddings, places[window, column].repeat(len(masks), 1))
        return loss

    def validate(self) -> float | None:
        """The activity loss on fixed conversations of unseen voices; None without such voices, or if only the voice head learns."""
        if self._held is None or self.settings.only_voice:
            return None
        with self._mean.in_place() if self._mean else nullcontext():
            return unseen_loss(self.student, self._held, self.device)

    def meet(self, *, stop: bool) -> bool:
        """Between two steps: whether to stop, and at the right ones the weights of all processes become their mean.

        Alone, a process stops when it is asked to; with others, when they meet, so that none waits for another.
        """
        if self.settings.processes < 2:
            return stop
        if self.step % self.settings.meet_every and self.step < self.settings.steps:
            return False
        return together.meet(averaged(self.learner), stop=stop)


def unseen(recipe: Recipe, noises: Sequence[NDArray[np.int16]]) -> Conversations | None:
    """Conversations of the voices that are held out, as they are, among noises of :func:`prepare.noises`; ``None`` without any."""
    held = [one for one in voices.load(recipe.data.packed) if one.name in recipe.data.unseen]
    return Conversations(voices.Cast(held, (1.0,)), recipe.simulation, recipe.training.seed + 1, noises) if held else None


def unseen_loss(student: model.Student, held: Conversations, device: torch.device) -> float:
    """The activity loss on the first :data:`VALIDATION` of those conversations."""
    total = 0.0
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16):
        for number in range(VALIDATION):
            one = held[number]
            samples, activity, counted = (torch.from_numpy(part)[None].to(device) for part in (one.samples, one.activity, one.counted))
            logits = student(samples).activity
            total += float(losses.activity_loss(logits, activity[:, : logits.shape[1]], counted[:, : logits.shape[1]]))
    return total / VALIDATION


def trained(recipe: Recipe, checkpoint: str | None) -> Path:
    """The ``sd`` folder that was named, or else the run's own. Raises :class:`OptionError` if it is not there."""
    source = Path(checkpoint or Path(recipe.training.folder) / CHECKPOINT / "sd")
    if not source.is_dir():
        raise OptionError(f"There is no checkpoint {source}: train first, or name one with --checkpoint.")
    return source


def steps_done(recipe: Recipe) -> int:
    """How far the run in the recipe's folder has come, as it was last saved."""
    state = Path(recipe.training.folder) / STATE
    return int(torch.load(state, map_location="cpu", weights_only=True)["step"]) if state.exists() else 0


def _apart(worker: int) -> None:  # noqa: ARG001 - every worker does the same
    """Leave the process group: Ctrl-C and SIGTERM to the group end the trainer, which saves its state and then ends its workers."""
    if hasattr(os, "setpgrp"):
        os.setpgrp()


def alone(frames: torch.Tensor, target: torch.Tensor, people: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Who speaks alone for a second in which window: window ``[n]``, column ``[n]``, and in which of its frames ``[n, frames']``.

    ``frames`` ``[batch, frames', tdnn]`` of the voice head, ``target`` ``[batch, frames]`` of :func:`losses.voice_target`, ``people``
    ``[batch, 3]``.
    """
    margin = (target.shape[1] - frames.shape[1]) // 2
    inner = target[:, margin : margin + frames.shape[1]]
    solo = (inner[:, None, :] == people[:, :, None]) & (people[:, :, None] >= 0)
    window, column = torch.nonzero(solo.sum(dim=2) >= LEAST_SOLO, as_tuple=True)
    return window, column, solo[window, column].float()


def piece(mask: torch.Tensor, seed: int) -> torch.Tensor:
    """A random piece, of half a second at least, of the frames that are on in each row of ``[n, frames]``."""
    random = torch.Generator().manual_seed(seed)
    share, place = (torch.rand(len(mask), 1, generator=random).to(mask.device) for _ in range(2))
    order = mask.cumsum(dim=1)
    whole = order[:, -1:]
    length = torch.minimum(LEAST_PIECE + share * (whole - LEAST_PIECE).clamp(min=0), whole)
    first = place * (whole - length)
    return mask * (order > first) * (order <= first + length)


def _muons(name: str, value: torch.nn.Parameter) -> bool:
    """Whether it is a matrix of a transformer layer, without the few small ones of the position's gate."""
    return value.ndim == 2 and ".encoder.layers." in name and "rel_" not in name


def learning_rate(step: int, settings: Training) -> float:
    """A straight rise, a plateau, and a straight fall to a fiftieth at the end."""
    fall = min(1.0, (1 - step / settings.steps) / max(1e-9, 1 - settings.decay_from))
    return settings.peak_rate * min(1.0, (step + 1) / settings.warmup) * max(0.02, fall)


def train(recipe: Recipe, report: Callable[[str], None] = lambda _: None) -> Path:
    """Train until ``training.steps``, from where the folder's state is; the folder of the checkpoints ``sd`` and ``sv``.

    SIGTERM and SIGINT save the state and end the run.
    """
    with together.others(_beside, recipe):
        return _train(recipe, report)


def trainer_of(recipe: Recipe, rank: int = 0) -> Trainer:
    """The trainer that a recipe asks for; one whose settings contradict each other raises :class:`OptionError`."""
    settings = recipe.training
    if settings.only_activity and (settings.frames_weight or settings.only_voice):
        raise OptionError("training.only_activity leaves the voice head as it is: set neither frames_weight nor only_voice with it.")
    if settings.only_frames and settings.only_voice:
        raise OptionError("training.only_frames learns convolutions, training.only_voice leaves them as they are: set one of them.")
    if settings.heard_by and not (settings.only_voice and settings.frames_weight):
        raise OptionError("training.heard_by is for a voice head that learns a teacher's frames: set only_voice and frames_weight with it.")
    if settings.frames_weight:
        from wavlm_export.builtin.frame_training import FrameTrainer

        return FrameTrainer(recipe, rank)
    if settings.only_frames or settings.voice_states:
        raise OptionError("training.only_frames and training.voice_states are for learning a teacher's frames: set training.frames_weight.")
    if settings.only_activity:
        from wavlm_export.builtin.activity_training import ActivityTrainer

        return ActivityTrainer(recipe, rank)
    if settings.activity_teachers or settings.places_weight:
        raise OptionError(
            "training.activity_teachers and training.places_weight are for learning activity alone: set training.only_activity."
        )
    return Trainer(recipe, rank)


def _beside(recipe: Recipe, rank: int) -> None:
    """Train in another process than the first, which reports and saves what both have learned."""
    torch.set_num_threads(recipe.training.threads)
    trainer = trainer_of(recipe, rank)
    for batch in trainer.batches():
        trainer.learn(batch)
        if trainer.meet(stop=False):
            return


def _train(recipe: Recipe, report: Callable[[str], None]) -> Path:
    torch.set_num_threads(recipe.training.threads)
    trainer = trainer_of(recipe)
    settings = recipe.training
    trainer.folder.mkdir(parents=True, exist_ok=True)
    (trainer.folder / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2), encoding="utf-8")
    report(f"{sum(value.numel() for value in trainer.student.sd.parameters()) / 1e6:.2f} million parameters, step {trainer.step}")
    asked: list[int] = []
    before = {number: signal.signal(number, lambda number, _: asked.append(number)) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        _loop(trainer, asked, report)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    trainer.save()
    written = trainer.write()
    curve(trainer.folder)
    report(f"step {trainer.step} of {settings.steps}: {written}")
    return written


def _loop(trainer: Trainer, asked: list[int], report: Callable[[str], None]) -> None:
    """Steps, log lines and saved states until the end or until asked to end."""
    settings, seconds = trainer.settings, trainer.recipe.simulation.seconds
    each = settings.batch * settings.processes
    recent: list[dict[str, float]] = []
    saved = logged = time.monotonic()
    for batch in trainer.batches():
        recent.append(trainer.learn(batch))
        stop = trainer.meet(stop=bool(asked))
        if trainer.step % settings.log_every == 0:
            now = time.monotonic()
            line: dict[str, Any] = {name: round(float(np.mean([one[name] for one in recent])), 4) for name in recent[0]}
            line |= {
                "step": trainer.step,
                "hours": round(trainer.step * each * seconds / 3600, 2),
                "audio_per_second": round(len(recent) * each * seconds / (now - logged), 1),
                "rate": learning_rate(trainer.step, settings),
                "time": round(time.time()),
            }
            if trainer.step % settings.validate_every == 0:
                line["unseen"] = trainer.validate()
            with (trainer.folder / LOG).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            report(json.dumps(line))
            recent, logged = [], time.monotonic()
        if time.monotonic() - saved > settings.save_seconds:
            trainer.save()
            trainer.write()
            saved = time.monotonic()
        if stop:
            return


def curve(folder: Path) -> None:
    """Draw the log's activity loss over the hours heard, if matplotlib is there."""
    try:
        import matplotlib as mpl
    except ImportError:
        return
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    log = folder / LOG
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []
    figure, axes = plt.subplots(figsize=(8, 4))
    for name, key in (("voices of the training", "activity"), ("unseen voices", "unseen")):
        points = [(line["hours"], line[key]) for line in lines if line.get(key) is not None]
        axes.plot([hours for hours, _ in points], [loss for _, loss in points], label=name)
    axes.set_xlabel("hours of simulated audio")
    axes.set_ylabel("activity loss per frame and label")
    axes.legend()
    figure.savefig(folder / CURVE, dpi=120)
    plt.close(figure)
