"""Profiles: the committed ones load, and every way to get one wrong is one clear line."""

from dataclasses import asdict, replace

import pytest

from unlearnlib.core import paths, profiles
from unlearnlib.core.errors import UserError

SMALL = asdict(profiles.load("small"))


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Return a function that loads the profile `mine` from the given lines of YAML."""
    monkeypatch.setattr(paths, "PROFILES", tmp_path)

    def load(text: str) -> profiles.Profile:
        (tmp_path / "mine.yaml").write_text(text)
        return profiles.load("mine")

    return load


def parse(**changes) -> profiles.Profile:
    """Return the small profile under the name `mine` with these keys changed."""
    return profiles.parse({**SMALL, "name": "mine", **changes}, paths.PROFILES / "mine.yaml")


def message(**changes) -> str:
    with pytest.raises(UserError) as caught:
        parse(**changes)
    assert "\n" not in str(caught.value) and str(caught.value).startswith("mine.yaml: ")
    return str(caught.value)


@pytest.mark.parametrize("name", profiles.available())
def test_every_committed_profile_loads(name):
    profile = profiles.load(name)
    assert profile.name == name and profile.seeds
    assert all(type(value) is profiles.Profile.__annotations__[key] for key, value in asdict(profile).items())


def test_the_three_scales_are_there_and_the_default_and_the_tests_need_no_network():
    assert {"smoke", "small", "gpt2"} <= set(profiles.available())
    assert [profiles.load(name).base_model for name in ("small", "smoke")] == ["data/base_model", "data/tiny_model"]
    assert profiles.load("small").seeds == profiles.load("gpt2").seeds == [0, 1, 2, 3, 4]


def test_every_key_is_explained_beside_it():
    # Unless its name says it all.
    plain = {"name", "epochs", "batch_size", "weight_decay", "warmup_fraction", "seeds"}
    for line in (paths.PROFILES / "gpt2.yaml").read_text().splitlines():
        key = line.partition(":")[0]
        if line and line[0] not in "# " and key not in plain:
            assert "#" in line, line


def test_an_unknown_profile_names_the_nearest():
    with pytest.raises(UserError, match="no profile 'smal': did you mean 'small'"):
        profiles.load("smal")
    with pytest.raises(UserError, match=r"choose from: .*gpt2.*small.*smoke"):
        profiles.load("xyzzy")


def test_an_unknown_key_names_the_nearest():
    assert "unknown key 'batchsize', did you mean 'batch_size'" in message(batchsize=4)


def test_a_missing_key_is_named():
    values = {key: value for key, value in SMALL.items() if key != "epochs"}
    with pytest.raises(UserError, match="'epochs' is missing"):
        profiles.parse(values, paths.PROFILES / "small.yaml")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("epochs", "eight", "epochs must be of type int, not 'eight'"),
        ("epochs", 8.5, "epochs must be of type int, not 8.5"),
        ("epochs", True, "epochs must be of type int, not True"),
        ("epochs", None, "epochs must be of type int, not None"),
        ("learning_rate", True, "learning_rate must be of type float, not True"),
        ("base_model", 7, "base_model must be of type str, not 7"),
        ("seeds", 3, "seeds must be of type list, not 3"),
        ("epochs", 0, "epochs must be above zero, but is 0"),
        ("batch_size", -8, "batch_size must be above zero, but is -8"),
        ("learning_rate", 0.0, "learning_rate must be above zero"),
        ("learning_rate", float("nan"), "learning_rate must be a finite number, but is nan"),
        ("largest_step", float("inf"), "largest_step must be a finite number, but is inf"),
        ("weight_decay", -0.1, "weight_decay must not be negative, but is -0.1"),
        ("warmup_fraction", 1.5, "warmup_fraction must be at most 1, but is 1.5"),
        ("step_factor", 1.0, "step_factor must be above 1, but is 1.0"),
        ("smallest_step", 1000.0, "smallest_step must not exceed largest_step"),
        ("name", "small", "name must be that of the file, 'mine', but is 'small'"),
        ("seeds", [], "seeds must name at least one"),
        ("halves_seeds", ["a"], "halves_seeds must be a list of integers"),
        ("halves", 7, "halves must be even"),
        ("forget_sizes", [], "forget_sizes must name at least one"),
        ("forget_sizes", [5, 0], "forget_sizes must name at least one number of points above zero"),
        ("seeds", [0, "1"], "seeds must be a list of integers"),
        ("seeds", [True], "seeds must be a list of integers"),
        ("notebooks", [2], 'notebooks must be a list of numbers in quotes, such as ["02", "05"]'),
        ("notebooks", ["05_layers"], "notebooks must be a list of numbers in quotes"),
        ("notebooks", "05", "notebooks must be of type list, not '05'"),
        ("ways", ["SSD", 11], "ways must be a list of names of notebook 11, such as [task vector, SSD]"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_key(key, value, expected):
    assert expected in message(**{key: value})


def test_what_may_be_zero_may_and_an_integer_serves_as_a_float():
    profile = parse(weight_decay=0, gradient_clip=0, warmup_fraction=1, learning_rate=1)
    assert (profile.weight_decay, profile.gradient_clip, profile.warmup_fraction) == (0.0, 0.0, 1.0)
    assert type(profile.learning_rate) is float


def test_a_file_that_is_no_profile_is_one_line(written):
    lines = [f"{key}: {value}" for key, value in {**SMALL, "name": "mine"}.items()]
    assert written("\n".join(lines)) == parse()
    without_point = "\n".join("learning_rate: 5e-5" if line.startswith("learning_rate") else line for line in lines)
    for text, expected in [
        ("", "'name' is missing"),
        ("- small", "one `key: value` a line"),
        ("just words", "one `key: value` a line"),
        ("seeds: [0, 1", "not valid YAML"),
        (without_point, "write it with a point, such as 5.0e-5"),
    ]:
        with pytest.raises(UserError, match=expected) as caught:
            written(text)
        assert "\n" not in str(caught.value)


def test_a_wrong_other_value_is_not_blamed_on_the_file():
    with pytest.raises(UserError, match=r"^other values for profile small: learning_rate must be of type float"):
        profiles.load("small@learning_rate=abc")
    with pytest.raises(UserError, match=r"^other values for profile small: epochs must be above zero, but is 0$"):
        profiles.changed(profiles.load("small"), {"epochs": "0"})


def test_a_configuration_is_the_profile_with_other_values():
    wide = profiles.load("robustness")
    found = profiles.configurations(wide)
    assert next(iter(found.items())) == (profiles.AS_IT_IS, wide)
    assert list(found)[1:] == list(wide.configurations)
    assert found["half the epochs"] == profiles.load("robustness@epochs=3")
    assert found["twice the learning rate"].learning_rate == 2 * wide.learning_rate
    people = {found[name].subject for name in found if name.endswith("for Dave")}
    assert people == {"anita", "grace", "henry", "stuart"}
    for name, one in found.items():
        assert name == profiles.AS_IT_IS or one != wide, "something is changed"


def test_the_robustness_profile_is_the_default_one_in_more_configurations():
    small, wide = profiles.load("small"), profiles.load("robustness")
    assert replace(wide, name="small", notebooks=[], configurations=small.configurations) == small
    assert small.configurations.items() <= wide.configurations.items() and wide.notebooks == ["16"]


def test_the_thorough_profile_is_the_default_one_over_twenty_new_seeds():
    small, more = profiles.load("small"), profiles.load("thorough")
    same = {"name": "small", "notebooks": [], "configurations": small.configurations, "seeds": small.seeds}
    assert replace(more, **same) == small
    assert len(more.seeds) == 20 and not set(more.seeds) & set(small.seeds), "what was picked on those is asked anew"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("{twice: {epoch: 4}}", "a profile has no key 'epoch': did you mean 'epochs'"),
        ("{twice: {epochs: many}}", "epochs must be of type int, not 'many'"),
        ("{twice: 4}", r"'twice' must have a name of its own \(a text\) and values of this profile"),
        ("{as it is: {epochs: 4}}", "'as it is' must have a name of its own"),
        ("[1]", r"configurations must be of type dict, not \[1\]"),
        ("{7: {epochs: 4}}", "7 must have a name of its own"),
        ("{same: {epochs: 6}}", "'same' is what another one is already"),
        ("{one: {epochs: 4}, two: {epochs: 4}}", "'two' is what another one is already"),
        ("{few: {seeds: [1]}}", "'few' must not change seeds"),
    ],
)
def test_a_slip_in_a_configuration_is_told_when_the_profile_is_read(written, given, expected):
    lines = [line for line in (profiles.paths.ROOT / "profiles" / "small.yaml").read_text().splitlines()]
    kept = lines[: next(number for number, line in enumerate(lines) if line.startswith("configurations"))]
    text = "\n".join([*kept, f"configurations: {given}"]).replace("name: small", "name: mine", 1)
    with pytest.raises(UserError, match=expected):
        written(text)
