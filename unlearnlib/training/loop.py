"""The training loop: deterministic, recording gradients on its own steps."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import pandas as pd
import torch
from tqdm import tqdm

from unlearnlib.core.errors import UserError
from unlearnlib.data import batches
from unlearnlib.gradients.capture import capture
from unlearnlib.gradients.record import Recorder
from unlearnlib.training.schedule import Plan, Step


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
    recorder: Recorder | None = None,
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
    with capture(model, rows=slots, scale=count) if slots else nullcontext() as captured:
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
