"""EK-FAC influence (Grosse et al. 2023) through the library kronfluence, which is optional.

It asks for torchvision, which it does not use here and which would replace the CPU build of torch; so it is no extra in
pyproject.toml but installed by the line in INSTALL. kronfluence tracks linear layers alone: the embedding, the
positions and the layer norms have no part in the score.
"""

import copy
import tempfile
from collections.abc import Sequence

import torch

from unlearnlib.core.errors import UserError
from unlearnlib.data import batches
from unlearnlib.models.anatomy import anatomy

Sequences = Sequence[Sequence[int]]
INSTALL = "pip install --no-deps kronfluence accelerate einops einconv opt-einsum"


def score(texts):
    """Return [points, queries] for unlearnlib.experiment.attribution: `attribution.SCORES["EK-FAC"] = ekfac.score`."""
    model = texts.experiment.finetuned
    return ekfac_scores(model, texts.trained_tokens, texts.point_tokens, texts.query_tokens, texts.query_spans).numpy()


def ekfac_scores(
    model,
    train: Sequences,
    points: Sequences,
    queries: Sequences,
    spans: Sequence[tuple[int, int]] | None = None,
    batch_size: int = 32,
) -> torch.Tensor:
    """Return float64 [points, queries]: products through the inverse of the EK-FAC approximation of the Fisher matrix.

    The factors are fitted on `train`; the damping is kronfluence's own, a tenth of each layer's mean eigenvalue. The
    layers are the linear ones of the blocks. `spans` as in unlearnlib.influence.gradient_products. Sign and scale as in
    unlearnlib.influence. Raises UserError where kronfluence is not installed or a set is empty.
    """
    try:
        from kronfluence.analyzer import Analyzer, prepare_model
        from kronfluence.arguments import FactorArguments
        from kronfluence.task import Task
    except ImportError:
        raise UserError(f"EK-FAC needs kronfluence, which is not installed: {INSTALL}") from None
    if not (len(train) and len(points) and len(queries)):
        raise UserError("no texts to score: give training texts, points and queries")
    copied, blocks = copy.deepcopy(model).float(), anatomy(model).blocks  # kronfluence changes what it is given
    tracked = [
        name
        for name, module in copied.named_modules()
        if isinstance(module, torch.nn.Linear) and name.startswith(tuple(f"{block}." for block in blocks))
    ]

    class Language(Task):
        """Next-token loss; each text counts by its mean token loss."""

        def compute_train_loss(self, batch, model, sample=False):
            if not sample:
                return _losses(model, *batch).sum()
            logits = model(batch[0]).logits
            drawn = torch.distributions.Categorical(logits=logits[:, :-1].detach()).sample()
            nll = torch.nn.functional.cross_entropy(logits[:, :-1].transpose(1, 2), drawn, reduction="none")
            return (nll * batch[1]).sum()

        def compute_measurement(self, batch, model):
            return _losses(model, *batch).sum()

        def get_influence_tracked_modules(self):
            return tracked

    def dataset(sequences, spans=None):
        tokens, lengths = batches.pad(sequences)
        return torch.utils.data.TensorDataset(tokens, batches.label_weights(lengths, tokens.shape[1], spans=spans))

    task = Language()
    with tempfile.TemporaryDirectory(prefix="unlearnlib-") as folder:
        prepared = prepare_model(copied, task)
        on_cpu = next(model.parameters()).device.type == "cpu"
        analyzer = Analyzer("ekfac", prepared, task, cpu=on_cpu, output_dir=folder, disable_tqdm=True)
        analyzer.fit_all_factors("factors", dataset(train), batch_size, factor_args=FactorArguments(strategy="ekfac"))
        analyzer.compute_pairwise_scores(
            "scores", "factors", dataset(queries, spans), dataset(points), batch_size,
            per_device_train_batch_size=batch_size,
        )  # fmt: skip
        scores = analyzer.load_pairwise_scores("scores")["all_modules"]
    return scores.T.double().cpu()


def _losses(model, tokens: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return (batches.token_losses(model(tokens).logits, tokens) * weights).sum(1)
