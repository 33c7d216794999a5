"""The paper's step for images: ascent along gradients recorded in training, as an entry of the challenge."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import joblib
import torch

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.gradients.algebra import Gradient
from unlearnlib.images.gradients import as_asked
from unlearnlib.images.networks import resolve
from unlearnlib.images.pictures import Pictures
from unlearnlib.images.training import Recorded
from unlearnlib.methods import equal_forgetting
from unlearnlib.methods.path import straight
from unlearnlib.methods.preconditioned import rescaled

EPOCHS, KINDS = ("first", "last", "all"), ("plain", "preconditioned")
SEARCH = {"smallest": 0.02, "factor": 1.5, "largest": 200.0, "tolerance": 0.03, "start": 0.3}


@torch.no_grad()
def logits(net: torch.nn.Module, images: torch.Tensor, batch: int = 512) -> torch.Tensor:
    """Return what a network answers, [n, classes], as it is asked (see as_asked)."""
    with as_asked(net):
        return torch.cat([net(part) for part in images.split(batch)])


def log_odds(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return log p(label) - log(1 - p(label)) [n] in float64, the challenge's output of a network: higher, surer."""
    wide = logits.double()
    own = wide.gather(1, labels[:, None])[:, 0]
    others = wide.scatter(1, labels[:, None], -torch.inf)
    return own - others.logsumexp(1)


def direction(recorded: Recorded, net, names: str, epochs: str, kind: str, whose: str = "forget") -> Gradient:
    """Return the recorded gradient of a group's images in the layers `names` (see networks.resolve), of the epochs
    `first`, `last` or `all`: `plain`, or `preconditioned` by the root of the optimizer's second moments."""
    for given, known in ((whose, recorded.sums), (epochs, EPOCHS), (kind, KINDS)):
        if given not in known:
            raise UserError(f"no {given!r} here: {nearest(given, known)}")
    chosen = {name: recorded.sums[whose][epochs][name] for name in resolve(net, names)}
    return chosen if kind == "plain" else rescaled(chosen, recorded.moments)


def of_some(recorded: Recorded, net, names: str, rows: Sequence[int]) -> Gradient:
    """Return the first epoch's recorded gradient of some of the images to forget, by their rows in the forget set."""
    count = len(next(iter(recorded.each.values()), ()))
    wrong = [row for row in rows if not 0 <= row < count]
    if wrong or not len(rows):
        raise UserError(f"rows {list(wrong)} of {count} recorded images: give some from 0 to {count - 1}")
    return {name: recorded.each[name][list(rows)].sum(0) for name in resolve(net, names)}


@dataclass(frozen=True, eq=False)
class Along:
    """An entry that goes along a direction until the images to forget are no better known than others that were never
    seen: to the first step at which their mean log-odds are within the prediction interval of those of `unseen` (see
    unlearnlib.methods.equal_forgetting.upper_end).

    With `only`, parameters by name, the network is changed in these alone: by their part of the step that the whole
    direction takes to that stop. `lengths` has the length of every step that was taken (of the whole direction): 0
    where nothing had to be done, below zero, the shortest found, where no step that was tried comes to the stop.
    """

    towards: Mapping[str, torch.Tensor]
    unseen: Pictures
    only: tuple[str, ...] = ()
    lengths: list[float] = field(default_factory=list)

    @property
    def identity(self) -> dict:
        """What stands for it in a key."""
        tensors = {name: value.cpu().numpy() for name, value in self.towards.items()}
        return {"along": joblib.hash(tensors), "only": list(self.only), "unseen": self.unseen.identity}

    def __call__(self, net, retain, forget, validation):
        """Return the network, moved."""
        images, labels = forget.dataset.tensors
        known = log_odds(logits(net, self.unseen.images), self.unseen.labels).cpu().numpy()
        target = equal_forgetting.upper_end(known, len(labels))

        def measure(model) -> float:
            return float(log_odds(logits(model, images), labels).mean())

        moved = copy.deepcopy(net)
        effort = equal_forgetting.taken(moved, straight(moved, self.towards), measure, target, **SEARCH)
        self.lengths.append(effort if measure(moved) <= target else -effort)
        if not self.only:
            return moved
        ends = dict(moved.named_parameters())
        with torch.no_grad():
            for name, value in net.named_parameters():
                if name in self.only:
                    value.copy_(ends[name])
        return net
