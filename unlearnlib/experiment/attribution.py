"""Influence scores of one seed's experiment: which point of Dave's is behind which sentence, by every score.

A score is a function `score(texts, **options) -> [points, queries]`; SCORES names them all. Points are Dave's trained
points, queries the first paraphrase of each: sentences that the model was never trained on and knows from the points.
"""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property, partial

import numpy as np
import pandas as pd
import torch
from rapidfuzz import fuzz, process

from unlearnlib.core import definitions
from unlearnlib.core.errors import UserError, nearest
from unlearnlib.core.tables import tidy
from unlearnlib.data import subsets
from unlearnlib.experiment import ends, fine_tuning, setting, writing
from unlearnlib.experiment.measured import Experiment
from unlearnlib.experiment.variants import KEYED, Variant, layer_rows
from unlearnlib.gradients import algebra, per_example
from unlearnlib.influence import curvature as influence_curvature
from unlearnlib.influence import ground_truth, inverse
from unlearnlib.influence import scores as influence_scores
from unlearnlib.models.layers import resolve
from unlearnlib.training import storage


@dataclass
class Texts:
    """What a score is given: the experiment, the points, the queries, and the curvature's settings.

    `loss` says which loss of a query is meant: that of its `answer` alone, or that of its whole `text`.

    The profile's `curvature_texts`, training texts drawn at random, stand for all of them in the Gauss-Newton matrix;
    `damping` is a share of its largest eigenvalue.
    """

    experiment: Experiment
    points: Sequence[str]
    queries: Sequence[str]
    loss: str = "answer"
    damping: float = 0.03

    @property
    def identity(self) -> dict:
        """What a score depends on beside its own code and options."""
        asked = {"points": list(self.points), "queries": list(self.queries), "loss": self.loss, "damping": self.damping}
        return {**self.experiment.identity, **asked}

    @cached_property
    def point_tokens(self) -> list[tuple[int, ...]]:
        """The token ids of the points."""
        return self._tokens("forget", self.points)

    @cached_property
    def query_tokens(self) -> list[tuple[int, ...]]:
        """The token ids of the queries."""
        return self._tokens("paraphrase", self.queries)

    @cached_property
    def query_spans(self) -> list[tuple[int, int]] | None:
        """Where each query's answer stands; None where the loss is that of the whole text."""
        examples = self.experiment.sets["paraphrase"]
        known = dict(zip(examples.names, examples.questions, strict=True))
        return None if self.loss == "text" else [known[query].span for query in self.queries]

    @cached_property
    def trained_tokens(self) -> list[tuple[int, ...]]:
        """The token ids of all training texts, the points first."""
        sets = self.experiment.sets
        return [*sets["forget"].texts, *sets["retain"].texts]

    def curvature_tokens(self) -> list[tuple[int, ...]]:
        """Return the training texts that the Gauss-Newton matrix is taken over."""
        order = subsets.drawn(
            [str(index) for index in range(len(self.trained_tokens))], self.experiment.seed, "curvature"
        )
        return [self.trained_tokens[int(index)] for index in order[: self.experiment.profile.curvature_texts]]

    def _tokens(self, name: str, ids: Sequence[str]) -> list[tuple[int, ...]]:
        examples = self.experiment.sets[name]
        known = dict(zip(examples.names, examples.texts, strict=True))
        wrong = [one for one in ids if one not in known]
        if wrong or not ids:
            raise UserError(f"no {name} text {wrong[0]!r}: {nearest(wrong[0], known)}" if wrong else f"no {name} texts")
        return [known[one] for one in ids]


# Baselines, which know nothing of the model


def same_point(texts: Texts) -> np.ndarray:
    """Return 1 where the query is a paraphrase of the point, else 0: what any score has to beat."""
    return np.array([[float(query.split("#")[0] == point) for query in texts.queries] for point in texts.points])


def string_similarity(texts: Texts) -> np.ndarray:
    """Return the similarity of the words of point and query (rapidfuzz's token_set_ratio, 0 to 100)."""
    decode = texts.experiment.tokenizer.decode
    points, queries = ([decode(tokens[1:]) for tokens in some] for some in (texts.point_tokens, texts.query_tokens))
    return process.cdist(points, queries, scorer=fuzz.token_set_ratio).astype(float)


# Scores of the fine-tuned model


def activation_gradient(texts: Texts) -> np.ndarray:
    """Return the paper's dot product of activations and gradients, one number a point and the same for every query:
    minus the sum over layers, since enlarging activations that lower the loss is what training on the point did."""
    layers = influence_scores.activation_gradient_products(texts.experiment.finetuned, texts.point_tokens)
    return np.repeat(-sum(layers.values()).numpy()[:, None], len(texts.queries), axis=1)


def gradient_dot(texts: Texts, layers: str = "all") -> np.ndarray:
    """Return the gradient dot product at the end of training (see unlearnlib.influence.gradient_products)."""
    model = texts.experiment.finetuned
    return _products(texts, model, texts.point_tokens, resolve(model, layers)).numpy()


def gradient_cosine(texts: Texts, layers: str = "all") -> np.ndarray:
    """Return the gradient dot product at the end of training, divided by both norms."""
    model = texts.experiment.finetuned
    selections = resolve(model, layers)
    points = influence_scores.self_influence(model, texts.point_tokens, selections)
    queries = influence_scores.self_influence(model, texts.query_tokens, selections, texts.query_spans)
    return influence_scores.cosine_scores(
        _products(texts, model, texts.point_tokens, selections), points, queries
    ).numpy()


def preconditioned_dot(texts: Texts, layers: str = "all") -> np.ndarray:
    """Return the gradient dot product with the point's gradient scaled as AdamW scaled it."""
    model = texts.experiment.finetuned
    factor = {name: 1 / (value.sqrt() + 1e-8) for name, value in texts.experiment.request.second_moments.items()}
    selections = resolve(model, layers)
    return _products(texts, model, texts.point_tokens, selections, factor).numpy()


def recorded_dot(texts: Texts, layers: str = "all") -> np.ndarray:
    """Return the dot product of the point's recorded first-epoch gradient with the query's at the end of training."""
    experiment, model = texts.experiment, texts.experiment.finetuned
    selections = resolve(model, layers)
    columns = []
    for start in range(0, len(texts.points), 8):
        vectors = [
            experiment.request.record.subset(model, [point], selections) for point in texts.points[start : start + 8]
        ]
        columns.append(
            influence_scores.products_with(model, texts.query_tokens, vectors, selections, texts.query_spans)
        )
    return torch.cat(columns, dim=1).T.numpy()


def tracin(texts: Texts, layers: str = "all") -> np.ndarray:
    """Return the gradient dot products at the end of every epoch, summed with the learning rates of that moment."""
    experiment = texts.experiment
    log = fine_tuning.training_log(experiment, "finetuned")
    model = experiment.load("finetuned")

    def checkpoints():
        for epoch, rows in log.groupby("epoch"):
            storage.load_weights(model, experiment.folder("finetuned"), int(epoch))
            yield model, float(rows["learning_rate"].mean())

    points, queries = texts.point_tokens, texts.query_tokens
    return influence_scores.tracin(checkpoints(), points, queries, resolve(model, layers), texts.query_spans).numpy()


def _products(texts: Texts, model, points, selections, precondition=None) -> torch.Tensor:
    return influence_scores.gradient_products(
        model, points, texts.query_tokens, selections, precondition, spans=texts.query_spans
    )


# Scores with an inverse curvature, at the end of training


def inverse_fisher(texts: Texts, layers: str = "all") -> np.ndarray:
    """Return products through the inverse of the damped empirical Fisher matrix of all training texts (closed form)."""
    model = texts.experiment.finetuned
    selections, trained = resolve(model, layers), texts.trained_tokens
    inner = influence_scores.gradient_products(model, trained, trained, selections)
    queries = _products(texts, model, trained, selections)
    rows = [texts.experiment.sets["forget"].names.index(point) for point in texts.points]
    damping = texts.damping * float(torch.linalg.eigvalsh(inner)[-1]) / len(trained)
    return inverse.inverse_fisher_scores(inner, inner[:, rows], queries, queries[rows], damping).numpy()


def inverse_gauss_newton(texts: Texts, layers: str = "all", iterations: int = 20) -> np.ndarray:
    """Return influence functions: products through the inverse of the damped Gauss-Newton matrix, solved for each query
    by conjugate gradients (Koh & Liang 2017, with the Gauss-Newton matrix for the Hessian)."""

    def solve(product, _batch_product, target, damping, _largest):
        return inverse.conjugate_gradients(product, target, damping, tolerance=0.1, iterations=iterations)

    return _solved(texts, layers, solve)


def inverse_lissa(texts: Texts, layers: str = "all", depth: int = 20) -> np.ndarray:
    """Return the same influence functions, solved by LiSSA: a series over mini-batches of eight texts."""

    def solve(product, batch_product, target, damping, largest):
        # A mini-batch's largest eigenvalue may exceed that of the whole; three times is enough in practice.
        return inverse.lissa(batch_product, product, target, damping, 3 * largest, depth, tolerance=0.1)

    return _solved(texts, layers, solve)


def _solved(texts: Texts, layers: str, solve: Callable) -> np.ndarray:
    model = texts.experiment.finetuned
    selections, sample = resolve(model, layers), texts.curvature_tokens()
    with influence_curvature.eager_attention(model):

        def product(vector):
            return influence_curvature.gauss_newton_product(model, sample, selections, vector)

        def batch_product(step, vector):
            batch = [sample[(8 * step + index) % len(sample)] for index in range(8)]
            return influence_curvature.gauss_newton_product(model, batch, selections, vector)

        parts, spans = algebra.parts_of(selections), texts.query_spans or [None] * len(texts.queries)
        slopes = (
            per_example.sum_gradient(model, [tokens], parts, spans=span and [span])
            for tokens, span in zip(texts.query_tokens, spans, strict=True)
        )
        targets = [algebra.select(slope, selections) for slope in slopes]
        largest = influence_curvature.largest_eigenvalue(product, targets[0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # the residuals are kept, and shown, instead
            solutions = [solve(product, batch_product, target, texts.damping * largest, largest) for target in targets]
    scores = influence_scores.products_with(
        model, texts.point_tokens, [one.value for one in solutions], selections
    ).numpy()
    return Scores(scores, np.array([one.residual for one in solutions]))


@dataclass(frozen=True)
class Scores:
    """Scores [points, queries] that rest on an approximate solution, with its relative residual for every query."""

    values: np.ndarray
    residuals: np.ndarray


SCORES: Mapping[str, Callable] = {
    "same point": same_point,
    "string similarity": string_similarity,
    "activation x gradient": activation_gradient,
    "gradient dot": gradient_dot,
    "gradient cosine": gradient_cosine,
    "preconditioned dot": preconditioned_dot,
    "recorded dot": recorded_dot,
    "TracIn": tracin,
    "inverse Fisher": inverse_fisher,
    "inverse Gauss-Newton (CG)": inverse_gauss_newton,
    "inverse Gauss-Newton (LiSSA)": inverse_lissa,
}


def attribute(
    experiment: Experiment, score: str, points: Sequence[str], queries: Sequence[str], loss: str = "answer", **options
) -> pd.DataFrame:
    """Return rows (score, layers, loss, point, query, value, residual, seconds) of one score, cached.

    value: positive where training on the point lowered the query's loss; residual: that of the query's linear system,
    NaN where none was solved; seconds: process CPU time of the whole score, without loading the model. UserError for an
    unknown score, point or query.
    """
    if score not in SCORES:
        raise UserError(f"no influence score {score!r}: {nearest(score, SCORES)}")
    if loss not in ("answer", "text"):
        raise UserError(f"no loss {loss!r} of a query: {nearest(loss, ['answer', 'text'])}")
    texts = Texts(experiment, tuple(points), tuple(queries), loss)

    key = {
        "score": score,
        "options": options,
        "points": list(points),
        "queries": list(queries),
        "settings": [loss, experiment.profile.curvature_texts, texts.damping],
        "code of the score": definitions.code(SCORES[score], *layer_rows(options.get("layers", "all")), without=KEYED),
    }
    found = experiment.table("attribution", key, partial(_scored, SCORES[score], texts, options))
    return tidy(found, score=score, layers=options.get("layers", "all"), loss=loss)


def _scored(score: Callable, texts: Texts, options: Mapping) -> pd.DataFrame:
    _ = texts.experiment.finetuned, texts.point_tokens, texts.query_tokens
    started = time.process_time()
    found = score(texts, **options)
    seconds = time.process_time() - started
    values, residuals = (found.values, found.residuals) if isinstance(found, Scores) else (found, np.nan)
    index = pd.MultiIndex.from_product([texts.points, texts.queries], names=["point", "query"])
    rows = pd.DataFrame({"value": values.ravel()}, index=index).reset_index()
    return rows.assign(residual=np.broadcast_to(residuals, values.shape).ravel(), seconds=seconds)


# Scores against ground truth

SOLVED = ("inverse Gauss-Newton (CG)", "inverse Gauss-Newton (LiSSA)")  # one linear system a query: for few queries
SOLVED_QUERIES = 6


def agreement(experiment: Experiment, score: str, loss: str = "answer", **options) -> pd.DataFrame:
    """Return how well a score agrees with retraining: rows (score, loss, truth, estimate, low, high, models, points,
    queries, residual, seconds), one for every ground truth that the profile has for this seed (none: no rows).

    `random halves` is the LDS; `random halves, own point kept` the LDS among the models that were trained on the
    query's own point; `one point left out` the rank correlation with what leaving single points out did. Queries are
    the first paraphrases of all points; for the scores in SOLVED, which cost most, those of the first few points that
    are left out (SOLVED_QUERIES), and only for the seeds that have random halves.
    """
    profile, seed = experiment.profile, experiment.seed
    if seed not in (*profile.halves_seeds, *profile.left_out_seeds):
        return pd.DataFrame()
    points = [record.id for record in experiment.split.forget]
    if score in SOLVED and seed not in profile.halves_seeds:
        return pd.DataFrame()
    left_out = [point for model in setting.left_out(profile, seed) for point in model.without]
    queries = [f"{point}#0" for point in (left_out[:SOLVED_QUERIES] if score in SOLVED else points)]
    rows = attribute(experiment, score, points, queries, loss, **options)
    scores = rows.pivot_table(index="point", columns="query", values="value").loc[points, queries]
    found = []
    if seed in profile.halves_seeds:
        kept, losses = halves(experiment, points, queries, loss)
        own = [points.index(query.split("#")[0]) for query in queries]
        for truth, chosen in (("random halves", None), ("random halves,\nown point kept", own)):
            agreed = ground_truth.linear_datamodeling_score(scores, kept, losses, chosen)
            found.append({"truth": truth, "models": len(losses), **asdict(agreed)})
    if seed in profile.left_out_seeds:
        agreed = ground_truth.left_out_correlation(scores.loc[left_out], rises(experiment, left_out, queries, loss))
        found.append({"truth": f"one point left out,\nseed {seed}", "models": len(left_out), **asdict(agreed)})
    cost = {"residual": rows["residual"].mean(), "seconds": rows["seconds"].iloc[0]}
    return pd.DataFrame(found).assign(score=score, loss=loss, points=len(points), seed=seed, **cost)


def halves(experiment: Experiment, points: Sequence[str], queries: Sequence[str], loss: str):
    """Return (kept bool [models, points], losses [models, queries]) of the models retrained on random halves."""
    models = setting.halves(experiment.profile, experiment.seed)
    wide = _losses(experiment, "halves", loss)
    kept = np.array([[point not in model.without for point in points] for model in models])
    return kept, wide.loc[[model.name for model in models], list(queries)].to_numpy()


def rises(experiment: Experiment, points: Sequence[str], queries: Sequence[str], loss: str) -> np.ndarray:
    """Return [points, queries]: how much each query's loss rose when the model was trained without the point (nats)."""
    whole = experiment.references().query("method == 'finetuned' and set == 'paraphrase'")
    before = whole[whole["metric"] == f"{loss}_nll"].set_index("example")["value"].loc[list(queries)].to_numpy()
    wide = _losses(experiment, "left-out", loss)
    return wide.loc[[f"without {point}" for point in points], list(queries)].to_numpy() - before


@cache
def _losses(experiment: Experiment, kind: str, loss: str) -> pd.DataFrame:
    """Return the loss of every point's first paraphrase (columns) in every model of a kind (rows), read once."""
    models = setting.models(experiment.profile, kind, experiment.seed)
    table = experiment.evaluated_by(models, ["paraphrase#0"])
    return table[table["metric"] == f"{loss}_nll"].pivot_table(index="model", columns="example", values="value")


# Scores of single points, along unlearning

TRACKED = ("self_influence", "paraphrase_influence", "activation_gradient", "curvature")
CURVATURE_POINTS = 10  # so many points, drawn at random: a Hessian-vector product each is what costs most here


def tracked(
    experiment: Experiment, of: Variant | str, step_size: float | None = None, curvature: bool = False
) -> pd.DataFrame:
    """Return tidy rows of each forget point's influence scores in a model.

    `of` is a model's name (base, finetuned, retrained), or a Variant with the `step_size` to take.

    Metrics: `self_influence` (squared norm of the point's gradient), `paraphrase_influence` (dot product of its
    gradient with that of its first paraphrase: positive where a step on the point would teach the paraphrase),
    `activation_gradient` (minus the sum over tokens of the token embeddings times their gradient), and with `curvature`
    also `curvature` (g^T H g / g^T g with the Hessian H of the point's own loss, by a Hessian-vector product; nats per
    squared unit of length; for CURVATURE_POINTS of the points).
    """

    def compute() -> pd.DataFrame:
        with experiment.at(of, step_size) as model:
            return _tracked(experiment, model, curvature)

    key = {"of": experiment.of(of, step_size), "curvature": curvature}
    return experiment.named(tidy(experiment.table("tracked", key, compute), set="forget"), of, step_size)


def along(
    experiment: Experiment,
    variant: Variant,
    fraction: float,
    sets: Sequence[str] = ("forget", "retain", "general"),
    curvature: bool = False,
) -> pd.DataFrame:
    """Return tidy rows of all that is followed along unlearning, at a `fraction` of the variant's step to equal
    forgetting (column step): the scores of `tracked`, the evaluation on `sets`, and ROUGE of what is written."""
    scores = tracked(experiment, variant, ends.step_at(experiment, variant, fraction), curvature)
    measured = ends.at_fraction(experiment, variant, fraction, sets)
    written = writing.rouge(experiment, variant, fraction)
    return pd.concat([scores.assign(step=fraction), measured, written])


# Parts of the step to equal forgetting at which the scores are followed closely.
CLOSELY = (0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0, 1.25, 1.6, 2.0, 2.5)


def closely(experiment: Experiment, variant: Variant, fraction: float) -> pd.DataFrame:
    """Return tidy rows of the forget set's scores (see tracked) and answer probability at a `fraction` of the variant's
    step to equal forgetting (column step)."""
    step = ends.step_at(experiment, variant, fraction)
    known = experiment.metric("answer_probability", variant, step, ["forget"])
    return pd.concat([tracked(experiment, variant, step), known]).assign(step=fraction)


def _tracked(experiment: Experiment, model, curvature: bool) -> pd.DataFrame:
    selections = resolve(model, "all")
    points, paraphrases = experiment.sets["forget"], experiment.sets["paraphrase"]
    first = {name: text for name, text in zip(paraphrases.names, paraphrases.texts, strict=True) if name.endswith("#0")}
    partners = [first[f"{name}#0"] for name in points.names]
    values = {
        "self_influence": influence_scores.self_influence(model, points.texts, selections).numpy(),
        "paraphrase_influence": influence_scores.paired_products(model, points.texts, partners, selections).numpy(),
        "activation_gradient": -influence_scores.activation_gradient_products(model, points.texts)["embedding"].numpy(),
    }
    if curvature:
        drawn = set(subsets.drawn(points.names, experiment.seed, "curvature of points")[:CURVATURE_POINTS])
        with influence_curvature.eager_attention(model):
            values["curvature"] = np.array(
                [
                    _bend(model, tokens, selections) if name in drawn else np.nan
                    for name, tokens in zip(points.names, points.texts, strict=True)
                ]
            )
    wide = pd.DataFrame({"example": points.names, **values})
    return wide.melt(id_vars="example", var_name="metric", value_name="value").dropna(subset=["value"])


def _bend(model, tokens: Sequence[int], selections) -> float:
    """Return g^T H g / g^T g of one text's own loss."""
    slope = algebra.select(per_example.sum_gradient(model, [tokens], algebra.parts_of(selections)), selections)
    bent = influence_curvature.hessian_product(model, [tokens], selections, slope)
    length = sum(float(value.double().pow(2).sum()) for value in slope.values())
    return sum(float((slope[name].double() * bent[name].double()).sum()) for name in slope) / max(length, 1e-30)
