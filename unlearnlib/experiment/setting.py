"""What an experiment is about, as data: which models, trained on which texts in which order, and what is forgotten."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from unlearnlib.core import paths
from unlearnlib.core.errors import UserError, nearest
from unlearnlib.core.profiles import Profile
from unlearnlib.data import subsets
from unlearnlib.data.records import Record
from unlearnlib.data.split import Split, draw_split


@dataclass(frozen=True)
class ModelId:
    """One trained model: all that sets it apart from the others of a profile.

    seed: draws the split, and the order of the texts where `order` is no other number; without: the ids of the texts
    that it never reads; late: whether it is trained in two stages, the forget subject in the second one; keep: what is
    left of its training beside the weights, any of `log` (of its steps, with the schedule, and the second moments where
    gradients were recorded), `states` (for a replay), `record` (the recorded gradients: of every point in the first
    epoch, their sums in all), `joined record` (sums alone, those from the second epoch on as one), `epochs` (the
    weights after each, which TracIn needs).

    The last two say nothing about the model itself, and two that differ in them alone are equal. name: what tables call
    it; passing: whether it is one of many that are asked once and not kept.
    """

    seed: int
    without: tuple[str, ...] = ()
    order: int | None = None
    late: bool = False
    keep: tuple[str, ...] = ()
    name: str = field(default="", compare=False)
    passing: bool = field(default=False, compare=False)

    @property
    def order_seed(self) -> int:
        """The number that draws the order of the texts."""
        return self.seed if self.order is None else self.order

    @property
    def family(self) -> str:
        """What its folder in the cache is called after."""
        if self.late:
            return "late-retrained" if self.without else "late"
        if "record" in self.keep:
            return "finetuned"
        if "joined record" in self.keep:
            return "original"
        return "retrained" if "log" in self.keep else "without"


@dataclass(frozen=True)
class Setting:
    """What one experiment compares: the model that is to forget (`start`), the one that never knew (`against`), and
    the ids of the points to `forget`."""

    profile: Profile
    seed: int
    start: ModelId
    against: ModelId
    forget: tuple[str, ...]

    @property
    def split(self) -> Split:
        """The sets of examples; points that are trained on and not to be forgotten are the set `remaining`."""
        whole = split_of(self.profile, self.seed)
        return whole if len(self.forget) == len(whole.forget) else whole.forgetting(self.forget)


def split_of(profile: Profile, seed: int) -> Split:
    """Return the split of the data that this seed draws at this profile's scale, from the files as they are now."""
    counts = (profile.trained_attributes, profile.neighbours, profile.never_seen, profile.general_passages)
    folder = paths.data_folder(profile.data)
    files = tuple((path.name, path.stat().st_mtime_ns) for path in sorted(folder.glob("*.jsonl")))
    return _split(seed, *counts, profile.subject, folder, files)


@cache
def _split(
    seed: int, attributes: int, neighbours: int, never_seen: int, general: int, subject: str, folder: Path, files: tuple
) -> Split:
    return draw_split(folder, seed, attributes, neighbours, never_seen, general, subject)


def stages_of(split: Split, late: bool) -> list[list[Record]]:
    """Return the records of each stage of training: one stage, or, where Dave comes `late`, two: he and the last
    quarter of the neighbours (by name) are in the second."""
    if not late:
        return [[*split.forget, *split.retain]]
    people = sorted({record.subject for record in split.retain})
    second = set(people[-max(1, len(people) // 4) :])
    first = [record for record in split.retain if record.subject not in second]
    return [first, [*split.forget, *(record for record in split.retain if record.subject in second)]]


# The models that a profile has for a seed


def finetuned(profile: Profile, seed: int) -> ModelId:
    """Return the model fine-tuned on everything, recording the gradients of the forget set."""
    truth = seed in (*profile.halves_seeds, *profile.left_out_seeds)
    return ModelId(seed, keep=("log", "states", "record", *("epochs",) * truth), name="finetuned")


def retrained(profile: Profile, seed: int) -> ModelId:
    """Return the reference: trained with the same schedule, and without the forget set."""
    return ModelId(seed, _forget(profile, seed), keep=("log",), name="retrained")


def late(profile: Profile, seed: int) -> ModelId:
    """Return the model fine-tuned in two stages, the forget subject in the second one."""
    return ModelId(seed, late=True, keep=("log", "states"), name="late")


def late_retrained(profile: Profile, seed: int) -> ModelId:
    """Return the model trained in two stages without the forget set."""
    return ModelId(seed, _forget(profile, seed), late=True, keep=("log",), name="late-retrained")


def smaller_sets(profile: Profile, seed: int) -> list[ModelId]:
    """Return the models trained without only a few of the points, one for each of the profile's forget_sizes."""
    order = _drawn(profile, seed, "forget_sizes", max(profile.forget_sizes))
    return [ModelId(seed, tuple(sorted(order[:size])), name=f"without {size}") for size in profile.forget_sizes]


def left_out(profile: Profile, seed: int) -> list[ModelId]:
    """Return the models trained without one point each, for so many points as the profile's left_out says."""
    order = _drawn(profile, seed, "left_out", profile.left_out)
    return [ModelId(seed, (point,), name=f"without {point}", passing=True) for point in order[: profile.left_out]]


def halves(profile: Profile, seed: int) -> list[ModelId]:
    """Return the models trained without a random half of the points each (the profile's halves)."""
    drawn = subsets.random_halves(_forget(profile, seed), profile.halves, seed)
    return [ModelId(seed, without, name=f"half {number}", passing=True) for number, without in enumerate(drawn)]


def originals(profile: Profile, seed: int) -> list[ModelId]:
    """Return the models fine-tuned on everything in other orders of the texts; the first is the fine-tuned model."""
    others = [
        ModelId(seed, order=seed + number, keep=("log", "joined record"), name=f"original {number}", passing=True)
        for number in range(1, profile.originals)
    ]
    return [replace(finetuned(profile, seed), name="original 0"), *others]


def references(profile: Profile, seed: int) -> list[ModelId]:
    """Return the models trained without the forget set in other orders of the texts; the first is the retrained one."""
    forget = _forget(profile, seed)
    others = [
        ModelId(seed, forget, order=seed + number, name=f"reference {number}", passing=True)
        for number in range(1, profile.references)
    ]
    return [replace(retrained(profile, seed), name="reference 0"), *others]


# Models by the kind of job that trains them.
KINDS: dict[str, Callable[[Profile, int], "ModelId | list[ModelId]"]] = {
    "finetuned": finetuned,
    "retrained": retrained,
    "halves": halves,
    "left-out": left_out,
    "smaller-sets": smaller_sets,
    "late": late,
    "late-retrained": late_retrained,
    "originals": originals,
    "references": references,
}


def models(profile: Profile, kind: str, seed: int) -> list[ModelId]:
    """Return the models of a kind. Raises UserError for an unknown kind, and for a profile that asks for more points
    than the seed trains on."""
    if kind not in KINDS:
        raise UserError(f"no kind of model {kind!r}: {nearest(kind, KINDS)}")
    found = KINDS[kind](profile, seed)
    return [found] if isinstance(found, ModelId) else found


def _forget(profile: Profile, seed: int) -> tuple[str, ...]:
    return tuple(record.id for record in split_of(profile, seed).forget)


def _drawn(profile: Profile, seed: int, key: str, most: int) -> list[str]:
    """Return the points in the order in which they are left out; UserError where `key` asks for all or more."""
    forget = _forget(profile, seed)
    if most >= len(forget):
        raise UserError(f"{key} of profile {profile.name} asks for {most} points: give fewer than {len(forget)}")
    return subsets.drawn(forget, seed, "left out")


# Settings


def usual(profile: Profile, seed: int) -> Setting:
    """Return the setting in which the fine-tuned model is to forget the whole forget set."""
    return Setting(profile, seed, finetuned(profile, seed), retrained(profile, seed), _forget(profile, seed))


def smaller(profile: Profile, seed: int, points: int) -> Setting:
    """Return the setting in which only so many points are forgotten, against the model retrained without these.

    UserError for a number that is none of the profile's forget_sizes.
    """
    known = {len(model.without): model for model in smaller_sets(profile, seed)}
    if points not in known:
        sizes = ", ".join(map(str, known))
        raise UserError(f"no forget set of {points} points: choose from {sizes} (forget_sizes of the profile)")
    return replace(usual(profile, seed), against=known[points], forget=known[points].without)
