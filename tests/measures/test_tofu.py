"""TOFU's and MUSE's scores from raw answers, against scipy and plain loops."""

import math

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from scipy import stats

from unlearnlib.core.errors import UserError
from unlearnlib.core.paths import DATA
from unlearnlib.data.items import Item
from unlearnlib.measures import membership, muse, tofu
from unlearnlib.measures.tofu import Answers
from unlearnlib.measures.truth_ratio import truth_ratio, truth_ratio_aggregate

GENERATOR = np.random.default_rng(3)


def drawn(n=12, wrong=5):
    names = tuple(f"q{number}" for number in range(n))
    right, other = GENERATOR.gamma(2, 0.3, n), GENERATOR.gamma(2, 0.4, n)
    return Answers(names, right, other, GENERATOR.gamma(3, 0.5, (n, wrong)), GENERATOR.uniform(0.1, 1, n))


@pytest.mark.parametrize("variant", ["geometric", "arithmetic"])
def test_model_utility_is_the_harmonic_mean_of_nine(variant):
    given = {"retain": drawn(), "real_authors": drawn(9, 3), "world_facts": drawn(7, 3), "forget": drawn()}
    nine = []
    for name in ("retain", "real_authors", "world_facts"):
        probabilities, ratios = [], []
        for right, other, wrong in zip(*given[name][1:4], strict=True):
            p, q = math.exp(-right), [math.exp(-value) for value in wrong]
            probabilities.append(p if name == "retain" else p / (p + sum(q)))
            mean = sum(q) / len(q) if variant == "arithmetic" else math.exp(-sum(wrong) / len(wrong))
            ratios.append(max(0, 1 - mean / math.exp(-other)))
        nine += [np.mean(probabilities), np.mean(given[name].rouge), np.mean(ratios)]
    found = tofu.model_utility(given, variant)
    assert list(found.parts.values()) == pytest.approx(nine) and len(found.parts) == 9
    assert found.value == pytest.approx(stats.hmean(nine))
    assert found.parts["retain", "probability"] == pytest.approx(nine[0])


def test_model_utility_at_its_ends():
    given = {name: drawn(4, 3) for name in tofu.UTILITY}
    assert tofu.model_utility(given | {"retain": given["retain"]._replace(rouge=np.zeros(4))}).value == 0
    nothing = Answers((), np.zeros(0), np.zeros(0), np.zeros((0, 3)), np.zeros(0))
    assert math.isnan(tofu.model_utility(given | {"retain": nothing}).value)
    with pytest.raises(UserError, match="world_facts is missing"):
        tofu.model_utility({name: given[name] for name in ("retain", "real_authors")})
    with pytest.raises(UserError, match="did you mean 'forget'"):
        tofu.scores(given["retain"], "forgets")


@pytest.mark.parametrize("variant", ["geometric", "arithmetic"])
def test_forget_quality_is_the_test_of_scipy(variant):
    first, second = drawn(), drawn()
    ratios = [truth_ratio(one.wrong_nll, one.paraphrase_nll, variant) for one in (first, second)]
    expected = stats.ks_2samp(*ratios)
    found = tofu.forget_quality(first, second, variant)
    assert (found.D, found.p, found.n) == (pytest.approx(expected.statistic), pytest.approx(expected.pvalue), 12)
    assert tofu.forget_quality(first, first).p == 1
    far = second._replace(wrong_nll=second.wrong_nll + 50)
    assert tofu.forget_quality(first, far).D == 1
    with pytest.raises(UserError, match="same questions"):
        tofu.forget_quality(first, second._replace(names=second.names[::-1]))


def test_the_truth_ratio_of_a_set_has_the_mean_that_its_aggregate_gives():
    given = drawn()
    ratios = truth_ratio(given.wrong_nll, given.paraphrase_nll, "geometric")
    for of, which in (("forget", "forget"), ("retain", "other")):
        assert tofu.scores(given, of)["truth_ratio"].mean() == pytest.approx(truth_ratio_aggregate(ratios, which))


def test_a_mean_is_over_an_answers_own_tokens():
    assert tofu.mean_nll([[-6.0, -2.0]], [[3, 4]]).tolist() == [[2.0, 0.5]]
    with pytest.raises(UserError, match="must match"):
        tofu.mean_nll([[-6.0, -2.0]], [[3]])


def test_answers_of_a_model_are_those_of_one_sequence_each():
    import torch

    from unlearnlib.models import loading

    model, tokenizer = loading.load(str(DATA / "tiny_model"))
    model.eval()
    items = [
        Item("a", question="Where is the pilot?", answer="At sea.", paraphrased_answers=("On the water.",),
             wrong_answers=("At home.", "In the old mill.")),
        Item("b", question="Who rings?", answer="The vet of Vell.", wrong_answers=("A boy.", "Nobody at all.")),
    ]  # fmt: skip
    found = tofu.answers(model, tokenizer, items)
    for row, item in enumerate(items):
        said = [item.answer, *(item.paraphrased_answers or (item.answer,)), *item.wrong_answers]
        for text, nll in zip(
            said, [found.answer_nll[row], found.paraphrase_nll[row], *found.wrong_nll[row]], strict=True
        ):
            before = tokenizer(f"Question: {item.question}\nAnswer:", add_special_tokens=False)["input_ids"]
            after = tokenizer(f" {text}", add_special_tokens=False)["input_ids"]
            tokens = torch.tensor([[tokenizer.bos_token_id, *before, *after]])
            with torch.no_grad():
                log_p = torch.log_softmax(model(tokens).logits[0, :-1], -1)
            picked = log_p.gather(1, tokens[0, 1:, None])[len(before) :, 0]
            assert len(picked) == len(after) and nll == pytest.approx(-float(picked.mean()), abs=1e-4)
    assert found.names == ("a", "b") and ((found.rouge >= 0) & (found.rouge <= 1)).all()
    for wrong in ([Item("c", question="Q?", answer="A.")], [items[0], Item("c", question="Q?", answer="A.")], []):
        with pytest.raises(UserError, match="need items with wrong answers"):
            tofu.answers(model, tokenizer, wrong)


def test_muse_scores_what_is_written_before_the_next_question():
    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    written = ["the old bridges\n\nQuestion: Which road?", "nobody", "the lower road\nQuestion: x"]
    answers = ["the old bridge", "the mayor", "the lower road"]
    cut = ["the old bridges", "nobody", "the lower road"]
    expected = [scorer.score(a, b)["rougeL"].fmeasure for a, b in zip(answers, cut, strict=True)]
    assert muse.knowmem(written, answers).tolist() == pytest.approx(expected) and expected[0] < 1, "not stemmed"
    assert muse.verbmem(answers, answers).tolist() == [1, 1, 1]
    with pytest.raises(UserError, match="must match"):
        muse.verbmem(["a"], [])


def test_muse_leakage_is_zero_for_the_retrained_model_and_negative_while_texts_are_remembered():
    forget, heldout = ([GENERATOR.normal(-2, 1, 40) for _ in range(20)] for _ in range(2))
    assert muse.privleak(forget, heldout, forget, heldout) == 0
    remembered = [log_p / 10 for log_p in forget]
    scores = {id(texts): [membership.min_k(log_p, 0.4) for log_p in texts] for texts in (remembered, forget, heldout)}
    a_u, a_r = (1 - membership.auc(scores[id(texts)], scores[id(heldout)]) for texts in (remembered, forget))
    found = muse.privleak(remembered, heldout, forget, heldout)
    assert found == pytest.approx(100 * (a_u - a_r) / a_r) and found < -90
