"""Named seeds: independent of order, of each other, and of the ambient stream."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedprivacy import seeds

names = st.lists(st.one_of(st.integers(0, 9), st.text(max_size=4)), min_size=1, max_size=3)


@given(st.integers(0, 2**40), names, names)
def test_different_names_give_different_seeds(root: int, one: list[str | int], other: list[str | int]) -> None:
    same = [(type(a), a) for a in one] == [(type(b), b) for b in other]
    assert (seeds.value(root, *one) == seeds.value(root, *other)) == same


def test_values_are_fixed_for_ever() -> None:
    """A changed value would silently change every published number."""
    assert seeds.value(0, "client", 3, "round", 7) == 6339717217560240598
    assert seeds.value(0, "a") != seeds.value(1, "a")


def test_generators_repeat() -> None:
    draws = [torch.rand(4, generator=seeds.generator(5, "x")) for _ in range(2)]
    assert torch.equal(*draws)
    assert (seeds.numpy_generator(5, "x").random(3) == seeds.numpy_generator(5, "x").random(3)).all()


def test_a_scope_repeats_and_leaves_the_ambient_stream_alone() -> None:
    state = torch.random.get_rng_state()
    drawn = []
    for _ in range(2):
        with seeds.torch_scope(1, "dropout"):
            drawn.append(torch.nn.functional.dropout(torch.ones(64), 0.5))
    assert torch.equal(*drawn)
    assert torch.equal(state, torch.random.get_rng_state())


def test_streams_of_two_names_are_uncorrelated() -> None:
    one = seeds.numpy_generator(0, "client", 1).standard_normal(20_000)
    other = seeds.numpy_generator(0, "client", 2).standard_normal(20_000)
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.03
