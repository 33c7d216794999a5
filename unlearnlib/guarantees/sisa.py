"""SISA: shards that know nothing of each other, each learned slice by slice, so that forgetting redoes a part alone.

After L. Bourtoule et al., Machine Unlearning (2021, arXiv 1912.03817): the data is split into shards, a model each,
which vote; a shard learns its first slice, then its first two, and so on, with a state kept after each. To forget a
record, its shard goes back to the state before the record's slice and learns on without it. The result is that of SISA
training without the record, exactly, provided that shard and slice are a function of the record's id (or of its
person) alone, and that whatever the learner draws is keyed and not drawn in sequence. It is not the law of one model
over all the data, and the promise ends where requests depend on published models (V. Gupta et al. 2021, arXiv
2106.04378).
"""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from unlearnlib.core.errors import UserError

# learn(state, ids, shard, slice) -> state: goes on from a state (None: from the start) over the records of these ids,
# and
# must not change the state that it was given.
Learner = Callable[[Any, Sequence[str], int, int], Any]


@dataclass(frozen=True)
class Layout:
    """How many `shards`, how many `slices` of each, and the `key` of the hash that places a record."""

    shards: int
    slices: int = 1
    key: str | int = 0

    def __post_init__(self) -> None:
        if self.shards < 1 or self.slices < 1:
            raise UserError(f"{self.shards} shards of {self.slices} slices: give at least one of each")

    def place(self, name: str) -> tuple[int, int]:
        """Return (shard, slice) of an id, from 0, whatever other ids there are: a hash of the key and the id."""
        digest = hashlib.sha256(f"{self.key}|{name}".encode()).digest()
        at = int.from_bytes(digest[:8], "big") % (self.shards * self.slices)
        return at // self.slices, at % self.slices


@dataclass(frozen=True)
class Ensemble:
    """Trained shards: `units` says which unit (person, or the record itself) each id belongs to and is placed by;
    `states[shard][slice]` what the shard's learner left after that slice; `learned` how many records the training, or
    the last forgetting, went over: a record in r of the passes counts r times."""

    layout: Layout
    units: Mapping[str, str]
    states: tuple[tuple[Any, ...], ...]
    learned: int

    @property
    def models(self) -> list[Any]:
        """The last state of every shard: None where it never held a record."""
        return [states[-1] for states in self.states]

    @property
    def stored(self) -> int:
        """How many states are kept."""
        return sum(state is not None for states in self.states for state in states)


def train(units: Mapping[str, str], layout: Layout, learn: Learner) -> Ensemble:
    """Return the ensemble of the records `units`, by id, with the unit that each is placed by: its own id, or the name
    of its person, whose records then all lie in one slice. UserError where there are no records."""
    if not units:
        raise UserError("nothing to learn: there are no records")
    empty: tuple = ((None,) * layout.slices,) * layout.shards
    return _learned(Ensemble(layout, dict(units), empty, 0), dict.fromkeys(range(layout.shards), 0), learn)


def forget(model: Ensemble, names: Sequence[str], learn: Learner) -> Ensemble:
    """Return the ensemble without these records: from the state before the first slice that held one of them, the
    shards that did go over what is left; `learned` is what that took. UserError for an id that it does not have."""
    wrong = sorted(set(names) - set(model.units))
    if wrong or not len(names):
        raise UserError(
            f"no record {wrong[0] if wrong else 'named'!r} to forget: it is not, or no longer, in the model"
        )
    first: dict[int, int] = {}
    for name in names:
        shard, at = model.layout.place(model.units[name])
        first[shard] = min(at, first.get(shard, at))
    left = {name: unit for name, unit in model.units.items() if name not in set(names)}
    if not left:
        raise UserError("every record is to be forgotten: nothing would be left, so delete the model instead")
    return _learned(replace(model, units=left), first, learn)


def _learned(model: Ensemble, first: Mapping[int, int], learn: Learner) -> Ensemble:
    """Return the ensemble whose shards have learned anew from the slices `first` on."""
    states, learned = [list(row) for row in model.states], 0
    held: dict[int, list[tuple[int, str]]] = {}
    for name, unit in model.units.items():
        shard, at = model.layout.place(unit)
        held.setdefault(shard, []).append((at, name))
    for shard, start in sorted(first.items()):
        for number in range(start, model.layout.slices):
            ids = sorted(name for at, name in held.get(shard, []) if at <= number)
            before = states[shard][number - 1] if number else None
            states[shard][number] = learn(before, ids, shard, number) if ids else None
            learned += len(ids)
    return replace(model, states=tuple(map(tuple, states)), learned=learned)


def expected_share(requests: int, shards: int, slices: int = 1) -> float:
    """Return what part of a whole training so many requests at once, for records of random places, make anew: from 0
    to 1.

    Pass j of a shard's slices goes over j / slices of it, and is redone where one of the requests is in the first j
    slices (derived here for large shards; for one request it is (2 slices + 1) / (3 slices shards)).
    """
    if requests < 0 or shards < 1 or slices < 1:
        raise UserError(f"{requests} requests, {shards} shards, {slices} slices: give 0 or more, and at least one")
    passes = range(1, slices + 1)
    whole = slices * (slices + 1) / 2
    return sum(j / whole * (1 - (1 - j / (slices * shards)) ** requests) for j in passes)


def share_of(layout: Layout, units: Mapping[str, str], names: Collection[str]) -> float:
    """Return what part of the training of these records forgetting some of them makes anew, without learning anything:
    the records that forgetting goes over, by those that the training did."""

    def nothing(state: Any, ids: Sequence[str], shard: int, number: int) -> bool:
        return True

    model = train(units, layout, nothing)
    return forget(model, names, nothing).learned / model.learned


def epochs_a_slice(epochs: float, slices: int) -> float:
    """Return the epochs over each slice's pass that add up to the work of so many plain epochs: 2 epochs / (slices +
    1)."""
    return 2 * epochs / (slices + 1)
