"""Deterministic fine-tuning that records gradients on its own steps and can be replayed without some of its texts.

The rule that makes training without a text and replaying without it the same, bit by bit:

- the schedule (which text in which slot of which step, padding width, learning rate) is fixed by the full data and the
  seed: each epoch's order sorts the ids by a hash of seed, epoch and id;
- a removed text stays as a slot of weight zero with dummy tokens; nothing of its words is ever read;
- the loss of a step is divided by the number of texts that are left in it;
- a step without any text left skips the optimizer altogether, its step counter included;
- learning rates belong to steps of the schedule, not to steps taken.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from unlearnlib import batches, gradients
from unlearnlib.errors import UserError


@dataclass(frozen=True)
class Plan:
    """The settings of one fine-tuning run; `gradient_clip` 0 means none."""

    epochs: int
    batch_size: int
    learning_rate: float
    warmup_fraction: float = 0.1
    weight_decay: float = 0.0
    gradient_clip: float = 1.0

    @classmethod
    def of(cls, profile) -> "Plan":
        """Return the plan that a profile describes."""
        return cls(**{name: getattr(profile, name) for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Step:
    """One slot-by-slot step of the schedule."""

    epoch: int
    step: int
    learning_rate: float
    width: int
    ids: tuple[str, ...]


def epoch_order(ids: Collection[str], seed: int, epoch: int) -> list[str]:
    """Return the ids in the order of one epoch: sorted by a hash of seed, epoch and id."""
    return sorted(ids, key=lambda name: hashlib.sha256(f"{seed}|{epoch}|{name}".encode()).hexdigest())


def schedule(lengths: Mapping[str, int], plan: Plan, seed: int) -> list[Step]:
    """Return every step of a run over the texts whose token counts are `lengths` (the full data, always)."""
    if not lengths:
        raise UserError("nothing to train on: the data set is empty")
    per_epoch = -(-len(lengths) // plan.batch_size)
    total = per_epoch * plan.epochs
    warmup = max(1, round(plan.warmup_fraction * total))
    steps = []
    for epoch in range(plan.epochs):
        order = epoch_order(lengths, seed, epoch)
        for start in range(0, len(order), plan.batch_size):
            number = len(steps)
            # Linear warm-up, then linear decay that would reach zero one step after the last.
            factor = min((number + 1) / warmup, (total - number) / max(1, total - warmup))
            ids = tuple(order[start : start + plan.batch_size])
            width = max(lengths[name] for name in ids)
            steps.append(Step(epoch, number, plan.learning_rate * factor, width, ids))
    return steps


@dataclass
class Result:
    """A trained model's optimizer and the log of its training.

    `log`: one row per step (epoch, step, learning_rate, texts, loss); loss is the mean over the step's texts of each
    text's mean token loss, before the update (nats a token; lower is better).
    """

    optimizer: torch.optim.Optimizer
    log: pd.DataFrame


def fine_tune(
    model,
    texts: Mapping[str, Sequence[int]],
    steps: Sequence[Step],
    plan: Plan,
    removed: Collection[str] = (),
    recorder: gradients.Recorder | None = None,
    progress: str | None = None,
    epoch_ended: Callable[[int], None] | None = None,
) -> Result:
    """Train `model` in place along `steps` and return its optimizer and log.

    `texts` maps ids to token ids; those of `removed` need not be in it and are never read. `recorder` takes the
    gradients of its points from the same backward passes. `progress` labels a progress bar (None: no bar);
    `epoch_ended` is called with the number of every epoch when it is over. Same model, steps and thread count on one
    machine: bitwise the same weights. Raises UserError for a text that is missing and for a loss that is not finite.
    """
    removed = frozenset(removed)
    missing = sorted({name for step in steps for name in step.ids} - set(texts) - removed)
    if missing:
        raise UserError(f"no text for {missing[0]!r}, which the schedule names: give it, or put it in `removed`")
    optimizer = torch.optim.AdamW(model.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True)
    rows = []
    model.eval()  # every dropout is zero; eval mode says that no layer behaves differently in training
    for step in tqdm(steps, desc=progress, disable=progress is None, unit="step", leave=False):
        if not removed.issuperset(step.ids):
            rows.append(_take(step, model, optimizer, texts, removed, plan, recorder))
        if epoch_ended and (step is steps[-1] or steps[step.step + 1].epoch > step.epoch):
            epoch_ended(step.epoch)
    return Result(optimizer, pd.DataFrame(rows, columns=["epoch", "step", "learning_rate", "texts", "loss"]))


def _take(step: Step, model, optimizer, texts, removed: frozenset[str], plan: Plan, recorder) -> tuple:
    """Take one step of the schedule, in which at least one text is left, and return its row of the log."""
    where = next(model.parameters()).device
    present = [name not in removed for name in step.ids]
    count = sum(present)
    tokens, lengths = batches.pad(
        [texts[name] if keep else [0, 0] for name, keep in zip(step.ids, present, strict=True)], step.width
    )
    kept = torch.tensor(present, dtype=torch.float32, device=where)
    slots = [slot for slot, name in enumerate(step.ids) if present[slot] and recorder and name in recorder.points]
    with gradients.capture(model, rows=slots, scale=count) if slots else nullcontext() as captured:
        loss = (batches.text_losses(model, tokens.to(where), lengths) * kept).sum() / count
        loss.backward()
    value = float(loss.detach())
    if value != value or value in (float("inf"), float("-inf")):
        raise UserError(f"the loss became {value} in step {step.step}: lower learning_rate in the profile")
    if slots:
        names = [step.ids[slot] for slot in slots]
        recorder.add(model, captured, names, [len(texts[name]) for name in names], step.epoch)
    if plan.gradient_clip:
        torch.nn.utils.clip_grad_norm_(model.parameters(), plan.gradient_clip)
    for group in optimizer.param_groups:
        group["lr"] = step.learning_rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return step.epoch, step.step, step.learning_rate, count, value


def save(folder: Path, model, result: Result, steps: Sequence[Step], plan: Plan, seed: int, removed=()) -> None:
    """Write the trained model's weights, the optimizer's moments and the training log into `folder`."""
    save_weights(folder, model)
    state = result.optimizer.state
    moments = {
        f"{moment}|{name}": state[value][moment].detach().contiguous().cpu()
        for name, value in model.named_parameters()
        for moment in ("exp_avg", "exp_avg_sq", "step")
        if value in state
    }
    save_file(moments, folder / "optimizer.safetensors")
    result.log.to_csv(folder / "log.csv", index=False)
    record = {
        "seed": seed,
        "plan": asdict(plan),
        "removed": sorted(removed),
        "steps": [asdict(step) for step in steps],
    }
    (folder / "schedule.json").write_text(json.dumps(record))


def save_weights(folder: Path, model, epoch: int | None = None) -> None:
    """Write the model's weights into `folder`: those of the end of training, or a checkpoint, after this epoch."""
    parameters = {name: value.detach().contiguous().cpu() for name, value in model.named_parameters()}
    save_file(parameters, _weights(folder, epoch))


def load_weights(model, folder: Path, epoch: int | None = None) -> None:
    """Put the weights that save_weights wrote into `model`, in place; UserError where there are none, or others."""
    path = _weights(folder, epoch)
    if not path.is_file():
        raise UserError(f"no {path.name} in {folder}: this model was saved without it; delete the folder and run again")
    stored = load_file(path)
    parameters = dict(model.named_parameters())
    if stored.keys() != parameters.keys():
        raise UserError(f"{folder}: these weights belong to another model; delete the folder and run again")
    with torch.no_grad():
        for name, value in stored.items():
            parameters[name].copy_(value)


def _weights(folder: Path, epoch: int | None) -> Path:
    return folder / ("weights.safetensors" if epoch is None else f"weights-after-epoch-{epoch}.safetensors")


def second_moments(folder: Path) -> dict[str, torch.Tensor]:
    """Return the optimizer's second moments (Adam's running mean of squared gradients) at the end of training."""
    stored = load_file(folder / "optimizer.safetensors")
    prefix = "exp_avg_sq|"
    return {key.removeprefix(prefix): value for key, value in stored.items() if key.startswith(prefix)}
