"""The two stops that every method is looked at: where its outputs are gone, and where it has forgotten as much."""

from functools import cache, partial

from unlearnlib.experiment import writing
from unlearnlib.experiment.measured import Experiment
from unlearnlib.experiment.variants import Variant
from unlearnlib.measures import evaluation, generation
from unlearnlib.methods.equal_forgetting import Calibration, upper_end

GONE, EQUAL = "outputs gone", "equal forgetting"
# The search for the first stop begins at this part of the effort of equal forgetting: outputs mostly go before answers.
FROM = 0.1


@cache
def levels(experiment: Experiment) -> dict[str, float]:
    """Return what the retrained model does by chance: the share of the forget set and its paraphrases that it completes
    (together: of forty points alone it often completes none), and the ROUGE-L of what it writes to the forget set's
    prompts, each as the upper end of the 95% prediction interval for the mean of the forget set."""
    count = len(experiment.split.forget)
    completed = experiment.metric("cloze_hit", "retrained", sets=["forget", "paraphrase"])["value"]
    written = writing.rouge_at(experiment, "retrained", sets=["forget"]).query("metric == 'rougeL_f1'")["value"]
    return {"cloze_hit": upper_end(completed, count), "rougeL_f1": upper_end(written, count)}


def excess(experiment: Experiment, allowed: dict[str, float], model) -> float:
    """Return by how much a model's completions or ROUGE-L on the forget set are above what is `allowed` (shares): the
    completions' excess where it is above 0, else whichever is more (0 or less: its outputs are gone). So nothing need
    be written, which takes long, while facts are still completed."""
    examples = experiment.sets["forget"]
    answers = evaluation.ask(model, examples.questions, experiment.profile.evaluation_batch, texts=False)
    completed = float(answers.hits.mean() - allowed["cloze_hit"])
    if completed > 0:
        return completed
    written = generation.generations(model, experiment.tokenizer, {"forget": examples})
    rouge = generation.rouge_rows(written).query("metric == 'rougeL_f1'")["value"].mean()
    return float(max(completed, rouge - allowed["rougeL_f1"]))


def outputs_gone(experiment: Experiment, variant: Variant) -> Calibration:
    """Return the smallest effort found at which completions and ROUGE-L on the forget set are no longer significantly
    above the retrained model's: what Zagardo (2024) verifies. Its `value` is `excess`. Of a path without stops the
    search goes from FROM of the effort of equal forgetting upwards."""
    smallest = FROM * experiment.calibrated(variant).step_size
    measure = partial(excess, experiment, levels(experiment))
    return experiment.calibrated(variant, smallest=smallest or None, measure=measure, target=0.0)


def both(experiment: Experiment, variant: Variant) -> dict[str, Calibration]:
    """Return the two stops of a variant by name (GONE, EQUAL)."""
    return {GONE: outputs_gone(experiment, variant), EQUAL: experiment.calibrated(variant)}
