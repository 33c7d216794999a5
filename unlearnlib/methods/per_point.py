"""Each point its own step: the points' recorded gradients, each as long as that point alone needs to be forgotten."""

from pathlib import Path as FilePath

import pandas as pd
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from unlearnlib.gradients import algebra
from unlearnlib.gradients.algebra import Gradient
from unlearnlib.methods.equal_forgetting import first_crossing
from unlearnlib.methods.iterative import down_to
from unlearnlib.methods.path import Path, along, applied, straight
from unlearnlib.methods.preconditioned import rescaled
from unlearnlib.methods.request import Request

# Where each point's step is looked for (L2 norms; see unlearnlib.methods.equal_forgetting.first_crossing).
SEARCH = {"smallest": 0.05, "factor": 2.0, "largest": 25.6, "tolerance": 0.1, "start": 0.4}


def per_point_steps(request: Request, layers: str = "all", precondition: bool = True) -> Path:
    """Return the path along the sum of the points' own recorded gradients of the first epoch, each of which has a
    length of its own: the smallest step found at which this point is at the target, that step alone taken.

    `precondition`: each is divided by the root of the second moments first. A point that no step brings there gets the
    one at which it is known least. The sum is made once and kept (request.keep); the effort is the L2 norm of the whole
    change, so that all steps become longer or shorter together.
    """
    selections, names = request.selections(layers), sorted(request.forget)

    def compute(folder: FilePath) -> None:
        total: Gradient = {}
        rows = []
        for name in tqdm(names, desc="a step for each point", leave=False):
            own = request.record.subset(request.start, [name], selections)
            path = along(rescaled(own, request.second_moments) if precondition else own)

            def left(step: float, path=path, name=name) -> float:
                with applied(request.start, path(step)) as model:
                    return float(request.known(model, [name])[0])

            step, value = down_to(request.target, first_crossing(left, request.target, **SEARCH))
            total = algebra.add(total, path(step))
            rows.append((name, step, value))
        save_file({name: value.contiguous().cpu() for name, value in total.items()}, folder / "sum.safetensors")
        pd.DataFrame(rows, columns=["point", "step_size", "after"]).to_csv(folder / "log.csv", index=False)

    return straight(request.start, load_file(request.keep(compute) / "sum.safetensors"))
