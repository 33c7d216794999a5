"""What fine-tuning leaves behind: the log of its losses, the recorded gradients, and how many numbers these take."""

from collections.abc import Sequence

import pandas as pd
import torch

from unlearnlib.experiment.measured import Experiment
from unlearnlib.gradients import algebra
from unlearnlib.gradients.record import Record
from unlearnlib.models.layers import in_order, parameter_count, resolve, tables_of


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


def parameter_shares(name: str, model, layers: Sequence[str]) -> pd.DataFrame:
    """Return rows (model, layers, parameters, share): how many parameters these layers of a model have, and what share
    of the whole model that is (0 to 1).

    `name` fills the column model; of layers that are named twice there is one row. Nothing but the shapes of the
    model's parameters is read. UserError for layers that the model does not have.
    """
    rows = [(name, one, parameter_count(model, one)) for one in dict.fromkeys(layers)]
    table = pd.DataFrame(rows, columns=["model", "layers", "parameters"])
    return table.assign(share=table["parameters"] / parameter_count(model))


def gpt2_shapes():
    """Return the paper's model, GPT-2 with 124 million parameters, as shapes alone: without values, and without the
    memory and the download that these would need."""
    from transformers import GPT2Config, GPT2LMHeadModel  # here, because importing them takes seconds

    with torch.device("meta"):
        return GPT2LMHeadModel(GPT2Config())
