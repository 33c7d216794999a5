"""Deterministic fine-tuning that records gradients on its own steps and can be replayed without some of its texts.

The rule that makes training without a text and replaying without it the same, bit by bit:

- the schedule (which text in which slot of which step, padding width, learning rate) is fixed by the full data and the
  seed: each epoch's order sorts the ids by a hash of seed, epoch and id;
- a removed text leaves its slot empty, and nobody moves up: its words are never read, and nothing is computed for it;
- the loss of a step is divided by the number of texts that are left in it;
- a step without any text left skips the optimizer altogether, its step counter included;
- learning rates belong to steps of the schedule, not to steps taken;
- a state (save_state) holds the parameters, both moments and the step counter: all that the next step depends on.

Replaying without texts (unlearnlib.replay) and training without them then do the same operations in the same order.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from unlearnlib import batches, gradients
from unlearnlib.errors import UserError

MOMENTS = ("exp_avg", "exp_avg_sq", "step")  # what AdamW keeps of every parameter


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


def staged(stages: Sequence[Mapping[str, int]], plan: Plan, seed: int) -> list[Step]:
    """Return the steps of several runs, one after the other, numbered on: each stage has its own texts, its own epochs
    and its own warm-up and decay; the optimizer's state goes on."""
    steps: list[Step] = []
    for lengths in stages:
        epoch, number = (steps[-1].epoch + 1, steps[-1].step + 1) if steps else (0, 0)
        steps += [
            replace(step, epoch=epoch + step.epoch, step=number + step.step) for step in schedule(lengths, plan, seed)
        ]
    return steps


def last_of_epochs(steps: Sequence[Step]) -> dict[int, int]:
    """Return the number of each epoch's last step, by epoch."""
    return {step.epoch: step.step for step in steps}


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
    after_step: Callable[[Step, torch.optim.Optimizer], None] | None = None,
    optimizer: torch.optim.Optimizer | None = None,
) -> Result:
    """Train `model` in place along `steps` and return its optimizer and log.

    `texts` maps ids to token ids; those of `removed` need not be in it and are never read. `recorder` takes the
    gradients of its points from the same backward passes. `progress` labels a progress bar (None: no bar);
    `after_step` is called after every step, also a skipped one; `optimizer` goes on from the state that it is in
    (default: a new one, see new_optimizer). Same model, steps and thread count on one machine: bitwise the same
    weights. Raises UserError for a text that is missing and for a loss that is not finite.
    """
    removed = frozenset(removed)
    missing = sorted({name for step in steps for name in step.ids} - set(texts) - removed)
    if missing:
        raise UserError(f"no text for {missing[0]!r}, which the schedule names: give it, or put it in `removed`")
    optimizer = optimizer or new_optimizer(model, plan)
    rows = []
    model.eval()  # every dropout is zero; eval mode says that no layer behaves differently in training
    for step in tqdm(steps, desc=progress, disable=progress is None, unit="step", leave=False):
        if not removed.issuperset(step.ids):
            rows.append(_take(step, model, optimizer, texts, removed, plan, recorder))
        if after_step:
            after_step(step, optimizer)
    return Result(optimizer, pd.DataFrame(rows, columns=["epoch", "step", "learning_rate", "texts", "loss"]))


def new_optimizer(model, plan: Plan) -> torch.optim.Optimizer:
    """Return the optimizer of a run before its first step: AdamW."""
    return torch.optim.AdamW(model.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True)


def _take(step: Step, model, optimizer, texts, removed: frozenset[str], plan: Plan, recorder) -> tuple:
    """Take one step of the schedule, in which at least one text is left, and return its row of the log."""
    where = next(model.parameters()).device
    names = [name for name in step.ids if name not in removed]
    count = len(names)
    tokens, lengths = batches.pad([texts[name] for name in names], step.width)
    slots = [slot for slot, name in enumerate(names) if recorder and name in recorder.points]
    with gradients.capture(model, rows=slots, scale=count) if slots else nullcontext() as captured:
        loss = batches.text_losses(model, tokens.to(where), lengths).sum() / count
        loss.backward()
    value = float(loss.detach())
    if value != value or value in (float("inf"), float("-inf")):
        raise UserError(f"the loss became {value} in step {step.step}: lower learning_rate in the profile")
    if slots:
        recorded = [names[slot] for slot in slots]
        recorder.add(model, captured, recorded, [len(texts[name]) for name in recorded], step.epoch)
    if plan.gradient_clip:
        torch.nn.utils.clip_grad_norm_(model.parameters(), plan.gradient_clip)
    for group in optimizer.param_groups:
        group["lr"] = step.learning_rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return step.epoch, step.step, step.learning_rate, count, value


def save(
    folder: Path, model, result: Result, steps: Sequence[Step], plan: Plan, seed: int, removed=(), moments: bool = True
) -> None:
    """Write the trained model's weights and the training log into `folder`, a sha256 of the optimizer's whole state,
    and with `moments` the second moments of its gradients, which is all that is read of it later."""
    save_weights(folder, model)
    state = optimizer_state(model, result.optimizer)
    (folder / "optimizer.json").write_text(json.dumps({"sha256": digest_of(state)}))
    if moments:
        prefix = "exp_avg_sq|"
        seconds = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        save_file(seconds, folder / "second_moments.safetensors")
    result.log.to_csv(folder / "log.csv", index=False)
    record = {
        "seed": seed,
        "plan": asdict(plan),
        "removed": sorted(removed),
        "steps": [asdict(step) for step in steps],
    }
    (folder / "schedule.json").write_text(json.dumps(record))


def optimizer_state(model, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Return the optimizer's moments and step counters as tensors named `<what>|<parameter>`; nothing before the first
    step."""
    return {
        f"{what}|{name}": optimizer.state[value][what].detach().contiguous().cpu()
        for name, value in model.named_parameters()
        for what in MOMENTS
        if value in optimizer.state
    }


def save_state(folder: Path, model, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Write all that the step after `step` depends on into `folder`: parameters, moments, step counters."""
    parameters = {f"parameter|{name}": value.detach().contiguous().cpu() for name, value in model.named_parameters()}
    save_file({**parameters, **optimizer_state(model, optimizer)}, _state(folder, step))


def load_state(folder: Path, model, plan: Plan, step: int) -> torch.optim.Optimizer:
    """Put the parameters as they were after `step` into `model`, in place, and return the optimizer as it was then."""
    stored = load_file(_state(folder, step))
    _put(model, {name: stored[f"parameter|{name}"] for name, _ in model.named_parameters()})
    optimizer = new_optimizer(model, plan)
    for name, value in model.named_parameters():
        if f"step|{name}" in stored:
            moments = {what: stored[f"{what}|{name}"] for what in MOMENTS}
            # A counter stays where the optimizer keeps it, on the CPU or beside the moments.
            optimizer.state[value] = {what: tensor.to(value.device) for what, tensor in moments.items()}
    return optimizer


def saved_states(folder: Path) -> list[int]:
    """Return the numbers of the steps whose states were saved in `folder`, in order."""
    return sorted(int(path.stem.rpartition("-")[2]) for path in folder.glob("state-after-step-*.safetensors"))


def _state(folder: Path, step: int) -> Path:
    return folder / f"state-after-step-{step}.safetensors"


def save_weights(folder: Path, model, epoch: int | None = None) -> None:
    """Write the model's weights into `folder`: those of the end of training, or a checkpoint, after this epoch."""
    parameters = {name: value.detach().contiguous().cpu() for name, value in model.named_parameters()}
    save_file(parameters, _weights(folder, epoch))


def load_weights(model, folder: Path, epoch: int | None = None) -> None:
    """Put the weights that save_weights wrote into `model`, in place; UserError where there are none, or others."""
    path = _weights(folder, epoch)
    if not path.is_file():
        raise UserError(
            f"no {path.name} in {folder}: this model was saved without it; delete the folder and run again"
            if epoch is None
            else f"no weights after epoch {epoch} in {folder.name}: they are kept for the seeds in halves_seeds and "
            "left_out_seeds of the profile; add the seed to one of them"
        )
    stored = load_file(path)
    parameters = dict(model.named_parameters())
    if stored.keys() != parameters.keys():
        raise UserError(f"{folder}: these weights belong to another model; delete the folder and run again")
    _put(model, stored)


def _put(model, values: Mapping[str, torch.Tensor]) -> None:
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in values.items():
            parameters[name].copy_(value)


def _weights(folder: Path, epoch: int | None) -> Path:
    return folder / ("weights.safetensors" if epoch is None else f"weights-after-epoch-{epoch}.safetensors")


def keep_last_epoch(folder: Path, epoch: int) -> None:
    """Let the weights after the last epoch be those of the end of training: one file under both names."""
    try:
        os.link(_weights(folder, None), _weights(folder, epoch))
    except OSError:  # a file system without links
        shutil.copy(_weights(folder, None), _weights(folder, epoch))


def second_moments(folder: Path) -> dict[str, torch.Tensor]:
    """Return the optimizer's second moments (Adam's running mean of squared gradients) at the end of training."""
    return load_file(folder / "second_moments.safetensors")


def digest_of(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return a sha256 over named tensors: names, types, shapes and bytes, in the order of the names."""
    whole = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        whole.update(f"{name}|{value.dtype}|{tuple(value.shape)}|".encode())
        whole.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()
