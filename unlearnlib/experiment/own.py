"""Somebody's own model and texts: fine-tuned once with recording, and made to forget some of the texts.

Everything given is checked before anything is trained. What is trained is kept under its content (texts, base model,
plan, code, library versions), so that an interrupted run goes on where it stopped, and a changed text counts.
"""

import copy
import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path as FilePath
from types import MappingProxyType

import pandas as pd
import torch

from unlearnlib.core import cache, definitions, fingerprint, paths, profiles
from unlearnlib.core.errors import UserError, nearest
from unlearnlib.data import batches, texts
from unlearnlib.data.subsets import drawn
from unlearnlib.experiment import trained
from unlearnlib.experiment.measured import LIBRARIES
from unlearnlib.experiment.variants import KEYED, Variant
from unlearnlib.gradients.per_example import check_exact
from unlearnlib.gradients.record import Record, Recorder
from unlearnlib.measures import evaluation
from unlearnlib.methods import equal_forgetting, named
from unlearnlib.methods.path import Path
from unlearnlib.methods.request import FIELDS, Later, Request
from unlearnlib.methods.trained import Steps, mean_loss
from unlearnlib.methods.trained import trained as path_of_steps
from unlearnlib.models import loading
from unlearnlib.models.layers import resolve
from unlearnlib.training import storage
from unlearnlib.training.loop import fine_tune
from unlearnlib.training.schedule import Plan, schedule

# What a model is called in tables: before, after fine-tuning on all texts, and after the same without those to forget.
BASE, START, REFERENCE = "base", "finetuned", "retrained"
UNLEARNED, REPAIRED = "unlearned", "repaired"

FEWEST_KEPT = 5  # texts to keep: one of them at least is kept out of training, and the others hold the model up
UNSEEN = 0.2  # the share of the texts to keep that nobody trains on, where no others are given
# Where the step is looked for, as L2 norms: there is no telling what model comes.
SEARCH = {"smallest": 0.05, "factor": 1.5, "largest": 1000.0, "tolerance": 0.02, "start": 1.0}
EPOCHS = ("first", "all")  # whose recorded gradients are kept: apart the first epoch's, and the sum of all others
WHEN_NOTHING_IS_RECORDED = "live"
STOPS = (REFERENCE, "unseen", BASE)


@dataclass(frozen=True)
class Given:
    """What somebody gives, and how it is to be trained; files and folders are looked up in the repository first.

    model: a folder or a name on the hub, as for a profile's base_model; forget_file, keep_file, questions_file: see
    unlearnlib.data.texts (no questions: ""); unseen_file: texts of the same kind that the model never reads ("": a
    fifth of those to keep is kept out of training); already_fine_tuned: whether the model has been trained on both
    files; retrain: whether the reference, trained without the texts to forget, is made; profile: where results are
    kept, on which device and in which batches a model is asked; threads: of torch (one gives the same bits again).
    """

    model: str
    forget_file: str
    keep_file: str
    questions_file: str = ""
    unseen_file: str = ""
    already_fine_tuned: bool = False
    retrain: bool = True
    epochs: int = 6
    batch_size: int = 16
    learning_rate: float = 8e-4
    max_tokens: int = 64
    seed: int = 0
    profile: str = "small"
    threads: int = 1

    def __post_init__(self):
        for name, least in {"epochs": 1, "batch_size": 1, "max_tokens": 2, "seed": 0, "threads": 1}.items():
            if not (isinstance(getattr(self, name), int) and getattr(self, name) >= least):
                raise UserError(f"{name} is {getattr(self, name)!r}: give a whole number from {least} on")
        if not 0 < self.learning_rate < 1:
            raise UserError(f"learning_rate is {self.learning_rate!r}: give a number between 0 and 1, such as 2e-4")

    @property
    def plan(self) -> Plan:
        """How the model is trained."""
        return Plan(self.epochs, self.batch_size, self.learning_rate)


class Own:
    """What was given, read and checked, with the models that come of it; each is trained and loaded when it is needed.

    forget, keep, unseen: the texts, `keep` without those that are kept out of training; questions; tokens: the token
    ids of each text, by id. Raises UserError for everything that will not do, before anything is trained.
    """

    def __init__(self, given: Given):
        self.given, self.profile = given, profiles.load(given.profile)
        self.forget = texts.read_texts(given.forget_file, "forget")
        whole = texts.read_texts(given.keep_file, "keep")
        unseen = texts.read_texts(given.unseen_file, "unseen") if given.unseen_file else ()
        self.questions = texts.read_questions(given.questions_file) if given.questions_file else ()
        texts.check_apart([*self.forget, *whole, *unseen])
        if len(whole) < FEWEST_KEPT:
            raise UserError(f"{given.keep_file} has {texts.counted(whole)}: give {FEWEST_KEPT} at least")
        if not unseen and not given.already_fine_tuned:
            count = max(1, round(UNSEEN * len(whole)))
            out = set(drawn([one.id for one in whole], given.seed, "unseen")[:count])
            unseen = tuple(one for one in whole if one.id in out)
            whole = tuple(one for one in whole if one.id not in out)
        self.keep, self.unseen = whole, unseen
        if not given.model.strip():
            raise UserError("model is empty: give a folder, or a name on the model hub")
        self.name = str(FilePath(given.model).expanduser()) if given.model.startswith("~") else given.model
        torch.set_num_threads(given.threads)
        self.loaded, self.tokenizer = _loaded(self.name, self.profile.device)
        self.tokens = {one.id: self._encoded(one) for one in (*self.forget, *self.keep, *self.unseen)}
        self.asked = [(one, self._asked(one)) for one in self.questions]
        check_exact(self.loaded)

    def _encoded(self, one: texts.Text) -> list[int]:
        most, positions = self.given.max_tokens, self.tokenizer.model_max_length
        if most > positions:
            raise UserError(f"max_tokens is {most}, but the model reads {positions} at most: give {positions} or less")
        ids = batches.encode_text(self.tokenizer, one.text)
        if len(ids) > most:
            larger = f"raise max_tokens (the model reads {positions}) or " if len(ids) <= positions else ""
            raise UserError(f"{one.where}: {len(ids)} tokens, but max_tokens is {most}: {larger}part the text in two")
        return ids

    def _asked(self, one: texts.OwnQuestion) -> batches.Question:
        most = min(self.tokenizer.model_max_length, max(self.given.max_tokens, 2))
        try:
            answers = (one.answer, *one.wrong)
            return batches.encode_question(self.tokenizer, f"{one.prompt} {one.answer}", one.prompt, answers, most)
        except UserError as error:
            raise UserError(f"{one.where}: {str(error).replace(' in the profile', '')}") from None

    # Which models there are

    @property
    def models(self) -> tuple[str, ...]:
        """The models that can be had without unlearning, by name."""
        if self.given.already_fine_tuned:
            return (START,)
        return (BASE, START, REFERENCE) if self.given.retrain else (BASE, START)

    def model(self, name: str) -> torch.nn.Module:
        """Return the model of this name, trained now if it has not been; UserError where there is none."""
        if name not in self.models:
            raise UserError(f"there is no model {name!r} here: {nearest(name, self.models)}")
        return {BASE: self.base, START: self.start, REFERENCE: self.reference}[name]()

    def base(self) -> torch.nn.Module:
        """Return the model as it was given."""
        return self.loaded

    def start(self) -> torch.nn.Module:
        """Return the model that is to forget: fine-tuned on all texts, here or before."""
        return self.loaded if self.given.already_fine_tuned else self._start

    def reference(self) -> torch.nn.Module:
        """Return the model trained by the same schedule, which never reads the texts to forget."""
        return self._reference

    @cached_property
    def _start(self) -> torch.nn.Module:
        return self._read(self.folder(START))

    @cached_property
    def _reference(self) -> torch.nn.Module:
        return self._read(self.folder(REFERENCE))

    def _read(self, folder: FilePath) -> torch.nn.Module:
        model = copy.deepcopy(self.loaded)
        storage.load_weights(model, folder)
        return model

    @property
    def root(self) -> FilePath:
        """Where everything is kept."""
        return paths.cache_folder(self.given.profile)

    def folder(self, name: str) -> FilePath:
        """Return the folder of the fine-tuned or the retrained model, trained now if it has not been: the weights, the
        log, and of the fine-tuned one the recorded gradients of the texts to forget and the second moments."""
        removed = self.forgotten if name == REFERENCE else []
        ids = {one.id: self.tokens[one.id] for one in (*self.forget, *self.keep)}

        def compute(target: FilePath) -> None:
            definitions.check_unchanged(part.partition(":")[0] for part in definitions.of(_TRAINING, without=KEYED))
            with in_these_words():
                train(copy.deepcopy(self.loaded), ids, self.forgotten, self.given, removed, target)

        return cache.folder(self.root, f"own-{name}", self.training_key(name), compute)

    @property
    def forgotten(self) -> list[str]:
        """The ids of the texts to forget."""
        return [one.id for one in self.forget]

    def training_key(self, name: str) -> dict:
        """Return all that a trained model depends on."""
        return {
            "model": name,
            "base": trained.base_fingerprint(self.name),
            "texts": digest([[one.id, one.text] for one in (*self.forget, *self.keep)]),
            "forget": digest(self.forgotten),
            "plan": vars(self.given.plan),
            "seed": self.given.seed,
            "device": self.profile.device,
            "code": definitions.code(_TRAINING, without=KEYED),
            **{name: version(name) for name in ("torch", "transformers", "numpy")},
        }

    def identity(self, name: str) -> dict:
        """Return what stands for a model in a key."""
        if name == BASE or self.given.already_fine_tuned:
            return {"base": trained.base_fingerprint(self.name)}
        return {"trained": fingerprint.combine(self.training_key(name))}

    @property
    def asked_for(self) -> dict:
        """Return what a method is given, as it stands in a key: hashes, for the texts are nobody else's business."""
        groups = {"forget": self.forget, "keep": self.keep}
        found = {name: digest([[one.id, self.tokens[one.id]] for one in group]) for name, group in groups.items()}
        return {"start": self.identity(START), "seed": self.given.seed, **found}

    def table(self, name: str, key: Mapping, code: str, compute: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """Return a table, from the cache where nothing in `key` and in the definition that `code` names has changed."""
        parts = definitions.of(code, without=KEYED)
        definitions.check_unchanged(part.partition(":")[0] for part in parts)
        whole = {"key": dict(key), "code": definitions.combined(parts), "libraries": LIBRARIES}
        return cache.table(self.root, f"own-{name}", whole, compute)

    # What a method is given

    @cached_property
    def request(self) -> Request:
        """What methods are given: the model to start from, the texts, and what else there is (see what_there_is)."""
        fields = {
            "forget": {name: self.tokens[name] for name in self.forgotten},
            "retain": {one.id: self.tokens[one.id] for one in self.keep},
            "texts": {one.id: one.text for one in (*self.forget, *self.keep)},
            "keep": self._kept({}),
        }
        if not self.given.already_fine_tuned:
            fields["base"] = Later(self.base)
            fields["record"] = Later(lambda: Record(self.folder(START)))
            fields["second_moments"] = Later(lambda: storage.second_moments(self.folder(START)))
            fields["log"] = Later(lambda: self.folder(START))
        return Request(self.start(), self.given.seed, **fields)

    @property
    def what_there_is(self) -> frozenset[str]:
        """The fields of a request (unlearnlib.methods.request.FIELDS) that can be had from what was given."""
        always = {"forget", "retain", "texts", "keep", "name_tokens"}
        recorded = {"base", "record", "second_moments", "log"}
        return frozenset(always | (set() if self.given.already_fine_tuned else recorded))

    def _kept(self, identity: Mapping) -> Callable:
        """Return the function by which a method that trains leaves its stops on disk."""

        def keep(compute: Callable, name: str = "") -> FilePath:
            key = {**self.asked_for, "way": dict(identity), "name": name, "libraries": LIBRARIES}
            return cache.folder(self.root, "own-path", key, compute)

        return keep


_TRAINING = "unlearnlib.experiment.own:train"


def digest(value) -> str:
    """Return a short hash of plain data."""
    return fingerprint.combine({"of": value})


def _loaded(model: str, device: str) -> tuple:
    with in_these_words():
        return loading.load(model, on=device)


@contextmanager
def in_these_words() -> Iterator[None]:
    """Let errors about a profile speak of what was given here."""
    try:
        yield
    except UserError as error:
        words = str(error).replace(" in the profile", "").replace("as base_model", "as model")
        raise UserError(words.replace("base_model", "model")) from None


def train(
    model,
    ids: Mapping[str, Sequence[int]],
    forget: Sequence[str],
    given: Given,
    removed: Sequence[str],
    target: FilePath,
) -> None:
    """Train `model` in place on the texts `ids` and write what is kept of it into `target`: without the `removed`
    ones, which are never read, or, where there are none, recording the gradients of those to `forget`."""
    steps = schedule({name: len(text) for name, text in ids.items()}, given.plan, given.seed)
    left = {name: text for name, text in ids.items() if name not in set(removed)}
    recorder = None if removed else Recorder(forget, point_epochs=(), joined_from=1)
    title = "retraining without them" if removed else "fine-tuning"
    result = fine_tune(model, left, steps, given.plan, removed, recorder, title)
    storage.save(target, model, result, steps, given.plan, given.seed, removed, moments=recorder is not None)
    if recorder:
        recorder.save(target)


def what_cannot_be_done(own: Own) -> list[str]:
    """Return, a sentence each, what cannot be had from what was given."""
    given, found = own.given, []
    if given.already_fine_tuned:
        found += [
            "The model was fine-tuned before, and no gradient was recorded: ways that need recorded gradients, epochs "
            f"or the optimizer's second moments are not to be had ({WHEN_NOTHING_IS_RECORDED!r} stands in for them).",
            "There is no retrained model to compare with, and no base model.",
        ]
    elif not given.retrain:
        found += ["There is no retrained model (retrain is off): how far the end is from one cannot be told."]
    if not own.unseen:
        found += ["No texts are known that the model never read (unseen_file): membership cannot be told."]
    if not own.questions:
        found += ["No questions were given: whether a fact is still told in other words cannot be seen."]
    return found


def overview(own: Own) -> pd.DataFrame:
    """Return a row for each set of texts: how many there are, their mean and largest number of tokens, and whether the
    model is trained on them."""
    groups = {"to forget": own.forget, "to keep": own.keep, "never read": own.unseen}
    lengths = {name: [len(own.tokens[one.id]) for one in group] for name, group in groups.items() if group}
    rows = {name: (len(found), sum(found) / len(found), max(found)) for name, found in lengths.items()}
    table = pd.DataFrame(rows, index=["texts", "tokens, mean", "tokens, most"]).T
    return table.astype({"texts": int, "tokens, most": int})


def losses(own: Own) -> pd.DataFrame:
    """Return the mean loss of each epoch of the trainings (nats a token), a column a model; empty where the model was
    fine-tuned before."""
    able = [name for name in (START, REFERENCE) if name in own.models and not own.given.already_fine_tuned]
    logs = {name: pd.read_csv(own.folder(name) / "log.csv") for name in able}
    table = pd.DataFrame({name: log.groupby("epoch")["loss"].mean() for name, log in logs.items()})
    return table.set_axis(table.index + 1).rename_axis("epoch")


# The way to unlearn, and where it stops


def way(
    own: Own,
    name: str = "preconditioned",
    layers: str = "embedding",
    epochs: str = "all",
    options: Mapping = MappingProxyType({}),
) -> Variant:
    """Return a way to unlearn: a method's name (unlearnlib.methods.named.METHODS), the layers it may change, the epochs
    whose recorded gradients it takes, where it takes any (EPOCHS), and other options by name.

    For a model that was fine-tuned before live ascent stands in for ways that need recorded gradients. UserError for an
    unknown name, for layers that the model does not have, and for a method that needs what was not given.
    """
    if epochs not in EPOCHS:
        raise UserError(f"epochs_of_gradients is {epochs!r}: {nearest(str(epochs), EPOCHS)}")
    absent = Variant(UNLEARNED, name).known.uses - own.what_there_is
    if absent & {"record", "second_moments"} and own.given.already_fine_tuned:
        print(f"no gradient was recorded: {WHEN_NOTHING_IS_RECORDED!r} stands in for {name!r}")
        name = WHEN_NOTHING_IS_RECORDED
    elif absent:
        able = [one for one in named.METHODS if Variant("", one).known.uses <= own.what_there_is]
        raise UserError(f"the way {name!r} needs {FIELDS[min(absent)]}, not to be had here: take {', '.join(able)}")
    method = Variant(UNLEARNED, name).known
    known = {"epochs": epochs} if "epochs" in method.options else {}
    found = inspect.signature(method.unlearn).parameters
    asked = [one for one in method.options if found[one].default is inspect.Parameter.empty and one not in options]
    if asked:
        raise UserError(f"the way {name!r} must be told its {asked[0]!r}: give options, such as {{{asked[0]!r}: ...}}")
    if wrong := [one for one in options if one not in method.options or one == "layers"]:
        raise UserError(f"the way {name!r} takes no option {wrong[0]!r}: {nearest(wrong[0], method.options)}")
    if "layers" in method.options:
        resolve(own.loaded, layers, ())
    elif layers != "all":
        raise UserError(f"the way {name!r} changes the whole model, not {layers!r} alone: give layers 'all'")
    return Variant(UNLEARNED, name, layers, {**known, **options})


@dataclass(frozen=True)
class Level:
    """How improbable the texts to forget are to become: `loss`, their mean -log p a token (nats), and `of` whom it
    is."""

    loss: float
    of: str


def level_of(own: Own, stop: str | float = "") -> str | float:
    """Return whose level a `stop` means (see level), or its perplexity; UserError where there is none such."""
    if not isinstance(stop, str):
        if not 1 < stop < float("inf"):
            raise UserError(f"stop is {stop}: give a perplexity, above 1, or one of {', '.join(STOPS)}")
        return stop
    there = {REFERENCE: REFERENCE in own.models, "unseen": bool(own.unseen), BASE: BASE in own.models}
    able = [name for name in STOPS if there[name]]
    if not able:
        raise UserError(
            "how improbable must the texts become? With a model that was fine-tuned before give unseen_file, texts of "
            "the same kind that it never read, or as stop a perplexity, such as 50"
        )
    if stop and stop not in able:
        raise UserError(f"stop is {stop!r}, which cannot be had here: {nearest(stop, able)}")
    return stop or able[0]


def level(own: Own, stop: str | float = "") -> Level:
    """Return the level at which unlearning stops, for which no questions are needed.

    stop: `retrained`, that of the retrained model on the texts to forget; `unseen`, that of the fine-tuned model on
    texts that it never read (right where these are of the same kind); `base`, that of the base model on the texts to
    forget (further than needed: it does not know their kind either); "": the first of these that there is; a number: a
    perplexity of one's own. UserError where none can be had.
    """
    of = level_of(own, stop)
    if not isinstance(of, str):
        return Level(math.log(of), "given")
    asked, model = (own.unseen, START) if of == "unseen" else (own.forget, of)
    ids = [own.tokens[one.id] for one in asked]
    key = {"model": own.identity(model), "texts": digest(ids), "batch": own.profile.evaluation_batch}

    def compute() -> pd.DataFrame:
        return pd.DataFrame({"loss": [loss_of(own.model(model), ids, own.profile.evaluation_batch)]})

    return Level(float(own.table("level", key, _LOSS, compute)["loss"].iloc[0]), of)


_LOSS = "unlearnlib.experiment.own:loss_of"


def loss_of(model, ids: Sequence[Sequence[int]], batch_size: int) -> float:
    """Return the mean over texts of each text's mean -log p a token (nats; lower is likelier)."""
    return float(evaluation.text_nll(model, ids, batch_size).mean())


def path(own: Own, variant: Variant) -> Path:
    """Return the path of a way to unlearn; UserError as Variant.path."""
    return variant.path(own.request.having(keep=own._kept(variant.identity)))


def stopped(own: Own, variant: Variant, where: Level) -> equal_forgetting.Calibration:
    """Return the first effort found at which the texts to forget are as improbable as the `where` says; its `value` is
    their mean loss there (nats a token).

    0 where they are from the start. Where the level is not reached it is the effort at which they are least probable.
    """
    key = {**own.asked_for, "way": variant.identity, "loss": where.loss, "search": SEARCH}
    key |= {"batch": own.profile.evaluation_batch}
    found = own.table("stop", key, _CROSSING, lambda: crossing(own, variant, where.loss))
    *evaluated, last = found[["effort", "loss", "reached"]].itertuples(index=False, name=None)
    looked = tuple((float(effort), float(loss)) for effort, loss, _ in evaluated)
    return equal_forgetting.Calibration(float(last[0]), float(last[1]), bool(last[2]), looked)


_CROSSING = "unlearnlib.experiment.own:crossing"


def crossing(own: Own, variant: Variant, loss: float) -> pd.DataFrame:
    """Return what `stopped` finds: a row (effort, loss, reached) for every effort looked at, and the found one last."""
    walked, ids = path(own, variant), [own.tokens[name] for name in own.forgotten]

    def known(effort: float) -> float:
        with walked.at(effort) as model:
            return -loss_of(model, ids, own.profile.evaluation_batch)  # a stop is where what is measured falls

    if walked.stops is not None:
        found = equal_forgetting.first_stop(known, -loss, walked.stops)
    elif (start := known(0.0)) <= -loss:
        found = equal_forgetting.Calibration(0.0, start, True, ((0.0, start),))
    else:
        found = equal_forgetting.first_crossing(known, -loss, **SEARCH)
    rows = [(effort, -value, False) for effort, value in found.evaluated]
    rows.append((found.step_size, -found.value, found.reached))
    return pd.DataFrame(rows, columns=["effort", "loss", "reached"])


def stop_in_words(own: Own, variant: Variant, where: Level, found: equal_forgetting.Calibration) -> str:
    """Return what was asked for and what was found, as a sentence."""
    of = {REFERENCE: "the retrained model finds them", "unseen": "the model finds texts that it never read"}
    of |= {BASE: "the base model finds them", "given": "you ask for"}
    asked = f"as improbable as {of[where.of]} (perplexity {math.exp(where.loss):.4g}, by the mean over texts)"
    if not found.reached:
        return f"Not reached: {asked}. The least probable that they become is {math.exp(found.value):.4g}."
    if not found.step_size:
        return f"They are {asked} from the start: there is nothing to unlearn."
    effort = f"{found.step_size:.4g} ({path(own, variant).unit})"
    return f"They are {asked} after an effort of {effort}, found in {len(found.evaluated)} looks."


@dataclass(frozen=True)
class End:
    """One model: a name of Own.models, or where a way to unlearn ends after `effort`, and after so many optimizer steps
    of `repair` on the texts to keep."""

    name: str
    variant: Variant | None = None
    effort: float = 0.0
    repair: int = 0

    @property
    def way(self) -> dict:
        """Return what of it is no model's name, as plain data."""
        if self.variant is None:
            return {}
        return {"way": self.variant.identity, "effort": self.effort, "repair": self.repair}


def check_asked(own: Own, stop: str | float, repair_steps: int) -> None:
    """Raise UserError for a stop that cannot be had here, and for a number of steps below 0."""
    level_of(own, stop)
    if repair_steps < 0:
        raise UserError(f"repair_steps is {repair_steps}: give a whole number from 0 on")


def ends(own: Own, variant: Variant, effort: float, repair_steps: int = 0) -> list[End]:
    """Return what is compared: the models that there are, the unlearned one, and with `repair_steps` the repaired
    one."""
    found = [*(End(name) for name in own.models), End(UNLEARNED, variant, effort)]
    return [*found, End(REPAIRED, variant, effort, repair_steps)] if repair_steps else found


def opened(own: Own, end: End) -> AbstractContextManager[torch.nn.Module]:
    """Open a model; where a way ends it is the starting model itself, changed, and changed back when the block ends."""
    if end.variant is None:
        return _as_it_is(own.model(end.name))
    walked = path(own, end.variant)
    if not end.repair:
        return walked.at(end.effort)
    with walked.at(end.effort) as model:
        moved = copy.deepcopy(model)

    def loss(model, forget, retained) -> torch.Tensor:
        return mean_loss(model, retained)

    how = repair_of(own, end)
    request = own.request.having(keep=own._kept({**end.way, "how": vars(how), "code": definitions.code(_OPENED)}))
    return path_of_steps(request, loss, how, request.retain, "repair", lambda: moved).at(float(end.repair))


def repair_of(own: Own, end: End) -> Steps:
    """Return how a repair trains: by half the rate of the fine-tuning, with one stop, at its end."""
    return Steps(end.repair, end.repair, own.given.batch_size, own.given.learning_rate / 2)


_OPENED = "unlearnlib.experiment.own:opened"


@contextmanager
def _as_it_is(model: torch.nn.Module) -> Iterator[torch.nn.Module]:
    yield model
