"""Unlearning images: the networks of one seed, each trained once, and what every way makes of them.

The unit is a network. Number i of the networks that are to forget and number i of the retrained ones begin with the
same weights; `retrained again` is another one. What a way leaves is asked on all parts, image by image, and kept.
"""

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from unlearnlib.core import cache, definitions, paths, profiles
from unlearnlib.core.errors import UserError, nearest
from unlearnlib.experiment.measured import LIBRARIES
from unlearnlib.images import gradients as slopes
from unlearnlib.images import networks, pictures, recorded, training
from unlearnlib.images.pictures import Parts
from unlearnlib.images.training import Recorded, Schedule
from unlearnlib.images.ways import Unlearning
from unlearnlib.measures import distributions, membership

NOTHING, REFERENCE = "nothing done", "retrained"
MODELS = (NOTHING, REFERENCE, "retrained again", "retraining cut short")
SHORT = 0.2  # the share of the epochs of a retraining that is cut short: the challenge's limit of time
SETS = ("forget", "retain", "test", "compared")
BATCH = 64  # of the loaders that an entry is given
APART = 1000  # between the seeds of networks of one seed of the profile and those of the next
CONTROL = "control"  # as many retained images, whose gradients are recorded beside those to forget


@dataclass(frozen=True)
class Task:
    """What is to be forgotten by which network: a source of images (see pictures.load), a network's name (see
    networks.new), the kind of images to forget with the share of wrong labels (see pictures.parted), the schedule."""

    source: str = pictures.DIGITS
    network: str = "small"
    kind: str = "random"
    wrong: float = 1.0
    schedule: Schedule = field(default_factory=Schedule)


@dataclass(frozen=True)
class Step:
    """A recorded step of the paper as a way: the layers (see networks.resolve), the epochs whose gradients are taken
    (see recorded.EPOCHS; `live`: the gradient at the end of training; `random`: a direction drawn at random), plain or
    preconditioned, and whose gradients they are: of the images to forget, or of as many retained ones (CONTROL)."""

    layers: str = "all"
    epochs: str = "first"
    kind: str = "plain"
    whose: str = "forget"


class Images:
    """One task of one seed of a profile: the parts and the order of everything are drawn by the seed."""

    def __init__(self, profile: str, seed: int, task: Task | None = None):
        self.profile, self.seed = profiles.load(profile), seed
        self.task = Task() if task is None else task

    @cached_property
    def whole(self) -> pictures.Pictures:
        """All images of the source."""
        return pictures.load(self.task.source)

    @cached_property
    def parts(self) -> Parts:
        """What is retained, forgotten, chosen by and tested on."""
        return pictures.parted(self.whole, self.seed, self.task.kind, self.task.wrong)

    @cached_property
    def _content(self) -> str:
        return joblib.hash([self.whole.images.numpy(), self.whole.labels.numpy()])

    @property
    def layers(self) -> list[str]:
        """The names of the network's layers, from the input up."""
        return networks.layers(networks.new(self.task.network, self.whole, 0))

    @property
    def first_layer(self) -> str:
        """The name of the layer that images go into: what the embedding is to texts."""
        return self.layers[0]

    # Networks

    def original(self, number: int) -> tuple[torch.nn.Module, Recorded]:
        """Return network `number` trained on everything, and what was recorded of its training."""
        return self._trained("original", number, self.task.schedule)

    def retrained(self, number: int, again: bool = False) -> torch.nn.Module:
        """Return the network retrained without the images to forget that began with the same weights as the original of
        this number; `again`: one that began with others, and read the images in another order."""
        return self._trained("again" if again else "retrained", number, self.task.schedule)[0]

    def cut_short(self, number: int) -> torch.nn.Module:
        """Return the network retrained for a fifth of the epochs."""
        return self._trained("retrained", number, self._short)[0]

    @property
    def _short(self) -> Schedule:
        return replace(self.task.schedule, epochs=max(1, round(SHORT * self.task.schedule.epochs)))

    def _trained(self, kind: str, number: int, schedule: Schedule) -> tuple[torch.nn.Module, Recorded]:
        folder = self._folder(kind, number, schedule)
        net = networks.new(self.task.network, self.whole, 0)
        net.load_state_dict(load_file(folder / "weights.safetensors"))
        return net.eval(), _read(folder) if kind == "original" else Recorded()

    def _folder(self, kind: str, number: int, schedule: Schedule) -> Path:
        seed = self.seed * APART + number + (APART // 2 if kind == "again" else 0)
        whose = {"kind": self.task.kind, "wrong": self.task.wrong} if kind == "original" else {}
        key = {
            "images": self._content,
            "network": self.task.network,
            "schedule": asdict(schedule),
            "drawn": self.seed,
            "seed": seed,
            **whose,
            "recorded": kind == "original",
            "code": definitions.code(_train, pictures.parted, networks.new),
            "libraries": LIBRARIES,
        }

        def compute(folder: Path) -> None:
            definitions.check_unchanged(part.partition(":")[0] for part in definitions.of(_train))
            net = networks.new(self.task.network, self.whole, seed)
            _train(net, self.parts, schedule, seed, kind == "original", folder)

        return cache.folder(paths.cache_folder(self.profile.name), f"pictures-{kind}", key, compute)

    def seconds(self, number: int) -> float:
        """Return the CPU time that retraining network `number` took."""
        folder = self._folder("retrained", number, self.task.schedule)
        return json.loads((folder / "cost.json").read_text())["seconds"]

    # Ways

    def asked(self, name: str, way: "str | Step | Unlearning", numbers: Iterable[int]) -> pd.DataFrame:
        """Return what networks answer after a way, image by image (cached, each network on its own).

        way: one of MODELS, a Step, or an entry of the challenge (a function). Columns: seed, kind, method (`name`),
        number, effort (the L2 norm of a Step; below zero where it did not come to its stop; else NaN), seconds (of CPU
        time), share (of the seconds of retraining), set (SETS), image (its row), log_odds of its label, right (is the
        likeliest class its label?), true (is it the image's true class?), kl (to the retrained network of this number,
        KL(retrained || network) in nats).
        """
        frames = []
        for number in tqdm(list(numbers), desc=name, leave=False, disable=None):
            frames.append(self._asked(way, number))
        table = pd.concat(frames, ignore_index=True)
        return table.assign(profile=self.profile.name, seed=self.seed, kind=self.task.kind, method=name)

    def _asked(self, way: "str | Step | Unlearning", number: int) -> pd.DataFrame:
        if isinstance(way, str) and way not in MODELS:
            raise UserError(f"no model {way!r}: {nearest(way, MODELS)}")
        of = way if isinstance(way, str) else asdict(way) if isinstance(way, Step) else "a function"
        own = [way] if not isinstance(way, (str, Step)) else []
        parts = definitions.of(_measure, Images._after, _train, *own)
        key = {
            "images": self._content,
            "task": asdict(self.task),
            "drawn": self.seed,
            "number": number,
            "way": of,
            "code": definitions.combined(parts),
            "libraries": LIBRARIES,
        }

        def compute() -> pd.DataFrame:
            definitions.check_unchanged(part.partition(":")[0] for part in parts)
            net, effort, seconds = self._after(way, number)
            found = _measure(net, self.parts, self.retrained(number))
            return found.assign(number=number, effort=effort, seconds=seconds, share=seconds / self.seconds(number))

        return cache.table(paths.cache_folder(self.profile.name), f"pictures-seed{self.seed}", key, compute)

    def _after(self, way: "str | Step | Unlearning", number: int) -> tuple[torch.nn.Module, float, float]:
        """Return the network that a way makes of original `number`, its effort, and its seconds of CPU time."""
        if isinstance(way, str):
            made = {
                "nothing done": lambda: self.original(number)[0],
                "retrained": lambda: self.retrained(number),
                "retrained again": lambda: self.retrained(number, again=True),
                "retraining cut short": lambda: self.cut_short(number),
            }[way]
            cost = {"nothing done": 0.0, "retraining cut short": SHORT}.get(way, 1.0) * self.seconds(number)
            return made(), float("nan"), cost
        net, found = self.original(number)
        efforts: list[float] = []
        if isinstance(way, Step):
            way = recorded.step(self._towards(way, net, found, number), self.parts.unseen, efforts)
        loaders = [
            part.loader(BATCH, self.seed * APART + number)
            for part in (self.parts.retain, self.parts.forget, self.parts.validation)
        ]
        started = time.process_time()
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(self.seed * APART + number + APART // 4)  # not the seed of its first weights
            net = way(net, *loaders)
        seconds = time.process_time() - started
        if not isinstance(net, torch.nn.Module):
            raise UserError(f"the entry returned a {type(net).__name__}: return the network")
        return net.eval(), efforts[0] if efforts else float("nan"), seconds

    def _towards(self, step: Step, net, found: Recorded, number: int):
        if step.epochs == "live":
            whole = slopes.summed(net, self.parts.forget.images, self.parts.forget.labels)
            return {name: whole[name] for name in networks.resolve(net, step.layers)}
        if step.epochs == "random":
            generator = torch.Generator().manual_seed(self.seed * APART + number)
            parameters = dict(net.named_parameters())
            chosen = networks.resolve(net, step.layers)
            return {name: torch.randn(parameters[name].shape, generator=generator) for name in chosen}
        return recorded.direction(found, net, step.layers, step.epochs, step.kind, step.whose)


def _train(net, parts: Parts, schedule: Schedule, seed: int, recording: bool, folder: Path) -> None:
    """Train a network on all images with recording, or on the retained ones, and write it into `folder`."""
    kept, count = len(parts.retain), len(parts.forget)
    groups = {"forget": torch.arange(kept, kept + count), CONTROL: _control(kept, count, seed)} if recording else None
    images = pictures.trained_on(parts) if recording else parts.retain
    started = time.process_time()
    found = training.train(net, images, schedule, seed, groups)
    (folder / "cost.json").write_text(json.dumps({"seconds": time.process_time() - started}))
    save_file({name: value.contiguous() for name, value in net.state_dict().items()}, folder / "weights.safetensors")
    if recording:
        _write(found, folder)


def _control(kept: int, count: int, seed: int) -> torch.Tensor:
    return torch.randperm(kept, generator=torch.Generator().manual_seed(seed))[:count]


def _write(found: Recorded, folder: Path) -> None:
    tensors = {f"moments|{name}": value for name, value in found.moments.items()}
    tensors |= {f"each|{name}": value for name, value in found.each.items()}
    for whose, sums in found.sums.items():
        for epochs, gradient in sums.items():
            tensors |= {f"sums|{whose}|{epochs}|{name}": value for name, value in gradient.items()}
    tensors["path"] = torch.tensor(found.path, dtype=torch.float64)
    save_file({name: value.contiguous().clone() for name, value in tensors.items()}, folder / "recorded.safetensors")


def _read(folder: Path) -> Recorded:
    found = Recorded()
    for key, value in load_file(folder / "recorded.safetensors").items():
        what, *rest = key.split("|")
        if what == "path":
            found.path = [tuple(row) for row in value.tolist()]
        elif what == "sums":
            found.sums.setdefault(rest[0], {}).setdefault(rest[1], {})[rest[2]] = value
        else:
            getattr(found, what)[rest[0]] = value
    return found


def _measure(net, parts: Parts, reference) -> pd.DataFrame:
    """Return what a network answers to every image of SETS (see Images.asked)."""
    frames = []
    for name in SETS:
        part = getattr(parts, name)
        truth = {"forget": parts.truth, "compared": parts.test.labels}.get(name, part.labels)
        ours, theirs = (recorded.logits(one, part.images).double() for one in (net, reference))
        ours_log, theirs_log = ours.log_softmax(1), theirs.log_softmax(1)
        columns = {
            "image": np.arange(len(part)),
            "log_odds": recorded.log_odds(ours, part.labels),
            "loss": -ours_log.gather(1, part.labels[:, None])[:, 0],
            "right": ours.argmax(1) == part.labels,
            "true": ours.argmax(1) == truth,
            "kl": (theirs_log.exp() * (theirs_log - ours_log)).sum(1),
        }
        frames.append(pd.DataFrame({key: np.asarray(value) for key, value in columns.items()}).assign(set=name))
    return pd.concat(frames, ignore_index=True)


# What is made of the answers

BY = ["profile", "seed", "kind", "method", "number"]


def by_network(answers: pd.DataFrame) -> pd.DataFrame:
    """Return one row a network: BY, then effort, seconds, share; the share right of each of forget, retain and test,
    and of forget by true class (forget_true); kl_forget and kl_test (nats an image); attack (accuracy of the starting
    kit's attack: 0.5 cannot tell the forget set from images never seen) and auc (the chance that a never-seen image has
    a larger loss than one to forget; 0.5 is ideal)."""
    rows = []
    for key, one in answers.groupby(BY, sort=False):
        of = {name: part for name, part in one.groupby("set")}
        losses = of["forget"]["loss"].to_numpy(), of["compared"]["loss"].to_numpy()
        rows.append(
            {
                **dict(zip(BY, key, strict=True)),
                **one.iloc[0][["effort", "seconds", "share"]],
                **{name: of[name]["right"].mean() for name in ("forget", "retain", "test")},
                "forget_true": of["forget"]["true"].mean(),
                **{f"kl_{name}": of[name]["kl"].mean() for name in ("forget", "test")},
                "attack": membership.simple_mia(*losses),
                "auc": membership.auc(*losses),
            }
        )
    return pd.DataFrame(rows)


def scores(answers: pd.DataFrame, against: pd.DataFrame) -> pd.DataFrame:
    """Return the challenge's score of every method, from the networks of one seed and those retrained `against` which
    they are held (answers of `retrained`).

    Columns: seed, kind, method, networks (N of each), F (the forgetting quality; 1 is best, and see the row of
    `retrained again`: what two sets of retrained networks score), score (F times the ratios of retain and test
    accuracy), shown (the mean over images of a lower 95% bound of epsilon, with the attack chosen on other networks
    than those that it is tried on; 0: nothing shown), share_shown (of the images whose bound is above 0).
    """
    theirs = _odds(against)
    accuracy = {name: against[against["set"] == name]["right"].mean() for name in ("retain", "test")}
    rows = []
    for (seed, kind, method), one in answers.groupby(["seed", "kind", "method"], sort=False):
        ours = _odds(one)
        own = [(one[one["set"] == name]["right"].mean(), accuracy[name]) for name in ("retain", "test")]
        found = distributions.forgetting_score(ours, theirs, *own)
        bound = distributions.epsilon_lower_bound(ours, theirs)
        rows.append((seed, kind, method, found.models, found.forgetting, found.score, bound.mean(), (bound > 0).mean()))
    columns = ["seed", "kind", "method", "networks", "F", "score", "shown", "share_shown"]
    return pd.DataFrame(rows, columns=columns)


def _odds(answers: pd.DataFrame) -> np.ndarray:
    """Return the log-odds of the images to forget, [networks, images]."""
    rows = answers[answers["set"] == "forget"]
    return rows.pivot(index="number", columns="image", values="log_odds").to_numpy()


def gradients(images: Images, numbers: Sequence[int]) -> pd.DataFrame:
    """Return how alike the recorded gradients of the images to forget and of as many retained ones are, by epoch.

    Columns: seed, kind, number, epoch (from 1), cosine (of the two sums), forget and control (their L2 norms).
    """
    rows = []
    for number in numbers:
        path = images.original(number)[1].path
        rows += [(images.seed, images.task.kind, number, epoch, *row) for epoch, row in enumerate(path, 1)]
    return pd.DataFrame(rows, columns=["seed", "kind", "number", "epoch", "cosine", "forget", "control"])


def own_share(images: Images, number: int) -> pd.DataFrame:
    """Return, for every image to forget, the cosine between its own recorded gradient of the first epoch and the sum of
    the others' with its label, and of those with other labels (columns seed, kind, image, same, other)."""
    each = images.original(number)[1].each
    flat = torch.cat([value.flatten(1) for value in each.values()], 1).double()
    labels, rows = images.parts.forget.labels, []
    for row in range(len(flat)):
        same = labels == labels[row]
        same[row] = False
        pair = [flat[chosen].sum(0) if chosen.any() else None for chosen in (same, labels != labels[row])]
        cosines = [
            float("nan") if one is None else float(torch.cosine_similarity(flat[row], one, dim=0)) for one in pair
        ]
        rows.append((images.seed, images.task.kind, row, *cosines))
    return pd.DataFrame(rows, columns=["seed", "kind", "image", "same", "other"])
