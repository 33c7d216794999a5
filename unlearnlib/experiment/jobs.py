"""The jobs of a run that train: models that are kept, and models that are asked at once and let go.

`python -m unlearnlib.experiment.jobs --profile small --seed 3 --kind late` does one job, or finds it cached.
"""

import argparse
import math
import sys
from collections.abc import Sequence

from unlearnlib.core import definitions, profiles
from unlearnlib.core import fingerprint as fingerprints
from unlearnlib.core.errors import UserError, nearest
from unlearnlib.core.profiles import Profile
from unlearnlib.experiment import setting, trained
from unlearnlib.experiment.setting import ModelId

# What each kind of job trains, as kinds of models: a job takes seconds to start, so what is read together is one job.
KINDS = {
    "finetuned-and-retrained": ("finetuned", "retrained"),
    "late-and-retrained": ("late", "late-retrained"),
    **{kind: (kind,) for kind in ("smaller-sets", "halves", "left-out", "originals", "references")},
}
USUAL, LATE = ("finetuned-and-retrained",), ("late-and-retrained",)
# The kinds whose models are many: of these what they say is kept, and not their weights.
ASKED = ("halves", "left-out", "originals", "references")
ASKED_BY = "unlearnlib.experiment.many:ask"
MOST = 24  # so many of these models one job has at most; others may run beside it


def seeds_of(profile_name: str, kind: str, seeds: Sequence[int]) -> tuple[int, ...]:
    """Return those of `seeds` for which a profile has models of this kind: ground truth is for a few seeds."""
    profile = profiles.load(profile_name)
    few = {
        "halves": profile.halves_seeds,
        "left-out": profile.left_out_seeds,
        **dict.fromkeys(LATE, profile.late_seeds),
        **dict.fromkeys(("originals", "references"), profile.distribution_seeds),
    }
    return tuple(seed for seed in seeds if seed in few.get(kind, seeds))


def shares(profile_name: str, kind: str) -> range:
    """Return the numbers of the jobs that share the models of a kind: 1, 2, ..., or 0 alone where one job has all."""
    count = _sharing(profiles.load(profile_name), kind)
    return range(1, count + 1) if count > 1 else range(1)


def _sharing(profile: Profile, kind: str) -> int:
    many = {"halves": profile.halves, "originals": profile.originals, "references": profile.references}
    return math.ceil(many.get(kind, 1) / MOST)


def models(profile: Profile, kind: str, seed: int, share: int = 0) -> list[ModelId]:
    """Return the models of one job: of the kind's models the part `share`, or with 0 all. UserError for a kind or a
    part that there is not, and as setting.models."""
    if kind not in KINDS:
        raise UserError(f"no kind of job {kind!r}: {nearest(kind, KINDS)}")
    count = _sharing(profile, kind)
    if not 0 <= share <= count:
        raise UserError(f"no part {share} of {kind}: give 1 to {count}, or 0 for all")
    found = [model for one in KINDS[kind] for model in setting.models(profile, one, seed)]
    return found[share - 1 :: count] if share else found


def parts(profile_name: str, kind: str, seed: int, share: int = 0) -> dict:
    """Return all that one job depends on: settings, models, the code that trains them, and that asks them."""
    profile = profiles.load(profile_name)
    keys = {model.name: trained.training_key(profile, model) for model in models(profile, kind, seed, share)}
    found = {
        "settings": next(iter(keys.values()), {}),
        "models": {name: fingerprints.combine(key) for name, key in keys.items()},
        "code": definitions.of(trained.TRAINED_BY, without=trained.KEYED),
    }
    if kind in ASKED:  # what is kept of these are answers, whatever metrics are made of them
        found["asked by"] = definitions.of(ASKED_BY, without=("unlearnlib.measures.evaluation:METRICS",))
    return found


def do(profile: Profile, kind: str, seed: int, share: int = 0) -> list[str]:
    """Do what the cache lacks of one job, and return the names of its models."""
    found = models(profile, kind, seed, share)
    if kind in ASKED:
        from unlearnlib.experiment import many  # with torch, which who only plans a run need not wait for

        many.ask(profile, kind, seed, found)
    else:
        for model in found:
            trained.folder(profile, model)
    return [model.name for model in found]


def main(arguments: list[str] | None = None) -> int:
    """Do one job from the command line; exit status 2 with one line for wrong input."""
    parser = argparse.ArgumentParser(prog="python -m unlearnlib.experiment.jobs", description=__doc__)
    parser.add_argument("--profile", default="small")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--kind", default=USUAL[0])
    parser.add_argument("--share", type=int, default=0, help="one part of many models")
    given = parser.parse_args(arguments)
    try:
        print(*do(profiles.load(given.profile), given.kind, given.seed, given.share), sep="\n")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
