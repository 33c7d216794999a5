"""Small real GPT-2 models with random weights, and a small real experiment, shared by the tests."""

import os

# Two processes of two threads each are several times slower than of one, also where pytest is started by hand.
os.environ.setdefault("OMP_NUM_THREADS", "1")

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


@pytest.fixture(scope="session")
def questions():
    """Return five questions of six answers each, of different lengths."""
    from unlearnlib.data.batches import Question

    generator = torch.Generator().manual_seed(3)

    def draw(length):
        return tuple(torch.randint(1, 97, (length,), generator=generator).tolist())

    return [
        Question((0, *draw(3 + row)), tuple(draw(1 + (row + column) % 3) for column in range(6)), draw(row))
        for row in range(5)
    ]


@pytest.fixture(scope="module")
def recorded(make_model, sequences, tmp_path_factory):
    """A request to forget three of the sequences, after a training that recorded their gradients; its log too."""
    from unlearnlib.gradients.record import Record, Recorder
    from unlearnlib.methods.request import Request
    from unlearnlib.training import storage
    from unlearnlib.training.loop import fine_tune
    from unlearnlib.training.schedule import Plan, schedule

    forget, folder = ["text-0", "text-2", "text-6"], tmp_path_factory.mktemp("trained")
    plan = Plan(epochs=3, batch_size=4, learning_rate=5e-3)
    steps = schedule({name: len(ids) for name, ids in sequences.items()}, plan, seed=0)
    model, recorder = make_model(), Recorder(forget)
    result = fine_tune(model, sequences, steps, plan, recorder=recorder)
    storage.save(folder, model, result, steps, plan, seed=0)
    recorder.save(folder)
    return Request(
        model,
        seed=7,
        forget={name: sequences[name] for name in forget},
        record=Record(folder),
        second_moments=storage.second_moments(folder),
        name_tokens=(3, 5, *sequences["text-0"][1:3]),
        log=folder,
    )


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A folder of runs that all tests share, also those of another process: what one trains, others find."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared-runs"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def experiment(runs):
    """The first experiment of the smallest profile."""
    from unlearnlib.experiment.measured import Experiment

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNLEARNLIB_RUNS", str(runs))
        yield Experiment("smoke", 0)
