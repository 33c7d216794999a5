"""Models of known dimensions without trained weights: for what depends on shapes alone, such as time and room."""

import torch

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.models.linear import use_linear_layers

POSITIONS = 256  # of the models that are measured; the others have those of their authors


def _gpt2(blocks: int, width: int, heads: int, vocabulary: int = 2048, positions: int = POSITIONS) -> dict:
    return {
        "vocab_size": vocabulary, "n_positions": positions, "n_embd": width, "n_layer": blocks, "n_head": heads,
        "attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0, "activation_function": "gelu_pytorch_tanh",
        "bos_token_id": 0, "eos_token_id": 0,
    }  # fmt: skip


def _llama(blocks: int, width: int, heads: int, keys: int, inner: int, vocabulary: int, tied: bool) -> dict:
    return {
        "vocab_size": vocabulary, "hidden_size": width, "num_hidden_layers": blocks, "num_attention_heads": heads,
        "num_key_value_heads": keys, "intermediate_size": inner, "max_position_embeddings": POSITIONS,
        "tie_word_embeddings": tied, "bos_token_id": 0, "eos_token_id": 0,
    }  # fmt: skip


# The settings of each model by its number of parameters; 3M is the shape of the shipped base model, 124M and 1.5B are
# GPT-2 and its largest sibling, 135M has the dimensions of SmolLM2-135M and 7B those of Llama 2 7B.
SHAPES: dict[str, tuple[str, dict]] = {
    "0.1M": ("GPT-2", _gpt2(3, 32, 2, vocabulary=1024)),
    "0.3M": ("GPT-2", _gpt2(5, 56, 2)),
    "1M": ("GPT-2", _gpt2(8, 96, 3)),
    "3M": ("GPT-2", _gpt2(12, 128, 4)),
    "10M": ("GPT-2", _gpt2(12, 256, 8)),
    "30M": ("GPT-2", _gpt2(12, 448, 7)),
    "124M": ("GPT-2", _gpt2(12, 768, 12, vocabulary=50257, positions=1024)),
    "135M": ("Llama", _llama(30, 576, 9, 3, 1536, vocabulary=49152, tied=True)),
    "1.5B": ("GPT-2", _gpt2(48, 1600, 25, vocabulary=50257, positions=1024)),
    "7B": ("Llama", _llama(32, 4096, 32, 32, 11008, vocabulary=32000, tied=False)),
}


def family_of(name: str) -> str:
    """Return the family of a shape, GPT-2 or Llama; UserError, with the nearest, for an unknown name."""
    if name not in SHAPES:
        raise UserError(f"no model of {name!r} parameters: {nearest(name, SHAPES)}")
    return SHAPES[name][0]


def build(name: str, device: str = "cpu", seed: int = 0):
    """Return the model of a shape with random weights, in float32, without dropout, its layers linear as after loading.

    On the device "meta" it has shapes and no values: that takes no memory, and layers and factors can be counted.
    UserError for an unknown name.
    """
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM  # importing them takes seconds

    configs = {"GPT-2": (GPT2Config, GPT2LMHeadModel), "Llama": (LlamaConfig, LlamaForCausalLM)}
    config, kind = configs[family_of(name)]
    torch.manual_seed(seed)
    with torch.device(device):
        return use_linear_layers(kind(config(**SHAPES[name][1])).eval())
