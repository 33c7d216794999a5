"""The benchmark of scaling: what it counts is what lies on disk, and a rerun measures only what is missing."""

import sys

import numpy as np
import pandas as pd
import pytest

from unlearnlib.core.errors import UserError
from unlearnlib.core.paths import ROOT
from unlearnlib.models import shapes

TEXTS, TOKENS, WIDTH, VOCABULARY, BLOCKS = 10, 12, 32, 1024, 3  # of the smallest shape


@pytest.fixture(scope="module")
def benchmark():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        import scaling

        yield scaling
        for name in ("scaling", "timing"):
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def rows(benchmark):
    found = benchmark.measure(benchmark.Configuration("0.1M", TEXTS, TOKENS), seconds=0.1, most=2)
    return pd.DataFrame(found, columns=benchmark.COLUMNS).set_index("operation")


def test_every_operation_has_its_numbers(benchmark, rows):
    timed = rows[~rows.index.str.startswith("kept")]
    assert len(timed) == 14 and (timed["cpu_seconds"] > 0).all() and (timed["repeats"] == 2).all()
    assert (timed["least"] <= timed["cpu_seconds"]).all() and (timed["cpu_seconds"] <= timed["most"]).all()
    assert timed.loc["training", "flops"] == 6.0 * 79_136 * TEXTS * TOKENS
    linear = BLOCKS * 12 * WIDTH**2 + VOCABULARY * WIDTH
    assert timed.loc["products, model's shapes", "flops"] == 2.0 * TEXTS * TOKENS * linear
    assert rows["parameters"].eq(79_136).all() and rows["machine"].eq(benchmark.machine()).all()


def test_stored_bytes_are_those_of_a_count_by_hand(benchmark, rows, tmp_path):
    operations = benchmark.Operations(shapes.build("0.1M"), TEXTS, TOKENS, tmp_path / "record")
    sizes = benchmark.bytes_of(tmp_path / "record" / "points.safetensors")
    # In a block 16 widths go into its four layers and come out of them; the output layer has a width and a vocabulary.
    factors = 4 * (BLOCKS * 16 * WIDTH + WIDTH + VOCABULARY + WIDTH) + 8 + 8  # and a token and a position of 8 bytes
    norms = 4 * 2 * WIDTH * (2 * BLOCKS + 1)
    assert sum(sizes.values()) == TEXTS * ((TOKENS - 1) * factors + norms)
    of_embedding = (TOKENS - 1) * (4 * (WIDTH + VOCABULARY + WIDTH) + 8 + 8)
    kept = operations.kept()
    assert kept["kept, points of the embedding"] == TEXTS * of_embedding
    header = (tmp_path / "record" / "points.safetensors").stat().st_size - sum(sizes.values())
    assert kept["kept, points"] == sum(sizes.values()) + header and header < 2000 * TEXTS * BLOCKS
    assert kept["kept, second moments"] == pytest.approx(4 * 79_136, rel=0.02)
    assert rows.loc["kept, points", "stored_bytes"] == kept["kept, points"]
    output = 4 * VOCABULARY * WIDTH
    assert output < kept["kept, sums of the embedding"] < 2 * output < kept["kept, sums"] < 2 * 4 * 79_136


def test_the_model_is_what_it_was_after_an_unlearning(benchmark, tmp_path):
    model = shapes.build("0.1M")
    operations = benchmark.Operations(model, 3, TOKENS, tmp_path / "record")
    before = [value.clone() for value in model.parameters()]
    calls = operations.all()
    for name in ("unlearning, recorded step", "unlearning, preconditioned", "unlearning, ten points"):
        calls[name]()
    assert all((one == other).all() for one, other in zip(before, model.parameters(), strict=True))
    assert "gradients, dense" in calls


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux keeps a high-water mark that can be set back")
def test_the_peak_is_what_a_call_needs_beyond_what_was_there(benchmark):
    before = np.ones(20_000_000)
    more, held = benchmark.peak(lambda: np.ones(10_000_000))
    assert 79e6 < more < 90e6 and held > before.nbytes
    less, _ = benchmark.peak(lambda: None)
    assert less < 5e6


def invented(benchmark, seen):
    def apart(one, seconds, most):
        seen.append(one)
        return [{"machine": benchmark.machine(), **vars(one), "operation": "training", "cpu_seconds": 1.0}]

    return apart


def test_a_rerun_measures_only_what_is_missing(benchmark, monkeypatch, tmp_path, capsys):
    table, seen = tmp_path / "scaling.csv", []
    monkeypatch.setattr(benchmark, "apart", invented(benchmark, seen))
    words = ["--quick", "--table", str(table)]
    assert benchmark.main([*words, "--models", "0.1M"]) == 0 and [one.model for one in seen] == ["0.1M"]
    assert benchmark.main(words) == 0
    count = len(benchmark.configurations(quick=True))
    assert len(seen) == len(set(seen)) == count
    assert benchmark.main(words) == 0 and len(seen) == count
    assert f"{count} of {count} configurations are there" in capsys.readouterr().out
    assert benchmark.main([*words, "--again"]) == 0 and len(seen) == 2 * count
    assert len(pd.read_csv(table)) == count


def test_rows_of_another_machine_stay_and_do_not_count(benchmark, monkeypatch, tmp_path):
    table, seen = tmp_path / "scaling.csv", []
    monkeypatch.setattr(benchmark, "apart", invented(benchmark, seen))
    chosen = benchmark.configurations(quick=True)
    other = [{"machine": "elsewhere", **vars(one), "operation": "training"} for one in chosen]
    benchmark.add(table, other)
    assert benchmark.missing(table, chosen) == chosen
    assert benchmark.run(chosen, table, 1.0, 2) == 0
    assert benchmark.missing(table, chosen) == []
    assert pd.read_csv(table)["machine"].value_counts().tolist() == [len(chosen), len(chosen)]


def test_what_cannot_be_measured_is_left_out_and_said(benchmark, monkeypatch, tmp_path, capsys):
    def apart(one, seconds, most):
        if one.model == "1M":
            raise UserError(f"{one}: its process was killed, as a rule for want of memory")
        return [{"machine": benchmark.machine(), **vars(one), "operation": "training"}]

    monkeypatch.setattr(benchmark, "apart", apart)
    assert benchmark.main(["--quick", "--table", str(tmp_path / "scaling.csv")]) == 1
    assert "left out (1M, 16 texts of 32 tokens: its process was killed" in capsys.readouterr().out
    assert "1M" not in set(pd.read_csv(tmp_path / "scaling.csv")["model"])


def test_a_mistake_is_one_line(benchmark, tmp_path, capsys):
    table = tmp_path / "scaling.csv"
    table.write_text("a,b\n1,2\n")
    for words, said in (
        (["--models", "30 M"], "did you mean '30M'?"),
        (["--models", "7B"], "not among the models"),
        (["--table", str(table)], "its columns are not those"),
    ):
        assert benchmark.main(words) == 2
        printed = capsys.readouterr()
        assert said in printed.err and len(printed.err.splitlines()) == 1


def test_the_axes_meet_and_the_whole_set_begins_with_the_cheapest(benchmark):
    for quick in (True, False):
        chosen = benchmark.configurations(quick)
        assert len(chosen) == len(set(chosen))
        assert [*map(benchmark.work, chosen)] == sorted(map(benchmark.work, chosen))
        for one in chosen:
            assert one.texts >= benchmark.FEW and one.tokens <= shapes.POSITIONS
            assert benchmark.Configuration(one.model) in chosen
    assert {one.model for one in chosen} == {"1M", "3M", "10M", "30M", "135M"}


@pytest.mark.parametrize("tied", [True, False])
def test_a_llama_goes_through_every_operation(benchmark, monkeypatch, tmp_path, tied):
    monkeypatch.setitem(shapes.SHAPES, "tiny", ("Llama", shapes._llama(2, 32, 4, 2, 64, 512, tied)))
    operations = benchmark.Operations(shapes.build("tiny"), 3, TOKENS, tmp_path / "record")
    for call in operations.all().values():
        call()
    kept, per_token = operations.kept(), 4 * (32 + tied * (32 + 512)) + 8
    assert kept["kept, points of the embedding"] == 3 * (TOKENS - 1) * per_token
    assert kept["kept, sums of the embedding"] >= tied * 4 * 512 * 32
