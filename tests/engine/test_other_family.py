"""Notebooks of the profile smollm2 on a tiny model of its family, from the command line to their tables."""

import os
import subprocess
import sys

import nbformat
import pandas as pd
import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from unlearnlib.core import paths, profiles

SHAPE = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4}


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    """A folder with a tied Llama with grouped-query attention, random in every weight."""
    folder = tmp_path_factory.mktemp("models") / "llama"
    tokenizer = AutoTokenizer.from_pretrained(paths.DATA / "tiny_model")
    torch.manual_seed(0)
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = LlamaConfig(vocab_size=len(tokenizer), num_key_value_heads=2, tie_word_embeddings=True,
                         max_position_embeddings=128, **ends, **SHAPE)  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_notebooks_of_the_real_model_run_on_a_small_one_of_its_family(llama, tmp_path):
    numbers = ["02", "05", "11", "16"]  # of those asked of it: each takes ten seconds and more to start and draw
    real = profiles.load("smollm2")
    assert set(numbers) - {"11"} < set(real.notebooks)
    words = ["--profile", "smoke", "--seeds", "0", "--only", ",".join(numbers), "--set", f"base_model={llama}"]
    words += ["--set", f"ways={real.ways}"]
    result = subprocess.run(
        [sys.executable, "-m", "unlearnlib.engine", *words],
        cwd=paths.ROOT,
        env={**os.environ, "UNLEARNLIB_RUNS": str(tmp_path), "PYTHONPATH": str(paths.ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert result.returncode == 0, result.stdout
    executed = sorted(tmp_path.glob("smoke@*/seeds-0/notebooks/*.ipynb"))
    assert [path.name[:2] for path in executed] == numbers
    for path in executed:
        cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code" and cell.source]
        assert all(cell.execution_count for cell in cells), f"{path} stopped half-way"
    (distances,) = tmp_path.glob("smoke@*/seeds-0/results/11_distances.csv")
    assert set(real.ways) < set(pd.read_csv(distances)["method"])
    (layers,) = tmp_path.glob("smoke@*/seeds-0/results/05_layers.csv")
    found = set(pd.read_csv(layers)["layers"].dropna())
    assert {"h.0", "h.2", "output_embedding"} <= found, "parts are found by what they are, not by GPT-2's names"
