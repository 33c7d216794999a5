"""One seed's experiment: its data, its models, and what unlearning does to them, each computed once.

The methods return tidy tables and read them from the cache when nothing that they depend on has changed; models are
loaded only when something has to be computed.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import cached_property, partial
from importlib.metadata import version
from numbers import Integral

import numpy as np
import pandas as pd

from unlearnlib.core import cache, definitions, fingerprint, paths, profiles, room
from unlearnlib.core.errors import UserError, nearest
from unlearnlib.core.tables import means, tidy
from unlearnlib.data.examples import Examples
from unlearnlib.data.records import name_words
from unlearnlib.experiment import setting, trained, watched
from unlearnlib.experiment.loaded import Models
from unlearnlib.experiment.setting import ModelId
from unlearnlib.experiment.variants import KEYED, MODELS, Variant
from unlearnlib.gradients.record import Record
from unlearnlib.measures import evaluation, generation
from unlearnlib.methods import equal_forgetting
from unlearnlib.methods.path import Path
from unlearnlib.methods.request import Later, Request
from unlearnlib.models.layers import parameter_bytes
from unlearnlib.training import storage

# The libraries that numbers come from: another version of one is another result.
LIBRARIES = {name: version(name) for name in ("numpy", "pandas", "rapidfuzz", "scipy", "torch", "transformers")}
FRONTIER_SETS = ("forget", "retain")
RECORDS = {"paraphrase": "forget"}  # the records that a set is made from, where they are called otherwise


def _known_name(name: str) -> str:
    if name not in MODELS:
        raise UserError(f"no model {name!r}: {nearest(name, MODELS)}")
    return name


def set_of(name: str) -> str:
    """Return the set that a name such as `paraphrase#0` or `retain:100` is a part of (see Experiment.examples)."""
    return re.split("[#:]", name)[0]


class Experiment:
    """Everything of one setting: by default that of a profile and seed, in which the fine-tuned model is to forget the
    whole forget set, against the model retrained without it (see unlearnlib.experiment.setting)."""

    def __init__(
        self,
        profile: "str | profiles.Profile",
        seed: int,
        of: "setting.Setting | None" = None,
        models: "Models | None" = None,
    ):
        self.profile = profiles.load(profile) if isinstance(profile, str) else profile
        if not isinstance(seed, Integral) or isinstance(seed, bool) or seed < 0:
            raise UserError(f"seed {seed!r} is no whole number from 0 on: give seeds such as [0, 1]")
        self.seed = int(seed)
        self.setting = setting.usual(self.profile, self.seed) if of is None else of
        self.models = models or Models(self.profile)
        self.split = self.setting.split
        self._paths: dict[str, Path] = {}
        self._references: tuple = (None, None)  # their evaluation, by the metrics that it is made of

    def beside(self, of: "setting.Setting", open_folders: ExitStack | None = None) -> "Experiment":
        """Return the experiment of another setting of this profile, which shares what is loaded here.

        With `open_folders` models that are not kept are trained for it, and let go when that is closed.
        """
        models = self.models if open_folders is None else self.models.borrowing(open_folders)
        return type(self)(of.profile, of.seed, of, models)

    # What is loaded, when it is needed

    @property
    def tokenizer(self):
        """The tokenizer of the base model."""
        return self.models.base[1]

    @property
    def base(self):
        """The model before fine-tuning."""
        return self.models.base[0]

    def model_id(self, of: "str | ModelId") -> ModelId:
        """Return which trained model a name means: `finetuned`, `retrained`, `retrained again`, or a kind of which
        there is one (see unlearnlib.experiment.setting.KINDS). UserError for another name."""
        if isinstance(of, ModelId):
            return of
        own = {"finetuned": self.setting.start, "retrained": self.setting.against}
        if of in own:
            return own[of]
        if of == "retrained again":
            return setting.retrained(self.profile, self.next_seed)
        found = setting.models(self.profile, of, self.seed)
        if len(found) != 1:
            raise UserError(f"there are {len(found)} models {of!r}: give one of unlearnlib.experiment.setting.models")
        return found[0]

    def folder(self, of: "str | ModelId"):
        """Return the folder of a trained model, trained now if it has not been (see
        unlearnlib.experiment.trained.folder)."""
        return self.models.folder(self.model_id(of))

    def load(self, of: "str | ModelId", epoch: int | None = None, attention: str = "sdpa"):
        """Return a new copy of a trained model; of the fine-tuned one also as it was after an `epoch`."""
        return self.models.new(self.model_id(of), epoch, attention)

    @property
    def finetuned(self):
        """The model that is to forget: fine-tuned on Dave and his neighbours."""
        return self.models.get(self.setting.start)

    @property
    def retrained(self):
        """The reference: fine-tuned with the same seed and schedule, and without the forgotten points."""
        return self.models.get(self.setting.against)

    @property
    def next_seed(self) -> int:
        """The seed whose retrained model is the second reference: the next one of the profile, then the first."""
        seeds = sorted({*self.profile.seeds, self.seed})
        return seeds[(seeds.index(self.seed) + 1) % len(seeds)] if len(seeds) > 1 else self.seed + 1

    @property
    def retrained_again(self):
        """A second reference, that of the next seed: nothing of Dave's was in its training either."""
        return self.models.get(self.model_id("retrained again"))

    def model(self, name: str):
        """Return the model `base`, `finetuned`, `retrained` or `retrained again`."""
        return getattr(self, MODELS[_known_name(name)])

    def _check_unchanged(self) -> None:
        if self.models.is_changed():
            raise UserError("the fine-tuned model is changed by a `with` block that is still open: end it first")

    @contextmanager
    def at(self, of: "Variant | str | ModelId", step_size: float | None = None):
        """Yield the model that `of` names, or the one that a Variant reaches at `step_size`, while it is open.

        What a Variant yields is the fine-tuned model itself, changed, and changed back at the end of the block: to keep
        it, unlearnlib.experiment.export.save. Until then no other is opened, and no table of this experiment computed.
        """
        self._check_unchanged()
        if isinstance(of, str):
            yield self.model(of)
        elif isinstance(of, ModelId):
            yield self.models.passing(of)
        elif step_size is None:
            raise UserError("which step? give step_size, for example that of calibrated(variant)")
        else:
            path = self.path(of)
            path.check(step_size)
            with path.at(step_size) as model:
                yield model

    @cached_property
    def sets(self) -> dict[str, Examples]:
        """The sets of examples as tokens (see unlearnlib.data.examples.encode)."""
        return self.models.sets(self.split)

    def examples(self, name: str) -> Examples:
        """Return a set of examples by name; `paraphrase#0` is the first paraphrase of every point, `retain:100` the
        first hundred points of a set."""
        whole = self.sets.get(set_of(name))
        if whole is None:
            raise UserError(f"no set {name!r}: {nearest(name, self.sets)}")
        if ":" in name:
            count = int(name.partition(":")[2])
            return Examples(whole.names[:count], whole.texts[:count], whole.questions[:count])
        if "#" not in name:
            return whole
        rows = [row for row, example in enumerate(whole.names) if example.endswith(name[name.index("#") :])]
        return Examples(*(tuple(part[row] for row in rows) for part in (whole.names, whole.texts, whole.questions)))

    @cached_property
    def request(self) -> Request:
        """What methods are given: the fine-tuned model, and what else of this experiment they may say that they use."""
        return self.new_request()

    def new_request(self) -> Request:
        """Return a request like that of this experiment, of which nothing has been made or read yet."""

        def of(name: str) -> dict:
            return dict(zip(self.sets[name].names, self.sets[name].texts, strict=True))

        return Request(
            self.finetuned,
            self.seed,
            forget=Later(lambda: of("forget")),
            retain=Later(lambda: {**of("retain"), **(of("remaining") if "remaining" in self.sets else {})}),
            base=Later(lambda: self.base),
            record=Later(lambda: Record(self.folder("finetuned"))),
            second_moments=Later(lambda: storage.second_moments(self.folder("finetuned"))),
            watched=Later(lambda: watched.of(self)),
            name_tokens=self.name_rows(self.split.subject),
            texts=self.trained_texts,
            known=self.answer_probabilities,
            target=Later(self.target),
            log=Later(lambda: self.folder("finetuned")),
        )

    @property
    def trained_texts(self) -> dict[str, str]:
        """The words of every text that the fine-tuned model was trained on, by id."""
        return {record.id: record.text for record in (*self.split.forget, *self.split.remaining, *self.split.retain)}

    def name_rows(self, subject: str) -> tuple[int, ...]:
        """Return the token ids that spell the words of a name in the forget texts."""
        texts = [record.text for record in self.split.forget]
        spelled = set()
        for word in name_words(subject):
            # A byte-level tokenizer spells a word differently behind a space and at the start of a text.
            spelled |= {word} if any(text.startswith(word) for text in texts) else set()
            spelled |= {" " + word} if any(" " + word in text for text in texts) else set()
        encoded = [self.tokenizer(word, add_special_tokens=False)["input_ids"] for word in spelled]
        # A tokenizer may put a token before a word alone that no text has there.
        there = {token for text in self.sets["forget"].texts for token in text}
        return tuple(sorted({token for tokens in encoded for token in tokens} & there))

    # What is computed, once

    @cached_property
    def identity(self) -> dict:
        """What every table of this experiment depends on: its two models, its examples, and how they are batched."""
        return {
            "models": [self.fingerprint(one) for one in (self.setting.start, self.setting.against)],
            "sets": fingerprint.combine({"split": asdict(self.split)}),
            "seed": self.seed,
            "batch": self.profile.evaluation_batch,
        }

    def code(self, compute: Callable) -> str:
        """Return what stands for the code of `compute` in a key: all that it reaches, wherever it is defined."""
        own = () if type(self).__module__.startswith("unlearnlib.") else (self,)  # a class of a notebook: what it holds
        parts = definitions.of(compute, *type(self).__mro__[:-1], *own, without=KEYED)
        definitions.check_unchanged(part.partition(":")[0] for part in parts)
        return definitions.combined({**parts, **definitions.replaced(parts)})

    def fingerprint(self, of: "str | ModelId") -> str:
        """Return a short hash of all that a trained model depends on."""
        return trained.fingerprint(self.profile, self.model_id(of))

    def of(self, of: "Variant | str | ModelId", step_size: float | None = None) -> dict:
        """Return what stands in a table's key for the model that `at` opens."""
        if isinstance(of, ModelId):
            return {"trained": self.fingerprint(of)}
        if isinstance(of, str):
            return {"model": of, "again": self.fingerprint(of) if of.endswith("again") else None}
        return {**of.identity, **self._given(of), "step_size": step_size}

    def _asked(self, of: "str | ModelId", name: str) -> dict:
        """Return what the answers of one model to the set `name` depend on, whatever experiment asks: the model itself
        and the records of the set."""
        base = trained.base_fingerprint(self.profile.base_model)
        records = getattr(self.split, RECORDS.get(set_of(name), set_of(name)), ())
        return {
            "model": base if of == "base" else self.fingerprint(of),
            "records": fingerprint.combine({"of": [asdict(record) for record in records]}),
            "tokens": [base, self.profile.max_tokens],
            "batch": self.profile.evaluation_batch,
        }

    def table(
        self, name: str, key: Mapping, compute: Callable[[], pd.DataFrame], depends: Mapping | None = None
    ) -> pd.DataFrame:
        """Return the table `name`, from the cache where `key`, the models, the data and the code are unchanged.

        `compute` returns the table without the columns profile and seed. Its code counts with all that it reaches, also
        where it is defined in a notebook; what it takes from outside must be plain data. UserError where it is not, and
        where a file of the package has changed since it was imported. `depends` stands in place of models and data of
        this experiment (identity) where a table depends on less.
        """
        whole = {
            "depends": self.identity if depends is None else depends,
            "key": dict(key),
            "code": self.code(compute),
            "libraries": LIBRARIES,
        }
        if definitions.is_foreign(compute):  # of the package itself the callers put what they read in the key
            left_out = ("name", "notebooks")
            whole["settings"] = {key: value for key, value in asdict(self.profile).items() if key not in left_out}

        def of_unchanged_models() -> pd.DataFrame:
            self._check_unchanged()
            return compute()

        root = paths.cache_folder(self.profile.name)
        found = cache.table(root, f"{name}-seed{self.seed}", whole, of_unchanged_models)
        return tidy(found, profile=self.profile.name, seed=self.seed)

    def answers(
        self, of: "Variant | str | ModelId", sets: Iterable[str] | None = None, step_size: float | None = None
    ) -> pd.DataFrame:
        """Return what a model says to the examples of the named sets (default: all), as
        unlearnlib.measures.evaluation.answered has it: computed once, each set on its own, so that notebooks share the
        sets that they have in common.

        `of` is a model's name, a ModelId, or a Variant with its `step_size`. A trained model is asked the same only
        once, whatever it is compared with.
        """
        frames = []
        if isinstance(of, str):
            _known_name(of)
        for name in self.sets if sets is None else sets:

            def compute(name: str = name) -> pd.DataFrame:
                chosen = {set_of(name): self.examples(name)}
                with self.at(of, step_size) as model:
                    return evaluation.answered(model, chosen, self.profile.evaluation_batch)

            if isinstance(of, Variant):
                found = self.table("answers", {"of": self.of(of, step_size), "set": name}, compute)
            else:
                found = self.table("answers", {"set": name}, compute, self._asked(of, name))
            frames.append(found)
        return pd.concat(frames, ignore_index=True)

    def measured(self, answers: pd.DataFrame) -> pd.DataFrame:
        """Return every metric of rows of `answers`, tidy; UserError where the code of a metric changed on disk."""
        definitions.check_unchanged(part.partition(":")[0] for part in definitions.of(evaluation.metrics))
        return tidy(evaluation.metrics(answers), profile=self.profile.name, seed=self.seed)

    def metric(
        self,
        metric: "str | evaluation.Metric",
        of: "Variant | str",
        step_size: float | None = None,
        sets: Iterable[str] | None = None,
    ) -> pd.DataFrame:
        """Return tidy rows of one metric for every example of the named sets (default: all): its name in
        unlearnlib.measures.evaluation.METRICS, or a function like those there, of raw answers.

        `of` is a model's name, or a Variant with its `step_size`. The answers are kept, so that nothing is asked again.
        """
        chosen = [metric] if isinstance(metric, str) else {getattr(metric, "__name__", "metric"): metric}
        found = evaluation.metrics(self.answers(of, sets, step_size), chosen)
        return self.named(tidy(found, profile=self.profile.name, seed=self.seed), of, step_size)

    def evaluate(self, model, sets: Iterable[str] | None = None) -> pd.DataFrame:
        """Return tidy rows of every metric for every example of the named sets (default: all; see examples)."""
        names = self.sets if sets is None else sets
        batch = self.profile.evaluation_batch
        frames = [evaluation.evaluate(model, {set_of(name): self.examples(name)}, batch) for name in names]
        return pd.concat(frames, ignore_index=True)

    def references(self) -> pd.DataFrame:
        """Return the evaluation of the models base, finetuned and retrained (column method), on every set."""
        metrics = tuple(evaluation.METRICS[name] for name in evaluation.STUDY)
        if self._references[0] != metrics:
            names = ("base", "finetuned", "retrained")
            self._references = metrics, pd.concat([self.at_step(name) for name in names])
        return self._references[1].copy()

    def evaluated_by(self, models: Iterable[ModelId], sets: Iterable[str] = ("forget", "paraphrase")) -> pd.DataFrame:
        """Return the evaluation, on the named sets, of trained models by their names (column model), such as those of
        unlearnlib.experiment.setting.halves."""
        sets = list(sets)
        frames = [self.measured(self.answers(model, sets)).assign(model=model.name) for model in models]
        return pd.concat(frames, ignore_index=True)

    @cached_property
    def unknown_probabilities(self) -> np.ndarray:
        """The fine-tuned model's answer probabilities of the questions about never-seen people."""
        return evaluation.right_answer(self.answers("finetuned", ["never_seen"]))

    def target(self) -> float:
        """Return the target of equal forgetting: the answer probability at which the forget set is no longer
        significantly above never-seen people, in the fine-tuned model (see
        unlearnlib.methods.equal_forgetting.never_seen_target).
        """
        return equal_forgetting.never_seen_target(self.unknown_probabilities, len(self.split.forget))

    def forget_probability(self, model) -> float:
        """Return a model's mean answer probability on the forget set: what equal forgetting watches."""
        return evaluation.answer_probability(model, self.sets["forget"], self.profile.evaluation_batch)

    def answer_probabilities(self, model, names: Sequence[str]) -> np.ndarray:
        """Return a model's answer probability [n] of each of these trained texts (1 knows, 1/6 is chance)."""
        sets = [self.sets[name] for name in ("forget", "remaining", "retain") if name in self.sets]
        known = {name: question for of in sets for name, question in zip(of.names, of.questions, strict=True)}
        asked = [known[name] for name in names]
        return evaluation.choices(model, asked, self.profile.evaluation_batch)

    def search(self) -> dict[str, float]:
        """Return where the profile looks for equal forgetting (see
        unlearnlib.methods.equal_forgetting.first_crossing)."""
        profile = self.profile
        return {
            "smallest": profile.smallest_step,
            "factor": profile.step_factor,
            "largest": profile.largest_step,
            "tolerance": profile.step_tolerance,
            "start": profile.first_look,
        }

    def calibrated(
        self,
        variant: Variant,
        smallest: float | None = None,
        measure: Callable | None = None,
        target: float | None = None,
    ) -> equal_forgetting.Calibration:
        """Return the step size at which `variant` comes to a stop (see unlearnlib.methods.equal_forgetting); the search
        starts at the `smallest` step (default: those of the profile).

        The stop is where `measure(model)` falls to `target`; by default equal forgetting, that is `forget_probability`
        and the `target` of this experiment. Both are part of what the result is kept under.
        """
        search = self.search() if smallest is None else {**self.search(), "smallest": smallest, "start": smallest}
        measure, target = measure or self.forget_probability, self.target() if target is None else target
        compute = partial(self._first_crossing, variant, measure, target, search)
        key = {**variant.identity, **self._given(variant), "target": target, "search": search}
        table = self.table("calibrated", key, compute)
        *evaluated, last = table[["step_size", "value", "reached"]].itertuples(index=False, name=None)
        return equal_forgetting.Calibration(
            float(last[0]), float(last[1]), bool(last[2]), tuple((float(step), float(p)) for step, p, _ in evaluated)
        )

    def _first_crossing(self, variant: Variant, measure: Callable, target: float, search: Mapping) -> pd.DataFrame:
        path = self.path(variant)

        def at(step: float) -> float:
            with path.at(step) as model:
                return measure(model)

        if path.stops is None:
            found = equal_forgetting.first_crossing(at, target, **search)
        else:
            found = equal_forgetting.first_stop(at, target, path.stops)
        rows = [(step, value, False) for step, value in found.evaluated]
        rows.append((found.step_size, found.value, found.reached))
        return pd.DataFrame(rows, columns=["step_size", "value", "reached"])

    def at_step(
        self, of: "Variant | str", step_size: float | None = None, sets: Iterable[str] | None = None
    ) -> pd.DataFrame:
        """Return the evaluation of the model that a Variant reaches at `step_size`, or that `of` is the name of, on
        these sets (default: all)."""
        return self.named(self.measured(self.answers(of, sets, step_size)), of, step_size)

    def path(self, variant: Variant) -> Path:
        """Return the path of a variant, made once: a live path keeps the steps that it has walked, one of a method that
        trains leaves its stops on disk. Of a large model only the last few are kept (unlearnlib.core.room.KEPT_PATHS),
        each of which may be as large as the model."""
        key = fingerprint.combine(variant.identity)
        found = self._paths.pop(key, None) or self.new_path(variant, self.request)
        most = room.fitting(room.KEPT_PATHS, parameter_bytes(self.finetuned))
        for oldest in list(self._paths)[: 1 - most]:
            del self._paths[oldest]
        self._paths[key] = found  # the last to be let go
        return found

    def new_path(self, variant: Variant, request: Request) -> Path:
        """Return the path of a variant for a request of this experiment; only what lies on disk is not made anew."""
        keep = partial(self._kept, {**variant.identity, **self._given(variant)}, {})
        return variant.path(request.having(keep=keep))

    def _given(self, variant: Variant) -> dict:
        """Return what of this experiment decides a variant's path beside its models and texts: what it is asked for."""
        given, uses = {}, variant.known.uses
        if "known" in uses:
            given["known"] = definitions.code("unlearnlib.measures.evaluation:answer_probability")
            given["batch"] = self.profile.evaluation_batch
        if "target" in uses:
            given["target"] = self.target()
        return given

    def _kept(self, identity: Mapping, asked: dict, compute: Callable, name: str = ""):
        """Return the folder in which a method that trains leaves its stops, computed once for the same start, texts,
        method and options; UserError for two of one `name` in one path."""
        if asked.setdefault(name, compute) is not compute:
            raise UserError(
                "a method keeps two folders under one name: give each its own, as in keep(compute, 'first')"
            )
        key = {
            "start": self.fingerprint("finetuned"),
            "sets": self.identity["sets"],
            "seed": self.seed,
            "variant": dict(identity),
            "name": name,
            "libraries": LIBRARIES,
        }
        return cache.folder(paths.cache_folder(self.profile.name), f"path-seed{self.seed}", key, compute)

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
        steps = self._efforts(self.path(variant), found.step_size)
        frames = [
            means(self.at_step(variant, float(step), FRONTIER_SETS)).assign(step=i + 1) for i, step in enumerate(steps)
        ]
        start = self.references().query("method == 'finetuned' and set in @FRONTIER_SETS")
        frames.insert(0, self.named(means(start), variant, 0.0).assign(step=0))
        return tidy(pd.concat(frames, ignore_index=True), calibrated=found.step_size, reached=found.reached)

    def _efforts(self, path: Path, calibrated: float) -> np.ndarray:
        """Return the efforts at which a frontier is drawn: to three times the calibrated one, or stops of the path."""
        count = self.profile.frontier_points
        if path.stops is not None:
            if len(path.stops) < 2:
                return np.array([])
            chosen = {path.stops[index] for index in np.linspace(1, len(path.stops) - 1, count).round().astype(int)}
            return np.array(sorted({*chosen, calibrated} - {0.0}))
        below = count // 2
        above = count - below - 1
        return calibrated * np.concatenate([np.linspace(0, 1, below + 2)[1:], np.geomspace(1, 3, above + 1)[1:]])

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
                    return generation.generations(model, self.tokenizer, {name: self.sets[name]})

            frames.append(self.table("generations", {**self.of(variant, step_size), "set": name}, compute))
        return self.named(pd.concat(frames, ignore_index=True), variant, step_size)

    def named(self, table: pd.DataFrame, of: "Variant | str | ModelId", step_size: float | None = None) -> pd.DataFrame:
        """Return the table with the columns method, layers and step_size that say which model it is about."""
        if not isinstance(of, Variant):
            return tidy(table, method=of if isinstance(of, str) else of.name)
        return tidy(table, method=of.name, layers=of.layers, step_size=step_size)
