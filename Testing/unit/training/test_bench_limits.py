"""What the bench counts of a piece of work, against work whose counts are known on paper."""

from __future__ import annotations

import pytest
import torch

from Testing.bench.limits import Limits, Work, work_of


def test_a_matrix_product_reads_two_matrices_and_writes_one() -> None:
    one, other = torch.ones(200, 300), torch.ones(300, 100)
    assert work_of(lambda: one @ other) == Work(2 * 200 * 300 * 100, 4 * (200 * 300 + 300 * 100 + 200 * 100))


def test_the_way_back_is_counted_too() -> None:
    square = torch.ones(100, 100, requires_grad=True)
    assert work_of(lambda: (square @ square).sum().backward()).flops == 3 * 2 * 100**3


def test_views_and_new_memory_move_nothing_and_a_copy_moves_twice_its_bytes() -> None:
    table = torch.ones(100, 50)
    assert work_of(lambda: table.T[3:].view(47, 100)).traffic == 0
    assert work_of(lambda: torch.empty(1000)).traffic == 0
    assert work_of(table.clone).traffic == 2 * 4 * 100 * 50
    assert work_of(lambda: table.T.reshape(-1)).traffic == 2 * 4 * 100 * 50


def test_shares_are_of_the_limits_in_the_time_it_took() -> None:
    said = Work(flops=1e12, traffic=50e9).beside(10.0, Limits(flops=200e9, bandwidth=20e9))
    assert said == "1.00 TFLOP, 50% of the limit; 50 GB through memory, 25%"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_bytes_go_by_the_type(dtype: torch.dtype) -> None:
    values = torch.ones(64, dtype=dtype)
    assert work_of(lambda: values + 1).traffic == 2 * 64 * dtype.itemsize
