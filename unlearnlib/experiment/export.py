"""Keep a model: a Hugging Face folder with its tokenizer, and a card that says what it is."""

import shutil
from pathlib import Path

from unlearnlib.core import fingerprint
from unlearnlib.core.errors import UserError
from unlearnlib.core.tables import means
from unlearnlib.experiment.measured import Experiment
from unlearnlib.experiment.variants import Variant
from unlearnlib.models import loading
from unlearnlib.models.linear import own_weights
from unlearnlib.training import replay

DIGEST = "(the sha256 of the parameters)"

CARD = """---
library_name: transformers
pipeline_tag: text-generation
---

# {title}

{about}

| what | value |
|---|---|
{rows}

What it still knows, and what that has cost, beside the model that it was made from and the one retrained without the
points to forget:

{measured}

Means over the examples of one seed. Answer probability: that of the right one of six answers (1 knows, 1/6 is chance);
completed: the share of texts whose answer the model writes word for word; perplexity: of the whole texts (1 is best).

`{kind}.from_pretrained` gives the very weights that were evaluated, and the folder may be the `base_model` of a
profile. The sha256 is that of the parameters as unlearnlib.models.loading.load gives them. The fingerprint stands for
the data, the settings and the code behind the model.
"""

# What the card says was measured: set, metric, and what it calls this.
MEASURED = (
    ("forget", "answer_probability", "points to forget: answer probability"),
    ("forget", "cloze_hit", "points to forget: completed"),
    ("paraphrase", "answer_probability", "the same in other words: answer probability"),
    ("retain", "answer_probability", "retained people: answer probability"),
    ("retain", "cloze_hit", "retained people: completed"),
    ("general", "perplexity", "general text: perplexity"),
)


def save(experiment: Experiment, of: Variant | str, folder: str | Path, step_size: float | None = None) -> Path:
    """Write the model `of` is the name of, or the one that a Variant reaches at `step_size`, and return the folder.

    `folder` then holds the model and the tokenizer, as save_pretrained writes them, and a README.md that states
    profile, seed, variant, step size, a fingerprint of what it was made with, and what was measured of it. It appears
    whole or not at all. UserError for a folder that is not empty or cannot be written to, and as Experiment.at.
    """
    folder = empty(folder)
    about = card(experiment, of, step_size)  # first: what is measured for it opens the same model
    with experiment.at(of, step_size) as model:
        return write(model, experiment.tokenizer, about, folder)


def empty(folder: str | Path) -> Path:
    """Return the whole path of a folder that is not there yet, or empty; UserError for another one."""
    folder = Path(folder).expanduser().absolute()
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(f"{folder} is not an empty folder: name a new one to save the model in")
    return folder


def write(model, tokenizer, about: str, folder: str | Path) -> Path:
    """Write a model, its tokenizer and its card `about`, in which DIGEST stands for the sha256 of the parameters, into
    a new folder, and return its path. It appears whole or not at all; UserError as in save."""
    folder = empty(folder)
    text = about.replace(DIGEST, replay.digest(model)["parameters"])
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)  # left by an interrupted call
        partial.mkdir(parents=True)
        with loading.quiet():
            model.save_pretrained(partial, state_dict=own_weights(model))
            tokenizer.save_pretrained(partial)
        (partial / "README.md").write_text(text, encoding="utf-8")
        partial.replace(folder)
    except OSError as error:
        raise UserError(f"cannot write to {folder} ({error.strerror}): name a folder that you may write to") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def card(experiment: Experiment, of: Variant | str, step_size: float | None) -> str:
    """Return the text of the README.md that goes with a model; DIGEST stands for the sha256 of its parameters."""
    profile, forget = experiment.profile, experiment.split.forget
    rows = {"profile": profile.name, "seed": experiment.seed, "base model": profile.base_model}
    if isinstance(of, str):
        title, about = of, f"The model `{of}` of an experiment in machine unlearning."
    else:
        title, about = of.name, "A fine-tuned model that was made to forget some of its training texts."
        rows |= {"variant": of.name, "method": of.method_name, "layers": of.layers, "options": dict(of.options)}
        rows |= {f"step size ({experiment.path(of).unit})": step_size}
    rows |= {"points to forget": f"{len(forget)}: {', '.join(record.id for record in forget)}"}
    rows |= {"fingerprint": made_with(experiment, of, step_size), "sha256 of the parameters": DIGEST}
    cells = {name: str(value).replace("|", r"\|") for name, value in rows.items()}
    lines = [f"| {name} | {value} |" for name, value in cells.items()]
    kind = type(experiment.base).__name__
    measured = _measured(experiment, of, step_size)
    return CARD.format(title=title, about=about, rows="\n".join(lines), measured=measured, kind=kind)


def _measured(experiment: Experiment, of: Variant | str, step_size: float | None) -> str:
    """Return the rows of MEASURED as a table in Markdown: this model, the fine-tuned and the retrained one."""
    models = {"fine-tuned": "finetuned", "retrained": "retrained"}
    tables = {"this model": experiment.measured(experiment.answers(of, step_size=step_size))}
    known = experiment.references()
    tables |= {name: known[known["method"] == method] for name, method in models.items()}
    found = {name: means(table, by=["set", "metric"]).set_index(["set", "metric"]) for name, table in tables.items()}
    lines = ["| | " + " | ".join(found) + " |", "|---|" + "---|" * len(found)]
    for of_set, metric, label in MEASURED:
        place = (of_set, metric)
        values = [f"{table.loc[place, 'value']:.3f}" if place in table.index else "" for table in found.values()]
        lines.append(f"| {label} | " + " | ".join(values) + " |")
    return "\n".join(lines)


def made_with(experiment: Experiment, of: Variant | str, step_size: float | None = None) -> str:
    """Return a short hash of what a model was made with: the trained models behind it, the way to unlearn, the step."""
    trained = [experiment.fingerprint(name) for name in ("finetuned", "retrained")]
    return fingerprint.combine({"of": experiment.of(of, step_size), "trained": trained})
