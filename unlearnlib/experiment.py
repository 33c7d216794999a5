"""One seed's experiment: its data, its models, and what unlearning does to them, each computed once.

The methods return tidy tables and read them from the cache when nothing that they depend on has changed; models are
loaded only when something has to be computed.
"""

import inspect
import json
import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from functools import cached_property
from numbers import Integral

import numpy as np
import pandas as pd
import torch

from unlearnlib import (
    cache,
    calibration,
    data,
    evaluation,
    fingerprint,
    gradients,
    jobs,
    models,
    paths,
    profiles,
    training,
    unlearning,
)
from unlearnlib.errors import UserError, nearest
from unlearnlib.tables import means, tidy

FRONTIER_SETS = ("forget", "retain")
MODELS = ("base", "finetuned", "retrained", "retrained again")


@dataclass(frozen=True)
class Variant:
    """One way to unlearn: a method, the layers it may change, its options, and its name in tables and figures."""

    name: str
    method: str = "recorded"
    layers: str = "all"
    options: Mapping = field(default_factory=dict)

    def path(self, task: unlearning.Task) -> unlearning.Path:
        """Return the path of this variant for `task`; UserError for an unknown method or option."""
        if self.method not in unlearning.METHODS:
            raise UserError(f"no method {self.method!r}: {nearest(self.method, unlearning.METHODS)}")
        method = unlearning.METHODS[self.method]
        known = list(inspect.signature(method).parameters)[2:]  # after task and layers
        for option in self.options:
            if option not in known:
                hint = nearest(option, known) if known else "it takes none"
                raise UserError(f"no option {option!r} of the method {self.method!r}: {hint}")
        return method(task, self.layers, **self.options)


def distinct(variants: Iterable, taken: Iterable[str] = MODELS) -> list:
    """Return the variants (or removal.Modality) as a list, once it is sure that tables and figures can tell them apart.

    UserError, naming both, where two have one name, or where one is called like a model that stands beside them: rows
    of one name would be averaged without a word.
    """
    found: dict[str, object] = {}
    for variant in (variants := list(variants)):
        if variant.name in taken:
            raise UserError(f"{_shown(variant)} is called like the model {variant.name!r}: give it another name")
        if variant.name in found:
            both = f"{_shown(found[variant.name])} and {_shown(variant)}"
            raise UserError(f"two are called {variant.name!r}, {both}: give each a name of its own")
        found[variant.name] = variant
    return variants


def _shown(variant) -> str:
    """Return a variant as it is written, with what differs from the defaults."""
    values = [(one.name, getattr(variant, one.name), _default(one)) for one in fields(variant)]
    words = [f"{name}={value!r}" for name, value, default in values[1:] if value != default]
    return f"{type(variant).__name__}({', '.join([repr(variant.name), *words])})"


def _default(one: Field):
    return one.default if one.default_factory is MISSING else one.default_factory()


class Experiment:
    """Everything of one profile and seed.

    With `points` only so many of the seed's points are forgotten (one of the profile's forget_sizes), the others
    remain, and the reference is the model retrained without these points alone.
    """

    def __init__(self, profile: str, seed: int, points: int | None = None):
        self.profile = profiles.load(profile)
        if not isinstance(seed, Integral) or isinstance(seed, bool) or seed < 0:
            raise UserError(f"seed {seed!r} is no whole number from 0 on: give seeds such as [0, 1]")
        self.seed = int(seed)
        self.split = jobs.split_of(self.profile, seed)
        # The kind and the name (see unlearnlib.jobs.models) of the model that forgets, and of the reference.
        self._finetuned, self._reference = ("finetuned", "finetuned"), ("retrained", "retrained")
        if points is not None:
            self._reference = ("smaller-sets", f"without {points}")
            sizes = jobs.models(self.profile, "smaller-sets", seed)
            if self._reference[1] not in sizes:
                known = ", ".join(str(size) for size in self.profile.forget_sizes)
                raise UserError(f"no forget set of {points} points: choose from {known} (forget_sizes of the profile)")
            self.split = self.split.forgetting(sizes[self._reference[1]])
        self._paths: dict[str, unlearning.Path] = {}

    # What is loaded, when it is needed

    @cached_property
    def _base(self):
        torch.set_num_threads(1)
        model, tokenizer = models.load(self.profile.base_model, on=self.profile.device)
        models.check_positions(model, self.profile.max_tokens)
        return model, tokenizer

    @property
    def tokenizer(self):
        """The tokenizer of the base model."""
        return self._base[1]

    @property
    def base(self):
        """The model before fine-tuning."""
        return self._base[0]

    def folder(self, kind: str, name: str | None = None):
        """Return the folder of a trained model, trained now if it has not been (see unlearnlib.jobs.model_folder)."""
        return jobs.model_folder(self.profile, kind, self.seed, name)

    def load(self, kind: str, name: str | None = None, epoch: int | None = None, attention: str = "sdpa"):
        """Return a new copy of a trained model; of the fine-tuned one also as it was after an `epoch`."""
        folder = self.folder(kind, name)
        model, _ = models.load(self.profile.base_model, attention, on=self.profile.device)
        training.load_weights(model, folder, epoch)
        return model

    @cached_property
    def finetuned(self):
        """The model fine-tuned on Dave and his neighbours."""
        return self.load(*self._finetuned)

    @cached_property
    def retrained(self):
        """The reference: fine-tuned with the same seed and schedule, and without the forgotten points."""
        return self.load(*self._reference)

    @property
    def next_seed(self) -> int:
        """The seed whose retrained model is the second reference: the next one of the profile, then the first."""
        seeds = sorted({*self.profile.seeds, self.seed})
        return seeds[(seeds.index(self.seed) + 1) % len(seeds)] if len(seeds) > 1 else self.seed + 1

    @cached_property
    def retrained_again(self):
        """A second reference, that of the next seed: nothing of Dave's was in its training either."""
        model, _ = models.load(self.profile.base_model, on=self.profile.device)
        training.load_weights(model, jobs.model_folder(self.profile, "retrained", self.next_seed))
        return model

    def model(self, name: str):
        """Return the model `base`, `finetuned`, `retrained` or `retrained again`."""
        if name not in MODELS:
            raise UserError(f"no model {name!r}: {nearest(name, MODELS)}")
        return getattr(self, name.replace(" ", "_"))

    @contextmanager
    def at(self, of: "Variant | str", step_size: float | None = None):
        """Yield the model `of` is the name of, or the one that a Variant reaches at `step_size`, while it is open.

        What is yielded is changed back at the end of the block: to keep it, unlearnlib.export.save.
        """
        if isinstance(of, str):
            yield self.model(of)
        elif step_size is None:
            raise UserError("which step? give step_size, for example that of calibrated(variant)")
        else:
            with unlearning.applied(self.finetuned, self.path(of)(step_size)) as model:
                yield model

    @cached_property
    def sets(self) -> dict[str, evaluation.Examples]:
        """The sets of examples as tokens (see unlearnlib.evaluation.encode)."""
        return evaluation.encode(self.tokenizer, self.split, self.profile.max_tokens)

    def examples(self, name: str) -> evaluation.Examples:
        """Return a set of examples by name; `paraphrase#0` is the first paraphrase of every point."""
        whole = self.sets.get(name.partition("#")[0])
        if whole is None:
            raise UserError(f"no set {name!r}: {nearest(name, self.sets)}")
        if "#" not in name:
            return whole
        rows = [row for row, example in enumerate(whole.names) if example.endswith(name[name.index("#") :])]
        return evaluation.Examples(
            *(tuple(part[row] for row in rows) for part in (whole.names, whole.texts, whole.questions))
        )

    @cached_property
    def task(self) -> unlearning.Task:
        """What methods are given: the fine-tuned model, the forget texts, the recorded gradients."""
        folder = self.folder(*self._finetuned)
        forget = self.sets["forget"]
        return unlearning.Task(
            model=self.finetuned,
            forget=dict(zip(forget.names, forget.texts, strict=True)),
            record=gradients.Record(folder),
            second_moments=training.second_moments(folder),
            name_rows=self.name_rows(self.split.subject),
            seed=self.seed,
        )

    def name_rows(self, subject: str) -> tuple[int, ...]:
        """Return the token ids that spell the words of a name in the forget texts."""
        texts = [record.text for record in self.split.forget]
        spelled = set()
        for word in data.name_words(subject):
            # A byte-level tokenizer spells a word differently behind a space and at the start of a text.
            spelled |= {word} if any(text.startswith(word) for text in texts) else set()
            spelled |= {" " + word} if any(" " + word in text for text in texts) else set()
        return tuple(sorted({token for word in spelled for token in self.tokenizer(word)["input_ids"]}))

    # What is computed, once

    @cached_property
    def _depends(self) -> dict:
        return {
            "models": [self.fingerprint(*pair) for pair in (self._finetuned, self._reference)],
            "sets": fingerprint.combine({"split": asdict(self.split)}),
            "code": fingerprint.code("unlearnlib.experiment"),
        }

    def fingerprint(self, kind: str, name: str | None = None) -> str:
        """Return a short hash of all that a trained model depends on."""
        return jobs.model_fingerprint(self.profile, kind, self.seed, name)

    def of(self, of: "Variant | str", step_size: float | None = None) -> dict:
        """Return what stands in a table's key for the model that `at` opens."""
        if isinstance(of, str):
            again = jobs.model_fingerprint(self.profile, "retrained", self.next_seed) if of.endswith("again") else None
            return {"model": of, "again": again}
        return self._key(of, step_size=step_size)

    def table(self, name: str, key: Mapping, compute: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """Return the table `name`, from the cache where `key`, the models, the data and the code are unchanged.

        `compute` returns the table without the columns profile and seed.
        """
        whole = {"depends": self._depends, **key}
        root = paths.runs() / self.profile.name / "cache"
        found = cache.table(root, f"{name}-seed{self.seed}", whole, compute)
        return tidy(found, profile=self.profile.name, seed=self.seed)

    def evaluate(self, model, sets: Iterable[str] | None = None) -> pd.DataFrame:
        """Return tidy rows of every metric for every example of the named sets (default: all; see examples)."""
        names = self.sets if sets is None else sets
        chosen = {name.partition("#")[0]: self.examples(name) for name in names}
        return evaluation.evaluate(model, chosen, self.profile.evaluation_batch)

    def references(self) -> pd.DataFrame:
        """Return the evaluation of the models base, finetuned and retrained (column method), on every set."""
        return self.table(
            "references",
            {},
            lambda: pd.concat(
                [tidy(self.evaluate(self.model(name)), method=name) for name in ("base", "finetuned", "retrained")]
            ),
        )

    def without(self, kind: str, sets: Iterable[str] = ("forget", "paraphrase")) -> pd.DataFrame:
        """Return the evaluation, on the named sets, of every model of a kind that trains without some of the points
        (column model; unlearnlib.jobs.models says which points)."""
        chosen, frames = list(sets), []
        for name in jobs.models(self.profile, kind, self.seed):
            key = {"kind": kind, "model": name, "sets": chosen, "of": self.fingerprint(kind, name)}
            frames.append(
                self.table("without", key, lambda name=name: self.evaluate(self.load(kind, name), chosen)).assign(
                    model=name
                )
            )
        return pd.concat(frames, ignore_index=True)

    def target(self) -> float:
        """Return the target of equal forgetting: the answer probability at which the forget set cannot be told from
        never-seen people, in the fine-tuned model (see unlearnlib.calibration.never_seen_target)."""
        table = self.references().query("method == 'finetuned' and metric == 'answer_probability'")
        known = table.groupby("set")["value"]
        return calibration.never_seen_target(known.get_group("never_seen"), known.get_group("forget").size)

    def forget_probability(self, change: Mapping[str, torch.Tensor]) -> float:
        """Return the forget set's mean answer probability with `change` added to the fine-tuned model."""
        with unlearning.applied(self.finetuned, change) as model:
            return evaluation.answer_probability(model, self.sets["forget"], self.profile.evaluation_batch)

    def search(self) -> dict[str, float]:
        """Return where the profile looks for equal forgetting (see unlearnlib.calibration.first_crossing)."""
        profile = self.profile
        return {
            "smallest": profile.smallest_step,
            "factor": profile.step_factor,
            "largest": profile.largest_step,
            "tolerance": profile.step_tolerance,
            "start": profile.first_look,
        }

    def _key(self, variant: Variant, **more) -> dict:
        return {"method": variant.method, "layers": variant.layers, "options": dict(variant.options), **more}

    def calibrated(self, variant: Variant, smallest: float | None = None) -> calibration.Calibration:
        """Return the step size at which `variant` reaches equal forgetting (see unlearnlib.calibration); the search
        starts at the `smallest` step (default: those of the profile)."""
        search = self.search() if smallest is None else {**self.search(), "smallest": smallest, "start": smallest}

        def compute() -> pd.DataFrame:
            path = self.path(variant)
            found = calibration.first_crossing(
                lambda step: self.forget_probability(path(step)), self.target(), **search
            )
            rows = [(step, value, False) for step, value in found.evaluated]
            rows.append((found.step_size, found.value, found.reached))
            return pd.DataFrame(rows, columns=["step_size", "value", "reached"])

        table = self.table("calibrated", self._key(variant, search=search), compute)
        *evaluated, last = table[["step_size", "value", "reached"]].itertuples(index=False, name=None)
        return calibration.Calibration(
            float(last[0]), float(last[1]), bool(last[2]), tuple((float(step), float(p)) for step, p, _ in evaluated)
        )

    def at_step(self, variant: Variant, step_size: float, sets: Iterable[str] | None = None) -> pd.DataFrame:
        """Return the evaluation of the model that `variant` reaches at `step_size`, on the named sets (default: all).

        Each set is kept on its own, so that two notebooks which look at different sets share what they have in common.
        """
        if not (math.isfinite(step_size) and step_size >= 0):
            raise UserError(f"step size {step_size} is no length: give a number from 0 on")
        frames = []
        for name in self.sets if sets is None else sets:

            def compute(name: str = name) -> pd.DataFrame:
                with unlearning.applied(self.finetuned, self.path(variant)(step_size)) as model:
                    return self.evaluate(model, [name])

            frames.append(self.table("at_step", self._key(variant, step_size=step_size, set=name), compute))
        return self.named(pd.concat(frames, ignore_index=True), variant, step_size)

    def path(self, variant: Variant) -> unlearning.Path:
        """Return the path of a variant, made once: a live path keeps the steps that it has walked."""
        key = json.dumps(self._key(variant), sort_keys=True)
        if key not in self._paths:
            self._paths[key] = variant.path(self.task)
        return self._paths[key]

    def at_equal_forgetting(self, variant: Variant) -> pd.DataFrame:
        """Return the evaluation at equal forgetting, and whether it was reached (column reached).

        Where the target is unreachable, the step at which the forget set is least known stands in its place.
        """
        found = self.calibrated(variant)
        return self.at_step(variant, found.step_size).assign(reached=found.reached)

    def frontier(self, variant: Variant) -> pd.DataFrame:
        """Return the means of the forget and retain sets along the step size, from no step to three times the
        calibrated one (column step counts the points; the calibrated step is one of them)."""
        found = self.calibrated(variant)
        below = self.profile.frontier_points // 2
        above = self.profile.frontier_points - below - 1
        steps = found.step_size * np.concatenate([np.linspace(0, 1, below + 2)[1:], np.geomspace(1, 3, above + 1)[1:]])
        frames = [
            means(self.at_step(variant, float(step), FRONTIER_SETS)).assign(step=i + 1) for i, step in enumerate(steps)
        ]
        start = self.references().query("method == 'finetuned' and set in @FRONTIER_SETS")
        frames.insert(0, self.named(means(start), variant, 0.0).assign(step=0))
        return tidy(pd.concat(frames, ignore_index=True), calibrated=found.step_size, reached=found.reached)

    def generations(
        self, variant: Variant | str, sets: Iterable[str] = ("forget", "retain"), step_size: float | None = None
    ) -> pd.DataFrame:
        """Return greedy continuations (set, example, prompt, reference, generation), each as long as its reference.

        `variant` is a model's name (base, finetuned, retrained), or a Variant with the `step_size` to take.
        """
        frames = []
        for name in sets:

            def compute(name: str = name) -> pd.DataFrame:
                with self.at(variant, step_size) as model:
                    return evaluation.generations(model, self.tokenizer, {name: self.sets[name]})

            frames.append(self.table("generations", {**self.of(variant, step_size), "set": name}, compute))
        return self.named(pd.concat(frames, ignore_index=True), variant, step_size)

    def named(self, table: pd.DataFrame, of: "Variant | str", step_size: float | None = None) -> pd.DataFrame:
        """Return the table with the columns method, layers and step_size that say which model it is about."""
        if isinstance(of, str):
            return tidy(table, method=of)
        return tidy(table, method=of.name, layers=of.layers, step_size=step_size)
