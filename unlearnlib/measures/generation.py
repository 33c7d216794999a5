"""What a model writes."""

from collections.abc import Sequence

import pandas as pd
import torch

from unlearnlib.data.examples import Examples
from unlearnlib.measures.similarity import rouge


@torch.no_grad()
def continuations(
    model, prompts: Sequence[Sequence[int]], lengths: Sequence[int], seed: int | None = None
) -> list[list[int]]:
    """Return, for each prompt, `lengths[i]` tokens: those of greedy decoding, or with a `seed` sampled ones.

    Fewer where the model has no position left for more.
    """
    where, positions = next(model.parameters()).device, model.config.max_position_embeddings
    if max(map(len, prompts)) + max(lengths) - 1 > positions:
        lengths = [min(length, positions + 1 - len(prompt)) for prompt, length in zip(prompts, lengths, strict=True)]
        if len(prompts) > 1:  # all of a batch write as much as the longest: each alone stops at its own end
            return [
                continuations(model, [prompt], [length], None if seed is None else seed + row)[0]
                for row, (prompt, length) in enumerate(zip(prompts, lengths, strict=True))
            ]
    width = max(map(len, prompts))
    tokens = torch.zeros(len(prompts), width, dtype=torch.long)
    mask = torch.zeros(len(prompts), width, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        tokens[row, width - len(prompt) :] = torch.tensor(list(prompt))
        mask[row, width - len(prompt) :] = 1
    with torch.random.fork_rng(devices=[where] if where.type == "cuda" else []):
        torch.manual_seed(seed or 0)
        written = model.generate(
            tokens.to(where),
            attention_mask=mask.to(where),
            max_new_tokens=max(lengths),
            **({"do_sample": False} if seed is None else {"do_sample": True, "top_k": 0}),
            pad_token_id=0,  # what stands before a prompt is not attended to
            # An end-of-text token must not stop a row early, which is cut at its own reference's end: so the token that
            # would stop it is one that the model has not, and never writes.
            eos_token_id=model.config.vocab_size,
        )[:, width:]
    return [row[:length].tolist() for row, length in zip(written.cpu(), lengths, strict=True)]


def generations(model, tokenizer, sets: dict[str, Examples], batch_size: int = 64) -> pd.DataFrame:
    """Return rows (set, example, prompt, reference, generation): greedy decoding, cut at the reference's end."""
    rows = []
    for name, examples in sets.items():
        prompts = [question.prompt for question in examples.questions]
        references = [text[len(prompt) :] for text, prompt in zip(examples.texts, prompts, strict=True)]
        written: dict[int, list[int]] = {}
        # Texts with as much to write share a batch: nobody writes on for the sake of the longest.
        order = sorted(range(len(prompts)), key=lambda row: len(references[row]))
        for first in range(0, len(order), batch_size):
            group = order[first : first + batch_size]
            lengths = [len(references[row]) for row in group]
            written |= zip(group, continuations(model, [prompts[row] for row in group], lengths), strict=True)
        for row, (prompt, reference) in enumerate(zip(prompts, references, strict=True)):
            texts = (tokenizer.decode(tokens).strip() for tokens in (reference, written[row]))
            rows.append((name, examples.names[row], tokenizer.decode(prompt[1:]), *texts))
    return pd.DataFrame(rows, columns=["set", "example", "prompt", "reference", "generation"])


def rouge_rows(written: pd.DataFrame) -> pd.DataFrame:
    """Return tidy rows (set, example, metric, value) with ROUGE-1/2/L precision, recall and F1 (1 is best)."""
    scores = rouge(written["generation"].tolist(), written["reference"].tolist())
    wide = pd.concat([written[["set", "example"]].reset_index(drop=True), scores.reset_index(drop=True)], axis=1)
    return wide.melt(id_vars=["set", "example"], var_name="metric", value_name="value")
