"""Settings as they are typed: the flag of every field of the configuration, and what a flag's text stands for."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from fedprivacy.catalog import EVERY
from fedprivacy.config.base import Part, UsageError, build, near_miss
from fedprivacy.config.protocol_cards import CARDS
from fedprivacy.config.run import RunConfig
from fedprivacy.config.toml import read_toml
from fedprivacy.study.check import passes_server
from fedprivacy.study.every import with_every_attack

RENAMED = {
    "data.schedule": "--private-schedule",
    "attack.attacks": "--attack",
    "attack.adversaries": "--adversary",
    "attack.statistics": "--statistic",
    "attack.schedule": "--probe-schedule",
    "attack.payloads": "--payload",
    "defense.name": "--defense",
    "training.client_models": "--client-models",
    "training.output": "--model-output",
    "canaries.kind": "--canary",
    "canaries.number": "--canaries",
    "canaries.coins": "--coins",
}
"""Flags that are not the field's own name."""

ONLY_WITH = {
    "data.alpha": ("data.partition", ("dirichlet",)),
    "data.classes_per_client": ("data.partition", ("shards", "tasks")),
    "training.momentum": ("training.optimizer", ("sgd",)),
    "training.adam_eps": ("training.optimizer", ("adam",)),
    "training.adam_eps_form": ("training.optimizer", ("adam",)),
    "attack.inversion.bins": ("attack.adversaries", ("active-server",)),
}
"""Flags that change nothing unless another setting has one of some values. In a file they may stand; typed, they are
meant."""

INVERSION, IN_INVERSION = "attack.inversion.", ("attack.attacks", ("inversion", EVERY))
"""What belongs to one attack, and what it takes to have it."""

LEFT_OUT = {"options", "defense.options"}
"""Given by --set and --defense-set."""


def fields_of(part: type[Part] = RunConfig, prefix: str = "") -> dict[str, FieldInfo]:
    """Every leaf field of the configuration by its dotted path."""
    found: dict[str, FieldInfo] = {}
    for name, field in part.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Part):
            found |= fields_of(field.annotation, f"{prefix}{name}.")
        elif prefix + name not in LEFT_OUT:
            found[prefix + name] = field
    return found


def flag_of(path: str) -> str:
    """The flag of a dotted path."""
    return RENAMED.get(path, "--" + path.rpartition(".")[2].replace("_", "-"))


def shown(default: Any) -> str:
    """A default as a user types it; empty where there is none."""
    if default is None or default == ():
        return ""
    return ("yes" if default else "no") if isinstance(default, bool) else f"{default}"


def allowed(field: FieldInfo) -> str:
    """The values a field takes, in words: choices, or a kind of number with its bounds."""
    kinds = kinds_of(field.annotation)
    if bool in kinds:
        return "true or false"
    choices = [str(c) for kind in kinds if typing.get_origin(kind) is typing.Literal for c in typing.get_args(kind)]
    if choices:
        return "one of " + ", ".join(choices)
    if any(typing.get_origin(kind) is tuple for kind in kinds):
        return "names, separated by commas"
    kind = "a number" if float in kinds else "a whole number" if int in kinds else "a name"
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    bounds = [f"{words[k]} {getattr(m, k):g}" for m in field.metadata for k in words if getattr(m, k, None) is not None]
    text = ", ".join([kind, " and ".join(bounds)] if bounds else [kind])
    return f"{text}, or none" if type(None) in kinds else text


def kinds_of(annotation: Any) -> list[Any]:
    """The kinds of values that an annotation allows: the members of a union, or itself."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [kind for part in typing.get_args(annotation) for kind in kinds_of(part)]
    return [annotation]


def parsed(text: str, annotation: Any, where: str) -> Any:
    """The value of ``text`` for a field's annotation; :class:`UsageError` where it is not one."""
    kinds = kinds_of(annotation)
    if type(None) in kinds and text.lower() == "none":
        return None
    if any(typing.get_origin(kind) is tuple for kind in kinds):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    for kind, name in ((int, "a whole number"), (float, "a number")):
        if kind in kinds:
            try:
                return kind(text)
            except ValueError:
                if str in kinds:
                    return text
                if kind is int and float in kinds:
                    continue
                raise UsageError(f"{where}: '{text}' is not {name}.") from None
    return text


def assignments(texts: tuple[str, ...], where: str, fields: Mapping[str, FieldInfo] | None = None) -> dict[str, Any]:
    """``name=value`` settings; values as the field of that name says, else read as true, false, numbers, or text."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"{where}: '{text}' is not NAME=VALUE, such as kl=literal.")
        name, value = name.strip().replace("-", "_"), value.strip()
        field = (fields or {}).get(name)
        found[name] = _guessed(value) if field is None else _typed(value, field.annotation, f"{where} {name}")
    return found


def paths(texts: Sequence[str], where: str) -> dict[str, Any]:
    """``training.lr=0.01`` settings by their dotted paths, as nested tables; values as the fields say."""
    found: dict[str, Any] = {}
    fields = fields_of()
    for text in texts:
        path, equals, value = text.partition("=")
        path = path.strip().replace("-", "_")
        if not equals:
            raise UsageError(f"{where}: '{text}' is not PATH=VALUE, such as training.lr=0.01.")
        if path not in fields:
            raise UsageError(f"{where}: no setting '{path}' exists. {near_miss(path, fields)}")
        *parts, last = path.split(".")
        target = found
        for part in parts:
            target = target.setdefault(part, {})
        target[last] = _typed(value.strip(), fields[path].annotation, f"{where} {path}")
    return found


def _typed(text: str, annotation: Any, where: str) -> Any:
    """A setting of a protocol: ``on`` is a word where words are asked for, and a list may have one entry."""
    kinds = kinds_of(annotation)
    for choice in (c for kind in kinds if typing.get_origin(kind) is typing.Literal for c in typing.get_args(kind)):
        if str(choice) == text.lower():
            return choice
    if bool in kinds or any(typing.get_origin(kind) is typing.Literal for kind in kinds):
        return _guessed(text)
    return parsed(text, annotation, where)


def _guessed(text: str) -> Any:
    if text.lower() in ("true", "false", "yes", "no", "on", "off"):
        return text.lower() in ("true", "yes", "on")
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def configuration(given: Mapping[str, Any], base: Mapping[str, Any] | None = None) -> RunConfig:
    """The configuration from ``base``, then --config, then flags (as click passed them, by destination)."""
    content: dict[str, Any] = {name: _copied(value) for name, value in (base or {}).items()}
    where = "settings"
    if given.get("config"):
        where = str(given["config"])
        _merge(content, read_toml(Path(given["config"])))
        build(RunConfig, content, where)
    for path, field in fields_of().items():
        value = given.get(path.replace(".", "__"))
        if value is None:
            continue
        parts = path.split(".")
        target = content
        for part in parts[:-1]:
            target = target.setdefault(part, {})
        target[parts[-1]] = parsed(value, field.annotation, flag_of(path)) if isinstance(value, str) else value
    card = CARDS.get(str(content.get("protocol", RunConfig.model_fields["protocol"].default)))
    fields = card.options.model_fields if card else None
    content.setdefault("options", {}).update(assignments(given.get("protocol_set") or (), "--set", fields))
    defense = assignments(given.get("defense_set") or (), "--defense-set")
    if defense:
        content.setdefault("defense", {}).setdefault("options", {}).update(defense)
    try:
        config = build(RunConfig, content, where)
    except UsageError as error:
        raise UsageError(_with_flag(str(error))) from None
    of_inversion = [(path, IN_INVERSION) for path in fields_of() if path.startswith(INVERSION)]
    for path, (other, needed) in (*of_inversion, *ONLY_WITH.items()):
        part, name = other.split(".")
        value = getattr(getattr(config, part), name)
        values = value if isinstance(value, tuple) else (value,)
        if given.get(path.replace(".", "__")) is not None and not set(values) & set(needed):
            how = f"with {flag_of(other)} {','.join(values)}" if any(values) else f"without {flag_of(other)}"
            raise UsageError(f"{flag_of(path)} changes nothing {how}; add {flag_of(other)} {needed[0]}.")
    if given.get("topology") is not None and card and not (card.between_neighbours or card.bound):
        raise UsageError(passes_server(config.protocol))
    return with_every_attack(config) if EVERY in config.attack.attacks else config


def _with_flag(message: str) -> str:
    """The flag in the place of a dotted path, where a message names one."""
    for path in sorted(fields_of(), key=len, reverse=True):
        head = f"settings: {path}:"
        if message.startswith(head):
            return f"{flag_of(path)}:{message[len(head) :]}"
    return message


def in_flags(message: str) -> str:
    """``training.model = 'mlp'`` as ``--model mlp`` and ``options.kl`` as ``--set kl``: settings as they are typed.

    A defense's own setting is ``defense.options.clip`` in a message, since a defense also names those of a protocol.
    A path that opens what is said of a file (``data.alpha: ...``) stays, for there it is the key.
    """
    for path in sorted(filter(lambda path: "." in path, fields_of()), key=len, reverse=True):
        message = re.sub(
            rf"\b{re.escape(path)}\b(?!:)(?: = '([^']*)')?", partial(_typed_flag, flag_of(path), " "), message
        )
    for path, typed in ((r"\bdefense\.options", "--defense-set"), (r"\boptions", "--set")):
        message = re.sub(rf"{path}\.(\w+)\b(?: = '([^']*)')?", partial(_set, typed), message)
    return message


def _set(flag: str, found: re.Match[str]) -> str:
    return _typed_flag(f"{flag} {found[1]}", "=", found)


def _typed_flag(flag: str, between: str, found: re.Match[str]) -> str:
    value = found[found.re.groups]
    return flag if value is None else f"{flag}{between}{value}"


def _copied(value: Any) -> Any:
    return {k: _copied(v) for k, v in value.items()} if isinstance(value, Mapping) else value


def _merge(content: dict[str, Any], other: Mapping[str, Any]) -> None:
    for name, value in other.items():
        if isinstance(value, Mapping) and isinstance(content.get(name), dict):
            _merge(content[name], value)
        else:
            content[name] = _copied(value)
