"""Training a network on images, and what is recorded on the way."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch.nn.functional import cross_entropy, pad

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.gradients.algebra import Gradient, add, dot, norm
from unlearnlib.images.gradients import of_each, summed
from unlearnlib.images.pictures import Pictures

OPTIMIZERS = ("adam", "sgd")
MOST = 1e9  # bytes of single images' gradients


@dataclass(frozen=True)
class Schedule:
    """How a network is trained: `adam`, or `sgd` with a momentum of .9 and a rate that falls along a cosine; `crop`:
    each image is moved by up to so many pixels and half of them are mirrored (0: as they are)."""

    epochs: int = 50
    batch: int = 64
    learning_rate: float = 3e-3
    optimizer: str = "adam"
    weight_decay: float = 0.0
    crop: int = 0

    def __post_init__(self):
        for name, least in {"epochs": 1, "batch": 2, "crop": 0}.items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise UserError(f"{name} is {value!r}: give a whole number from {least} on")
        if not isinstance(self.learning_rate, (int, float)) or not 0 < self.learning_rate < 10:
            raise UserError(f"learning_rate is {self.learning_rate!r}: give a number above 0, such as 3e-3")
        if self.optimizer not in OPTIMIZERS:
            raise UserError(f"no optimizer {self.optimizer!r}: {nearest(self.optimizer, OPTIMIZERS)}")


@dataclass
class Recorded:
    """What is recorded of groups of images: `sums`, by group, the gradient summed over its images in each of the epochs
    `first`, `last` and `all`; `each`: of the group forget the first epoch's of every image, [n, ...] by parameter, in
    the order of its images; `moments`: the optimizer's second moments at the end (of adam); `path`: a row an epoch, the
    cosine between the first two groups' sums and their norms."""

    sums: dict[str, dict[str, Gradient]] = field(default_factory=dict)
    each: Gradient = field(default_factory=dict)
    moments: Gradient = field(default_factory=dict)
    path: list[tuple[float, float, float]] = field(default_factory=list)


def train(
    net: torch.nn.Module,
    pictures: Pictures,
    schedule: Schedule,
    seed: int,
    groups: Mapping[str, torch.Tensor] | None = None,
    each: bool = True,
) -> Recorded:
    """Train `net` in place on all images, in orders of `seed`, and return what was recorded of `groups` (rows of
    `pictures`, by name); with `each` the first epoch's gradients of the group forget also one by one.

    An image's gradient is taken at the parameters that the step which uses it starts from, with the network as it is
    asked, and not divided by the size of the batch. After a training the network is as it is asked. UserError where
    gradients of single images would take more than MOST bytes, and where the loss is not finite.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer, slower = _optimizer(net, pictures, schedule)
    groups = {} if groups is None else dict(groups)
    found = Recorded({name: {} for name in groups})
    place = {int(row): number for number, row in enumerate(groups.get("forget", ()))} if each else {}
    size = 4 * len(place) * sum(parameter.numel() for parameter in net.parameters())
    if size > MOST:
        raise UserError(f"gradients of {len(place)} single images take {size / 1e9:.0f} GB: record their sums alone")
    for epoch in range(schedule.epochs):
        net.train()
        sums: dict[str, Gradient] = {name: {} for name in groups}
        for rows in _batches(len(pictures), schedule.batch, generator):
            images, labels = _seen(pictures.images[rows], schedule.crop, generator), pictures.labels[rows]
            for name, members in groups.items():
                chosen = torch.isin(rows, members).nonzero()[:, 0]
                if len(chosen):
                    add(sums[name], summed(net, images[chosen], labels[chosen]))
                if len(chosen) and place and name == "forget" and epoch == 0:
                    _put(found.each, of_each(net, images[chosen], labels[chosen]), rows[chosen], place)
            optimizer.zero_grad()
            loss = cross_entropy(net(images), labels)
            loss.backward()
            optimizer.step()
            slower.step()
        if not torch.isfinite(loss.detach()):
            raise UserError(f"the loss became {float(loss.detach())} in epoch {epoch + 1}: lower the learning_rate")
        _close(found, sums, epoch)
    net.eval()
    if schedule.optimizer == "adam":
        names = {parameter: name for name, parameter in net.named_parameters()}
        found.moments = {names[one]: state["exp_avg_sq"].clone() for one, state in optimizer.state.items()}
    return found


def _batches(count: int, size: int, generator: torch.Generator) -> list[torch.Tensor]:
    """Return the rows of an epoch in a new order, in batches; one that is left over goes with those before it."""
    parts = list(torch.randperm(count, generator=generator).split(size))
    return parts if len(parts) < 2 or len(parts[-1]) > 1 else [*parts[:-2], torch.cat(parts[-2:])]


def _optimizer(net, pictures: Pictures, schedule: Schedule):
    rate, decay = schedule.learning_rate, schedule.weight_decay
    if schedule.optimizer == "adam":
        optimizer = torch.optim.Adam(net.parameters(), rate, weight_decay=decay)
        return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    optimizer = torch.optim.SGD(net.parameters(), rate, momentum=0.9, weight_decay=decay)
    steps = schedule.epochs * len(_batches(len(pictures), schedule.batch, torch.Generator()))
    return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)


def _seen(images: torch.Tensor, crop: int, generator: torch.Generator) -> torch.Tensor:
    """Return a batch as it is trained on: moved and mirrored at random where `crop` is above 0."""
    if not crop:
        return images
    count, _, height, width = images.shape
    wide = pad(images, (crop,) * 4)
    down, right = (torch.randint(2 * crop + 1, (count,), generator=generator).tolist() for _ in range(2))
    moved = [one[:, y : y + height, x : x + width] for one, y, x in zip(wide, down, right, strict=True)]
    mirrored = torch.rand(count, generator=generator) < 0.5
    return torch.stack([one.flip(-1) if flip else one for one, flip in zip(moved, mirrored, strict=True)])


def _put(each: Gradient, new: Gradient, rows: torch.Tensor, place: Mapping[int, int]) -> None:
    where = torch.tensor([place[int(row)] for row in rows])
    for name, value in new.items():
        each.setdefault(name, torch.zeros(len(place), *value.shape[1:]))[where] = value.cpu()


def _close(found: Recorded, sums: Mapping[str, Gradient], epoch: int) -> None:
    """Add an epoch's sums to what is recorded."""
    for name, gradient in sums.items():
        kept = found.sums[name]
        if epoch == 0:
            kept["first"] = {part: value.clone() for part, value in gradient.items()}
        kept["last"] = gradient
        kept["all"] = add(kept.get("all", {}), gradient)
    if len(sums) > 1:
        one, other = list(sums.values())[:2]
        found.path.append((dot(one, other) / (norm(one) * norm(other)), norm(one), norm(other)))
