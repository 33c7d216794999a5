"""Which points a model is trained without: drawn by hashes, so that a draw depends on the seed and the ids alone."""

import hashlib
from collections.abc import Sequence

from unlearnlib.core.errors import UserError


def drawn(ids: Sequence[str], seed: int, what: str) -> list[str]:
    """Return the ids in a random order that `seed` and `what` fix; their order in `ids` makes no difference."""
    return sorted(ids, key=lambda name: hashlib.sha256(f"{what}|{seed}|{name}".encode()).hexdigest())


def random_halves(ids: Sequence[str], count: int, seed: int) -> list[tuple[str, ...]]:
    """Return `count` random halves of `ids`, sorted: in each, the points that are left out of training.

    They come in pairs of complements, so that every point is left out of exactly half of the models. Draw k depends on
    the seed and k alone: a larger count keeps the earlier ones. UserError for an odd count or fewer than two ids.
    """
    if count < 2 or count % 2 or len(ids) < 2:
        raise UserError(f"random halves: {count} of {len(ids)} points; give an even count and two points or more")
    halves = []
    for pair in range(count // 2):
        order = drawn(ids, seed, f"half {pair}")
        middle = len(ids) // 2
        halves += [tuple(sorted(order[:middle])), tuple(sorted(order[middle:]))]
    return halves
