"""Topologies against networkx and linear algebra: degrees, connectedness, and what a mix by their weights does."""

from __future__ import annotations

import networkx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedprivacy.wire.graph import Graph, canonical, graph


def matrix(made: Graph) -> NDArray[np.float64]:
    """The mixing matrix [nodes, nodes]."""
    found = np.zeros((made.nodes, made.nodes))
    for node in range(made.nodes):
        weights = made.weights(node)
        for peer, weight in weights.items():
            found[node, peer] = weight
        found[node, node] = 1 - sum(weights.values())
    return found


def drawn(made: Graph) -> networkx.Graph:
    other = networkx.Graph()
    other.add_nodes_from(range(made.nodes))
    other.add_edges_from(made.edges)
    return other


@pytest.mark.parametrize("nodes", [1, 2, 3, 5, 8, 13])
def test_named_topologies_are_those_of_the_textbook(nodes: int) -> None:
    same = [
        ("star", networkx.star_graph(nodes - 1)),
        ("full", networkx.complete_graph(nodes)),
    ]
    if nodes > 2:
        same.append(("ring", networkx.cycle_graph(nodes)))
    for name, expected in same:
        assert graph(name, nodes).edges == {tuple(sorted(edge)) for edge in expected.edges}
    assert graph("ring", 2).edges == {(0, 1)} and not graph("ring", 1).edges


@pytest.mark.parametrize(("topology", "nodes", "degree"), [("random-regular", 9, 4), ("random-regular:3", 10, 3)])
def test_a_random_regular_graph_is_regular_connected_and_always_the_same(
    topology: str, nodes: int, degree: int
) -> None:
    made = graph(topology, nodes)
    assert {len(made.neighbours(node)) for node in range(nodes)} == {degree}
    assert networkx.is_connected(drawn(made))
    graph.cache_clear()
    assert graph(topology, nodes) == made
    assert made.edges != graph("ring", nodes).edges


@pytest.mark.parametrize("nodes", range(1, 9))
def test_the_usual_degree_fits_any_number_of_clients(nodes: int) -> None:
    made = graph("random-regular", nodes)
    degrees = {len(made.neighbours(node)) for node in range(nodes)}
    assert len(degrees) == 1 and max(degrees) <= min(4, nodes - 1)


@given(st.integers(2, 12), st.data())
def test_mixing_keeps_the_mean_and_contracts_by_the_spectral_gap(nodes: int, data: st.DataObject) -> None:
    """``||X' - mean|| <= lambda_2 ||X - mean||`` (Xiao and Boyd 2004, Fast linear iterations, section 2)."""
    tree = {(data.draw(st.integers(0, node - 1)), node) for node in range(1, nodes)}
    more = data.draw(st.sets(st.tuples(st.integers(0, nodes - 1), st.integers(0, nodes - 1)), max_size=10))
    edges = tree | {(min(pair), max(pair)) for pair in more if pair[0] != pair[1]}
    made = graph(" ".join(f"{a}-{b}" for a, b in sorted(edges)), nodes)
    mix = matrix(made)
    np.testing.assert_allclose(mix, mix.T)
    np.testing.assert_allclose(mix.sum(axis=0), 1)
    assert (mix >= 0).all() and (np.diag(mix) > 0).all()
    second = np.sort(np.abs(np.linalg.eigvalsh(mix)))[-2]
    assert second < 1
    values = np.random.default_rng(nodes).normal(size=(nodes, 5))
    apart, mean = np.linalg.norm(values - values.mean(axis=0)), values.mean(axis=0)
    mixed = mix @ values
    np.testing.assert_allclose(mixed.mean(axis=0), mean, atol=1e-12)
    assert np.linalg.norm(mixed - mean) <= second * apart + 1e-12


def test_where_everybody_hears_everybody_one_mix_is_the_mean() -> None:
    np.testing.assert_allclose(matrix(graph("full", 7)), 1 / 7)


def test_edges_are_read_in_any_usual_form() -> None:
    for text in ("0-1 1-2", "0 1\n1 2\n", "0,1\n2,1  # both ways\n1 2\n", "1-0\n2-1"):
        assert canonical(text) == "0-1 1-2"


@pytest.mark.parametrize(
    ("topology", "words"),
    [
        ("rign", "'rign' is no edge"),
        ("random-regular:x", "no edge"),
        ("0-1 1", "'1' is no edge"),
        ("0 -1\n0 1", "'0 -1' is no edge"),
        ("0 -1", "'0' is no edge between two clients \\(in '0 -1'\\)"),
        ("0-0", "no edge"),
        ("# nothing\n", "no edges"),
    ],
)
def test_what_is_neither_a_name_nor_edges_is_told(topology: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        canonical(topology)


@pytest.mark.parametrize(
    ("topology", "words"),
    [
        ("0-1 1-7", "names client 7, and there are 4 clients"),
        ("0-1 2-3", "client 2 and client 0 never hear of each other"),
        ("random-regular:5", "no connected graph of 4 clients has 5 neighbours each"),
        ("random-regular:1", "no connected graph"),
    ],
)
def test_what_does_not_fit_the_clients_is_told(topology: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        graph(topology, 4)
