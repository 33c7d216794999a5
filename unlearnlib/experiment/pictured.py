"""Unlearning images: the networks of one seed, each trained once, and what every way makes of them.

The unit is a network. Number i of the networks that are to forget and number i of the retrained ones begin with the
same weights. Everything is held against reference number i, a network that was retrained with other first weights and
in another order: so the retrained ones, which nobody can beat, stand in the same row as the ways.
"""

import hashlib
import json
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from unlearnlib.core import cache, definitions, paths, profiles
from unlearnlib.core.errors import UserError, nearest
from unlearnlib.experiment.measured import LIBRARIES
from unlearnlib.gradients.algebra import Gradient
from unlearnlib.images import gradients as slopes
from unlearnlib.images import networks, pictures, recorded, training
from unlearnlib.images.pictures import Parts
from unlearnlib.images.recorded import Along
from unlearnlib.images.training import Recorded, Schedule
from unlearnlib.images.ways import Unlearning
from unlearnlib.measures import distributions, membership
from unlearnlib.models import loading

NOTHING, RETRAINED, SHORT, REFERENCE = "nothing done", "retrained", "retraining cut short", "reference"
MODELS = (NOTHING, RETRAINED, SHORT, REFERENCE)
SHARE = 0.2  # of the epochs of a retraining that is cut short: the challenge's limit of time
SETS = ("forget", "retain", "test", "compared")
BATCH = 64  # of the loaders that an entry is given
CONTROL = "control"  # as many retained images, whose gradients are recorded beside those to forget
AT_THE_END, AT_RANDOM = "live", "random"  # in the place of epochs
WITH_EACH = (0,)  # the numbers of networks of which single images' gradients are kept


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
    (see recorded.EPOCHS), plain or preconditioned, and whose gradients they are: of the images to forget, or of as many
    retained ones (CONTROL). In the place of epochs: AT_THE_END, the gradient when training is over, or AT_RANDOM, a
    direction drawn at random. With `only` the stop is found along all the layers, and the network is changed in these
    alone."""

    layers: str = "all"
    epochs: str = "first"
    kind: str = "plain"
    whose: str = "forget"
    only: str = ""

    def __post_init__(self):
        if self.epochs in (AT_THE_END, AT_RANDOM) and (self.kind, self.whose) != ("plain", "forget"):
            raise UserError(f"a step {self.epochs!r} is plain, and of no other images: leave out kind and whose")


class Images:
    """One task of one seed of a profile: the parts and the order of everything are drawn by the seed. Torch gets one
    thread: with more the last bits would depend on how many."""

    def __init__(self, profile: str, seed: int, task: Task | None = None):
        if not isinstance(seed, int) or seed < 0:
            raise UserError(f"seed {seed!r} is no whole number from 0 on")
        self.profile, self.seed = profiles.load(profile), seed
        self.task = Task() if task is None else task
        torch.set_num_threads(1)

    @cached_property
    def whole(self) -> pictures.Pictures:
        """All images of the source."""
        return pictures.load(self.task.source).to(loading.device(self.profile.device))

    @cached_property
    def parts(self) -> Parts:
        """What is retained, forgotten, chosen by and tested on."""
        return pictures.parted(self.whole, self.seed, self.task.kind, self.task.wrong)

    @cached_property
    def _content(self) -> str:
        return self.whole.identity

    @property
    def layers(self) -> list[str]:
        """The names of the network's layers, from the input up."""
        return networks.layers(self._new(0))

    @property
    def first_layer(self) -> str:
        """The name of the layer that images go into: what the embedding is to texts."""
        return self.layers[0]

    # Networks

    def _new(self, seed: int) -> torch.nn.Module:
        return networks.new(self.task.network, self.whole, seed).to(self.whole.images.device)

    def _seed(self, *of) -> int:
        """Return a seed of its own for everything that is drawn: by the seed of the profile and what it is for."""
        digest = hashlib.sha256("|".join(map(str, (self.seed, *of))).encode()).hexdigest()
        return int(digest[:8], 16)

    def original(self, number: int) -> tuple[torch.nn.Module, Recorded]:
        """Return network `number` trained on everything, and what was recorded of its training."""
        return self._trained("original", number, self.task.schedule)

    def retrained(self, number: int, epochs: int | None = None) -> torch.nn.Module:
        """Return the network retrained without the images to forget that began with the same weights as the original of
        this number; by as many epochs, if not by other `epochs`, and so by fewer steps."""
        schedule = self.task.schedule if epochs is None else replace(self.task.schedule, epochs=epochs)
        return self._trained(RETRAINED, number, schedule)[0]

    def reference(self, number: int) -> torch.nn.Module:
        """Return the network that number `number` is held against: retrained, with first weights of its own."""
        return self._trained(REFERENCE, number, self.task.schedule)[0]

    @property
    def _short(self) -> int:
        return max(1, round(SHARE * self.task.schedule.epochs))

    def _trained(self, kind: str, number: int, schedule: Schedule) -> tuple[torch.nn.Module, Recorded]:
        folder = self._folder(kind, number, schedule)
        net = self._new(0)
        net.load_state_dict(load_file(folder / "weights.safetensors"))
        return net.eval(), _read(folder) if kind == "original" else Recorded()

    def _folder(self, kind: str, number: int, schedule: Schedule) -> Path:
        if not isinstance(number, int) or number < 0:
            raise UserError(f"network number {number!r}: give whole numbers from 0 on")
        begun = self._seed("weights", number, kind == REFERENCE)
        order = self._seed("order", number, kind)
        whose = {"kind": self.task.kind, "wrong": self.task.wrong} if kind == "original" else {}
        key = {
            "images": self._content,
            "network": self.task.network,
            "schedule": asdict(schedule),
            "drawn": self.seed,
            "seeds": [begun, order],
            **whose,
            "recorded": kind == "original",
            "device": self.whole.images.device.type,
            "code": definitions.code(_train, pictures.parted, networks.new),
            "libraries": LIBRARIES,
        }

        def compute(folder: Path) -> None:
            definitions.check_unchanged(part.partition(":")[0] for part in definitions.of(_train))
            each = number in WITH_EACH
            _train(self._new(begun), self.parts, schedule, order, kind == "original", each, folder)

        return cache.folder(paths.cache_folder(self.profile.name), f"pictures-{kind.replace(' ', '-')}", key, compute)

    def seconds(self, number: int, epochs: int | None = None) -> float:
        """Return the CPU time that retraining network `number` took, by as many epochs or by other `epochs`."""
        schedule = self.task.schedule if epochs is None else replace(self.task.schedule, epochs=epochs)
        return json.loads((self._folder(RETRAINED, number, schedule) / "cost.json").read_text())["seconds"]

    # Ways

    def asked(self, name: str, way: "str | Step | Unlearning", numbers: Iterable[int]) -> pd.DataFrame:
        """Return what networks answer after a way, image by image (cached, each network on its own).

        way: one of MODELS, a Step, an Along, or an entry of the challenge (a function). Columns: profile, seed, kind,
        method (`name`), number, effort (the L2 norm of a step; below zero where it did not come to its stop; else NaN),
        seconds (of CPU time), share (of the seconds of retraining), set (SETS), image (its row), log_odds and loss
        (nats) of its label, right (is the likeliest class its label?), true (is it the image's true class?), kl (from
        the reference of this number, KL(reference || network) in nats).
        """
        numbers = list(numbers)
        if not numbers:
            raise UserError("no networks to ask: give numbers, such as [0]")
        frames = [self._asked(way, number) for number in tqdm(numbers, desc=name, leave=False, disable=None)]
        table = pd.concat(frames, ignore_index=True)
        return table.assign(profile=self.profile.name, seed=self.seed, kind=self.task.kind, method=name)

    def _asked(self, way: "str | Step | Along | Unlearning", number: int) -> pd.DataFrame:
        of, own = _identity(way)
        parts = definitions.of(_measure, _with_cost, Images._after, _train, *own)
        key = {
            "images": self._content,
            "task": asdict(self.task),
            "drawn": self.seed,
            "number": number,
            "way": of,
            "device": self.whole.images.device.type,
            "code": definitions.combined(parts),
            "libraries": LIBRARIES,
        }

        def compute() -> pd.DataFrame:
            definitions.check_unchanged(part.partition(":")[0] for part in parts)
            net, effort, seconds = self._after(way, number)
            found = _measure(net, self.parts, self.reference(number))
            return _with_cost(found, number, effort, seconds, self.seconds(number))

        return cache.table(paths.cache_folder(self.profile.name), f"pictures-seed{self.seed}", key, compute)

    def _after(self, way: "str | Step | Along | Unlearning", number: int) -> tuple[torch.nn.Module, float, float]:
        """Return the network that a way makes of original `number`, its effort, and its seconds of CPU time."""
        if isinstance(way, str):
            return self._model(way, number), float("nan"), self._cost(way, number)
        net, found = self.original(number)
        seeds = [self._seed("loader", number, name) for name in ("retain", "forget", "validation")]
        parts = (self.parts.retain, self.parts.forget, self.parts.validation)
        loaders = [part.loader(BATCH, seed) for part, seed in zip(parts, seeds, strict=True)]
        with _seeded(self._seed("way", number)):
            started = time.process_time()
            if isinstance(way, Step):
                way = self._along(way, net, found, number)
            returned = way(net, *loaders)
            seconds = time.process_time() - started
        net = net if returned is None else returned  # some change the network in place, and return nothing
        if not isinstance(net, torch.nn.Module):
            raise UserError(f"the entry returned a {type(net).__name__}: return the network")
        effort = way.lengths[-1] if isinstance(way, Along) else float("nan")
        return net.to(self.whole.images.device).eval(), effort, seconds

    def _model(self, name: str, number: int) -> torch.nn.Module:
        if name == NOTHING:
            return self.original(number)[0]
        if name == REFERENCE:
            return self.reference(number)
        return self.retrained(number, self._short if name == SHORT else None)

    def _cost(self, name: str, number: int) -> float:
        return 0.0 if name == NOTHING else self.seconds(number, self._short if name == SHORT else None)

    def _along(self, step: Step, net, found: Recorded, number: int) -> Along:
        only = tuple(networks.resolve(net, step.only)) if step.only else ()
        return Along(self._towards(step, net, found, number), self.parts.unseen, only)

    def _towards(self, step: Step, net, found: Recorded, number: int) -> Gradient:
        if step.epochs == AT_THE_END:
            whole = slopes.summed(net, self.parts.forget.images, self.parts.forget.labels)
            return {name: whole[name] for name in networks.resolve(net, step.layers)}
        if step.epochs == AT_RANDOM:
            generator = torch.Generator().manual_seed(self._seed("direction", number))
            parameters = dict(net.named_parameters())
            chosen = networks.resolve(net, step.layers)
            return {name: torch.randn(parameters[name].shape, generator=generator) for name in chosen}
        return recorded.direction(found, net, step.layers, step.epochs, step.kind, step.whose)


def _identity(way: "str | Step | Along | Unlearning") -> tuple[object, list]:
    """Return what stands for a way in a key, and the functions whose code does."""
    if isinstance(way, str):
        if way not in MODELS:
            raise UserError(f"no model {way!r}: {nearest(way, MODELS)}")
        return way, []
    if isinstance(way, Step):
        return asdict(way), []
    if isinstance(way, Along):
        return way.identity, []
    if not callable(way):
        raise UserError(f"a way of type {type(way).__name__}: give a function of a network and three loaders")
    return "a function", [way]


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Have what is drawn at random come from a seed, by torch, numpy and Python itself, while the block is open."""
    before = np.random.get_state(), random.getstate()
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(before[0])
            random.setstate(before[1])


def _train(net, parts: Parts, schedule: Schedule, seed: int, recording: bool, each: bool, folder: Path) -> None:
    """Train a network on all images with recording, or on the retained ones, and write it into `folder`."""
    kept, count = len(parts.retain), len(parts.forget)
    groups = {"forget": torch.arange(kept, kept + count), CONTROL: _control(kept, count, seed)} if recording else None
    images = pictures.trained_on(parts) if recording else parts.retain
    started = time.process_time()
    found = training.train(net, images, schedule, seed, groups, each)
    (folder / "cost.json").write_text(json.dumps({"seconds": time.process_time() - started}))
    save_file({name: value.contiguous() for name, value in net.state_dict().items()}, folder / "weights.safetensors")
    if recording:
        _write(found, folder)


def _control(kept: int, count: int, seed: int) -> torch.Tensor:
    return torch.randperm(kept, generator=torch.Generator().manual_seed(seed + 1))[:count]


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
    """Return what a network answers to every image of SETS (see Images.asked); UserError for no logits."""
    frames = []
    for name in SETS:
        part = getattr(parts, name)
        truth = {"forget": parts.truth, "compared": parts.test.labels}.get(name, part.labels)
        ours, theirs = (recorded.logits(one, part.images).double() for one in (net, reference))
        if ours.shape != theirs.shape or not torch.isfinite(ours).all():
            raise UserError(
                f"the network answers {tuple(ours.shape)}: {tuple(theirs.shape)} finite logits are asked for"
            )
        ours_log, theirs_log = ours.log_softmax(1), theirs.log_softmax(1)
        columns = {
            "log_odds": recorded.log_odds(ours, part.labels),
            "loss": -ours_log.gather(1, part.labels[:, None])[:, 0],
            "right": ours.argmax(1) == part.labels,
            "true": ours.argmax(1) == truth,
            "kl": (theirs_log.exp() * (theirs_log - ours_log)).sum(1),
        }
        frame = pd.DataFrame({key: np.asarray(value.cpu()) for key, value in columns.items()})
        frames.append(frame.assign(set=name, image=np.arange(len(part))))
    return pd.concat(frames, ignore_index=True)


def _with_cost(table: pd.DataFrame, number: int, effort: float, seconds: float, whole: float) -> pd.DataFrame:
    return table.assign(number=number, effort=effort, seconds=seconds, share=seconds / whole)


# What is made of the answers

BY = ["profile", "seed", "kind", "method", "number"]


def by_network(answers: pd.DataFrame) -> pd.DataFrame:
    """Return one row a network: BY, then effort, seconds, share; the share right of each of forget, retain and test,
    and of forget by true class (forget_true); kl_forget and kl_test (nats an image), and odds_forget, the mean log-odds
    of its labels; attack (accuracy of the starting kit's attack: 0.5 cannot tell the forget set from images never seen
    that are labelled alike) and auc (the chance that such a never-seen image has the larger loss). Of both the ideal is
    the retrained networks' own value."""
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
                "odds_forget": of["forget"]["log_odds"].mean(),
                "attack": membership.simple_mia(*losses),
                "auc": membership.auc(*losses),
            }
        )
    return pd.DataFrame(rows)


def scores(answers: pd.DataFrame, against: pd.DataFrame) -> pd.DataFrame:
    """Return the challenge's score of every method, from the networks of one seed and those retrained `against` which
    they are held (answers of REFERENCE), of one seed and kind.

    Columns: seed, kind, method, networks (N of each), F (the forgetting quality; 1 is best, but see the row of
    RETRAINED, its ceiling: what two independent sets of retrained networks score), of_ceiling (F over that, NaN where
    it is not there), score (F times the ratios of retain and test accuracy), shown (the mean over images of a lower 95%
    bound of epsilon, with the attack chosen on other networks than those that it is tried on; 0: nothing shown),
    share_shown (of the images whose bound is above 0; up to 0.05 is chance). UserError for several seeds or kinds.
    """
    if len(pd.concat([answers, against])[["seed", "kind"]].drop_duplicates()) != 1:
        raise UserError("the score is of one seed and one kind of images: give their answers alone")
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
    table = pd.DataFrame(rows, columns=columns)
    ceiling = table.loc[table["method"] == RETRAINED, "F"]
    table.insert(5, "of_ceiling", table["F"] / (ceiling.iloc[0] if len(ceiling) else np.nan))
    return table


def most_shown(networks: int) -> float:
    """Return the largest lower bound of epsilon that so many networks of each kind can show (see scores): that of an
    attack that never errs."""
    apart = np.arange(2 * networks).reshape(2, -1)[:, :, None].astype(float)
    return float(distributions.epsilon_lower_bound(*apart)[0])


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


def own_share(images: Images, number: int = 0) -> pd.DataFrame:
    """Return, for every image to forget, the cosine between its own recorded gradient of the first epoch and the sum of
    the others' with its label, and of those with other labels (columns seed, kind, image, same, other; NaN where there
    are none). UserError for a network of which they were not kept (see WITH_EACH)."""
    each = images.original(number)[1].each
    if not each:
        raise UserError(f"of network {number} no gradients of single images were kept: of {list(WITH_EACH)} they are")
    flat = torch.cat([value.flatten(1) for value in each.values()], 1).double()
    labels, rows = images.parts.forget.labels.cpu(), []
    for row in range(len(flat)):
        same = labels == labels[row]
        same[row] = False
        pair = [flat[chosen].sum(0) if chosen.any() else None for chosen in (same, labels != labels[row])]
        cosines = [
            float("nan") if one is None else float(torch.cosine_similarity(flat[row], one, dim=0)) for one in pair
        ]
        rows.append((images.seed, images.task.kind, row, *cosines))
    return pd.DataFrame(rows, columns=["seed", "kind", "image", "same", "other"])


def effect_of_part(networks: pd.DataFrame, whole: str) -> pd.DataFrame:
    """Return, for each method of the same networks, the share of the fall of the forget set's mean log-odds that the
    method `whole` has: columns seed, kind, number, method, value (1: as much; 0: none).

    networks: see by_network, with the rows of NOTHING and `whole`. UserError where one is missing.
    """
    wide = networks.pivot_table(index=["seed", "kind", "number"], columns="method", values="odds_forget", sort=False)
    for name in (NOTHING, whole):
        if name not in wide.columns:
            raise UserError(f"the table lacks the rows of {name!r}: {nearest(name, wide.columns)}")
    falls = wide.rsub(wide[NOTHING], axis=0)
    shares = falls.div(falls[whole], axis=0).drop(columns=[NOTHING])
    return shares.reset_index().melt(["seed", "kind", "number"], var_name="method").dropna(subset=["value"])
