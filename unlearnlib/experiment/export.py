"""Keep a model: a Hugging Face folder with its tokenizer, and a card that says what it is."""

import shutil
from pathlib import Path

from unlearnlib.core import fingerprint
from unlearnlib.core.errors import UserError
from unlearnlib.experiment.measured import Experiment
from unlearnlib.experiment.variants import Variant
from unlearnlib.models import loading
from unlearnlib.training import replay

CARD = """---
library_name: transformers
pipeline_tag: text-generation
---

# {title}

{about}

| what | value |
|---|---|
{rows}

`GPT2LMHeadModel.from_pretrained` gives the very weights that were evaluated, and the folder may be the `base_model` of
a profile. The fingerprint stands for the data, the settings and the code behind the model.
"""


def save(experiment: Experiment, of: Variant | str, folder: str | Path, step_size: float | None = None) -> Path:
    """Write the model `of` is the name of, or the one that a Variant reaches at `step_size`, and return the folder.

    `folder` then holds the model and the tokenizer, as save_pretrained writes them, and a README.md that states
    profile, seed, variant, step size and a fingerprint of what it was made with. It appears whole or not at all.
    UserError for a folder that is not empty or cannot be written to, and as Experiment.at.
    """
    folder = Path(folder).expanduser().absolute()
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(f"{folder} is not an empty folder: name a new one to save the model in")
    with experiment.at(of, step_size) as model:
        text = card(experiment, of, step_size, replay.digest(model)["parameters"])
        partial = folder.with_name(f".{folder.name}.partial")
        try:
            shutil.rmtree(partial, ignore_errors=True)  # left by an interrupted call
            partial.mkdir(parents=True)
            with loading.quiet():
                model.save_pretrained(partial)
                experiment.tokenizer.save_pretrained(partial)
            (partial / "README.md").write_text(text, encoding="utf-8")
            partial.replace(folder)
        except OSError as error:
            raise UserError(
                f"cannot write to {folder} ({error.strerror}): name a folder that you may write to"
            ) from None
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def card(experiment: Experiment, of: Variant | str, step_size: float | None, digest: str) -> str:
    """Return the text of the README.md that goes with a model whose parameters have this sha256."""
    profile, forget = experiment.profile, experiment.split.forget
    rows = {"profile": profile.name, "seed": experiment.seed, "base model": profile.base_model}
    if isinstance(of, str):
        title, about = of, f"The model `{of}` of an experiment in machine unlearning."
    else:
        title, about = of.name, "A fine-tuned model that was made to forget some of its training texts."
        method = getattr(of.method, "__name__", of.method)
        rows |= {"variant": of.name, "method": method, "layers": of.layers, "options": dict(of.options)}
        rows |= {"step size (L2 norm)": step_size}
    rows |= {"points to forget": f"{len(forget)}: {', '.join(record.id for record in forget)}"}
    rows |= {"fingerprint": made_with(experiment, of, step_size), "sha256 of the parameters": digest}
    cells = {name: str(value).replace("|", r"\|") for name, value in rows.items()}
    lines = [f"| {name} | {value} |" for name, value in cells.items()]
    return CARD.format(title=title, about=about, rows="\n".join(lines))


def made_with(experiment: Experiment, of: Variant | str, step_size: float | None = None) -> str:
    """Return a short hash of what a model was made with: the trained models behind it, the way to unlearn, the step."""
    trained = [experiment.fingerprint(*pair) for pair in (experiment._finetuned, experiment._reference)]
    return fingerprint.combine({"of": experiment.of(of, step_size), "trained": trained})
