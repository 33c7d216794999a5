"""How every name is drawn: one colour, one marker and one label for it, in all figures."""

import io
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import seaborn as sns
from PIL import Image

WIDTH, HEIGHT = 8.0, 4.5
DPI, PUBLISHED = 110, 200  # dots per inch in a notebook, and in the file of its own
COLOURS = 64  # of a picture
GREY, DARK = "#767676", "#222222"
DASHED, DOTTED = (0, (4, 3)), (0, (1, 2))
CHANCE = 1 / 6  # of a multiple choice among the right and five wrong answers


RISES = ("text_nll", "answer_nll", "perplexity")  # metrics that are higher where less is known


LOGARITHMIC = ("perplexity", "self_influence")  # metrics that span orders of magnitude


REFERENCES = ("base", "finetuned", "retrained")


SPARE = ("#332288", "#88CCEE", "#DDCC77", "#CC6677", "#AA4499", "#44AA99", "#6699CC", "#661100")


@dataclass(frozen=True)
class Look:
    """How a name is drawn and written."""

    label: str
    color: str
    marker: str = "o"


# The one place for colours and markers. In one figure they are apart, for colour-blind readers too: a test asks it.
LOOKS = {
    # models
    "base": Look("base model", "#B48C64", "H"),
    "finetuned": Look("fine-tuned", DARK, "s"),
    "retrained": Look("retrained", "#196633", "*"),
    "retrained_again": Look("retrained again", "#87C59B", "p"),
    "nothing_forgotten": Look("nothing forgotten", DARK, "s"),
    # methods
    "first_epoch": Look("first epoch", "#0072B2", "o"),
    "recorded": Look("recorded gradient", "#0072B2", "o"),
    "all_epochs": Look("all epochs", "#D55E00", ">"),
    "last_epoch": Look("last epoch", "#E69F00", "^"),
    "live": Look("live ascent", "#86BFF9", "v"),
    "preconditioned": Look("preconditioned", "#D6A9C7", "D"),
    "random": Look("random direction", GREY, "X"),
    "words_alone": Look("words alone", "#6699CC", "8"),
    # recorded steps by epochs, place and kind, and what is set beside them
    "first_epoch,_whole_model,_plain": Look("first epoch, whole model", "#0072B2", "o"),
    "first_epoch,_embedding,_plain": Look("first epoch, embedding", "#882255", "P"),
    "first_epoch,_whole_model,_preconditioned": Look("whole model, preconditioned", "#D6A9C7", "D"),
    "first_epoch,_embedding,_preconditioned": Look("embedding, preconditioned", "#E69F00", "^"),
    "all_epochs,_embedding,_preconditioned": Look("the same of all epochs", "#D55E00", ">"),
    "repaired": Look("then repaired, 7 and 14 steps", "#332288", "h"),
    "retraining_cut_short": Look("retraining, 1, 2 and 4 epochs", "#44AA99", "v"),
    # what is exchanged of a recorded step
    "each_point_its_own_step": Look("each point its own step", "#332288", "p"),
    "neighbours'_gradient": Look("neighbours' gradient", "#999933", "P"),
    "random_signs": Look("random signs", GREY, "X"),
    "random_direction": Look("random direction", GREY, "X"),
    "early_second_moments": Look("early second moments", "#D6A9C7", "D"),
    "taken_back": Look("taken back", "#44AA99", "^"),
    "taken_back_as_it_was": Look("taken back as it was", "#882255", "h"),
    # ways to choose what is removed, and whom a choice hits
    "fuzzy": Look("fuzzy", "#D55E00", ">"),
    "fuzzy_wide": Look("fuzzy, wide", "#E69F00", "^"),
    "fuzzy_on_picks": Look("fuzzy, calibrated on picks", "#CC6677", "D"),
    "exact": Look("forget set at once", "#6699CC", "p"),
    "iterative": Look("iterative", "#332288", "d"),
    "in_turn": Look("in turn, one step a visit", "#AE0404", "<"),
    "iterative_to_the_last": Look("iterative, to the last point", "#B82E8A", "h"),
    "namesake": Look("namesake", "#332288", "D"),
    "same_answer": Look("same answer", "#44AA99", "^"),
    "other_neighbours": Look("other neighbours", "#0072B2", "s"),
    # layers
    "all": Look("whole model", "#0072B2", "o"),
    "embedding": Look("embedding", "#882255", "P"),
    "input_embedding": Look("input embedding", "#9B4B80", "<"),
    "output_embedding": Look("output embedding", "#CC6677", ">"),
    "name_rows": Look("rows of the name", "#B8860B", "h"),
    "embedding_without_name_rows": Look("embedding without the name", "#661100", "p"),
    "position_embedding": Look("position embedding", "#6699CC", "v"),
    **{
        f"h.{block}": Look(f"block {block + 1}", color, "o")
        for block, color in enumerate(sns.color_palette("cividis", 12).as_hex())
    },
    "ln_f": Look("last layer norm", "#44AA99", "8"),
    # what a way to forget may see, from the least on (unlearnlib.experiment.literature.ACCESS)
    "forget_set": Look("sees the forget set", "#0072B2", "o"),
    "+_retained_texts": Look("+ retained texts", "#E69F00", "^"),
    "+_base_model": Look("+ base model", "#882255", "P"),
    "+_other_texts": Look("+ other texts", "#86BFF9", "D"),
    "+_records_of_training": Look("+ records of training", "#D55E00", ">"),
    "retraining,_1_epoch": Look("retraining cut short", "#44AA99", "v"),
    # what the benchmarks measure, and what is kept on disk
    "training": Look("training", DARK, "s"),
    "training,_points_recorded": Look("training, points recorded", "#0072B2", "o"),
    "unlearning,_recorded_step": Look("unlearning, recorded step", "#D55E00", ">"),
    "unlearning,_ten_points": Look("unlearning, ten points", "#882255", "P"),
    "evaluation": Look("evaluation", "#E69F00", "^"),
    "gradients,_naive_loop": Look("naive loop", GREY, "X"),
    "gradients,_dense": Look("closed form, dense", "#0072B2", "o"),
    "gradients,_factors": Look("factors", "#E69F00", "^"),
    "gradients,_layer_by_layer": Look("layer by layer", "#882255", "P"),
    "kept,_points": Look("factors of every text", "#E69F00", "^"),
    "kept,_points_of_the_embedding": Look("those of the embedding", "#882255", "P"),
    "kept,_sums": Look("sum over texts", "#0072B2", "o"),
    "kept,_sums_of_the_embedding": Look("that of the embedding", "#86BFF9", "v"),
    # the layers, and the method that changes them alone
    **dict.fromkeys(("last_blocks", "last_two_blocks"), Look("last two blocks", "#999999", "d")),
}


SETS = {
    "forget": Look("forget set", "#D55E00", "o"),
    "paraphrase": Look("its paraphrases", "#E69F00", "^"),
    "heldout": Look("held-out points", "#56B4E9", "v"),
    "never_seen": Look("never-seen people", GREY, "X"),
    "retain": Look("retained people", "#0B73DA", "s"),
    "general": Look("general text", "#AA4499", "D"),
}


METRICS = {
    "answer_probability": "answer probability",
    "cloze_hit": "cloze hits (share)",
    "text_nll": "text NLL (nats a token)",
    "answer_nll": "answer NLL (nats a token)",
    "perplexity": "perplexity",
    "rouge1_f1": "ROUGE-1 F1",
    "rouge2_f1": "ROUGE-2 F1",
    "rougeL_f1": "ROUGE-L F1",
    "rougeL_recall": "ROUGE-L recall",
    "self_influence": "self-influence",
    "paraphrase_influence": "influence on its paraphrase",
    "activation_gradient": "activations × gradients",
    "curvature": "curvature along its gradient",
}


def style() -> None:
    """Set the theme of all figures."""
    sns.set_theme(
        style="ticks",
        rc={
            "figure.dpi": DPI,
            "savefig.dpi": DPI,
            "font.size": 10,
            "axes.labelsize": 10,
            "axes.titlesize": 10.5,
            "axes.titlelocation": "left",
            "axes.titlepad": 8,
            "axes.grid": True,
            "grid.color": "#E6E6E6",
            "grid.linewidth": 0.8,
            "axes.axisbelow": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": "#555555",
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "xtick.color": "#555555",
            "ytick.color": "#555555",
            "xtick.labelcolor": DARK,
            "ytick.labelcolor": DARK,
            "legend.fontsize": 9,
            "legend.frameon": False,
        },
    )


def look(name: str) -> Look:
    """Return how `name` (a model, method, layer or set) is drawn; an unknown one always gets the same spare colour."""
    known = LOOKS | SETS
    for spelled in (str(name), str(name).strip().replace(" ", "_").replace("-", "_")):
        if spelled in known:
            return known[spelled]
    number = zlib.crc32(str(name).encode())
    block = re.fullmatch(r"h\.(\d+)", str(name))  # of a model of more blocks than GPT-2
    label = f"block {int(block[1]) + 1}" if block else str(name).replace("_", " ")
    return Look(label, SPARE[number % len(SPARE)], "osD^vPX"[number // len(SPARE) % 7])


def save(figure, folder, name: str, dpi: int = DPI) -> Path:
    """Write `figure` as <folder>/<name>.png, with so many dots per inch, and return the path.

    Equal figures give equal bytes: no date, no version. A palette of few colours keeps the committed files small; it is
    by octree, because the median cut merges colours of small marks, which are what tells methods apart.
    """
    path = Path(folder) / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=dpi)
    picture = Image.open(drawn).convert("RGB")
    picture = picture.quantize(COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    picture.save(path, optimize=True)
    return path
