"""The benchmark of steps counts what a method's formula reads, and its bare step reads as much."""

import sys

import pytest

from unlearnlib.core.paths import ROOT
from unlearnlib.experiment.passes import counted


@pytest.fixture(scope="module")
def benchmark():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        import steps

        patch.setattr(steps, "STEPS", 3)
        patch.setattr(steps, "WARM", 1)
        patch.setattr(steps, "BATCH", 4)
        patch.setattr(steps, "small_shape", lambda: {"vocab_size": 97, "n_positions": 48, "n_embd": 32, "n_layer": 2, "n_head": 2})  # fmt: skip  # noqa: E501
        yield steps
        for name in ("steps", "recording", "timing"):
            sys.modules.pop(name, None)


# Read forwards, and of these backwards, in one step of a batch of four, by the formulas of the methods' files: what the
# model to start from says of each text is asked anew in every step.
FORMULAS = {"trained ascent": (4, 4), "gradient difference": (8, 8), "NPO": (8, 4), "DPO, retaining": (20, 12)}


@pytest.mark.parametrize("name", FORMULAS)
def test_a_step_reads_what_its_formula_says_and_the_bare_one_as_much(benchmark, name, tmp_path):
    asked = benchmark.request(tmp_path)
    seconds, needed = benchmark.step_of(name, asked)
    assert seconds > 0 and (needed.forward, needed.backward) == FORMULAS[name]
    with counted() as count:
        assert benchmark.bare(asked, needed) > 0
    assert count.steps[-1] - count.steps[-2] == needed
