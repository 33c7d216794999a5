"""The methods by name: what `Variant(name, method)` finds."""

from unlearnlib.methods.live import live_ascent
from unlearnlib.methods.preconditioned import preconditioned_ascent
from unlearnlib.methods.random_direction import random_direction
from unlearnlib.methods.recorded import recorded_ascent

METHODS = {
    "recorded": recorded_ascent,
    "preconditioned": preconditioned_ascent,
    "live": live_ascent,
    "random": random_direction,
}
