"""Tiny random models of several families, and what GPT-2 calls its embeddings, for tests."""

import torch

from unlearnlib.models.linear import use_linear_layers

WTE, WPE = "transformer.wte.weight", "transformer.wpe.weight"
FAMILIES = ("gpt2", "llama tied", "llama untied", "qwen2", "gpt-neox")
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}  # grouped-query attention: two heads share keys and values


def tiny(family: str, seed: int = 0, vocabulary: int = 97, positions: int = 48):
    """Return a small model of a family as it is after loading: in eval mode, with linear layers."""
    return use_linear_layers(untouched(family, seed, vocabulary, positions))


def untouched(family: str, seed: int = 0, vocabulary: int = 97, positions: int = 48):
    """Return a small model of a family as transformers makes it: in eval mode, random in every parameter."""
    import transformers

    names = {"vocab_size": vocabulary, "max_position_embeddings": positions, "bos_token_id": 0, "eos_token_id": 0}
    shape = {"hidden_size": 32, "num_hidden_layers": 3}
    wide = {**names, **shape, "intermediate_size": 48}
    config = {
        "gpt2": lambda: transformers.GPT2Config(
            n_embd=32, n_layer=3, n_head=2, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0, **names
        ),
        "openai-gpt": lambda: transformers.OpenAIGPTConfig(n_embd=32, n_layer=3, n_head=2, **names),
        "llama tied": lambda: transformers.LlamaConfig(tie_word_embeddings=True, num_attention_heads=4, **wide),
        "llama untied": lambda: transformers.LlamaConfig(tie_word_embeddings=False, **HEADS, **wide),
        "qwen2": lambda: transformers.Qwen2Config(tie_word_embeddings=False, **HEADS, **wide),
        "gpt-neox": lambda: transformers.GPTNeoXConfig(num_attention_heads=4, **wide),
        "phi": lambda: transformers.PhiConfig(num_attention_heads=4, **wide),
        "qwen3": lambda: transformers.Qwen3Config(head_dim=8, **HEADS, **wide),
        "mixtral": lambda: transformers.MixtralConfig(num_local_experts=2, **HEADS, **wide),
        "opt": lambda: transformers.OPTConfig(
            ffn_dim=48, num_attention_heads=4, dropout=0.0, word_embed_proj_dim=32, **names, **shape
        ),
    }[family]()
    torch.manual_seed(seed)
    attention = "eager" if family == "openai-gpt" else "sdpa"  # a family without the fast one
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()
    with torch.no_grad():  # biases start at zero and gains at one: move them, or half the formulas go untested
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return model


def naive(model, ids) -> dict[str, torch.Tensor]:
    """One text's gradient by plain autograd: no padding, no hooks, its own mean token loss."""
    tokens = torch.tensor([ids])
    loss = torch.nn.functional.cross_entropy(model(tokens).logits[0, :-1], tokens[0, 1:])
    names, parameters = zip(*model.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))


def relative_error(one, other) -> float:
    return float((one - other).norm() / other.norm().clamp(min=1e-12))
