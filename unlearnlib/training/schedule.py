"""Deterministic fine-tuning that records gradients on its own steps and can be replayed without some of its texts.

The rule that makes training without a text and replaying without it the same, bit by bit:

- the schedule (which text in which slot of which step, padding width, learning rate) is fixed by the full data and the
  seed: each epoch's order sorts the ids by a hash of seed, epoch and id;
- a removed text leaves its slot empty, and nobody moves up: its words are never read, and nothing is computed for it;
- the loss of a step is divided by the number of texts that are left in it;
- a step without any text left skips the optimizer altogether, its step counter included;
- learning rates belong to steps of the schedule, not to steps taken;
- a state (save_state) holds the parameters, both moments and the step counter: all that the next step depends on.

Replaying without texts (unlearnlib.training.replay) and training without them then do the same operations in the
same order.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from unlearnlib.core.errors import UserError


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
