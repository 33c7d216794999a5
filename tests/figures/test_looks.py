"""Who is drawn together is told apart: by the marker, and by the colour, also by colour-blind readers."""

import itertools

import colour
import numpy as np
import pandas as pd
import pytest
from colour.blindness import matrix_cvd_Machado2009

from unlearnlib.core.paths import ROOT
from unlearnlib.figures import applications, guarantees, other_data, pictures, practical, stability, two_models
from unlearnlib.figures.looks import LOOKS, SETS, look, save

LEAST = 10.0  # CIEDE2000
MODELS = ("finetuned", "retrained")
# Names that stand in one figure, and the published tables from whose columns figures take them.
TOGETHER = {
    "the study": (
        *MODELS, "base", "retrained again", "first epoch", "all epochs", "last epoch", "embedding", "last two blocks",
        "preconditioned", "in turn", "live", "random", "words alone",
    ),
    "paths": (
        *MODELS, "base", "retraining cut short", "repaired", "first epoch, whole model, plain",
        "first epoch, embedding, plain", "first epoch, whole model, preconditioned",
        "first epoch, embedding, preconditioned", "all epochs, embedding, preconditioned",
    ),
    "access": (
        *MODELS, "forget set", "+ retained texts", "+ base model", "+ other texts", "+ records of training",
        "retraining, 1 epoch",
    ),
    "removal": (
        *MODELS, "fuzzy", "fuzzy on picks", "fuzzy wide", "exact", "iterative to the last", "iterative", "recorded",
        "live", "in turn",
    ),
    "layers": (
        *MODELS, "all", "embedding", "input_embedding", "output_embedding", "last_blocks", "name_rows",
        "embedding_without_name_rows",
    ),
    "costs": (
        "training", "training, points recorded", "unlearning, recorded step", "unlearning, ten points", "evaluation",
    ),
    "single gradients": (
        "gradients, naive loop", "gradients, dense", "gradients, layer by layer", "gradients, factors",
    ),
    "what is kept": (
        "kept, points", "kept, sums", "kept, points of the embedding", "kept, sums of the embedding",
    ),
    "sets": tuple(SETS),
    "whom a choice hits": ("forget", "namesake", "same answer", "other neighbours"),
}  # fmt: skip
TABLES = {
    "00_paths": ("method", "paths"),
    "21_along": ("method", "the study"),
    "04_frontier": ("method", "the study"),
    "05_frontier": ("layers", "layers"),
    "06_distances": ("method", "the study"),
    "06_stops": ("method", "the study"),
    "07_equal_forgetting": ("method", "removal"),
    "08_perplexity": ("method", "the study"),
    "08_rouge": ("method", "the study"),
    "09_distances": ("method", "the study"),
    "10_attacks": ("method", "the study"),
    "12_paths": ("method", "paths"),
    "16_nearer": ("method", "paths"),
}
# Figures whose looks stand beside them: names that are drawn there alone, or mean something else elsewhere.
BESIDE = {
    "stability": stability.METHODS,
    "in practice": practical.FIRSTS | practical.MODELS,
    "lives": applications.LIVES,
    "guarantees": guarantees.WAYS,
    "other data": other_data.MODELS | {"step": other_data.STEP},
    "numbers to forget": dict(enumerate(other_data.COUNTS)),
    "two models": dict(enumerate(two_models.MODELS)),
    "images": pictures.STEPS | pictures.MODELS | {"entry": pictures.ENTRY, "other": pictures.OTHER},
}
EYES = {
    "usual": np.eye(3),
    "deuteranopia": matrix_cvd_Machado2009("Deuteranomaly", 1.0),
    "protanopia": matrix_cvd_Machado2009("Protanomaly", 1.0),
}


def seen(colors, eyes) -> np.ndarray:
    """Colours as CIE L*a*b* after a matrix on linear RGB (Machado, Oliveira and Fernandes 2009)."""
    rgb = np.array([[int(one[at : at + 2], 16) / 255 for at in (1, 3, 5)] for one in colors])
    linear = np.clip(colour.models.eotf_sRGB(rgb) @ eyes.T, 0, 1)
    white = colour.CCS_ILLUMINANTS["CIE 1931 2 Degree Standard Observer"]["D65"]
    return colour.XYZ_to_Lab(linear @ colour.models.RGB_COLOURSPACE_sRGB.matrix_RGB_to_XYZ.T, white)


def looks_of(figure: str) -> dict:
    return BESIDE.get(figure) or {name: look(name) for name in TOGETHER[figure]}


@pytest.mark.parametrize("eyes", EYES)
@pytest.mark.parametrize("figure", [*TOGETHER, *BESIDE])
def test_colours_of_one_figure_are_apart(figure, eyes):
    names = list(looks_of(figure))
    lab = seen([shown.color for shown in looks_of(figure).values()], EYES[eyes])
    near = {
        (names[one], names[other]): round(float(distance), 1)
        for one, other in itertools.combinations(range(len(names)), 2)
        if (distance := colour.delta_E(lab[one], lab[other], method="CIE 2000")) < LEAST
    }
    assert near == {}


@pytest.mark.parametrize("figure", [*TOGETHER, *BESIDE])
def test_no_two_of_one_figure_share_a_marker(figure):
    shared: dict[str, list[str]] = {}
    for name, shown in looks_of(figure).items():
        shared.setdefault(shown.marker, []).append(name)
    assert {marker: names for marker, names in shared.items() if len(names) > 1} == {}


@pytest.mark.parametrize("table", TABLES)
def test_every_name_of_a_published_figure_is_among_those_compared(table):
    column, figure = TABLES[table]
    found = pd.read_csv(ROOT / "results" / f"{table}.csv")[column].dropna()
    drawn = set(found) - ({"retrained again"} if figure == "paths" else set())  # there it is the retrained model's star
    assert drawn <= set(TOGETHER[figure]) and len(found)


def test_these_names_have_a_look_of_their_own():
    for name in itertools.chain(*TOGETHER.values()):
        assert name.replace(" ", "_") in LOOKS | SETS, f"{name} is drawn in a spare colour"


def test_eyes_that_see_no_red_and_green_confuse_what_they_are_known_to_confuse():
    pair = ["#D55E00", "#6B8E00"]
    usual, other = (
        float(colour.delta_E(*seen(pair, EYES[eyes]), method="CIE 2000")) for eyes in ("usual", "deuteranopia")
    )
    assert usual > 40 and other < usual / 2


def test_a_saved_picture_keeps_the_colours_of_small_marks_among_many_bands(tmp_path):
    """Bands that overlap make hundreds of shades: those of the marks must not be merged with them."""
    from PIL import Image

    from unlearnlib.figures.parts import new_figure

    wanted = ["#0072B2", "#D55E00", "#86BFF9", "#E69F00", "#882255", "#196633", "#D6A9C7"]
    figure, axes = new_figure(columns=2)
    for row, color in enumerate(wanted):
        for panel in axes:
            panel.plot(range(3), [row, row + 1, row], color=color, marker="o", markersize=5)
            panel.fill_between(range(3), [row - 2, row, row - 1], [row + 2, row + 3, row + 1], color=color, alpha=0.18)
    path = save(figure, tmp_path, "bands", dpi=200)
    there = np.unique(np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3), axis=0).astype(int)
    for color in wanted:
        rgb = [int(color[at : at + 2], 16) for at in (1, 3, 5)]
        assert np.abs(there - rgb).sum(1).min() <= 6, color


def test_blocks_beyond_those_of_gpt2_are_called_as_those():
    assert [look(f"h.{block}").label for block in (0, 11, 12, 29)] == ["block 1", "block 12", "block 13", "block 30"]
