"""Profiles with changed values, and the tables of their runs side by side."""

import pandas as pd
import pytest

from unlearnlib.core import paths, profiles, sweeps
from unlearnlib.core.errors import UserError


def test_a_profile_with_changed_values_says_so_in_its_name():
    usual = profiles.load("smoke")
    changed = profiles.load("smoke@learning_rate=4e-4,epochs=2")
    assert changed.name == "smoke@epochs=2,learning_rate=0.0004"
    assert (changed.epochs, changed.learning_rate, changed.batch_size) == (2, 4e-4, usual.batch_size)
    assert profiles.load(changed.name) == changed == profiles.load("smoke@epochs=2,learning_rate=0.0004")
    assert profiles.load("smoke@epochs=3") == usual, "a value that is the profile's own is no change"
    lists = profiles.changed(usual, {"forget_sizes": "[1, 3]"})
    assert lists.forget_sizes == [1, 3] and profiles.load(lists.name) == lists
    other = profiles.changed(usual, {"base_model": "models/mine, the last"})
    assert "/" not in other.name and profiles.load(other.name).base_model == "models/mine, the last"
    assert paths.cache_folder(changed.name) == paths.cache_folder("smoke") != paths.cache_folder("small")


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("smoke@epoch=2", "a profile has no key 'epoch': did you mean 'epochs'"),
        ("smoke@name=x", "a profile has no key 'name'"),
        ("smoke@epochs=two", "epochs must be of type int, not 'two'"),
        ("smoke@epochs", "epochs must be of type int"),
        ("smoke@learning_rate=fast", "learning_rate must be of type float, not 'fast'"),
        ("smoke@epochs=0", "epochs must be above zero"),
        ("smok@epochs=2", "no profile 'smok': did you mean 'smoke'"),
    ],
)
def test_a_slip_in_a_changed_value_is_one_line(name, line):
    with pytest.raises(UserError, match=line):
        profiles.load(name)


def test_a_sweep_is_every_combination_once():
    values = dict(sweeps.read(text) for text in ("learning_rate=4e-4,4e-3", "epochs=2,3"))
    assert sweeps.names("smoke", values) == [
        "smoke@epochs=2,learning_rate=0.0004", "smoke@learning_rate=0.0004", "smoke@epochs=2", "smoke",
    ]  # fmt: skip
    assert sweeps.names("smoke", {}) == ["smoke"]
    assert sweeps.read("forget_sizes=[1],[1, 4]") == ("forget_sizes", ["[1]", "[1, 4]"])
    for wrong in ("learning_rate", "=3", "epochs=", "forget_sizes=[1"):
        with pytest.raises(UserError, match="cannot be read: write for example learning_rate=4e-4,8e-4"):
            sweeps.read(wrong)


def test_the_tables_of_a_sweep_stand_in_one_with_their_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNLIB_RUNS", str(tmp_path))
    for name, seeds, value in (
        ("smoke", [0], 9.5),
        ("smoke", [0, 1], 1.5),
        ("smoke@learning_rate=0.0004", [0, 1], 2.5),
        ("smoke@epochs=2,learning_rate=0.0004", [0, 1], 3.5),
    ):
        folder = paths.run_folder(profiles.load(name).name, seeds) / "results"
        folder.mkdir(parents=True)
        pd.DataFrame({"profile": name, "seed": seeds, "value": value}).to_csv(folder / "04_frontier.csv", index=False)
    found = sweeps.collect("smoke", "04_frontier")
    assert list(found.columns) == ["profile", "epochs", "learning_rate", "seed", "value"]
    rows = found.drop_duplicates("value")[["epochs", "learning_rate", "value"]].to_numpy().tolist()
    assert rows == [[3, 4e-3, 1.5], [2, 4e-4, 3.5], [3, 4e-4, 2.5]] and len(found) == 6
    path = sweeps.save("smoke", "04_frontier")
    assert pd.read_csv(path).equals(found) and path.parent == tmp_path / "smoke" / "collected"
    with pytest.raises(UserError, match="no run of smoke has a table '04_frontiers': did you mean '04_frontier'"):
        sweeps.collect("smoke", "04_frontiers")
    with pytest.raises(UserError, match=r"no run of small has a table '04_frontier': run \./run_all\.sh --set"):
        sweeps.collect("small", "04_frontier")


def test_changes_add_up_and_no_two_values_have_one_name():
    once = profiles.load("smoke@epochs=4")
    twice = profiles.changed(once, {"learning_rate": "4e-4"})
    assert twice.name == "smoke@epochs=4,learning_rate=0.0004" and profiles.load(twice.name) == twice
    assert profiles.changed(twice, {"epochs": "3", "learning_rate": "4e-3"}) == profiles.load("smoke")
    exact = profiles.changed(once, {"learning_rate": "0.000123456789"})
    assert profiles.load(exact.name).learning_rate == 0.000123456789
    near = sweeps.names("smoke", {"learning_rate": ["0.0001234561", "0.0001234562"]})
    assert len(near) == 2
    assert sweeps.joined(["epochs=2", "learning_rate=4e-4", "epochs=4"]) == {
        "epochs": ["2", "4"], "learning_rate": ["4e-4"],
    }  # fmt: skip


def test_runs_with_another_list_are_collected_and_columns_are_not_overwritten(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNLIB_RUNS", str(tmp_path))
    other = profiles.changed(profiles.load("smoke"), {"forget_sizes": "[1, 3]"})
    for name, value in (("smoke", 1.5), (other.name, 2.5)):
        folder = paths.run_folder(name, [0, 1]) / "results"
        folder.mkdir(parents=True)
        pd.DataFrame({"seed": [0, 1], "value": value}).to_csv(folder / "05_layers.csv", index=False)
        pd.DataFrame({"forget_sizes": ["own"]}).to_csv(folder / "06_own.csv", index=False)
    found = sweeps.collect("smoke", "05_layers").drop_duplicates("value")
    assert found[["forget_sizes", "value"]].to_numpy().tolist() == [["[1, 4]", 1.5], ["[1, 3]", 2.5]]
    with pytest.raises(UserError, match="has a column 'forget_sizes' of its own"):
        sweeps.collect("smoke", "06_own")
