"""The methods by name: what `Variant(name, method)` finds."""

from unlearnlib.methods.gradient_difference import gradient_difference
from unlearnlib.methods.live import live_ascent
from unlearnlib.methods.preconditioned import preconditioned_ascent
from unlearnlib.methods.random_direction import random_direction
from unlearnlib.methods.recorded import recorded_ascent
from unlearnlib.methods.request import Method

METHODS = {
    "recorded": Method(recorded_ascent, frozenset({"forget", "record"})),
    "preconditioned": Method(preconditioned_ascent, frozenset({"forget", "record", "second_moments"})),
    "live": Method(live_ascent, frozenset({"forget"})),
    "random": Method(random_direction, frozenset()),
    "gradient difference": Method(gradient_difference, frozenset({"forget", "retain"}), trains=True),
}
