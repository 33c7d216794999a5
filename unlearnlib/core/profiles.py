"""Profiles: every number that fixes the scale of a run, in one flat YAML file each."""

import math
import re
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import yaml

from unlearnlib.core import paths
from unlearnlib.core.errors import UserError, nearest


@dataclass(frozen=True)
class Profile:
    """One scale of the experiments; the meaning of every field stands beside it in `profiles/*.yaml`."""

    name: str
    base_model: str
    device: str
    seeds: list
    notebooks: list
    ways: list
    data: str
    subject: str
    trained_attributes: int
    neighbours: int
    never_seen: int
    general_passages: int
    max_tokens: int
    epochs: int
    batch_size: int
    learning_rate: float
    warmup_fraction: float
    weight_decay: float
    gradient_clip: float
    smallest_step: float
    first_look: float
    step_factor: float
    largest_step: float
    step_tolerance: float
    frontier_points: int
    live_step: float
    evaluation_batch: int
    halves_seeds: list
    halves: int
    left_out_seeds: list
    left_out: int
    forget_sizes: list
    curvature_texts: int
    checkpoint_steps: int
    late_seeds: list
    distribution_seeds: list
    originals: int
    references: int
    configurations: dict


def available() -> list[str]:
    """Return the names of the profiles in `profiles/`."""
    return sorted(path.stem for path in paths.PROFILES.glob("*.yaml"))


def load(name: str) -> Profile:
    """Return the profile `name` from `profiles/<name>.yaml`; "small@learning_rate=0.0004" is `small` with another value
    (several are joined by commas; see changed).

    Raises UserError, naming the nearest valid choice, for an unknown profile, an unknown or missing key, a value of the
    wrong type, or a number out of range; and where the package is another clone's (paths.check_repository).
    """
    paths.check_repository()
    name, _, changes = name.partition("@")
    if changes:
        return changed(load(name), _changes(changes))
    path = paths.PROFILES / f"{name}.yaml"
    if not path.is_file():
        raise UserError(f"no profile {name!r}: {nearest(name, available())}")
    try:
        values = yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        raise UserError(f"{path.name}: not valid YAML ({' '.join(str(error).split())}); mend that line") from error
    if not isinstance(values, dict):
        raise UserError(f"{path.name}: expected one `key: value` a line; see profiles/small.yaml")
    profile = parse(values, path)
    configurations(profile)  # a slip in one of them is told before anything trains
    return profile


AS_IT_IS = "as it is"  # the configuration in which nothing is changed


def configurations(profile: Profile) -> dict[str, Profile]:
    """Return the profiles of a profile's configurations by name: itself first, called AS_IT_IS, then with the values of
    each (see changed). UserError for a name that is taken, and for values that do not fit."""
    found, where = {AS_IT_IS: profile}, f"configurations of profile {profile.name}"
    for name, values in profile.configurations.items():
        if not isinstance(name, str) or name == AS_IT_IS or not isinstance(values, dict) or not values:
            raise UserError(
                f"{where}: {name!r} must have a name of its own (a text) and values of this profile, such as twice the "
                "epochs: {epochs: 12}"
            )
        if wrong := {"seeds", "notebooks", "ways", "configurations"} & set(values):
            raise UserError(f"{where}: {name!r} must not change {min(wrong)}: leave it out")
        try:
            found[name] = changed(profile, {key: _written(value) for key, value in values.items()})
        except UserError as error:
            raise UserError(f"{where}: {name!r}: {error}") from None
        if any(found[name] == other for other in list(found.values())[:-1]):
            raise UserError(f"{where}: {name!r} is what another one is already: give other values, or leave it out")
    return found


def changed(profile: Profile, values: Mapping[str, str]) -> Profile:
    """Return the profile with other values, written as in its file; its name says which: "small@epochs=4".

    Values that are the profile's own do not count. UserError as load, for an unknown key or a value that does not fit.
    """
    plain, _, changes = profile.name.partition("@")
    if changes:
        return changed(load(plain), {**_changes(changes), **values})
    known = asdict(profile)
    types = typing.get_type_hints(Profile)
    own: dict[str, Any] = {}
    for key, text in values.items():
        if key not in known or key == "name":
            raise UserError(f"a profile has no key {key!r}: {nearest(key, [name for name in known if name != 'name'])}")
        try:
            value = float(text) if types[key] is float else yaml.safe_load(text)
        except (ValueError, yaml.YAMLError):
            value = text
        own[key] = value
    path = paths.PROFILES / f"{profile.name}.yaml"
    try:
        whole = parse({**known, **own}, path)
    except UserError as error:  # the file is in order: the other value is not
        what = str(error).removeprefix(f"{path.name}: ")
        raise UserError(f"other values for profile {profile.name}: {what}") from None
    parts = [
        f"{key}={quote(_written(getattr(whole, key)), safe='[] ')}"
        for key in sorted(own)
        if getattr(whole, key) != known[key]
    ]
    return replace(whole, name=f"{profile.name}@{','.join(parts)}") if parts else profile


def _changes(text: str) -> dict[str, str]:
    """Return the values by key that stand behind the @ of a name."""
    values = dict(part.partition("=")[::2] for part in text.split(","))
    return {key: unquote(value) for key, value in values.items()}


def _written(value: Any) -> str:
    return repr(value) if isinstance(value, float) else str(value)


def parse(values: dict, path: Path) -> Profile:
    """Return the profile that `values` describe; `path` is named in the errors."""
    types = typing.get_type_hints(Profile)
    for key in values:
        if key not in types:
            raise UserError(f"{path.name}: unknown key {key!r}, {nearest(key, types)}")
    for field in fields(Profile):
        if field.name not in values:
            raise UserError(f"{path.name}: the key {field.name!r} is missing; add it (see profiles/small.yaml)")
        value, wanted = values[field.name], types[field.name]
        # YAML reads 1 as an integer where a float is meant; a bool is an int to Python but never meant here.
        if wanted is float and isinstance(value, int) and not isinstance(value, bool):
            values = {**values, field.name: float(value)}
        elif not isinstance(value, wanted) or isinstance(value, bool):
            # To YAML 5e-5 is a word: a float needs its point.
            hint = "; write it with a point, such as 5.0e-5" if wanted is float and isinstance(value, str) else ""
            raise UserError(f"{path.name}: {field.name} must be of type {wanted.__name__}, not {value!r}{hint}")
    profile = Profile(**values)
    for key, value in asdict(profile).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{path.name}: {key} must be a finite number, but is {value}")
        if key in ("warmup_fraction", "weight_decay", "gradient_clip"):
            if value < 0:
                raise UserError(f"{path.name}: {key} must not be negative, but is {value}")
        elif isinstance(value, int | float) and value <= 0:
            raise UserError(f"{path.name}: {key} must be above zero, but is {value}")
    if profile.warmup_fraction > 1:
        raise UserError(f"{path.name}: warmup_fraction must be at most 1, but is {profile.warmup_fraction}")
    if profile.step_factor <= 1:
        raise UserError(f"{path.name}: step_factor must be above 1, but is {profile.step_factor}")
    if profile.smallest_step > profile.largest_step:
        raise UserError(f"{path.name}: smallest_step must not exceed largest_step ({profile.largest_step})")
    if profile.name != path.stem:
        raise UserError(f"{path.name}: name must be that of the file, {path.stem!r}, but is {profile.name!r}")
    for key in ("seeds", "halves_seeds", "left_out_seeds", "forget_sizes", "late_seeds", "distribution_seeds"):
        values = getattr(profile, key)
        if not all(isinstance(value, int) and not isinstance(value, bool) for value in values):
            raise UserError(f"{path.name}: {key} must be a list of integers, such as [0, 1, 2]")
    if not all(isinstance(value, str) and re.fullmatch(r"\d\d", value) for value in profile.notebooks):
        raise UserError(f'{path.name}: notebooks must be a list of numbers in quotes, such as ["02", "05"], or []')
    if not all(isinstance(value, str) for value in profile.ways):
        raise UserError(f"{path.name}: ways must be a list of names of notebook 11, such as [task vector, SSD], or []")
    if not profile.seeds:
        raise UserError(f"{path.name}: seeds must name at least one, such as [0, 1, 2]")
    if not profile.forget_sizes or min(profile.forget_sizes) < 1:
        raise UserError(f"{path.name}: forget_sizes must name at least one number of points above zero, such as [1, 5]")
    if profile.originals < 2 or profile.references < 2 * profile.originals:
        raise UserError(
            f"{path.name}: originals must be at least 2 and references twice as many (one half is compared with the "
            f"other), but they are {profile.originals} and {profile.references}"
        )
    if profile.halves % 2:
        raise UserError(f"{path.name}: halves must be even, for they come in pairs, but is {profile.halves}")
    return profile
