"""Who hears whom where there is no server: an undirected graph over the clients. Importing this costs no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

NAMES = ("ring", "star", "full", "random-regular")
DEGREE = 4
"""Neighbours in a random regular graph, unless another number is asked for."""

LONGEST_NAME = 4095
"""Characters of the longest path of a file; a longer text is a list of edges."""

Edge = tuple[int, int]

EDGE = re.compile(r"([0-9]+)(?:-|\s+-\s+|\s*,\s*|\s+)([0-9]+)")
"""Two clients, as 0-1, 0 - 1, 0,1 or 0 1; what reads as a negative number is none."""


@dataclass(frozen=True)
class Graph:
    """``edges``: pairs of clients, the lower number first; whoever stands in one hears the other."""

    nodes: int
    edges: frozenset[Edge]

    @cached_property
    def _adjacent(self) -> Mapping[int, tuple[int, ...]]:
        found: dict[int, list[int]] = {node: [] for node in range(self.nodes)}
        for one, other in sorted(self.edges):
            found[one].append(other)
            found[other].append(one)
        return {node: tuple(sorted(others)) for node, others in found.items()}

    def neighbours(self, node: int) -> tuple[int, ...]:
        """Those that ``node`` hears, and that hear it, in order."""
        return self._adjacent[node]

    def weights(self, node: int) -> dict[int, float]:
        """What each neighbour's model counts in the mix of ``node``, which keeps the rest of 1 for its own.

        Metropolis-Hastings, ``1 / (1 + max(degree, degree of the neighbour))``: symmetric and doubly stochastic on any
        graph, and known from the degrees alone (Xiao, Boyd, Kim 2007, Distributed average consensus, section 2).
        """
        own = len(self.neighbours(node))
        return {peer: 1 / (1 + max(own, len(self.neighbours(peer)))) for peer in self.neighbours(node)}

    def reached(self, node: int) -> frozenset[int]:
        """Everybody that a message of ``node`` can come to, passed on from neighbour to neighbour."""
        found, fresh = {node}, [node]
        while fresh:
            fresh = [peer for peer in self.neighbours(fresh.pop()) if peer not in found] + fresh
            found |= set(fresh)
        return frozenset(found)


def read(topology: str) -> str:
    """:func:`canonical`, of the file's content where ``topology`` names a file."""
    file = Path(topology).expanduser()
    if "\n" in topology or len(topology) > LONGEST_NAME or not file.exists():
        return canonical(topology)
    if not file.is_file():
        raise ValueError(f"{topology} is no plain file")
    return canonical(file.read_text(encoding="utf-8"))


def canonical(topology: str) -> str:
    """``topology`` in the one way it is written down. ValueError where it is neither a name nor edges.

    Edges are written ``0-1 1-2 2-0``, or as an edge list has them: two numbers a line, ``#`` before a remark.
    """
    name, colon, degree = topology.strip().partition(":")
    if name in NAMES and (not colon or (name == "random-regular" and degree.isdigit() and int(degree) > 0)):
        return topology.strip()
    edges = _edges(topology)
    return " ".join(f"{one}-{other}" for one, other in sorted(edges))


def _edges(text: str) -> set[Edge]:
    lines = [line for line in (line.split("#")[0].strip() for line in text.splitlines()) if line]
    several = len(lines) == 1 and "-" in lines[0] and not EDGE.fullmatch(lines[0])
    found = set()
    for pair in lines[0].split() if several else lines:
        numbers = EDGE.fullmatch(pair)
        if numbers is None or int(numbers[1]) == int(numbers[2]):
            place = f" (in '{lines[0][:60]}')" if several and pair != lines[0] else ""
            raise ValueError(
                f"'{pair[:60]}' is no edge between two clients{place}; known: {', '.join(NAMES)} (random-regular:3 "
                "for three neighbours each), a file of edges, or edges such as 0-1 1-2"
            )
        one, other = sorted(map(int, numbers.groups()))
        found.add((one, other))
    if not found:
        raise ValueError(f"no edges; known: {', '.join(NAMES)}, a file of edges, or edges such as 0-1 1-2")
    return found


@lru_cache(maxsize=64)
def graph(topology: str, nodes: int) -> Graph:
    """The graph of ``topology`` (as :func:`canonical` writes it) over ``nodes`` clients.

    ValueError where it cannot be: an edge to a client that does not exist, a degree that no graph has, or clients that
    never hear of each other.
    """
    name, _, degree = topology.partition(":")
    everybody = range(nodes)
    if name == "ring":
        found = _graph(nodes, ((node, (node + 1) % nodes) for node in everybody))
    elif name == "star":
        found = _graph(nodes, ((0, node) for node in everybody))
    elif name == "full":
        found = _graph(nodes, ((one, other) for one in everybody for other in everybody))
    elif name == "random-regular":
        found = _regular(nodes, int(degree) if degree else None)
    else:
        edges = _edges(topology)
        highest = max(other for _, other in edges)
        if highest >= nodes:
            raise ValueError(f"an edge names client {highest}, and there are {nodes} clients, 0 to {nodes - 1}")
        found = _graph(nodes, edges)
    apart = sorted(set(everybody) - found.reached(0)) if nodes else []
    if apart:
        raise ValueError(f"client {apart[0]} and client 0 never hear of each other: add edges between them")
    return found


def _graph(nodes: int, pairs: Iterable[Edge]) -> Graph:
    return Graph(nodes, frozenset((min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]))


def _regular(nodes: int, degree: int | None) -> Graph:
    """A connected graph in which all have ``degree`` neighbours, the same on every machine and for every seed."""
    asked = degree
    if degree is None:
        degree = min(DEGREE, nodes - 1)
        degree -= degree * nodes % 2
    if degree >= max(nodes, 1) or degree * nodes % 2 or (degree < 2 and nodes > 2):
        raise ValueError(
            f"no connected graph of {nodes} clients has {asked} neighbours each: the degree lies below the number of "
            "clients, above 1, and their product is even"
        )
    if nodes < 2:
        return Graph(nodes, frozenset())
    import networkx

    draws = (networkx.random_regular_graph(degree, nodes, seed=draw) for draw in range(1000))
    return _graph(nodes, next(drawn for drawn in draws if networkx.is_connected(drawn)).edges)
