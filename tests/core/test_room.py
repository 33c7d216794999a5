"""Memory that is no longer used goes back to the system, where the C library can give it back."""

import ctypes

import psutil
import pytest
import torch

from unlearnlib.core import room

COUNT, SIZE = 200, 1 << 20  # tensors, bytes


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="a C library that gives nothing back")
def test_what_is_no_longer_used_is_given_back():
    """Tensors lie side by side; where one of them stays, what is freed before it stays with the process too."""
    process = psutil.Process()
    freed = torch.ones(8 * SIZE)  # teaches the allocator that such sizes come again, which it then keeps
    del freed
    tensors = [torch.ones(SIZE // 4) for _ in range(COUNT)]
    last = tensors[-1]
    del tensors
    before = process.memory_info().rss
    room.give_back()
    assert before - process.memory_info().rss > COUNT * SIZE / 2
    assert float(last.sum()) == SIZE // 4
