"""Figures: a tidy table in, a matplotlib figure out.

Every name has one colour and one marker in all figures (LOOKS). Points and lines are means of the seed means; bars and
bands are 95% t-intervals over seeds, and are left out where there is one seed. The retrained model, which never saw the
forget set, is in each figure as the reference.
"""

from unlearnlib.figures.calibration import distance_by_size, regime_map, stops
from unlearnlib.figures.inference import forest
from unlearnlib.figures.influence import agreement, agreement_cost
from unlearnlib.figures.looks import GREY, LOOKS, SETS, Look, look, save, style
from unlearnlib.figures.reference import by_method, confidence_distributions, replay_savings
from unlearnlib.figures.removal import landscape, picks, step_lengths
from unlearnlib.figures.training import (
    before_after,
    gradient_norms,
    overview,
    pretraining_curve,
    split_drawn,
    training_curve,
)
from unlearnlib.figures.unlearning import along_metrics, along_steps, collateral, frontier, layer_profile
from unlearnlib.figures.verdicts import verdicts

__all__ = [
    "GREY",
    "LOOKS",
    "SETS",
    "Look",
    "agreement",
    "agreement_cost",
    "along_metrics",
    "along_steps",
    "before_after",
    "by_method",
    "collateral",
    "confidence_distributions",
    "distance_by_size",
    "forest",
    "frontier",
    "gradient_norms",
    "landscape",
    "layer_profile",
    "look",
    "overview",
    "picks",
    "pretraining_curve",
    "regime_map",
    "replay_savings",
    "save",
    "split_drawn",
    "step_lengths",
    "stops",
    "style",
    "training_curve",
    "verdicts",
]
