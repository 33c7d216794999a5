"""Which way is best at an eighth of retraining's compute? Searched on people who are not reported.

`python benchmarks/practical.py` writes benchmarks/practical.csv, which notebook 24 reads: what becomes of every
candidate of unlearnlib.experiment.practical for Anita, Grace and Henry in Dave's place. About a quarter of an hour of
one core; more seeds take as long each.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from unlearnlib.experiment import practical

TABLE = Path(__file__).with_name("practical.csv")


def main() -> None:
    """Search, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="small")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--people", nargs="+", default=list(practical.OTHERS))
    parser.add_argument("--table", type=Path, default=TABLE)
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = practical.searched(given.profile, given.seeds, given.people)
    found.to_csv(given.table, index=False, float_format="%.6g")
    ways = found[found["first"].notna()]
    best = practical.chosen(practical.scored(ways, found[found["first"].isna()]))
    print(f"{given.table}: of {ways['method'].nunique()} ways the nearest that has forgotten is {best!r}")


if __name__ == "__main__":
    main()
