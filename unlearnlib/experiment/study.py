"""The ways to unlearn that the study compares: one list, which the notebooks and the distributions of models read."""

import itertools

from unlearnlib.experiment.measured import Experiment
from unlearnlib.experiment.variants import Variant
from unlearnlib.models.layers import parameter_count

# Those that many models are unlearned by (notebook 10): each costs a calibration for every original.
REPEATED = ("first epoch", "all epochs", "embedding", "last two blocks", "preconditioned")

LARGE = 3e7  # parameters


def variants(experiment: Experiment) -> list[Variant]:
    """Return the study's variants: the paper's, with the whole model and with some layers, two more, and two controls.

    A notebook that compares methods takes these, or those that it is about, and a reader adds to them.
    """
    return [
        Variant("first epoch"),
        Variant("all epochs", options={"epochs": "all"}),
        Variant("last epoch", options={"epochs": "last"}),
        Variant("embedding", layers="embedding"),
        Variant("last two blocks", layers="last_blocks"),
        Variant("preconditioned", "preconditioned"),
        *walked(experiment),
        Variant("live", "live", options={"step_length": experiment.profile.live_step}),
        Variant("random", "random"),
    ]


def walked(experiment: Experiment) -> list[Variant]:
    """Return the walk `in_turn`, and nothing with a model of more than LARGE parameters: each of hundreds of visits
    asks every point, which takes a quarter of an hour and more with SmolLM2."""
    return [in_turn()] if parameter_count(experiment.base) <= LARGE else []


def in_turn() -> Variant:
    """Return the walk over the points that takes one short step a visit, in the embedding: of the ways of notebook 22
    the one that spares the neighbours most."""
    return Variant("in turn", "in turn", "embedding", {"longest": 0.2})


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


# Where the controls of a recorded step are tried.
CONTROLLED = ("whole model", "embedding")
# Lengths of one step of live ascent, as multiples of the profile's: shorter and longer ones than the study's.
LIVE = (0.4, 1.0, 2.0)


def controls(experiment: Experiment) -> list[Variant]:
    """Return what the first epoch's recorded step is compared with in each of two places, plain and preconditioned,
    called by the three, "random signs, embedding, plain": one thing at a time is another one."""
    found = []
    for place, kind in itertools.product(CONTROLLED, KINDS):

        def one(what: str, method: str, place: str = place, kind: str = kind, **options) -> Variant:
            return Variant(", ".join((what, place, kind)), method, PLACES[place], options)

        again = {"precondition": kind == "preconditioned"}
        found += [one(epochs, KINDS[kind], epochs=EPOCHS[epochs]) for epochs in EPOCHS]
        found += [
            one("each point its own step", "per point", **again),
            one("neighbours' gradient", "others", **again),
            one("random signs", "random signs", **again),
        ]
        if kind == "plain":
            found.append(one("random direction", "random"))
            lengths = [part * experiment.profile.live_step for part in LIVE]
            found += [one(f"live, steps of {length:g}", "live", step_length=length) for length in lengths]
        else:
            found.append(one("early second moments", "early preconditioned"))
            found += [one(f"taken back, {epochs}", "taken back", until=EPOCHS[epochs]) for epochs in EPOCHS]
    return found


def as_given() -> list[Variant]:
    """Return the ways whose step nobody has to find: what the optimizer added because of the forget set, taken back."""
    return [
        Variant(f"taken back as it was, {epochs}, {place}, preconditioned", "taken back", PLACES[place],
                {"until": EPOCHS[epochs], "as_it_was": True})
        for epochs in EPOCHS for place in CONTROLLED
    ]  # fmt: skip


# What forget sets of several sizes are forgotten by: of fewer points than all the first epoch's gradients are known.
SMALLER = [f"first epoch, {place}, {kind}" for place in CONTROLLED for kind in KINDS]


def of_whole_model(experiment: Experiment) -> list[Variant]:
    """Return those of the study's variants that change the whole model."""
    return [variant for variant in variants(experiment) if variant.layers == "all"]


def repeated(experiment: Experiment) -> list[Variant]:
    """Return those of the study's variants that many models are unlearned by."""
    return [variant for variant in variants(experiment) if variant.name in REPEATED]
