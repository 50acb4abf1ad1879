"""``fedprivacy attack``: a stored run attacked again, without training its federations again."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import click

from fedprivacy.cli.settings import configuration, configured
from fedprivacy.config.base import UsageError


def _is_of_attack(path: str) -> bool:
    return path.startswith("attack.") and path != "attack.shadows"


def _others() -> frozenset[str]:
    from fedprivacy.cli.settings import fields_of

    return frozenset(path for path in fields_of() if not _is_of_attack(path))


@click.command("attack")
@click.argument("run", type=click.Path(path_type=Path))
@configured(skip=_others())
@click.option("--out", default=None, metavar="DIR", help="Folder for the new run folder [default: beside RUN].")
@click.option("--device", default="cpu", show_default=True, metavar="NAME", help="Torch device, such as cuda.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def command(run: Path, out: str | None, device: str, form: str, **given: Any) -> None:
    """Attack a stored run again: other adversaries, statistics or levels, on the transcript as it was recorded.

    \b
    fedprivacy attack runs/mutual-membership-mnist5k-1a2b3c4d --adversary client-2 --statistic loss,ratio
    """
    stored = run / "config.toml"
    if not stored.exists() or not (run / "result.json").exists():
        raise UsageError(f"{run} holds no finished run (config.toml and result.json are needed).")
    base = tomllib.loads(stored.read_text(encoding="utf-8"))
    base.setdefault("attack", {})["attacks"] = ["membership"]
    config = configuration(given, base)
    from fedprivacy.cli.carry_out import Display, placed, ready

    ready(config, None, device)
    where = placed(config, Path(out) if out else run.parent)
    from fedprivacy.experiments.again import attack_again

    with Display(form == "json") as display:
        result = attack_again(config, run, where, device, display.tick, display.start)
    if form == "json":
        import json

        click.echo(json.dumps(result.to_json(), indent=2))
        return
    from fedprivacy.cli.show import show

    show(result, where)
