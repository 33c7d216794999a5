"""Loading a causal language model and its tokenizer, of any family."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from unlearnlib.core import paths
from unlearnlib.core.errors import UserError, nearest
from unlearnlib.models import packaged
from unlearnlib.models.anatomy import anatomy
from unlearnlib.models.linear import use_linear_layers

ATTENTION = ("sdpa", "eager")


def device(name: str) -> torch.device:
    """Return the torch device for `cpu`, `cuda` or `auto`; UserError for another name or a CUDA device not there."""
    if name not in ("cpu", "cuda", "auto"):
        raise UserError(f"no device {name!r}: {nearest(name, ['cpu', 'cuda', 'auto'])}")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device cuda: no CUDA device is visible to torch; set `device: cpu` in the profile")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def load(name: str, attention: str = "sdpa", on: str = "cpu"):
    """Return (model, tokenizer) of a causal language model in a local folder or on the model hub.

    A relative folder is looked up in the repository first; `packaged:NAME` is a model that a package brings along (see
    unlearnlib.models.packaged), converted at its first use. Whatever the weights are kept in (bfloat16, several files),
    the model is in float32, in eval mode, with every dropout at zero: recorded gradients, replay and influence all need
    a deterministic loss. GPT-2's transposed layers are ordinary linear ones (see unlearnlib.models.linear). `attention`
    is `sdpa` (fast; `eager` in a family without it) or `eager` (needed for second derivatives on the CPU). Raises
    UserError in one line where the folder or the hub has no model that can be used, and says why.
    """
    from transformers import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        AutoConfig,
        AutoModelForCausalLM,
        AutoTokenizer,
        GenerationConfig,
    )

    where = device(on)
    if attention not in ATTENTION:
        raise UserError(f"no attention {attention!r}: {nearest(attention, ATTENTION)}")
    if packaged.known(name):
        folder = packaged.folder(name)
    else:
        folder = next((path for path in (paths.ROOT / name, Path(name)) if path.is_dir()), None)
    if folder:
        _check_folder(folder)
    elif os.sep in name and not _looks_like_hub_name(name):
        raise UserError(f"no model folder {name!r}: give one that save_pretrained() wrote, or a hub name like gpt2")
    source, problem = str(folder or name), None if folder else _hub_problem(name)
    local = problem is not None
    try:
        with quiet():
            config = _deterministic(AutoConfig.from_pretrained(source, local_files_only=local))
            kind = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
            if attention == "sdpa" and not getattr(kind, "_supports_sdpa", True):
                attention = "eager"  # a family without the fast one
            model, loading = AutoModelForCausalLM.from_pretrained(
                source,
                config=config,
                dtype=torch.float32,
                attn_implementation=attention,
                local_files_only=local,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
            tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local)
    except Exception as error:  # transformers, safetensors and tokenizers each raise kinds of their own
        trouble = "the folder is damaged" if folder else "the hub has it, but not as a causal language model to be read"
        if problem is not None:
            trouble = "it is not in the local cache, and the model hub cannot be reached or has no such model"
        raise UserError(
            f"cannot load {name!r}: {trouble}; save a model and its tokenizer with save_pretrained() to a folder and "
            f"name that folder as base_model in the profile ({_first_line(problem or error)})"
        ) from error
    absent = sorted([*loading["missing_keys"], *(key for key, *_ in loading["mismatched_keys"])])
    if absent:
        # transformers would fill such weights with random numbers and go on.
        raise UserError(
            f"{name!r}: {len(absent)} of the weights that its config.json asks for are missing or of another shape, "
            f"such as {absent[0]}; save model and config together with save_pretrained()"
        )
    if not isinstance(getattr(config, "max_position_embeddings", None), int):
        raise UserError(
            f"{name!r}: a {type(model).__name__} does not say how many positions it has: name another model"
        )
    _check_tokenizer(name, tokenizer, config)
    anatomy(model)  # its parts have names, or it cannot be used
    tokenizer.model_max_length = config.max_position_embeddings  # some tokenizers are saved without it
    own = model.generation_config  # whatever else its authors prefer: what is written here is told by its caller
    model.generation_config = GenerationConfig(bos_token_id=own.bos_token_id, eos_token_id=own.eos_token_id)
    return use_linear_layers(model).eval().to(where), tokenizer


def _deterministic(config):
    """Return the settings of a model without dropout, and with the fastest of equal activations."""
    for name, value in config.to_dict().items():
        if "drop" in name and isinstance(value, float):
            setattr(config, name, 0.0)
    if getattr(config, "activation_function", None) == "gelu_new":
        # The same function as GPT-2's gelu_new, fused: about 15% faster on the CPU.
        config.activation_function = "gelu_pytorch_tanh"
    return config


def _check_tokenizer(name: str, tokenizer, config) -> None:
    if (tokenizer.bos_token_id, tokenizer.eos_token_id) == (None, None):
        raise UserError(
            f"{name!r}: its tokenizer has no token for the beginning or the end of a text (end-of-text "
            f"{tokenizer.eos_token!r}); save the tokenizer that the model was trained with there"
        )
    if len(tokenizer) > config.vocab_size:
        raise UserError(
            f"{name!r}: the tokenizer ({len(tokenizer)} tokens, end-of-text {tokenizer.eos_token!r}) is not that of "
            f"the model ({config.vocab_size} tokens); save the tokenizer that the model was trained with there"
        )


def check_positions(model, max_tokens: int) -> None:
    """Raise UserError where a profile allows longer texts than the model has positions for."""
    positions = model.config.max_position_embeddings
    if max_tokens > positions:
        raise UserError(
            f"max_tokens is {max_tokens}, but the model has {positions} positions: set max_tokens to {positions} or "
            "less in the profile, or name another base_model"
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' progress bars and its report of missing weights (load checks them) off the screen."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _hub_problem(name: str) -> Exception | None:
    """Return why the hub does not offer this model, or None where it does.

    One request, asked first: without a network from_pretrained tries again for half a minute, file by file, before it
    turns to the cache.
    """
    from huggingface_hub import HfApi

    try:
        HfApi().model_info(name, timeout=10)
    except Exception as error:  # whatever it is, the local cache is what is left
        return error
    return None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


def _looks_like_hub_name(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith((".", "/", "~", "data/", "runs/"))


def _causal() -> set[str]:
    """Return the kinds of models (model_type) that transformers can load as causal language models."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def _check_folder(folder: Path) -> None:
    config = folder / "config.json"
    if not config.is_file():
        raise UserError(f"{folder}: no config.json in this folder; name a folder that save_pretrained() wrote")
    try:
        kind = dict(json.loads(config.read_text())).get("model_type")
    except (ValueError, TypeError) as error:
        raise UserError(f"{config}: not a JSON object ({_first_line(error)}); save the model again") from error
    if kind not in _causal():
        raise UserError(f"{folder}: a {kind!r} (model_type) is no causal language model that transformers knows")
    if not any(folder.glob("*.safetensors")) and not any(folder.glob("pytorch_model*.bin")):
        raise UserError(f"{folder}: no weights (model.safetensors) in this folder; save the model again")
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json", "tokenizer.model")):
        raise UserError(f"{folder}: no tokenizer (tokenizer.json) in this folder; save the tokenizer there too")
