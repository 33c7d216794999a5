"""What costs grow with: laws of a table that follows known ones, and counts of shapes against gradients."""

import numpy as np
import pandas as pd
import pytest
import torch

from unlearnlib.core.errors import UserError
from unlearnlib.experiment import scaling
from unlearnlib.gradients import per_example
from unlearnlib.models import shapes
from unlearnlib.models.layers import parameter_count

SIZES = {"0.1M": 79_136, "0.3M": 320_936, "1M": 1_116_096, "3M": 2_674_432}


def table(machine="here"):
    """Costs with exact exponents: 1 and 0.5 in size, 1 in texts, 1 in length; the factors as they are counted."""
    places = [(name, 16, 32) for name in SIZES]
    places += [("1M", *place) for place in ((10, 32), (100, 32), (16, 16), (16, 64), (16, 128))]
    rows = []
    for model, texts, tokens in places:
        of = {"machine": machine, "model": model, "parameters": SIZES[model], "texts": texts, "tokens": tokens}
        work = SIZES[model] * texts * tokens
        cost = {"training": 1e-9 * work, "evaluation": 1e-6 * work**0.5, "gradients, naive loop": 5e-9 * work}
        cost |= {
            "gradients, factors": 2e-17 * work**2,
            "product, square": 0.02,
            "products, model's shapes": 1e-10 * work,
        }
        for name, seconds in cost.items():
            flops = {"training": 6.0 * work, "product, square": 2e9, "products, model's shapes": 2.0 * work}.get(name)
            rows.append(of | {"operation": name, "cpu_seconds": seconds, "peak_bytes": 8e9 * seconds, "flops": flops})
        size = texts * float(scaling.counted([model], tokens)["factor_bytes"].iloc[0])
        rows.append(of | {"operation": "kept, points", "stored_bytes": size})
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def rows():
    return table()


def test_laws_are_those_the_table_follows(rows):
    of_size = scaling.laws(rows, "parameters").set_index("operation")
    assert of_size.loc["training", "exponent"] == pytest.approx(1) and of_size.loc["training", "n"] == 4
    assert of_size.loc["evaluation", "exponent"] == pytest.approx(0.5)
    assert not set(of_size.index) & set(scaling.BARE)
    of_texts = scaling.laws(rows, "texts").set_index(["operation", "model"])
    assert set(of_texts.index.get_level_values("model")) == {"1M"}
    assert of_texts.loc[("training", "1M"), ["exponent", "start", "end"]].tolist() == pytest.approx([1, 10, 100])
    assert scaling.law(rows, "tokens", "training").n == 4


def test_a_prediction_stands_beside_what_the_largest_alone_says(rows):
    said = scaling.predictions(rows, names=("7B",)).set_index("operation")
    times = 6_738_415_616 / SIZES["3M"]
    training, evaluation = said.loc["training"], said.loc["evaluation"]
    assert training["beyond"] == pytest.approx(times)
    assert training["value"] == pytest.approx(training["proportional"]) == pytest.approx(1e-9 * 6_738_415_616 * 512)
    assert evaluation["proportional"] / evaluation["value"] == pytest.approx(times**0.5)
    assert evaluation["least"] <= evaluation["value"] <= evaluation["most"]


def test_the_largest_is_held_out_and_asked_for(rows):
    odd = rows.copy()
    slow = (odd["model"] == "3M") & (odd["operation"] == "training")
    odd.loc[slow, "cpu_seconds"] *= 2
    said = scaling.held_out(odd).set_index("operation")
    assert said.loc["training", "ratio"] == pytest.approx(2) and not said.loc["training", "inside"]
    assert said.loc["evaluation", "ratio"] == pytest.approx(1)
    few = scaling.held_out(rows[rows["model"].isin(["0.1M", "0.3M", "1M"])]).set_index("operation")
    assert few.loc["training", "inside"] is None and few.loc["training", "ratio"] == pytest.approx(1)


def test_ratios_and_rates(rows):
    ratio = scaling.ratios(rows, "parameters", "training")
    assert list(ratio.columns) == list(SIZES) and np.allclose(ratio.loc["gradients, naive loop"], 5)
    assert ("1M", 16.0) in scaling.ratios(rows, "tokens", "training").columns
    rates = scaling.rates(rows).set_index("model")
    assert np.allclose(rates["training"], 6e9) and np.allclose(rates["of_square"], 6e9 / 1e11)
    assert np.allclose(rates["of_shapes"], 6e9 / 2e10)


def test_one_way_overtakes_another_where_their_costs_are_equal(rows):
    found = scaling.overtaking(rows, "parameters").iloc[0]
    assert (found["less"], found["more"]) == ("gradients, factors", "gradients, naive loop")
    assert found["until"] * 512 == pytest.approx(5e-9 / 2e-17) and found["end"] == SIZES["3M"]
    (one,) = scaling.overtaking(rows, "texts").itertuples()
    assert (one.model, one.less, one.end) == ("1M", "gradients, naive loop", 100) and np.isnan(one.until)


@pytest.mark.parametrize(("name", "tokens"), [("0.1M", 5), ("0.1M", 12), ("0.3M", 5)])
def test_counted_bytes_are_those_of_the_gradients(name, tokens):
    model = shapes.build(name)
    text = torch.randint(1, 500, (tokens,)).tolist()
    (stored,) = per_example.per_example_factors(model, [text])
    counted = scaling.counted([name], tokens).iloc[0]
    assert counted["factor_bytes"] == 4 * sum(value.numel() for value in stored.values())
    assert counted["dense_bytes"] == 4 * parameter_count(model)
    assert counted["points"] == counted["dense_bytes"] / counted["factor_bytes"]


def test_factors_take_as_much_as_the_dense_gradient_where_it_is_said(rows):
    counted = scaling.counted(["1M"]).iloc[0]
    below, above = (scaling.counted(["1M"], tokens).iloc[0] for tokens in (77, 78))
    assert 77 < counted["tokens"] < 78 and below["tokens"] == pytest.approx(counted["tokens"])
    assert below["factor_bytes"] < below["dense_bytes"] < above["factor_bytes"]
    found = scaling.crossovers(rows).iloc[0]
    assert found["model"] == "1M" and found["measured"] == pytest.approx(found["counted"], rel=0.01)


def test_the_formula_for_one_layer_is_that_of_its_numbers():
    layers = scaling.layers("0.1M").set_index(["inputs", "outputs"])
    assert layers.loc[(32, 96), "tokens"] == pytest.approx(1 + 32 * 96 / 128)
    assert layers["count"].to_dict() == {(32, 96): 3, (32, 32): 3, (32, 128): 3, (128, 32): 3, (32, 1024): 1}


def test_drawn_rows_have_a_panel_for_each_kind_of_cost(rows):
    drawn = scaling.drawn(rows.assign(stored_bytes=rows["stored_bytes"]), "tokens")
    assert set(drawn["panel"]) == set(scaling.PANELS) and set(drawn["line"]) == {"1M"}
    assert set(drawn["name"]) == {"training", "evaluation", "kept, points"}
    assert set(scaling.drawn(rows, "parameters")["line"]) == {""}


def test_what_is_not_there_is_one_line(rows, tmp_path):
    for call, message in (
        (lambda: scaling.along(rows, "token"), "'tokens'"),
        (lambda: scaling.law(rows, "parameters", "trainings"), "'training'"),
        (lambda: scaling.ratios(rows, "parameters", "evaluations"), "'evaluation'"),
        (lambda: scaling.measured(tmp_path / "scaling.csv"), "python benchmarks/scaling.py"),
        (lambda: scaling.law(rows[rows["model"] == "1M"], "parameters", "training"), "two different x"),
    ):
        with pytest.raises(UserError, match=message) as error:
            call()
        assert "\n" not in str(error.value)


def test_rows_of_one_machine_are_taken(rows, tmp_path):
    pd.concat([rows.iloc[:5].assign(machine="elsewhere"), rows]).to_csv(tmp_path / "scaling.csv", index=False)
    assert set(scaling.measured(tmp_path / "scaling.csv")["machine"]) == {"here"}
    assert len(scaling.measured(tmp_path / "scaling.csv")) == len(rows)
