"""Figures: a tidy table in, a matplotlib figure out.

Every name has one colour and one marker in all figures (LOOKS). Points and lines are means of the seed means; bars and
bands are 95% t-intervals over seeds, and are left out where there is one seed. The retrained model, which never saw the
forget set, is in each figure as the reference.
"""

from unlearnlib.figures.inference import forest
from unlearnlib.figures.looks import GREY, LOOKS, SETS, Look, look, save, style
from unlearnlib.figures.removal import landscape, picks
from unlearnlib.figures.training import (
    before_after,
    gradient_norms,
    overview,
    pretraining_curve,
    split_drawn,
    training_curve,
)
from unlearnlib.figures.unlearning import along_steps, collateral, frontier, layer_profile

__all__ = [
    "GREY",
    "LOOKS",
    "SETS",
    "Look",
    "along_steps",
    "before_after",
    "collateral",
    "forest",
    "frontier",
    "gradient_norms",
    "landscape",
    "layer_profile",
    "look",
    "overview",
    "picks",
    "pretraining_curve",
    "save",
    "split_drawn",
    "style",
    "training_curve",
]
