"""Evaluation: the one-pass question tree and batched scores against one sequence at a time."""

import logging

import numpy as np
import pytest
import torch

from unlearnlib.core.errors import UserError
from unlearnlib.core.paths import DATA
from unlearnlib.data import batches
from unlearnlib.data.batches import Question
from unlearnlib.data.examples import Examples
from unlearnlib.data.records import load_general
from unlearnlib.measures import evaluation, generation
from unlearnlib.models import loading


def naive_log_p(model, prompt, answer) -> tuple[float, bool]:
    """Total log p of the answer and whether every token is the argmax, from one plain forward pass."""
    tokens = torch.tensor([[*prompt, *answer]])
    with torch.no_grad():
        log_p = torch.log_softmax(model(tokens).logits[0], -1)
    places = range(len(prompt) - 1, tokens.shape[1] - 1)
    picked = [float(log_p[place, token]) for place, token in zip(places, answer, strict=True)]
    return sum(picked), all(int(log_p[place].argmax()) == token for place, token in zip(places, answer, strict=True))


def test_the_tree_of_answers_equals_one_sequence_an_answer(make_model, questions):
    model = make_model()
    answers = evaluation.ask(model, questions, batch_size=2)
    alone = evaluation.ask(model, questions, texts=False)
    assert np.allclose(alone.log_probabilities, answers.log_probabilities, atol=1e-4)
    assert (alone.hits == answers.hits).all() and np.isnan(alone.text_nll).all()
    for row, question in enumerate(questions):
        for column, answer in enumerate(question.answers):
            expected, hit = naive_log_p(model, question.prompt, answer)
            assert answers.log_probabilities[row, column] == pytest.approx(expected, abs=1e-4)
            if column == 0:
                assert answers.hits[row] == hit
                assert answers.answer_nll[row] == pytest.approx(-expected / len(answer), abs=1e-4)
        text, _ = naive_log_p(model, question.text[:1], question.text[1:])
        assert answers.text_nll[row] == pytest.approx(-text / (len(question.text) - 1), abs=1e-4)


def test_a_cloze_hit_is_what_greedy_decoding_writes(make_model, questions):
    model = make_model()
    lengths = [3] * len(questions)
    written = generation.continuations(model, [question.prompt for question in questions], lengths)
    for question, tokens in zip(questions, written, strict=True):
        ids = list(question.prompt)
        for _ in range(3):
            with torch.no_grad():
                ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        assert tokens == ids[len(question.prompt) :]
        right = Question(question.prompt, (tuple(tokens), (5,)), (7, 8))
        wrong = Question(question.prompt, ((*tokens[:2], (tokens[2] + 1) % 97), (5,)))
        assert evaluation.ask(model, [right, wrong]).hits.tolist() == [True, False]


def test_text_nll_ignores_padding_and_batching(make_model, sequences):
    model, texts = make_model(), list(sequences.values())
    nll = evaluation.text_nll(model, texts, batch_size=3)
    for row, ids in enumerate(texts):
        expected, _ = naive_log_p(model, ids[:1], ids[1:])
        assert nll[row] == pytest.approx(-expected / (len(ids) - 1), abs=1e-5)


def test_evaluate_gives_one_tidy_row_per_example_and_metric(make_model, questions, sequences):
    texts = tuple(tuple(ids) for ids in list(sequences.values())[:2])
    sets = {
        "forget": Examples.asked("abcde", questions),
        "general": Examples(("x", "y"), texts),
    }
    table = evaluation.evaluate(make_model(), sets)
    assert list(table.columns) == ["set", "example", "metric", "value"]
    general = {"text_nll", "text_tokens", "exact_memorization", "extraction_strength"}
    assert set(table[table.set == "general"].metric) == general
    assert len(table) == 5 * 9 + 2 * 4
    probability = table[table.metric == "answer_probability"]["value"]
    assert probability.between(0, 1).all() and len(probability) == 5
    assert evaluation.answer_probability(make_model(), sets["forget"]) == pytest.approx(probability.mean())
    assert np.isfinite(table["value"]).all()


def test_confidences_and_memorization_against_plain_passes(make_model, questions):
    model = make_model()
    table = evaluation.evaluate(model, {"forget": Examples.asked("abcde", questions)})
    wide = table.pivot(index="example", columns="metric", values="value")
    for name, question in zip("abcde", questions, strict=True):
        totals = [naive_log_p(model, question.prompt, answer)[0] for answer in question.answers]
        odds = totals[0] - np.logaddexp.reduce(totals[1:])
        assert wide.loc[name, "answer_log_odds"] == pytest.approx(odds, abs=1e-4)
        tokens = torch.tensor([list(question.text)])
        with torch.no_grad():
            logits = model(tokens).logits[0, :-1]
        first, end = question.span
        p = logits.softmax(-1)[torch.arange(len(logits)), tokens[0, 1:]].double()[first - 1 : end - 1]
        assert wide.loc[name, "token_log_odds"] == pytest.approx(float((p.log() - (1 - p).log()).mean()), abs=1e-4)
        hits = (logits.argmax(-1) == tokens[0, 1:]).tolist()
        assert wide.loc[name, "cloze_hit"] == float(all(hits[first - 1 : end - 1]))
        assert wide.loc[name, "answer_nll"] == pytest.approx(-totals[0] / len(question.answers[0]), abs=1e-4)
        assert wide.loc[name, "text_tokens"] == len(question.text) - 1
        assert wide.loc[name, "exact_memorization"] == pytest.approx(np.mean(hits))
        run = next((n for n, hit in enumerate(reversed(hits)) if not hit), len(hits))
        assert wide.loc[name, "extraction_strength"] == pytest.approx(run / len(hits))


def test_sampling_is_fixed_by_its_seed_and_leaves_the_generator_alone(make_model, questions):
    model, prompts = make_model(), [question.prompt for question in questions]
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one = generation.continuations(model, prompts, [6] * 5, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert one == generation.continuations(model, prompts, [6] * 5, seed=1)
    assert one != generation.continuations(model, prompts, [6] * 5, seed=2)
    assert one != generation.continuations(model, prompts, [6] * 5)


def test_what_is_written_behind_an_end_of_text_is_kept_and_nothing_is_said_about_it(monkeypatch, caplog):
    """As the shipped model does it, step by step; an end of text in one row stops neither it nor the others."""
    model, tokenizer = loading.load("data/base_model")
    passages = [passage.text for passage in load_general(DATA / "general.jsonl")[:6]]
    prompts = [batches.encode_text(tokenizer, text)[:100] for text in passages]
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)  # for caplog to see what it says
    written = generation.continuations(model, prompts, [20] * 6)
    sampled = generation.continuations(model, prompts, [20] * 6, seed=1)
    assert not caplog.records
    end = tokenizer.eos_token_id
    assert any(end in tokens[:-1] for tokens in (*written, *sampled)), "no row has an end of text: take other passages"
    for prompt, tokens in zip(prompts, written, strict=True):
        ids = list(prompt)
        for _ in range(20):
            with torch.no_grad():
                ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        assert tokens == ids[len(prompt) :]


def test_nothing_is_written_beyond_the_last_position(make_model):
    model = make_model()  # of 48 positions
    generator = torch.Generator().manual_seed(4)
    prompts = [(0, *torch.randint(1, 97, (length,), generator=generator).tolist()) for length in (39, 2, 45)]
    lengths = [5, 30, 9]
    written = generation.continuations(model, prompts, lengths)
    assert [len(tokens) for tokens in written] == [5, 30, 3], "the last token needs no position of its own"
    for prompt, tokens in zip(prompts, written, strict=True):
        assert generation.continuations(model, [prompt], [len(tokens)]) == [tokens]
    drawn = generation.continuations(model, prompts, lengths, seed=1)
    assert [len(tokens) for tokens in drawn] == [5, 30, 3]
    assert drawn == generation.continuations(model, prompts, lengths, seed=1) != written


# Metrics of one's own


def test_a_metric_is_a_function_of_raw_answers(make_model, questions):
    sets = {"forget": Examples.asked([str(row) for row in range(len(questions))], questions)}
    answers = evaluation.answered(make_model(), sets)

    def least_likely_token(rows):
        return np.array([np.min(log_p) for log_p in rows["log_p"]])

    found = evaluation.metrics(answers, {"least": least_likely_token})
    assert found["metric"].unique().tolist() == ["least"]
    assert tuple(found["example"]) == sets["forget"].names
    assert found["value"].to_numpy() == pytest.approx([min(log_p) for log_p in answers["log_p"]])
    some = evaluation.metrics(answers, ["text_nll"])
    whole = evaluation.metrics(answers).query("metric == 'text_nll'")
    assert some["value"].tolist() == whole["value"].tolist() and len(some) == len(questions)
    with pytest.raises(UserError, match="no metric 'text_nl': did you mean 'text_nll'"):
        evaluation.metrics(answers, ["text_nl"])
    with pytest.raises(UserError, match="the metric 'mean' gave numbers of shape"):
        evaluation.metrics(answers, {"mean": lambda rows: 1.0})
    assert list(evaluation.METRICS)[: len(evaluation.STUDY)] == list(evaluation.STUDY)
