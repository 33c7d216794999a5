"""Learning rates of the ways that train, as parts of the fine-tuning's peak, chosen on another person, of whom nothing
is reported.

    python -m unlearnlib.experiment.rates [profile]

prints the table and what belongs in `CHOSEN` of unlearnlib.experiment.literature. The rule was written before it was
run.
"""

import sys
from contextlib import ExitStack

import numpy as np
import pandas as pd
from tqdm import tqdm

from unlearnlib.core import profiles
from unlearnlib.core.errors import UserError, nearest
from unlearnlib.core.profiles import Profile
from unlearnlib.experiment import configurations, literature, side_by_side
from unlearnlib.experiment.literature import Way
from unlearnlib.experiment.loaded import Models
from unlearnlib.experiment.measured import Experiment
from unlearnlib.experiment.stops import EQUAL

# As parts of the peak of fine-tuning. The last two were added when most of the first three's choices lay at their upper
# end; none of what was then measured on the person who is reported had been seen.
RATES = (0.25, 0.5, 1.0, 2.0, 4.0)
OTHER = "Anita for Dave"  # the configuration of the profile in which another person is to be forgotten
SEED = 0


def tried(profile: Profile, rates: tuple[float, ...] = RATES, other: str = OTHER, only: tuple[str, ...] = ()):
    """Return what every published way that trains does at each rate with another person: columns method,
    rate, reached (equal forgetting), known (the mean answer probability of what was to be forgotten), apart
    (ln KL to the model retrained without it, the mean of that on its texts and on the neighbours'). `only`: the names
    of the ways (default: all). UserError for a configuration that the profile has not."""
    known = profiles.configurations(profile)
    if other not in known or other == profiles.AS_IT_IS:
        raise UserError(f"no configuration {other!r} of another person: {nearest(other, known)}")
    one = known[other]
    with ExitStack() as open_folders:
        experiment = Experiment(one, SEED, configurations.passing(one, SEED), Models(one, open_folders))
        ways = [way for way in literature.published(experiment) if "every" in way.variant.options]
        chosen = [way for way in ways if not only or way.name in only]
        work = [(way, rate) for way in chosen for rate in rates]
        return pd.DataFrame([_row(experiment, way, rate) for way, rate in tqdm(work, desc="rates")])


def _row(experiment: Experiment, way: Way, rate: float) -> dict:
    rows = side_by_side.measured(experiment, literature.at_rate(experiment.profile, way, rate), at=(EQUAL,))
    asked = rows[(rows["metric"] == "answer_probability") & (rows["set"] == "forget")]
    apart = np.log(side_by_side.places(rows)["value"]).mean()
    reached, known = bool(rows["reached"].all()), float(asked["value"].mean())
    return {"method": way.name, "rate": rate, "reached": reached, "known": known, "apart": float(apart)}


def choose(table: pd.DataFrame) -> dict[str, float]:
    """Return the rate of each method of `tried`, by the rule: among the rates with which it comes to equal forgetting
    the one that ends nearest to the retrained model (least `apart`); where there is none, the one with which least is
    known. Of equal ones the lower."""
    found = {}
    for method, part in table.sort_values("rate").groupby("method", sort=False):
        reached = part[part["reached"]]
        best = reached["apart"].idxmin() if len(reached) else part["known"].idxmin()
        found[method] = float(part.loc[best, "rate"])
    return dict(sorted(found.items()))


def main(arguments: list[str]) -> int:
    """Print the table of a profile (default: small) and the lines for CHOSEN; return 0."""
    table = tried(profiles.load(arguments[0] if arguments else "small"))
    print(table.to_string(index=False, float_format="{:.4g}".format))
    print("CHOSEN: dict[str, float] = {")
    for name, rate in choose(table).items():
        print(f'    "{name}": {rate:g},')
    print("}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
