"""Answers in a tree of attention and one by one, in five families of models, against one plain sequence an answer."""

import numpy as np
import pytest
import torch
from families import FAMILIES, tiny

from unlearnlib.measures import evaluation, generation


def log_p(model, prompt, answer) -> float:
    with torch.no_grad():
        found = model(torch.tensor([[*prompt, *answer]])).logits[0].log_softmax(-1)
    return sum(float(found[len(prompt) - 1 + place, token]) for place, token in enumerate(answer))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_tree_of_answers_equals_one_sequence_an_answer(family, attention, questions, monkeypatch):
    model = tiny(family)
    model.set_attn_implementation(attention)
    assert evaluation.carries_tree(model)
    found = [evaluation.ask(model, questions, batch_size=2)]
    monkeypatch.setattr(evaluation, "carries_tree", lambda model: False)
    found.append(evaluation.ask(model, questions, batch_size=2))
    for answers in found:
        for row, question in enumerate(questions):
            expected = [log_p(model, question.prompt, answer) for answer in question.answers]
            assert answers.log_probabilities[row] == pytest.approx(expected, abs=1e-4)
            whole = log_p(model, question.text[:1], question.text[1:])
            assert answers.text_nll[row] == pytest.approx(-whole / (len(question.text) - 1), abs=1e-4)
    assert (found[0].hits == found[1].hits).all()
    for one, other in zip(found[0].log_p, found[1].log_p, strict=True):
        assert np.allclose(one, other, atol=1e-4)


def test_a_model_that_does_more_to_its_logits_is_asked_one_by_one(questions):
    model = tiny("llama untied")
    plain = model.forward

    def capped(*given, **named):
        result = plain(*given, **named)
        result.logits = torch.tanh(result.logits / 2) * 2
        return result

    model.forward = capped
    assert not evaluation.carries_tree(model)
    answers = evaluation.ask(model, questions)
    assert answers.log_probabilities[0, 1] == pytest.approx(
        log_p(model, questions[0].prompt, questions[0].answers[1]), abs=1e-4
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_continuations_are_what_the_model_would_choose(family, questions):
    model = tiny(family)
    prompts = [question.prompt for question in questions]
    for prompt, written in zip(prompts, generation.continuations(model, prompts, [3] * len(prompts)), strict=True):
        tokens = list(prompt)
        for token in written:
            with torch.no_grad():
                logits = model(torch.tensor([tokens])).logits[0, -1]
            assert float(logits.max() - logits[token]) < 1e-4
            tokens.append(token)


def test_continuations_end_at_the_last_position(questions):
    model = tiny("gpt-neox", positions=8)
    assert len(generation.continuations(model, [(0, 1, 2, 3, 4, 5)], [9])[0]) == 3


def test_a_short_window_of_attention_takes_no_tree():
    import transformers

    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    for window, carried in ((9, False), (None, True), (4096, True)):
        config = transformers.MistralConfig(
            vocab_size=97, num_key_value_heads=2, max_position_embeddings=48, sliding_window=window, **shape
        )
        assert evaluation.carries_tree(transformers.MistralForCausalLM(config).eval()) == carried
