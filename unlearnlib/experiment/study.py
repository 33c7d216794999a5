"""The ways to unlearn that the study compares: one list, which the notebooks and the distributions of models read."""

import itertools

from unlearnlib.experiment.measured import Experiment
from unlearnlib.experiment.variants import Variant

# Those that many models are unlearned by (notebook 10): each costs a calibration for every original.
REPEATED = ("first epoch", "all epochs", "embedding", "last two blocks", "preconditioned")


def variants(experiment: Experiment) -> list[Variant]:
    """Return the study's variants: the paper's, with the whole model and with some layers, one more, and two controls.

    A notebook that compares methods takes these, or those that it is about, and a reader adds to them.
    """
    return [
        Variant("first epoch"),
        Variant("all epochs", options={"epochs": "all"}),
        Variant("last epoch", options={"epochs": "last"}),
        Variant("embedding", layers="embedding"),
        Variant("last two blocks", layers="last_blocks"),
        Variant("preconditioned", "preconditioned"),
        Variant("live", "live", options={"step_length": experiment.profile.live_step}),
        Variant("random", "random"),
    ]


# What a recorded step may be made of, by the name of each choice: which epochs, where, and divided by what.
EPOCHS = {"first epoch": "first", "all epochs": "all"}
PLACES = {
    "whole model": "all",
    "embedding": "embedding",
    "all but the last blocks": "all_but_last_blocks",
    "last blocks": "last_blocks",
}
KINDS = {"plain": "recorded", "preconditioned": "preconditioned"}


def factorial() -> list[Variant]:
    """Return every combination of EPOCHS, PLACES and KINDS, called by the three: "first epoch, embedding, plain"."""
    return [
        Variant(", ".join((epoch, place, kind)), KINDS[kind], PLACES[place], {"epochs": EPOCHS[epoch]})
        for epoch, place, kind in itertools.product(EPOCHS, PLACES, KINDS)
    ]


def of_whole_model(experiment: Experiment) -> list[Variant]:
    """Return those of the study's variants that change the whole model."""
    return [variant for variant in variants(experiment) if variant.layers == "all"]


def repeated(experiment: Experiment) -> list[Variant]:
    """Return those of the study's variants that many models are unlearned by."""
    return [variant for variant in variants(experiment) if variant.name in REPEATED]
