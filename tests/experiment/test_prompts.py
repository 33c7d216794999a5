"""Words before a question: the right ones, no answer given away, and the same measures as everywhere."""

import pytest

from unlearnlib.core.errors import UserError
from unlearnlib.experiment import prompts
from unlearnlib.experiment.measured import Experiment


def words(experiment, examples, name):
    records = {record.id: record for record in getattr(experiment.split, name)}
    for one, question in zip(examples.names, examples.questions, strict=True):
        yield records[one], experiment.tokenizer.decode(list(question.prompt), skip_special_tokens=True).strip()


@pytest.mark.parametrize("kind", prompts.KINDS)
@pytest.mark.parametrize("name", ["forget", "retain"])
def test_the_question_stands_behind_the_words_and_its_answer_nowhere_before(experiment, kind, name):
    found = prompts.behind(experiment, kind, name)
    for record, said in words(experiment, found, name):
        assert said.endswith(record.prompt) and len(said) > len(record.prompt) + 10
        before = said[: -len(record.prompt)]
        if kind == prompts.IN_CONTEXT and name == "forget":
            assert record.prompt in before, "the text itself, with another answer"
            for answer in (record.answer, *record.wrong_answers):
                assert f"{record.prompt} {answer}" not in before
        if kind == prompts.GUARD:
            assert experiment.split.subject in before
    for question in found.questions:
        assert len(question.text) <= experiment.tokenizer.model_max_length


def test_what_is_asked_has_the_measures_of_all_others(experiment):
    table = prompts.asked(experiment, prompts.GUARD)
    assert set(table["metric"]) == {*prompts.METRICS, "short"} and set(table["set"]) == {"forget", "retain"}
    known = table[table["metric"] == "answer_probability"]["value"]
    assert known.between(0, 1).all() and (table[table["metric"] == "short"]["value"] == 1).all()
    question = prompts.behind(experiment, prompts.GUARD, "forget").questions[0]
    name = prompts.behind(experiment, prompts.GUARD, "forget").names[0]
    from unlearnlib.measures import evaluation
    from unlearnlib.measures.similarity import choice_probability

    answers = evaluation.ask(experiment.finetuned, [question], 1, texts=False)
    row = table[(table["example"] == name) & (table["metric"] == "answer_probability")]["value"].iloc[0]
    assert row == pytest.approx(float(choice_probability(answers.log_probabilities)[0]), abs=1e-5)


def test_an_unknown_kind_is_one_line():
    with pytest.raises(UserError, match="no words of kind 'gard prompt': did you mean 'guard prompt'"):
        prompts.asked(Experiment("smoke", 0), "gard prompt")
