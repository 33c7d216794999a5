"""Private fine-tuning on one seed's data: what a model knows at which epsilon."""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd

from unlearnlib.experiment.measured import Experiment
from unlearnlib.guarantees import privacy
from unlearnlib.guarantees.privacy import Training
from unlearnlib.models import loading


def known(experiment: Experiment, epsilons: Sequence[float], delta: float, how: Training) -> pd.DataFrame:
    """Return what a model knows after fine-tuning on everything by DP-SGD (cached; needs Opacus, UserError without it).

    A row for each epsilon of one text (infinite: clipped, without noise) and each set, and first for the base model
    (epsilon 0) and the fine-tuned one (`training`: base, fine-tuned, private). Columns: training, epsilon, noise, set,
    metric, value: answer_probability (a mean; chance is 1/6) and text_nll (nats a token).
    """
    privacy.need()

    def compute() -> pd.DataFrame:
        texts = {
            name: text
            for of in ("forget", "retain")
            for name, text in zip(experiment.sets[of].names, experiment.sets[of].texts, strict=True)
        }
        rows = []
        rate = 1 / -(-len(texts) // min(how.batch, len(texts)))
        steps = how.epochs * round(1 / rate)

        def asked(model, training: str, epsilon: float, noise: float) -> None:
            found = experiment.evaluate(model, ["forget", "retain"])
            found = found[found["metric"].isin(["answer_probability", "text_nll"])]
            means = found.groupby(["set", "metric"])["value"].mean()
            rows.extend((training, epsilon, noise, *key, value) for key, value in means.items())

        asked(experiment.base, "base", 0.0, np.nan)
        asked(experiment.finetuned, "fine-tuned", np.inf, np.nan)
        for target in epsilons:
            noise = privacy.noise_for(target, rate, steps, delta) if np.isfinite(target) else 0.0
            model, _ = loading.load(experiment.profile.base_model, on=experiment.profile.device)
            spent = privacy.train(model, texts, Training(**{**asdict(how), "noise": noise}), experiment.seed)
            asked(model, "private", privacy.epsilon(spent, delta), noise)
        return pd.DataFrame(rows, columns=["training", "epsilon", "noise", "set", "metric", "value"])

    shown = [str(epsilon) for epsilon in epsilons]  # infinity is no number of JSON
    return experiment.table("private", {"epsilons": shown, "delta": delta, "how": asdict(how)}, compute)
