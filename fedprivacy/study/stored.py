"""Run folders on disk: what each is of, who may go on with it, and what of it is believed.

``identity.json`` names what decides the numbers: settings, the content of the data (not its path), the version, the
device, the code of parts from outside. Nothing is taken up, attacked, audited or found again where any of it differs.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from fedprivacy import __version__, folder, lock, parts
from fedprivacy.config.base import UsageError, build
from fedprivacy.config.named import named
from fedprivacy.config.run import AttackConfig, RunConfig
from fedprivacy.config.toml import LARGEST, to_toml
from fedprivacy.folder import Damaged

FORMAT = 2
"""Of run folders. One of another format is told, and run again rather than guessed at."""

BY_RUN = "by `run`"
"""How a folder came about that was trained in this place."""

SEVERAL, ONE_BY_ONE = "several at once", "one by one (--exact)"
"""How shadow federations were trained, where several at once pay."""

CONFIG, RESULT, IDENTITY = "config.toml", "result.json", "identity.json"

OTHER = {
    "format": "was written in run folder format {0}, this version of fedprivacy writes {1}",
    "version": "was made by fedprivacy {0}, this is {1}",
    "settings": "is of other settings",
    "code": "was made with other code of the parts from outside",
    "data": "is of other data: what it was trained on has digest {0:.12}, what is now under the same name {1:.12}",
    "device": "was made on the device {0}, not {1}",
    "baselines": "was made {0} local baselines, and is asked for {1} them",
    "root": "is of seed {0}, not {1}",
    "shadow": "is of shadow federation {0}, not {1}",
    "after": "was made {0}, not {1}",
    "shadows": "was made with its shadow federations {0}, not {1}",
}
"""How a difference in a field is told."""


@dataclass(frozen=True)
class Identity:
    """What decides the numbers in a folder, of a run or of one federation (then with ``root`` and ``shadow``)."""

    settings: str
    data: str
    device: str
    code: str
    baselines: str = ""
    """``with`` or ``without``; of a federation empty."""
    root: int | None = None
    shadow: int | None = None
    after: str = BY_RUN
    """How it came about: trained, or attacked again after which stored run."""
    shadows: str = SEVERAL
    """Whether its shadow federations may be trained several at once, which rounds otherwise."""
    version: str = __version__
    format: int = FORMAT

    @classmethod
    def of_run(
        cls, config: RunConfig, data: str, device: str, baselines: bool, after: str = BY_RUN, exact: bool = False
    ) -> Identity:
        """That of a whole run; ``exact``: with one shadow federation after the other."""
        code, shadows = parts.fingerprint(named(config)), ONE_BY_ONE if exact else SEVERAL
        return cls(
            config.digest(), data, device, code, "with" if baselines else "without", after=after, shadows=shadows
        )

    @classmethod
    def of_federation(cls, config: RunConfig, data: str, device: str, root: int, shadow: int | None) -> Identity:
        """That of one federation: no attack changes what is trained."""
        bare = config.model_copy(update={"attack": AttackConfig(), "seed": 0, "seeds": 1})
        return cls(bare.digest(), data, device, parts.fingerprint(named(bare)), root=root, shadow=shadow)

    def write(self, where: Path) -> None:
        """Put it into a folder."""
        folder.write_json(where / IDENTITY, asdict(self))

    def hold(self, where: Path) -> None:
        """Raise UsageError where the folder is of something else; the first difference is told.

        Baselines that were not asked for do no harm.
        """
        stored = read_identity(where)
        for name in OTHER:
            theirs, ours = getattr(stored, name), getattr(self, name)
            if theirs != ours and (name, theirs) != ("baselines", "with"):
                raise UsageError(f"{where} {OTHER[name].format(theirs, ours)}. Use another --out, or --fresh.")


def read_identity(where: Path) -> Identity:
    """What a folder is of. UsageError where it does not say so, as one of an earlier version does not."""
    if not (where / IDENTITY).exists():
        raise UsageError(f"{where} is a run folder of an earlier version of fedprivacy; --fresh runs it again.")
    content = folder.read_json(where / IDENTITY)
    if content.get("format") != FORMAT:
        words = OTHER["format"].format(content.get("format"), FORMAT)
        raise UsageError(f"{where} {words}; --fresh runs it again.")
    try:
        return TypeAdapter(Identity).validate_python(content)
    except ValidationError:
        raise Damaged(f"{where / IDENTITY} does not say what the folder is of") from None


@contextlib.contextmanager
def at_work(where: Path) -> Iterator[None]:
    """Be the only one who writes to a run folder. UsageError that names whoever else does."""
    try:
        with lock.held(lock.beside(where)):
            folder.sweep(where)
            yield
    except lock.Held as error:
        raise UsageError(f"{where} is being written by {error}. Wait for it, or use another --out.") from None


@contextlib.contextmanager
def reading(where: Path) -> Iterator[None]:
    """Read a finished run that nobody may write to meanwhile. Links and special files in its folder are refused."""
    if not (where / CONFIG).exists() or not (where / RESULT).exists():
        why = "config.toml and result.json are needed" if where.exists() else "there is no such folder"
        raise UsageError(f"{where} holds no finished run ({why}).")
    try:
        with lock.held(lock.beside(where), shared=True):
            folder.assert_plain(where)
            yield
    except lock.Held as error:
        raise UsageError(f"{where} is being written by {error}. Wait for it.") from None


def is_run(where: Path) -> bool:
    """Whether a folder was begun as a run folder."""
    return any((where / name).exists() for name in (CONFIG, IDENTITY))


def begin(where: Path, config: RunConfig, identity: Identity) -> None:
    """Make ``where`` the folder of this run, or see that it is. UsageError where it is of something else."""
    if is_run(where):
        identity.hold(where)
    elif where.exists() and any(where.iterdir()):
        raise UsageError(f"{where} holds files that are of no run; use another --out.")
    folder.write_text(where / CONFIG, to_toml(config))
    identity.write(where)


def clear(where: Path) -> None:
    """Remove a run folder, as --fresh asks; what no run made is refused."""
    ours = is_run(where) or (where / RESULT).exists()
    if where.is_symlink() or (where.exists() and not ours and any(where.iterdir())):
        raise UsageError(f"--fresh: {where} is no run folder, so it is not removed; use another --out.")
    for place, _, files in os.walk(where):
        if FEDERATION_LOCK in files:  # a worker whose parent was killed may be about to notice
            with lock.held(Path(place, FEDERATION_LOCK), wait=True):
                pass
    if where.exists():
        shutil.rmtree(where)


FEDERATION_LOCK = ".lock"
"""In the folder of a federation while it is trained."""


@contextlib.contextmanager
def federation(where: Path, identity: Identity) -> Iterator[None]:
    """Be the only one who trains the federation in a folder, waiting for whoever else does; see that it is the same."""
    with lock.held(where / FEDERATION_LOCK, wait=True):
        if identity.shadow is not None:  # a run's own folder was swept before its workers began to write below it
            folder.sweep(where)
        told, known = where / "federation.json", asdict(identity)
        del known["shadows"]  # each way has a bank of its own
        if told.exists():
            stored = folder.read_json(told)
            for name, ours in known.items():
                if stored.get(name) != ours:
                    words = OTHER[name].format(str(stored.get(name)), str(ours))
                    raise UsageError(f"{where} {words}. Use another --out, or --fresh.")
        elif (where / "summary.json").exists() or (where / "checkpoint").exists():
            raise UsageError(f"{where} holds a federation of an earlier version of fedprivacy; --fresh runs it again.")
        else:
            folder.write_json(told, known)
        yield


@contextlib.contextmanager
def looking(where: Path, adversary: str) -> Iterator[None]:
    """Be the only one who looks at the finished federation in a folder for ``adversary``, beside others who look for
    others, while nobody trains it."""
    with lock.held(where / FEDERATION_LOCK, wait=True, shared=True), lock.held(where / f".{adversary}.lock", wait=True):
        yield


def read_config(where: Path) -> dict[str, Any]:
    """The settings of a finished run, as given; nothing in them fetches data."""
    path = where / CONFIG
    try:
        content = tomllib.loads(folder.read_bytes(path, LARGEST).decode())
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{path} is not TOML: {' '.join(str(error).split())}") from None
    config = build(RunConfig, content, str(path))
    identity = read_identity(where)
    if config.digest() != identity.settings:
        raise Damaged(f"{path} was changed after the run was made (its settings are not those of the run)")
    content.get("data", {}).pop("download", None)
    return content


def same_data(where: Path, data: str) -> None:
    """Raise UsageError where the records of a stored run are not those now under the same name."""
    stored = read_identity(where)
    if stored.data != data:
        raise UsageError(f"{where} {OTHER['data'].format(stored.data, data)}: it says nothing about these.")


def same_version(where: Path) -> None:
    """Raise UsageError where another version made a stored run."""
    stored = read_identity(where)
    if stored.version != __version__:
        raise UsageError(f"{where} {OTHER['version'].format(stored.version, __version__)}: run it again.")
