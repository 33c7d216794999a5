"""A head on the frozen base model: features of texts that it never trained on, for models that can promise
something."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch

from unlearnlib.core import fingerprint, paths
from unlearnlib.core.errors import UserError
from unlearnlib.data import batches
from unlearnlib.data.records import Record, load_records
from unlearnlib.experiment import trained
from unlearnlib.experiment.measured import Experiment
from unlearnlib.guarantees import certified
from unlearnlib.guarantees.certified import Data

WIDTH = 32  # of the features: few enough for thousands of fits, and drawn without looking at the data


@dataclass(frozen=True)
class Head:
    """What a head is trained on and asked: `features` float64 [n, WIDTH] and labels (True or False) of the texts of
    these `names`, those of the forget set among them; `asked`, the texts of people that nothing was trained on."""

    names: tuple[str, ...]
    people: tuple[str, ...]
    prompts: tuple[str, ...]
    features: np.ndarray
    labels: np.ndarray
    forget: tuple[str, ...]
    asked_features: np.ndarray
    asked_labels: np.ndarray

    @cached_property
    def data(self) -> Data:
        """Rows and labels as certified removal takes them; UserError where every text has the same label."""
        return certified.data(self.features, self.labels)

    @cached_property
    def asked(self) -> Data:
        """The same of the people that nothing was trained on."""
        return certified.data(self.asked_features, self.asked_labels)

    @property
    def rows(self) -> list[int]:
        """The places of the forget set."""
        return [self.names.index(name) for name in self.forget]

    @property
    def identity(self) -> str:
        """A sha256 that stands for names, features and labels."""
        whole = hashlib.sha256(repr((self.names, self.forget, self.labels.tolist())).encode())
        return hashlib.sha256(whole.digest() + self.features.tobytes()).hexdigest()


def texts_of(experiment: Experiment) -> tuple[list[Record], list[Record]]:
    """Return the records that a head is trained on, the forget set and every neighbour in the folder of data, and those
    that it is asked about, of people never trained on; each sorted by id."""
    folder = paths.data_folder(experiment.profile.data)
    neighbours = load_records(folder / "neighbours.jsonl")
    if (folder / "more_neighbours.jsonl").is_file():
        neighbours += load_records(folder / "more_neighbours.jsonl")
    known = sorted([*experiment.split.forget, *neighbours], key=lambda record: record.id)
    return known, sorted(load_records(folder / "never_seen.jsonl"), key=lambda record: record.id)


def of(experiment: Experiment, label: Callable[[Record], bool]) -> Head:
    """Return the head's texts with features and labels. label: says of a record whether it is of one kind or the other.

    UserError where the records are all of one kind.
    """
    known, asked = texts_of(experiment)
    kinds = [np.array([bool(label(record)) for record in records]) for records in (known, asked)]
    for records, found in zip((known, asked), kinds, strict=True):
        if found.all() or not found.any():
            raise UserError(f"all {len(records)} texts have the label {bool(found[0])}: give a label that parts them")
    vectors = features(experiment).set_index("example")
    columns = [name for name in vectors.columns if name.startswith("f")]
    first, second = (vectors.loc[[r.id for r in records], columns].to_numpy() for records in (known, asked))
    return Head(
        tuple(record.id for record in known),
        tuple(record.subject for record in known),
        tuple(record.prompt for record in known),
        first,
        kinds[0],
        tuple(record.id for record in experiment.split.forget),
        second,
        kinds[1],
    )


def features(experiment: Experiment) -> pd.DataFrame:
    """Return the features of every text of texts_of (example, f0, f1, ...), one row a text (cached).

    The last hidden state of the *base* model at the end of the prompt, before the answer is read: the base model never
    saw the forget set. General text, which is nobody's, gives the centre and the scale; a fixed random matrix makes
    WIDTH numbers of it. So no feature of one record depends on another record, in any bit.
    """
    known, asked = texts_of(experiment)
    records = [*known, *asked]

    def compute() -> pd.DataFrame:
        model, tokenizer = experiment.base, experiment.tokenizer
        everywhere = np.concatenate(states(model, experiment.sets["general"].texts))
        prompts = [batches.encode_text(tokenizer, record.prompt) for record in records]
        last = np.array([row[-1] for row in states(model, prompts)])
        scaled = (last - everywhere.mean(0)) / (everywhere.std(0) + 1e-6)
        wide = scaled.shape[1]
        drawn = np.random.default_rng(0).standard_normal((wide, WIDTH)) / np.sqrt(wide)
        table = pd.DataFrame(scaled @ drawn, columns=[f"f{number}" for number in range(WIDTH)])
        return table.assign(example=[record.id for record in records])

    depends = {
        "base": trained.base_fingerprint(experiment.profile.base_model),
        "prompts": fingerprint.combine({record.id: record.prompt for record in records}),
        "general": fingerprint.combine({passage.id: passage.text for passage in experiment.split.general}),
    }
    return experiment.table("features", {"width": WIDTH}, compute, depends)


def states(model, texts: Iterable[Sequence[int]]) -> list[np.ndarray]:
    """Return the last hidden states of texts (token ids), before the output layer: float64 [tokens, width] of each.

    Each text is read alone: in a batch the last digits of one depend on the others.
    """
    where = next(model.parameters()).device
    with torch.no_grad():
        read = (model.base_model(torch.tensor([list(text)], device=where)).last_hidden_state[0] for text in texts)
        return [hidden.double().cpu().numpy() for hidden in read]
