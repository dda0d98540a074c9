"""Processes that train one model side by side, each on windows of its own, and meet now and then to become the mean of all.

On a CPU two processes of one thread each do nearly twice as much as one of them. Weights that were apart for some tens of steps are still
near enough for a mean of them to be a model (Stich 2019, "Local SGD", 1805.09767).
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import distributed

from wavlm_diarizer.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from wavlm_export.builtin.config import Recipe


@contextmanager
def others(work: Callable[[Recipe, int], None], recipe: Recipe) -> Iterator[None]:
    """Run ``work(recipe, rank)`` in the other processes that the recipe asks for, while this one, of rank 0, does its own in the block.

    Leaving the block waits for them, or ends them if it was left by an error.
    """
    count = recipe.training.processes
    if count < 2:
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "meeting")
        context = multiprocessing.get_context("spawn")
        started = [context.Process(target=_other, args=(work, recipe, rank, store)) for rank in range(1, count)]
        for one in started:
            one.start()
        try:
            _join(store, 0, count)
            yield
            for one in started:
                one.join()
        finally:
            for one in started:
                one.kill()
            if distributed.is_initialized():
                distributed.destroy_process_group()


def _other(work: Callable[[Recipe, int], None], recipe: Recipe, rank: int, store: str) -> None:
    # Ctrl-C and SIGTERM to the group are for the first process, which tells the others when they meet.
    if hasattr(os, "setpgrp"):
        os.setpgrp()
    _join(store, rank, recipe.training.processes)
    try:
        work(recipe, rank)
    finally:
        distributed.destroy_process_group()


def _join(store: str, rank: int, count: int) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=count)


@contextmanager
def first_alone(rank: int) -> Iterator[None]:
    """The process of rank 0 does the block before the others do: what it keeps in files is there for them, and written by nobody else."""
    if rank and distributed.is_initialized():
        distributed.barrier()
    yield
    if not rank and distributed.is_initialized():
        distributed.barrier()


@torch.no_grad()
def meet(values: Sequence[torch.Tensor], *, stop: bool) -> bool:
    """Make ``values`` the mean of what they are in all processes; whether any of these asks to stop.

    Raises :class:`OptionError` if another process has ended.
    """
    flat = torch.cat([value.detach().float().reshape(-1).cpu() for value in values] + [torch.tensor([float(stop)])])
    try:
        distributed.all_reduce(flat)
    except RuntimeError as error:
        raise OptionError("Another process of the training has ended; what it said is above. The same command goes on.") from error
    mean = flat[:-1] / distributed.get_world_size()
    at = 0
    for value in values:
        value.copy_(mean[at : at + value.numel()].view_as(value))
        at += value.numel()
    return bool(flat[-1] > 0)
