"""What was run, in a few facts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fedprivacy.config.protocol_cards import CARDS, Card
from fedprivacy.judge.result import RunResult
from fedprivacy.parts import RECORDING
from fedprivacy.reporting.document import Facts, Section
from fedprivacy.reporting.settings import defense_name, options, protocol_name, seeds, setting
from fedprivacy.reporting.text import clean, count, counted, listed, percent, scientific


def setup_section(result: RunResult) -> Section:
    """Protocol, data, model, clients, rounds, training, defense, attack and seeds; facts not stored are left out."""
    card = _card(result.config)
    pairs = [
        ("protocol", _protocol(result)),
        ("not the paper's", "" if card is None else card.guessed),
        ("data", ", ".join(_data(result.config))),
        ("public folds", _public(result.config) if _uses_public(result) else ""),
        ("model", _model(result.config)),
        ("federation", ", ".join(_federation(result.config))),
        ("training", ", ".join(_training(result.config))),
        ("defense", defense_name(result) or ("none" if setting(result.config, "defense") else "")),
        ("attack", ", ".join(_attack(result.config))),
        ("seeds", seeds(result)),
    ]
    return Section("What was run", (Facts(tuple(pair for pair in pairs if pair[1])),), last=True)


def _protocol(result: RunResult) -> str:
    chosen = options(setting(result.config, "options"))
    return protocol_name(result) + (f" ({chosen})" if chosen else "")


def _data(config: Any) -> Iterator[str]:
    dataset = setting(config, "data.dataset")
    if dataset is None:
        return
    place = setting(config, "data.data_dir")
    name = clean(str(place).replace("\\", "/").rstrip("/").rpartition("/")[2]) if place else ""
    yield clean(dataset) + (f" ({name})" if name else "")
    limit, candidates = setting(config, "data.limit"), setting(config, "data.candidates")
    if limit is not None:
        yield f"at most {counted(limit, 'training record')}"
    partition = None if _recorded(config) else setting(config, "data.partition")
    if setting(config, "data.layout") == "folds":
        yield "stratified folds, one private fold a client and one public fold a round"
    elif partition is not None:
        yield f"{clean(partition)} partition" + _skew(config, partition)
    inclusion = setting(config, "data.inclusion")
    if candidates is not None and setting(config, "data.layout") != "folds":
        yield f"{counted(candidates, 'candidate')} a client"
    if inclusion is not None:
        yield f"each trained on with probability {inclusion:g}" if inclusion < 1 else "all of them trained on"
    held_out = setting(config, "data.validation")
    if held_out:
        yield f"{percent(held_out)} of each private fold only looked at"
    warmup = setting(config, "data.warmup")
    if warmup:
        yield f"{counted(warmup, 'record')} to warm up the first model"


def _skew(config: Any, partition: Any) -> str:
    alpha, classes = setting(config, "data.alpha"), setting(config, "data.classes_per_client")
    if partition == "dirichlet" and alpha:
        return f" (alpha {alpha:g})"
    known = partition in ("shards", "tasks") and classes
    return f" ({count(classes)} class{'' if classes == 1 else 'es'} a client)" if known else ""


def _card(config: Any) -> Card | None:
    return CARDS.get(str(setting(config, "protocol")))


def _uses_public(result: RunResult) -> bool:
    """Whether the protocol has a use for public records; unknown protocols are taken to."""
    card = _card(result.config)
    options = result.config.get("options")
    asked = isinstance(options, Mapping) and bool(options.get("public_labels"))
    return card is None or card.public_data or asked


def _public(config: Any) -> str:
    kind, records = setting(config, "data.public_set"), setting(config, "data.public_size")
    if kind is None or records is None:
        return ""
    folds = {"dynamic": "a new fold each round", "static": "the same fold in every round"}.get(kind, clean(kind))
    if setting(config, "data.layout") == "folds":  # their size follows from the data set
        return folds
    return f"{counted(records, 'record')}, {folds}"


def _model(config: Any) -> str:
    several = setting(config, "training.client_models")
    if several:
        return f"{listed(clean(name) for name in several)} (clients in turn)"
    return clean(setting(config, "training.model") or "")


def _federation(config: Any) -> Iterator[str]:
    clients, rounds = setting(config, "clients"), setting(config, "rounds")
    if clients is not None:
        yield counted(clients, "client")
    if rounds is not None:
        yield counted(rounds, "round")
    card, topology = _card(config), setting(config, "topology")
    if card is not None and card.between_neighbours and topology is not None:
        yield f"topology {clean(topology)}"
    share = setting(config, "participation")
    if share is not None and share < 1:
        yield f"{percent(share)} of the clients in a round"
    lost = setting(config, "dropout_rate")
    if lost:
        yield f"each drops out of a round with probability {lost:g}"


def _recorded(config: Any) -> bool:
    """Whether the federation ran elsewhere, so that how it dealt and trained is not in the settings."""
    return str(setting(config, "protocol") or "").startswith(RECORDING)


def _training(config: Any) -> Iterator[str]:
    if _recorded(config):
        return
    epochs, batch = setting(config, "training.local_epochs"), setting(config, "training.batch_size")
    optimizer, rate = setting(config, "training.optimizer"), setting(config, "training.lr")
    if optimizer is not None:
        yield clean(optimizer) + (f", learning rate {rate:g}" if rate is not None else "")
    if batch is not None:
        yield f"batches of {count(batch)}"
    steps = setting(config, "training.local_steps")
    if steps is not None:
        yield f"{counted(steps, 'local step')} a round"
    elif epochs is not None:
        yield f"{counted(epochs, 'local epoch')} a round"
    if decay := setting(config, "training.weight_decay"):
        yield f"weight decay {scientific(decay)}"
    if kinds := setting(config, "training.augmentation"):
        yield f"private images augmented by {listed(clean(kind) for kind in kinds)}"
    if patience := setting(config, "training.early_stopping"):
        yield f"early stopping after {counted(patience, 'epoch')} without gain"
    tiny = setting(config, "training.adam_eps")
    if optimizer == "adam" and tiny:
        before = setting(config, "training.adam_eps_form") == "keras"
        yield f"epsilon {scientific(tiny)}" + (" before bias correction, as in Keras" if before else "")
    state, card = setting(config, "training.optimizer_state"), _card(config)
    if state == "auto":
        state = None if card is None else "fresh" if getattr(card.options, "stateless", False) else "persistent"
    if state is not None:
        yield "moments kept from round to round" if state == "persistent" else "a fresh optimiser each round"
    start = setting(config, "training.init")
    if start is not None:
        yield "a common start" if start == "shared" else "a start of its own for each client"


def _attack(config: Any) -> Iterator[str]:
    names, shadows = setting(config, "attack.attacks"), setting(config, "attack.shadows")
    if names is None:
        return
    yield listed(clean(name) for name in names)
    if names and shadows:
        yield counted(shadows, "shadow federation")
    elif "membership" in names and setting(config, "attack.coop"):
        yield "the other clients as references"
