"""What a finished training did because of some of its texts, seen by taking it once more.

A training that has left its log can be taken again bit by bit, and looked at on the way. So what somebody wants to know
of it later need not have been recorded at its time; it costs one training more.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from unlearnlib.core.errors import UserError
from unlearnlib.gradients.algebra import Gradient, select
from unlearnlib.gradients.capture import Captured
from unlearnlib.gradients.record import Record, Recorder
from unlearnlib.gradients.rules import densify, factors, merged
from unlearnlib.models.anatomy import HALVES
from unlearnlib.models.layers import Selection, resolve
from unlearnlib.training import replay, storage
from unlearnlib.training.loop import fine_tune
from unlearnlib.training.schedule import Plan, Step, last_of_epochs

SHARES, MOMENTS = "shares.safetensors", "second_moments_first.safetensors"
UNTIL = ("first", "all")  # until the end of which epochs


class Shares:
    """What AdamW adds to the parameters because of some texts, step by step.

    A step of AdamW is learning rate x m / (sqrt(v) + epsilon), where m is a running mean of the clipped gradients of
    batches: with v taken as it was, it is linear in them. So the part of m that comes from the gradients of some texts
    gives the part of every step that they account for. The parts of all texts add up to everything that training has
    changed (but for what weight decay took from the parameters to start from). It is an account of what was done, not
    of what would have been done without these texts: then all later gradients, and v, were others.

    Where the texts of a batch pull against each other, v is nearly zero and a part of the step can be any number of
    times as long as the step itself. So no part counts for more than `limit` times the learning rate in any entry; by
    default that is the longest step that AdamW can take (Kingma & Ba 2015, section 2.1), so that the account of all
    texts is exact. math.inf: the parts of any two groups add up to that of both.

    `taken_back`: by parameter, what has to be added to it now to take back all that was added because of them.
    """

    def __init__(self, model, plan: Plan, limit: float | None = None):
        self.selections, self.limit, self.clip = resolve(model, "all"), limit, plan.gradient_clip
        self.mean = {name: torch.zeros_like(value) for name, value in model.named_parameters()}
        self.taken_back = {name: torch.zeros_like(value) for name, value in self.mean.items()}
        self._gradient: Gradient = {}

    def see(self, model, gradient: Gradient) -> None:
        """Take in the summed gradients of these texts in one step (by part, each of a text's own mean loss), before the
        batch's gradient, which the model's parameters hold, is clipped."""
        scale = 1.0
        if self.clip:
            norm = torch.nn.utils.get_total_norm([value.grad for value in model.parameters() if value.grad is not None])
            scale = min(1.0, self.clip / (float(norm) + 1e-6))
        self._gradient = {name: value * scale for name, value in select(gradient, self.selections).items()}

    @torch.no_grad()
    def step(self, model, optimizer: torch.optim.Optimizer, texts: int) -> None:
        """Take in what the optimizer has just done with the mean gradient of so many texts."""
        group = optimizer.param_groups[0]
        first, second = group["betas"]
        limit = (1 - first) / math.sqrt(1 - second) if self.limit is None else self.limit
        for name, value in model.named_parameters():
            state = optimizer.state.get(value)
            if not state:
                continue  # no step has reached this parameter
            mean, count = self.mean[name].mul_(first), float(state["step"])
            if name in self._gradient:
                mean.add_(self._gradient[name], alpha=(1 - first) / texts)
            root = (state["exp_avg_sq"] / (1 - second**count)).sqrt_().add_(group["eps"])
            share = (mean / root).div_(1 - first**count).clamp_(-limit, limit)
            self.taken_back[name].mul_(1 - group["lr"] * group["weight_decay"]).add_(share, alpha=group["lr"])
        self._gradient = {}


class _Watcher:
    """A recorder (see unlearnlib.training.loop.fine_tune) of the shares of `points` and the gradients of `others`."""

    def __init__(self, points: Collection[str], others: Collection[str], shares: Shares):
        self.own, self.shares = frozenset(points), shares
        self.others = Recorder(others, point_epochs=(), joined_from=1)
        self.points = self.own | self.others.points

    def add(self, model, captured: Captured, names: Sequence[str], _lengths: Sequence[int], epoch: int) -> None:
        stored = factors(captured)

        def total(members: frozenset[str]) -> Gradient:
            rows = [row for row, name in enumerate(names) if name in members]
            return densify(model, merged({key: value[rows] for key, value in stored.items()})) if rows else {}

        if own := total(self.own):
            self.shares.see(model, own)
        if others := total(self.others.points):
            self.others.add_sum(others, epoch)


@dataclass(frozen=True)
class Watched:
    """What `watch` has left in a folder."""

    folder: Path

    @property
    def others(self) -> Record:
        """The recorded gradients of the other texts: their sum in the first epoch, and that in all later ones."""
        return Record(self.folder)

    def second_moments(self) -> dict[str, torch.Tensor]:
        """Return the optimizer's second moments at the end of the first epoch, by parameter name."""
        return load_file(self.folder / MOMENTS)

    def taken_back(self, selections: Mapping[str, Selection], until: str = "all") -> Gradient:
        """Return what has to be added to these parameters to take back all that was added to them because of the
        watched texts (see Shares), `until` the end of the first epoch, or of all."""
        result: Gradient = {}
        with safe_open(self.folder / SHARES, "pt") as file:
            for name, selection in selections.items():
                if selection.halves is not None and set(selection.halves) != set(HALVES):
                    raise UserError(f"what was added to {name} is not known by its uses: name the whole embedding")
                result[name] = selection.mask(file.get_tensor(f"{until}|{name}"))
        return result


def watch(
    log_folder: Path,
    base,
    texts: Mapping[str, Sequence[int]],
    points: Collection[str],
    others: Collection[str],
    folder: Path,
    progress: str | None = None,
    limit: float | None = None,
) -> Watched:
    """Take the training whose log is in `log_folder` once more, and leave in `folder` what it shows (see Watched).

    base: the model before training, which becomes the trained one; texts: token ids of every text by id; points: the
    texts whose shares are asked for (limit: see Shares); others: those whose gradients are recorded. UserError where
    the weights at the end are not bit by bit those of the first time: then what was seen is not what was done.
    """
    log = replay.log_of(log_folder)
    watcher = _Watcher(points, others, Shares(base, log.plan, limit))
    ends = last_of_epochs(log.steps)
    first = ends[min(ends)]
    kept: dict[str, torch.Tensor] = {}

    def after_step(step: Step, optimizer: torch.optim.Optimizer) -> None:
        left = sum(name not in log.removed for name in step.ids)
        if left:
            watcher.shares.step(base, optimizer, left)
        if step.step == first:
            kept.update({f"first|{name}": value.clone() for name, value in watcher.shares.taken_back.items()})
            state = storage.optimizer_state(base, optimizer)
            moments = {key.partition("|")[2]: v.clone() for key, v in state.items() if key.startswith("exp_avg_sq|")}
            save_file(moments, folder / MOMENTS)

    fine_tune(base, texts, log.steps, log.plan, log.removed, watcher, progress, after_step)
    if replay.digest(base)["parameters"] != replay.stored_digest(log_folder)["parameters"]:
        raise UserError(
            f"taken again, the training in {Path(log_folder).name} ends with other weights: it was made on another "
            "machine, with another number of threads, or with other versions; delete the folder and train again"
        )
    kept |= {f"all|{name}": value for name, value in watcher.shares.taken_back.items()}
    save_file({key: value.contiguous().cpu() for key, value in kept.items()}, folder / SHARES)
    watcher.others.save(folder)
    return Watched(folder)
