"""``fedprivacy compare``: several protocols on the same data and seeds, in one table."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fedprivacy.cli.cluster import on_cluster
from fedprivacy.cli.completion import names, protocols
from fedprivacy.cli.device import on_device
from fedprivacy.cli.exact import on_exact
from fedprivacy.cli.flags import configured
from fedprivacy.cli.help import Command
from fedprivacy.cli.limits import Limits, broken, limited
from fedprivacy.cli.say import say
from fedprivacy.cli.settings import configuration
from fedprivacy.cli.several import told
from fedprivacy.cli.written import Destination, written
from fedprivacy.config.base import UsageError
from fedprivacy.config.run import RunConfig
from fedprivacy.config.toml import read_toml
from fedprivacy.parts import title
from fedprivacy.study.check import passes_server
from fedprivacy.study.every import able_seats, between_neighbours, every_seat, would_attack
from fedprivacy.study.every import silent as silent_protocol

if TYPE_CHECKING:
    from fedprivacy.judge.result import RunResult

MOST_NAMED = 4
"""Protocols that the name of a comparison's folder names."""
EFFORT = "thorough"
"""Of attacks whose numbers are held against each other, unless another is asked for."""


COMMON = (
    "--attack",
    "--adversary",
    "--known-shares",
    "--dataset",
    "--data-dir",
    "--model",
    "--clients",
    "--rounds",
    "--seeds",
    "--effort",
    "--config",
    "--format",
)
"""What most comparisons are made of."""


@click.command("compare", cls=Command, common=COMMON)
@click.argument("protocols", nargs=-1, required=True, shell_complete=names(protocols))
@configured(
    skip=frozenset({"protocol", "options", "attack.adversaries", "attack.known_share"}),
    defaults={"attack.effort": EFFORT},
)
@click.option("--adversary", "seats", default="", metavar="A,B,...", help="Only these; default: one for each power.")
@click.option(
    "--known-shares",
    "--known-share",
    default="1",
    show_default=True,
    metavar="A,B,...",
    help="Shares of each client's pool that the adversary knows; each attacks the same transcripts.",
)
@click.option("--out", default="runs", show_default=True, metavar="DIR", help="Folder that holds run folders.")
@click.option("--workers", type=int, default=None, metavar="N", help="Worker processes [default: number of cores].")
@on_cluster
@on_device
@on_exact
@click.option("--resume", is_flag=True, help="Go on with unfinished runs.")
@click.option("--fresh", is_flag=True, help="Throw earlier runs of the same configurations away.")
@click.option("--baselines/--no-baselines", default=None, hidden=True)
@written
@limited
def command(
    protocols: tuple[str, ...],
    out: str,
    workers: int | None,
    device: str,
    exact: bool,
    resume: bool,
    fresh: bool,
    form: str | None,
    output: Path | None,
    seats: str,
    known_shares: str,
    baselines: bool | None,
    fail_above: tuple[str, ...],
    fail_below: tuple[str, ...],
    **given: Any,
) -> int:
    """Several protocols on the same data and seeds: utility, bytes, and leakage at equal power and knowledge.

    \b
    fedprivacy compare fedavg mutual --attack membership --seeds 5 --known-shares 0.5,1

    Each is attacked from every seat that it has, thoroughly unless --effort default says otherwise, and held against
    the first that is named, seat by seat.
    """
    from fedprivacy.cli.carry_out import attacked_again, carry_out, placed, ready

    limits = Limits.parsed(fail_above, fail_below)
    to = Destination.of(form, output, fresh)
    if given.get("protocol_set"):
        raise UsageError("compare: --set belongs to one protocol; use `run` for each, or --config.")
    shares = _shares(known_shares)
    if baselines is not None:
        raise UsageError("compare: it trains no baselines; name local or central among the protocols to see them.")
    _told_topology(protocols, given)
    configs = [_configured(name, seats, given) for name in protocols]
    limits.assert_measured(*configs)
    known = [_knowing(config, shares if config.attack.attacks else shares[:1]) for config in configs]
    studies = [[ready(one, workers, device) for one in of_one] for of_one in known]
    results, places, codes = [], [], []
    for config, of_one in zip(configs, studies, strict=True):
        whole: Path | None = None
        for study in of_one:
            one, share = study.config, study.attack.known_share
            where = placed(one, Path(out))
            say(f"{config.protocol}{'' if share == 1 else f', {100 * share:g}% of each pool known'}:")
            again = "the same command with --resume"
            if whole is None:
                found = carry_out(study, where, workers, device, resume, fresh, False, False, again, exact)
            else:
                note = f"the transcripts of {whole.name}, attacked with other knowledge"
                cores = workers or os.cpu_count() or 1
                found = attacked_again(study, whole, where, device, fresh, False, cores, resume or fresh, note, exact)
            whole = whole or where
            results.append(found)
            places.append(where)
            codes.append(broken(found, limits.on(one), where.name))
    folder = kept(configs, Path(out))
    _deliver(results, places, folder, to)
    return max(codes)


def kept(configs: Sequence[RunConfig], out: Path) -> Path:
    """The folder of a comparison: named by what is compared and by all its settings."""
    digest = hashlib.sha256(" ".join(config.digest() for config in configs).encode()).hexdigest()[:8]
    words = list(dict.fromkeys(title(config.protocol) for config in configs))
    return out / "-".join(["compare", *words[:MOST_NAMED], *(["more"] if len(words) > MOST_NAMED else []), digest])


def _deliver(results: Sequence[RunResult], places: Sequence[Path], folder: Path, to: Destination) -> None:
    from fedprivacy.cli.output import Output
    from fedprivacy.cli.several import Several
    from fedprivacy.cli.show import show_pictures
    from fedprivacy.reporting.compare import run_labels

    several = Several(results, run_labels(results), judged=True)
    names = several.keep(folder)
    to.deliver(several.findings, several.show)
    for where in places if to.on_terminal else ():
        show_pictures(Output(), where)
    told(folder, names, to)


def _configured(protocol: str, seats: str, given: dict[str, Any]) -> RunConfig:
    """The run of one protocol: attacked from every seat that it has, or from those asked for that it has."""
    silent = silent_protocol(protocol)
    flags = {flag: value for flag, value in given.items() if not (silent and flag.startswith("attack__"))}
    over_edges = between_neighbours(protocol)
    if not over_edges:
        flags["topology"] = None
    if flags.get("attack__effort") is None and not flags.get("config"):
        flags["attack__effort"] = EFFORT
    config = configuration({**flags, "protocol": protocol})
    if not over_edges:
        config = config.model_copy(update={"topology": RunConfig.model_fields["topology"].default})
    if silent or not config.attack.attacks:
        return config.model_copy(update={"attack": type(config.attack)()}) if silent else config
    asked = [name.strip() for name in seats.split(",") if name.strip()]
    able = able_seats(config, asked)
    for why in filter(None, able.values()):
        say(f"{protocol}: {why}")
    chosen = [name for name in asked if able[name] is None] if asked else list(every_seat(config))
    if not chosen and not asked:
        would_attack(config)  # says why
    if not chosen:
        raise UsageError(f"compare: protocol {protocol} can be attacked from none of {seats}; see the lines above.")
    return config.model_copy(update={"attack": config.attack.model_copy(update={"adversaries": tuple(chosen)})})


def _told_topology(protocols: Sequence[str], given: dict[str, Any]) -> None:
    """Say to which protocols a topology that is asked for applies. UsageError where it applies to none."""
    file = given.get("config")
    asked = given.get("topology") or (read_toml(Path(file)).get("topology") if file else None)
    if asked is None:
        return
    able = [name for name in protocols if between_neighbours(name)]
    if not able:
        raise UsageError(passes_server(protocols[0]))
    others = [name for name in protocols if name not in able]
    if others:
        silent = f"{', '.join(others)}: no neighbours hear each other"
        say(f"--topology {asked}: applies to {', '.join(able)} alone; {silent}")


def _knowing(config: RunConfig, shares: Sequence[float]) -> list[RunConfig]:
    """The same run, attacked with each share of the pools known."""
    attack = config.attack
    return [config.model_copy(update={"attack": attack.model_copy(update={"known_share": one})}) for one in shares]


def _shares(text: str) -> list[float]:
    """Shares in the order given; the first is run, the others attack its transcripts again."""
    try:
        found = [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise UsageError(f"--known-shares: '{text}' holds what is no number; give shares such as 0.25,0.5,1.") from None
    if not found or any(not 0 < share <= 1 for share in found):
        raise UsageError(f"--known-shares: each share lies above 0 and at most 1 (got {text}).")
    return list(dict.fromkeys(found))
