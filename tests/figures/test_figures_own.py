"""The figure of somebody's own model: a panel for each measure that there is, a mark for each model."""

import pandas as pd
import pytest

from unlearnlib.core.errors import UserError
from unlearnlib.figures.own import before_after

MODELS = ("base", "finetuned", "retrained", "unlearned", "repaired")


def table(metrics=("perplexity", "rougeL_f1", "kl"), sets=("forget", "keep", "unseen")):
    rows = [
        (model, name, metric, 0.1 + place)
        for place, model in enumerate(MODELS)
        for name in sets
        for metric in metrics
        if (model, metric) != ("retrained", "kl")
    ]
    return pd.DataFrame(rows, columns=["method", "set", "metric", "value"])


def test_every_model_has_a_mark_of_its_own_at_its_value():
    figure = before_after(table())
    assert len(figure.axes) == 3
    for axes in figure.axes:
        marks = {line.get_marker(): list(line.get_xdata()) for line in axes.lines}
        assert len(marks) == len(MODELS) and marks["s"] == [1.1] * 3
    assert list(figure.axes[2].lines[2].get_xdata()) == [], "the retrained model is at no distance from itself"
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        "texts to forget",
        "texts to keep",
        "never read",
    ]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "base model",
        "fine-tuned",
        "retrained",
        "unlearned",
        "then repaired",
    ]


def test_what_there_is_not_is_left_out():
    figure = before_after(table(("perplexity", "told"), ("forget", "keep")))
    assert len(figure.axes) == 1 and len(figure.axes[0].get_yticks()) == 2
    with pytest.raises(UserError, match="nothing to draw"):
        before_after(table(("told",)))
    with pytest.raises(UserError, match="a perplexity that is missing or zero"):
        before_after(table().assign(value=0.0))
    with pytest.raises(UserError, match="no column 'set'"):
        before_after(table().drop(columns="set"))
