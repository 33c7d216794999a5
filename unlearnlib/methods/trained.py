"""Methods that take optimizer steps of their own: a loss, a schedule, and stops that are left on disk.

A method of this kind is a loss. Everything else is here: batches drawn by hashes, so that they depend on the seed and
the ids alone, AdamW with a constant learning rate, progress, and the weights after every few steps, written once and
read by whoever asks (request.keep).
"""

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path as FilePath

import pandas as pd
import torch
from tqdm import tqdm

from unlearnlib.core.errors import UserError
from unlearnlib.data import batches
from unlearnlib.data.subsets import drawn
from unlearnlib.methods.path import Path, opened
from unlearnlib.methods.request import Request
from unlearnlib.training.storage import load_parameters, save_parameters

Texts = Mapping[str, Sequence[int]]
Loss = Callable[[torch.nn.Module, list[Sequence[int]], list[Sequence[int]]], torch.Tensor]


@dataclass(frozen=True)
class Steps:
    """How a method trains: so many steps of AdamW, with texts of the forget set and as many retained ones in each, and
    a stop after every few steps. gradient_clip: the largest L2 norm of a step's gradient, 0 for none."""

    steps: int = 48
    every: int = 3
    batch_size: int = 8
    learning_rate: float = 2e-4
    gradient_clip: float = 1.0

    def __post_init__(self):
        for name in ("steps", "every", "batch_size"):
            if not (isinstance(getattr(self, name), int) and getattr(self, name) > 0):
                raise UserError(f"{name} {getattr(self, name)!r} leads nowhere: give a whole number from 1 on")
        if self.steps % self.every:
            raise UserError(f"{self.steps} steps have no stop at their end with one after every {self.every}")
        if not self.learning_rate > 0:
            raise UserError(f"learning_rate {self.learning_rate} leads nowhere: give a number above 0")

    @property
    def stops(self) -> tuple[float, ...]:
        """The numbers of steps after which there is a stop, from 0 on."""
        return tuple(map(float, range(0, self.steps + 1, self.every)))


def mean_loss(model, texts: Sequence[Sequence[int]]) -> torch.Tensor:
    """Return the mean over texts of each text's mean -log p a token, in nats (lower is likelier)."""
    tokens, lengths = batches.pad(texts)
    return batches.text_losses(model, tokens.to(next(model.parameters()).device), lengths).mean()


def trained(
    request: Request,
    loss: Loss,
    how: Steps,
    retain: Texts,
    title: str,
    first: "Callable[[], torch.nn.Module] | None" = None,
    left: "Callable[[torch.nn.Module], torch.nn.Module] | None" = None,
) -> Path:
    """Return the path of a method that descends along `loss(model, forget texts, retained texts)` of each batch.

    Its efforts are numbers of optimizer steps, its stops those of `how`. `first` makes the model before the first of
    them (default: a copy of the one to start from); `left` makes of it, without changing it, the model that is left at
    a stop, whose parameters are those of the one to start from (default: itself). Trained at most once for the same
    request, method and options; UserError where the loss is not finite.
    """

    def compute(folder) -> None:
        model = first() if first else copy.deepcopy(request.start)
        optimizer = _optimizer(model, how)
        groups = (_in_turn(request.forget, request.seed, how.batch_size, "forget"),)
        groups += (_in_turn(retain, request.seed, how.batch_size, "retain"),)
        started, rows = time.process_time(), []
        for step in tqdm(range(1, how.steps + 1), desc=title, unit="step", leave=False):
            value = loss(model, *(next(group) for group in groups))
            _descend(value, optimizer, how, f"in step {step}: lower the method's learning_rate")
            rows.append((step, float(value.detach()), time.process_time() - started))
            if step % how.every == 0:
                save_parameters(stop_file(folder, step), left(model) if left else model)
        pd.DataFrame(rows, columns=["step", "loss", "seconds"]).to_csv(folder / "log.csv", index=False)

    return on_disk(request, lambda: request.keep(compute, title), how.stops)


def further_trained(model, texts: Texts, how: Steps, seed: int, title: str):
    """Return a copy of `model`, trained by `how` on the mean loss of some texts: a teacher, or the end of a task
    vector. UserError where the loss is not finite."""
    result = copy.deepcopy(model)
    optimizer, turns = _optimizer(result, how), _in_turn(texts, seed, how.batch_size, "train on")
    with torch.enable_grad():
        for step in tqdm(range(1, how.steps + 1), desc=title, unit="step", leave=False):
            value = mean_loss(result, next(turns))
            _descend(value, optimizer, how, f"in step {step}: lower its learning rate", f"{title}: ")
    return result


def _optimizer(model, how: Steps) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=how.learning_rate, weight_decay=0.0, fused=True)


def _descend(value: torch.Tensor, optimizer: torch.optim.Optimizer, how: Steps, remedy: str, whose: str = "") -> None:
    """Take one step down a loss; UserError, which says `whose` and ends in the `remedy`, where it is not finite."""
    if not torch.isfinite(value.detach()):
        raise UserError(f"{whose}the loss became {float(value.detach())} {remedy}")
    value.backward()
    if how.gradient_clip:
        torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], how.gradient_clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def on_disk(request: Request, folder: Callable[[], FilePath], stops: tuple[float, ...]) -> Path:
    """Return the path of the stops, numbers of optimizer steps, whose weights `folder()` has in the files that
    stop_file names; its log.csv has the columns step and seconds, the CPU time from the start to that stop."""

    @contextmanager
    def at(effort: float) -> Iterator[torch.nn.Module]:
        model = request.start
        with opened(model, [name for name, _ in model.named_parameters()]):
            if effort:
                load_parameters(stop_file(folder(), int(effort)), model)
            yield model

    def seconds(effort: float) -> float:
        log = pd.read_csv(folder() / "log.csv").set_index("step")
        return float(log.loc[int(effort), "seconds"]) if effort else 0.0

    return Path(at, "optimizer steps", stops, seconds=seconds)


def stop_file(folder: FilePath, step: int) -> FilePath:
    """Return where the weights after so many steps lie in a folder."""
    return folder / f"after-step-{step}.safetensors"


def _in_turn(texts: Texts, seed: int, count: int, what: str) -> Iterator[list[Sequence[int]]]:
    """Yield batches of `count` texts for ever: all of them in a drawn order, then all in another one."""
    if not texts:
        raise UserError(f"no texts to {what}: this method needs some")
    waiting: list[str] = []
    for number in range(2**31):
        while len(waiting) < count:
            waiting += drawn(list(texts), seed, f"{what} {number} {len(waiting)}")
        yield [texts[name] for name in waiting[:count]]
        del waiting[:count]
