"""Settings of an audit that nobody chose: what is trained, who guesses, on which canaries, when they are planted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fedprivacy.config.run import RunConfig
from fedprivacy.defenses import names as defenses
from fedprivacy.study import recipes
from fedprivacy.study.every import would_attack
from fedprivacy.study.resolve import wire_of

EXACT = ("noised-updates", "coin-updates", "coin-answers")
"""Observations that read all that a claim lets an adversary see, by the noise that is known."""


def unchosen(chosen: Callable[[Mapping[str, Any]], RunConfig], free: bool) -> dict[str, Any]:
    """What is to stand under the settings that were chosen, in the layout of a settings file.

    ``chosen``: the configuration with those laid over the content that it is given. ``free``: whether the federation
    is ours to choose.
    """
    plain, content = chosen({}), dict[str, Any]()
    if free:
        content = _recipe(plain)
        plain = chosen(content)
    wire, coins = wire_of(plain), plain.canaries.coins
    passive = "client-0" if wire.defended.merges or not (wire.has_server or wire.silent) else "server"
    content["attack"] = {"attacks": ("membership",), "adversaries": (passive,)}
    exact = _exact(chosen(content))
    if exact is not None:
        content["attack"]["observations"] = (exact,)
        content["canaries"] = {**content.get("canaries", {}), "kind": "opposite" if coins == "client" else "orthogonal"}
        return content
    if wire.answers_queries and passive == "server":
        content["attack"]["adversaries"] = ("active-server",)
    if wire.answers_queries and plain.defense.name not in ("none", "dp-sgd"):
        content["attack"]["schedule"] = "spread"
    if coins != "client":
        content["canaries"] = {"kind": "out-of-distribution"}
        if plain.data.candidates is not None and plain.data.layout == "pools":
            most = 3 * plain.clients * plain.data.candidates // 4
            content["canaries"]["number"] = most if coins == "record" else most // 2
    return content


def _recipe(config: RunConfig) -> dict[str, Any]:
    """The federation in which a claim of this defense can be read best, where nobody chose another; else nothing."""
    found = defenses.card(config.defense.name) if config.defense.name != "none" else None
    if found is None or not (found.defended.noised_steps or found.defended.noised_releases):
        return {}
    if found.defended.noised_steps:
        return recipes.table("private_training")
    if "update" in found.kinds:
        return recipes.table("private_clients")
    content = recipes.table("private_answers")
    if config.canaries.coins == "client":
        content["data"]["candidates"] = recipes.table("private_clients")["data"]["candidates"]
    if config.canaries.coins == "pair":
        content["data"]["candidates"] = 2
    return content


def _exact(config: RunConfig) -> str | None:
    """The observation by which every adversary reads noised messages as they are; None where one cannot."""
    seen: dict[str, set[str]] = {}
    for adversary, observation in would_attack(config).observations:
        seen.setdefault(adversary.name, set()).add(observation)
    return next((name for name in EXACT if seen and all(name in names for names in seen.values())), None)
