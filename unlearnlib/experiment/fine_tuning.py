"""What fine-tuning leaves behind: the log of its losses, the recorded gradients, and how many numbers these take."""

from collections.abc import Sequence
from functools import partial

import pandas as pd
import torch

from unlearnlib.experiment.measured import Experiment
from unlearnlib.gradients import algebra
from unlearnlib.gradients.algebra import parts_of
from unlearnlib.gradients.capture import leaf_modules
from unlearnlib.gradients.record import Record
from unlearnlib.models.anatomy import anatomy
from unlearnlib.models.layers import in_order, parameter_count, resolve, tables_of
from unlearnlib.models.linear import use_linear_layers


def training_log(experiment: Experiment, kind: str) -> pd.DataFrame:
    """Return the log of a training, one row a step: epoch and step (from 0), learning_rate, texts (how many), loss (the
    mean over these texts of each one's mean token loss, in nats), seed, and method, which is the `kind`: finetuned or
    retrained, or another kind of unlearnlib.experiment.setting.KINDS that has one model."""
    log = pd.read_csv(experiment.folder(kind) / "log.csv")
    return log.assign(seed=experiment.seed, method=kind)


def recorded_norms(experiment: Experiment) -> pd.DataFrame:
    """Return the norm (L2) of the recorded gradient, summed over the forget set: rows (profile, seed, epoch, layer,
    norm), one for each recorded epoch (from 0) and layer, from the input up (cached)."""

    def compute() -> pd.DataFrame:
        model, record = experiment.base, Record(experiment.folder("finetuned"))
        rows = [
            (epoch, layer, algebra.norm(record.total(resolve(model, layer), [epoch])))
            for epoch in record.epochs()
            for layer in in_order(model)
        ]
        return pd.DataFrame(rows, columns=["epoch", "layer", "norm"])

    return experiment.table("norms", {}, compute)


# How many numbers have to be stored
DENSE, FACTORS = "dense", "exact factors"


def stored_numbers(experiment: Experiment) -> pd.DataFrame:
    """Return how many numbers have to be stored for the gradient of one point, in three ways, one row each.

    `dense, whole model`: one number a parameter; `dense, embedding only (the paper)`: the tables of tokens and
    positions alone; `exact factors`: what a Record holds of its first point. The second column is the share of the
    first row.
    """
    model, record = experiment.base, Record(experiment.folder("finetuned"))
    factors = record.factors(record.points()[0])
    numbers = {
        "dense, whole model": parameter_count(model),
        "dense, embedding only (the paper)": parameter_count(model, tables_of(model)),
        "exact factors": sum(value.numel() for value in factors.values()),
    }
    sizes = pd.Series(numbers).to_frame("numbers stored for one point")
    return sizes.assign(**{"share of the dense gradient": sizes.iloc[:, 0] / sizes.iloc[0, 0]})


def shares(name: str, model, layers: Sequence[str], tokens: int = 20) -> pd.DataFrame:
    """Return rows (model, kept, layers, numbers, share): how many numbers the gradient of one text of so many tokens
    takes in these layers of a model, and what share of all that is (0 to 1); first as DENSE, then as FACTORS.

    `name` fills the column model; of layers that are named twice there is one row. Nothing but the shapes of the
    model's parameters is read. UserError for layers that the model does not have.
    """
    counts = {DENSE: partial(parameter_count, model), FACTORS: partial(factor_count, model, tokens)}
    rows = [
        (name, kept, one, count(one), count(one) / count("all"))
        for kept, count in counts.items()
        for one in dict.fromkeys(layers)
    ]
    return pd.DataFrame(rows, columns=["model", "kept", "layers", "numbers", "share"])


def factor_count(model, tokens: int, layers: str = "all") -> int:
    """Return how many numbers a Record stores for one text of so many tokens, of the parameters that `layers` names.

    Of a linear layer that is what goes in and the gradient of what comes out at every token but the last, of a table
    the token ids and that gradient; positions share that of the embedding, and small layers keep their gradient itself
    (see unlearnlib.gradients.rules.factors). Nothing but the shapes of the model is read.
    """
    places, count = tokens - 1, 0
    for name, module in leaf_modules(model, parts_of(resolve(model, layers))).items():
        if name == anatomy(model).positions:
            count += places
        elif type(module) is torch.nn.Linear:
            count += places * (module.in_features + module.out_features)
        elif type(module) is torch.nn.Embedding:
            count += places * (1 + module.embedding_dim)
        else:
            count += sum(parameter.numel() for parameter in module.parameters(recurse=False))
    return count


def gpt2_shapes():
    """Return the paper's model, GPT-2 with 124 million parameters, as shapes alone: without values, and without the
    memory and the download that these would need."""
    from transformers import GPT2Config, GPT2LMHeadModel  # here, because importing them takes seconds

    with torch.device("meta"):
        return use_linear_layers(GPT2LMHeadModel(GPT2Config()))
