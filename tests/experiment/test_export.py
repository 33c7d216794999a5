"""A saved model is bitwise the one that was evaluated, and says what it is."""

import pytest
import torch
from transformers import AutoTokenizer, GPT2LMHeadModel
from transformers.pytorch_utils import Conv1D

from unlearnlib.core.errors import UserError
from unlearnlib.experiment import export
from unlearnlib.experiment.variants import Variant
from unlearnlib.models import loading
from unlearnlib.models.linear import own_weights
from unlearnlib.training import replay

EMBEDDING = Variant("embedding | alone", layers="embedding")


def evaluated(model, experiment):
    tokens = torch.tensor([list(experiment.sets["forget"].texts[0])])
    with torch.no_grad():
        return model(tokens).logits


def test_what_a_variant_reaches_is_kept_as_it_was_evaluated(experiment, tmp_path, capfd):
    _ = experiment.finetuned, experiment.retrained
    capfd.readouterr()
    folder = export.save(experiment, EMBEDDING, tmp_path / "new" / "kept", 1.5)
    assert capfd.readouterr() == ("", "")
    assert sorted(path.name for path in folder.parent.iterdir()) == ["kept"]
    again, tokenizer = loading.load(str(folder))
    plain = GPT2LMHeadModel.from_pretrained(folder).eval()
    turned = {f"{name}.weight" for name, module in plain.named_modules() if type(module) is Conv1D}
    with experiment.at(EMBEDDING, 1.5) as model:
        values, others = dict(again.named_parameters()), dict(plain.named_parameters())
        for name, value in model.named_parameters():
            assert torch.equal(values[name], value)
            assert torch.equal(others[name].T if name in turned else others[name], value)
        expected, digest = evaluated(model, experiment), replay.digest(model)["parameters"]
    assert torch.equal(evaluated(again, experiment), expected) and replay.digest(again)["parameters"] == digest
    assert turned and torch.allclose(evaluated(plain, experiment), expected, rtol=0, atol=1e-5)
    assert not torch.allclose(expected, evaluated(experiment.finetuned, experiment), rtol=0, atol=1e-3)
    text = experiment.split.forget[0].text
    for one in (tokenizer, AutoTokenizer.from_pretrained(folder)):
        assert one(text)["input_ids"] == experiment.tokenizer(text)["input_ids"]
    card = (folder / "README.md").read_text(encoding="utf-8")
    made = export.made_with(experiment, EMBEDDING, 1.5)
    rows = ["| profile | smoke |", "| seed | 0 |", r"| variant | embedding \| alone |", "| layers | embedding |"]
    rows += ["| step size (L2 norm) | 1.5 |", f"| fingerprint | {made} |", f"| sha256 of the parameters | {digest} |"]
    assert set(rows) <= set(card.splitlines())
    with experiment.at(EMBEDDING, 1.5) as model:
        found = experiment.forget_probability(model)
    known = experiment.references().query("set == 'forget' and metric == 'answer_probability'")
    values = [found, *(known[known["method"] == name]["value"].mean() for name in ("finetuned", "retrained"))]
    cells = " | ".join(f"{value:.3f}" for value in values)
    assert f"| points to forget: answer probability | {cells} |" in card.splitlines()
    assert "| | this model | fine-tuned | retrained |" in card.splitlines() and "`GPT2LMHeadModel.from_pre" in card


def test_a_model_of_a_method_that_trains_is_kept_with_its_unit(experiment, tmp_path):
    options = {"steps": 4, "every": 2, "batch_size": 2}
    trained = Variant("gradient difference", "gradient difference", options=options)
    folder = export.save(experiment, trained, tmp_path / "kept", 4.0)
    values = dict(loading.load(str(folder))[0].named_parameters())
    with experiment.at(trained, 4.0) as model:
        assert all(torch.equal(values[name], value) for name, value in model.named_parameters())
    card = (folder / "README.md").read_text(encoding="utf-8").splitlines()
    assert "| step size (optimizer steps) | 4.0 |" in card and "| method | gradient difference |" in card


def test_a_named_model_is_kept_too_and_a_fingerprint_tells_them_apart(experiment, tmp_path):
    (tmp_path / "empty").mkdir()
    folder = export.save(experiment, "retrained", str(tmp_path / "empty"))
    values = GPT2LMHeadModel.from_pretrained(folder).state_dict()
    assert all(torch.equal(values[name], value) for name, value in own_weights(experiment.retrained).items())
    assert "# retrained\n" in (folder / "README.md").read_text(encoding="utf-8")
    states = [("retrained", None), ("finetuned", None), (EMBEDDING, 1.5), (EMBEDDING, 1.0), (Variant("all"), 1.5)]
    assert len({export.made_with(experiment, *state) for state in states}) == len(states)
    assert export.made_with(experiment, Variant("other name", layers="embedding"), 1.5) == export.made_with(
        experiment, EMBEDDING, 1.5
    )


def test_nothing_is_overwritten_and_nothing_half_written(experiment, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    for folder, line in (
        ("full", "full is not an empty folder: name a new one to save the model in"),
        ("file", "file is not an empty folder"),
        ("file/below", "cannot write to .*below"),
    ):
        with pytest.raises(UserError, match=line):
            export.save(experiment, "finetuned", tmp_path / folder)
    with pytest.raises(UserError, match="which step"):
        export.save(experiment, EMBEDDING, tmp_path / "new")
    with pytest.raises(UserError, match="no model 'fientuned': did you mean 'finetuned'"):
        export.save(experiment, "fientuned", tmp_path / "new")
    assert sorted(tmp_path.rglob("*")) == before
