"""Somebody's own model and texts: read, checked, fine-tuned once with recording, and once without the texts to forget.

Everything given is checked before anything is trained. What is trained is kept under its content (texts, base model,
plan, code, library versions), so that an interrupted run goes on where it stopped, and a changed text counts.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path as FilePath

import pandas as pd
import torch

from unlearnlib.core import cache, definitions, fingerprint, paths, profiles
from unlearnlib.core.errors import UserError, nearest
from unlearnlib.data import batches, texts
from unlearnlib.data.subsets import drawn
from unlearnlib.experiment import trained, watched
from unlearnlib.experiment.measured import LIBRARIES
from unlearnlib.experiment.variants import KEYED
from unlearnlib.gradients.per_example import check_exact
from unlearnlib.gradients.record import Record, Recorder
from unlearnlib.methods.request import Later, Request
from unlearnlib.models import loading
from unlearnlib.training import storage
from unlearnlib.training.loop import fine_tune
from unlearnlib.training.schedule import Plan, schedule

# What a model is called in tables: before, after fine-tuning on all texts, and after the same without those to forget.
BASE, START, REFERENCE = "base", "finetuned", "retrained"

FEWEST_KEPT = 5  # texts to keep: one of them at least is kept out of training, and the others hold the model up
UNSEEN = 0.2  # the share of the texts to keep that nobody trains on, where no others are given
WHEN_NOTHING_IS_RECORDED = "live"


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

        def compute(target: FilePath) -> None:
            definitions.check_unchanged(part.partition(":")[0] for part in definitions.of(_TRAINING, without=KEYED))
            with in_these_words():
                train(copy.deepcopy(self.loaded), self.trained_on, self.forgotten, self.given, removed, target)

        return cache.folder(self.root, f"own-{name}", self.training_key(name), compute)

    @property
    def trained_on(self) -> dict[str, list[int]]:
        """The token ids of every text that the model is fine-tuned on, by id."""
        return {one.id: self.tokens[one.id] for one in (*self.forget, *self.keep)}

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
            "keep": self.kept({}),
        }
        if not self.given.already_fine_tuned:
            fields["base"] = Later(self.base)
            fields["record"] = Later(lambda: Record(self.folder(START)))
            fields["second_moments"] = Later(lambda: storage.second_moments(self.folder(START)))
            fields["log"] = Later(lambda: self.folder(START))
            fields["watched"] = Later(lambda: watched.of_own(self))
        return Request(self.start(), self.given.seed, **fields)

    @property
    def what_there_is(self) -> frozenset[str]:
        """The fields of a request (unlearnlib.methods.request.FIELDS) that can be had from what was given."""
        always = {"forget", "retain", "texts", "keep", "name_tokens"}
        recorded = {"base", "record", "second_moments", "log", "watched"}
        return frozenset(always | (set() if self.given.already_fine_tuned else recorded))

    def kept(self, identity: Mapping) -> Callable:
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
            "The model was fine-tuned before, and no gradient was recorded: ways that need recorded gradients, epochs, "
            "the optimizer's second moments or what it added are not to be had "
            f"({WHEN_NOTHING_IS_RECORDED!r} stands in for them).",
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
