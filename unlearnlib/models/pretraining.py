"""The recipe of the shipped base model: tokenizer and language model, from text that a generator makes."""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import torch
from tqdm import tqdm

END_OF_TEXT = "<|endoftext|>"


@dataclass(frozen=True)
class Recipe:
    """Everything that fixes the base model; the shipped one was made with these defaults."""

    seed: int = 0
    vocabulary: int = 4096
    tokenizer_documents: int = 20_000
    blocks: int = 12
    width: int = 128
    heads: int = 4
    positions: int = 128
    block_tokens: int = 96
    batch_size: int = 16
    steps: int = 2400
    learning_rate: float = 2.0e-3
    warmup_steps: int = 100
    weight_decay: float = 0.01
    threads: int = 1


def train_tokenizer(documents: Iterator[str], recipe: Recipe):
    """Return a byte-level BPE tokenizer (GPT-2's kind) trained on the first documents of the stream."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import GPT2TokenizerFast

    trainer = ByteLevelBPETokenizer()
    trainer.train_from_iterator(
        itertools.islice(documents, recipe.tokenizer_documents),
        vocab_size=recipe.vocabulary,
        min_frequency=2,
        special_tokens=[END_OF_TEXT],
        show_progress=False,
    )
    return GPT2TokenizerFast(
        tokenizer_object=trainer._tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        unk_token=END_OF_TEXT,
        model_max_length=recipe.positions,
    )


def token_blocks(documents: Iterator[str], tokenizer, recipe: Recipe) -> Iterator[torch.Tensor]:
    """Yield int64 [batch_size, block_tokens] of the packed stream, an end-of-text token before every document."""
    need = recipe.batch_size * recipe.block_tokens
    buffer: list[int] = []
    for document in documents:
        buffer += [tokenizer.eos_token_id, *tokenizer(document, verbose=False)["input_ids"]]
        while len(buffer) >= need:
            yield torch.tensor(buffer[:need]).view(recipe.batch_size, recipe.block_tokens)
            buffer = buffer[need:]


def pretrain(
    folder: Path,
    documents: Callable[[int], Iterator[str]],
    recipe: Recipe | None = None,
) -> pd.DataFrame:
    """Train tokenizer and model on `documents(seed)`, save both in `folder`, and return the log (step, tokens, loss).

    `loss` is the mean -log p a token of the step's own batch, never seen before: it is an estimate on held-out text.
    The log, the recipe and the seconds it took stand beside the model.
    """
    from transformers import GPT2Config, GPT2LMHeadModel

    recipe = recipe or Recipe()
    folder.mkdir(parents=True, exist_ok=True)
    before = torch.get_num_threads()
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    tokenizer = train_tokenizer(documents(recipe.seed), recipe)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=recipe.positions,
        n_embd=recipe.width,
        n_layer=recipe.blocks,
        n_head=recipe.heads,
        attn_pdrop=0.0,
        embd_pdrop=0.0,
        resid_pdrop=0.0,
        activation_function="gelu_pytorch_tanh",
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = GPT2LMHeadModel(config)
    decay = [value for value in model.parameters() if value.ndim > 1]
    rest = [value for value in model.parameters() if value.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": recipe.weight_decay}, {"params": rest, "weight_decay": 0.0}],
        lr=recipe.learning_rate,
        betas=(0.9, 0.98),
        fused=True,
    )
    # The tokenizer saw the first documents of the stream; the model reads on from the start, once.
    stream = token_blocks(documents(recipe.seed), tokenizer, recipe)
    rows, begun = [], time.perf_counter()
    for step in tqdm(range(recipe.steps), desc="pretraining", unit="step"):
        tokens = next(stream)
        fraction = max(0.0, (recipe.steps - step) / recipe.steps)
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * min((step + 1) / recipe.warmup_steps, fraction)
        logits = model(tokens).logits
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        rows.append((step, (step + 1) * tokens.numel(), float(loss.detach())))
    torch.set_num_threads(before)
    log = pd.DataFrame(rows, columns=["step", "tokens", "loss"])
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    log.groupby(log["step"] // 20 * 20).agg(tokens=("tokens", "max"), loss=("loss", "mean")).to_csv(folder / "log.csv")
    record = {**asdict(recipe), "seconds": round(time.perf_counter() - begun), "torch": torch.__version__}
    (folder / "recipe.json").write_text(json.dumps(record, indent=1) + "\n")
    return log
