"""The methods by name: what `Variant(name, method)` finds."""

from unlearnlib.unlearning.live import live_ascent
from unlearnlib.unlearning.preconditioned import preconditioned_ascent
from unlearnlib.unlearning.random_direction import random_direction
from unlearnlib.unlearning.recorded import recorded_ascent

METHODS = {
    "recorded": recorded_ascent,
    "preconditioned": preconditioned_ascent,
    "live": live_ascent,
    "random": random_direction,
}
