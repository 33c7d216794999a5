"""Quark: the model's own samples, sorted by a reward, read behind a token that says how good they are."""

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from unlearnlib.core.errors import UserError
from unlearnlib.data import batches
from unlearnlib.methods.losses import Batch, divergence_between, not_negative, positive
from unlearnlib.methods.path import Path
from unlearnlib.methods.request import Request
from unlearnlib.methods.trained import Steps, trained


def quark(
    request: Request,
    quantiles: int = 2,
    kl_weight: float = 0.05,
    entropy_weight: float = 0.06,
    retain_weight: float = 1.0,
    temperature: float = 1.5,
    sample_every: int = 8,
    learning_rate: float = 2e-4,
    steps: int = 48,
    every: int = 3,
    batch_size: int = 8,
) -> Path:
    """Return the path that learns to tell its own samples apart by their reward: -log p(sample | token of its quantile,
    prompt) + kl_weight * KL(model || start) - entropy_weight * entropy, a mean over the sample's tokens.

    Lu et al., "Quark" (2022, arXiv 2205.13636), which lowers what a reward names, such as toxicity; here the reward of
    a sample is how much of the true text it lacks. The prompt is the first half of a text to forget. Every few steps
    the model writes on, behind the best token, and the sample goes into a pool, whose rewards are parted into
    `quantiles`. What differs: two quantiles, few rounds and no classifier; the tokens are ones that no text uses, since
    a new row of the vocabulary would be no change of the parameters; a temperature above 1 in sampling, for a model
    that knows a text by heart would write nothing else; and retain_weight * KL(start || model) on retained texts, which
    have no reward.

    The models of the path are asked as all others are, without the token; it is meant to be asked with it (tokens_of,
    and behind). UserError for fewer than two quantiles, and where no tokens are left for them.
    """
    positive("temperature", temperature)
    for name, value in (("kl_weight", kl_weight), ("entropy_weight", entropy_weight), ("retain_weight", retain_weight)):
        not_negative(name, value)
    tokens = tokens_of(request, quantiles)
    if sample_every < 1:
        raise UserError(f"sample_every {sample_every}: give a number of steps from 1 on")
    pool = Pool(tokens, temperature)

    def first():
        pool.begin(request.seed)  # a training that is begun again samples the same again
        return copy.deepcopy(request.start)

    def loss(model, forget, retained):
        if pool.asked % sample_every == 0:
            pool.write(model, list(request.forget.values()), fresh=not pool.asked)
        pool.asked += 1
        drawn = [pool.draw(text) for text in forget]
        learnt, near, entropy = of_samples(model, request.start, drawn)
        held = divergence_between(request.start, model, retained)
        return learnt + kl_weight * near - entropy_weight * entropy + retain_weight * held

    how = Steps(steps, every, batch_size, learning_rate)
    return trained(request, loss, how, request.retain, "Quark", first=first)


def tokens_of(request: Request, quantiles: int = 2) -> list[int]:
    """Return the tokens that stand for the quantiles, the best one first: the last ones of the vocabulary that no text
    of the request has. UserError where there are too few."""
    if quantiles < 2:
        raise UserError(f"{quantiles} quantiles tell nothing apart: give 2 or more")
    used = {token for texts in (request.forget, request.retain) for text in texts.values() for token in text}
    unused = [token for token in reversed(range(request.start.config.vocab_size)) if token not in used]
    if len(unused) < quantiles:
        raise UserError(f"{len(unused)} tokens that no text uses: {quantiles} quantiles need one each")
    return unused[:quantiles]


def behind(token: int, text: Sequence[int]) -> list[int]:
    """Return a text with this token behind its first one, which begins every text."""
    return [*text[:1], token, *text[1:]]


def reward(sample: Sequence[int], truth: Sequence[int]) -> float:
    """Return the share of the true tokens that a sample lacks, each as often as it stands there: 1 is best, and 0 the
    whole text."""
    found = Counter(sample) & Counter(truth)
    return 1 - sum(found.values()) / len(truth)


@dataclass(frozen=True)
class Sample:
    """What a model wrote on the first half of a text, and its reward."""

    prompt: tuple[int, ...]
    written: tuple[int, ...]
    reward: float


@dataclass
class Pool:
    """The samples so far by the text that they write on, and who draws from them; `asked`: how many losses so far."""

    tokens: list[int]
    temperature: float
    generator: torch.Generator = field(default_factory=torch.Generator)
    samples: dict[tuple[int, ...], list[Sample]] = field(default_factory=dict)
    asked: int = 0

    def begin(self, seed: int) -> None:
        """Forget all samples, and draw from the seed again."""
        self.generator.manual_seed(seed)
        self.samples.clear()
        self.asked = 0

    def write(self, model, texts: Batch, fresh: bool) -> None:
        """Have the model write on every text, behind the best token unless it is `fresh`, and keep what it writes."""
        prompts = [text[: max(1, len(text) // 2)] for text in texts]
        given = [prompt if fresh else behind(self.tokens[0], prompt) for prompt in prompts]
        lengths = [len(text) - len(prompt) for text, prompt in zip(texts, prompts, strict=True)]
        for text, prompt, written in zip(texts, prompts, self._sampled(model, given, lengths), strict=True):
            found = Sample(tuple(prompt), tuple(written), reward(written, text[len(prompt) :]))
            self.samples.setdefault(tuple(text), []).append(found)

    @torch.no_grad()
    def _sampled(self, model, prompts: Batch, lengths: Sequence[int]) -> list[list[int]]:
        device, written = next(model.parameters()).device, [list(prompt) for prompt in prompts]
        for step in range(max(lengths)):
            tokens, ends = batches.pad(written)
            logits = model(tokens.to(device)).logits[torch.arange(len(written)), ends - 1].float().cpu()
            drawn = torch.multinomial((logits / self.temperature).softmax(1), 1, generator=self.generator)[:, 0]
            for row, token in enumerate(drawn.tolist()):
                if step < lengths[row]:
                    written[row].append(token)
        return [one[len(prompt) :] for one, prompt in zip(written, prompts, strict=True)]

    def token(self, sample: Sample) -> int:
        """Return the token of a sample's quantile among all rewards. Equal rewards have the same, that of the middle of
        their ranks: where most samples are the text itself, they are not called the best."""
        rewards = [one.reward for of in self.samples.values() for one in of]
        better = sum(one > sample.reward for one in rewards)
        place = (better + rewards.count(sample.reward) / 2) / len(rewards)
        return self.tokens[min(int(place * len(self.tokens)), len(self.tokens) - 1)]

    def draw(self, text: Sequence[int]) -> tuple[int, Sample]:
        """Return one of the samples that write on a text, with its token."""
        known = self.samples[tuple(text)]
        sample = known[int(torch.randint(len(known), (1,), generator=self.generator))]
        return self.token(sample), sample


def of_samples(model, start, drawn: Sequence[tuple[int, Sample]]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return three means over samples of means over their tokens, in nats: -log p behind the token, KL(model || start)
    where the start reads no token, and the entropy of the model."""
    seen = [behind(token, [*sample.prompt, *sample.written]) for token, sample in drawn]
    plain = [[*sample.prompt, *sample.written] for _, sample in drawn]
    ours = _where(model, seen, [len(sample.prompt) for _, sample in drawn])
    with torch.no_grad():
        theirs = _where(start, plain, [len(sample.prompt) - 1 for _, sample in drawn])
    learnt, near, entropy = [], [], []
    for mine, other, (_, sample) in zip(ours, theirs, drawn, strict=True):
        tokens = torch.tensor(sample.written, device=mine.device)[:, None]
        p = mine.exp()
        learnt.append(-mine.gather(1, tokens).mean())
        near.append((p * (mine - other)).sum(1).mean())
        entropy.append(-(p * mine).sum(1).mean())
    return torch.stack(learnt).mean(), torch.stack(near).mean(), torch.stack(entropy).mean()


def _where(model, texts: Batch, firsts: Sequence[int]) -> list[torch.Tensor]:
    """Return log-probabilities [tokens, vocabulary] of each text's tokens behind place `firsts`."""
    tokens, lengths = batches.pad(texts)
    log_p = model(tokens.to(next(model.parameters()).device)).logits.log_softmax(-1)
    return [log_p[row, first : int(lengths[row]) - 1] for row, first in enumerate(firsts)]
