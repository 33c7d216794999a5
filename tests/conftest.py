"""Small real GPT-2 models with random weights, and a small real experiment, shared by the tests."""

import pytest
import torch


@pytest.fixture(scope="session")
def make_model():
    """Return a function that makes a small GPT-2 with random weights from a seed."""
    from transformers import GPT2Config, GPT2LMHeadModel

    from unlearnlib.models.linear import use_linear_layers

    def make(seed: int = 0, blocks: int = 3, width: int = 32, vocabulary: int = 97):
        torch.manual_seed(seed)
        config = GPT2Config(
            vocab_size=vocabulary,
            n_positions=48,
            n_embd=width,
            n_layer=blocks,
            n_head=2,
            attn_pdrop=0.0,
            embd_pdrop=0.0,
            resid_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=0,
        )
        model = GPT2LMHeadModel(config).eval()
        # GPT-2's initialisation leaves biases at zero and gains at one: move them, or half the formulas go untested.
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.05 * torch.randn_like(parameter)
        return use_linear_layers(model)

    return make


@pytest.fixture(scope="session")
def sequences():
    """Return eight token sequences of different lengths, by id."""
    generator = torch.Generator().manual_seed(1)
    lengths = [5, 9, 12, 7, 12, 3, 8, 10]
    return {
        f"text-{index}": [0, *torch.randint(1, 97, (length,), generator=generator).tolist()]
        for index, length in enumerate(lengths)
    }


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """The first experiment of the smallest profile; what a module's tests compute is kept in a folder of its own."""
    from unlearnlib.experiment.measured import Experiment

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNLEARNLIB_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield Experiment("smoke", 0)
