"""Parts from outside the package: ``module:Name``, ``file.py:Name``, and entry points of group ``fedprivacy.parts``.

A name is looked at here without running anything; a part is imported when it is loaded, and only because somebody
named it. It then runs with the rights of the user. An entry point is called ``KIND.NAME``, such as
``model.their-net = "theirs.nets:Net"``, and is named ``their-net`` wherever a model is. A live object of a Python
session travels to worker processes by the name that :func:`refer` gives it.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

from fedprivacy.config.base import UsageError, near_miss
from fedprivacy.config.named import Kind

GROUP = "fedprivacy.parts"
KINDS: tuple[Kind, ...] = get_args(Kind)

FILE, LIVE = ".py:", "live:"
RECORDING = "recording:"
"""What the name of a recorded federation begins with; its folder follows. It is no code."""
_live: dict[str, Any] = {}


def outside(name: str) -> bool:
    """Whether ``name`` has the form of a part from outside: ``module:Name`` or ``file.py:Name``."""
    return ":" in name


def known(kind: Kind) -> Mapping[str, metadata.EntryPoint]:
    """Installed parts of a kind by name; nothing is imported."""
    head = f"{kind}."
    return {e.name.removeprefix(head): e for e in entry_points() if e.name.startswith(head)}


@cache
def entry_points() -> tuple[metadata.EntryPoint, ...]:
    return tuple(sorted(metadata.entry_points(group=GROUP), key=lambda entry: entry.name))


def exists(kind: Kind, name: str, own: Iterable[str], what: str = "") -> bool:
    """True where ``name`` comes from outside and can be looked for, False where it is one of ``own``.

    No part is imported. UsageError for a name that is neither, with a near miss, and for a file or module that is not
    there. ``what`` the error calls the kind (default: its own name).
    """
    if name in (names := set(own)):
        return False
    if not outside(name):
        if name in (installed := known(kind)):
            return True
        raise UsageError(f"No {what or kind} '{name}' exists. {near_miss(name, names | set(installed))}")
    place, _, attribute = name.rpartition(":")
    if not all(part.isidentifier() for part in attribute.split(".")):
        raise UsageError(f"{kind} {name}: after the colon stands a name of Python, such as {place}:Net.")
    if name.startswith(LIVE):
        if name not in _live:
            raise UsageError(f"{kind} {name}: an object of a Python session that has ended; use module:Name.")
    elif FILE in name:
        if not Path(place).expanduser().is_file():
            raise UsageError(f"{kind} {name}: there is no file {place}.")
    elif not _found(place):
        raise UsageError(f"{kind} {name}: there is no module {place}; it is looked for as Python does, and here.")
    return True


def _found(module: str) -> bool:
    """Whether a module can be found, looking where Python does and in the working folder; its parents are imported."""
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def load(kind: Kind, name: str) -> Any:
    """The object behind a name from outside. UsageError in one line where it cannot be imported or is not there."""
    if name in _live:
        return _live[name]
    exists(kind, name, ())
    target = name if outside(name) else known(kind)[name].value
    place, _, attribute = target.rpartition(":")
    found: Any = _imported(kind, name, place)
    for part in attribute.split("."):
        if not hasattr(found, part):
            there = [word for word in vars(found) if not word.startswith("_")]
            raise UsageError(f"{kind} {name}: {place} has no '{part}'. {near_miss(part, there)}")
        found = getattr(found, part)
    return found


def _imported(kind: Kind, name: str, place: str) -> ModuleType:
    try:
        if place.endswith(".py"):
            return _file_module(Path(place).expanduser().resolve())
        return importlib.import_module(place)
    except UsageError:
        raise
    except SystemExit as error:
        raise UsageError(f"{kind} {name}: importing {place} failed: it ended the process: {error}.") from error
    except Exception as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f.filename]
        last = frames[-1] if len(frames) > 2 else None
        where = f" ({Path(last.filename).name}, line {last.lineno})" if last is not None else ""
        cause = " ".join(str(error).split()) or "no message"
        raise UsageError(f"{kind} {name}: importing {place} failed: {type(error).__name__}: {cause}{where}.") from error


def _file_module(path: Path) -> ModuleType:
    """The module of a file, once a process; its neighbours can be imported by it."""
    called = f"fedprivacy_part_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if called in sys.modules:
        return sys.modules[called]
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location(called, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[called] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[called]
        raise
    return module


def refer(part: Any) -> str:
    """The name of a live class or function by which :func:`load` finds it, here and, if it can be, in other processes.

    What a module or a script defines at its top level is found everywhere; anything else (:func:`only_here`) lives as
    long as this process.
    """
    module, name = getattr(part, "__module__", None), getattr(part, "__qualname__", None)
    if module and name and "<" not in name:
        if module == "__main__":
            file = getattr(sys.modules["__main__"], "__file__", None)
            if file and Path(file).suffix == ".py":
                return _remembered(f"{Path(file).resolve()}:{name}", part)
        elif (path := getattr(sys.modules.get(module), "__file__", None)) and module.startswith("fedprivacy_part_"):
            return _remembered(f"{path}:{name}", part)
        elif module in sys.modules and _reached(sys.modules[module], name) is part:
            return f"{module}:{name}"
    called = str(name or type(part).__name__).rpartition(".")[2]
    return _remembered(f"{LIVE}{digest([_source(part)])}:{called if called.isidentifier() else 'part'}", part)


def _reached(module: ModuleType, name: str) -> Any:
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _remembered(name: str, part: Any) -> str:
    _live[name] = part
    return name


def only_here(name: str) -> bool:
    """Whether a part lives in this process alone, so that no worker process can load it."""
    return name.startswith(LIVE)


def title(name: str) -> str:
    """A part's name without the place that it comes from, fit for the name of a folder."""
    if name.startswith(RECORDING):
        return f"recording-{Path(name.removeprefix(RECORDING)).name}"
    return name.rpartition(":")[2].replace("/", "-")


def from_elsewhere(named: Iterable[tuple[Kind, str]]) -> list[str]:
    """Those of the ``named`` parts that come from outside and were not handed over in this session."""
    code = [(kind, name) for kind, name in named if name not in _live and not name.startswith(RECORDING)]
    return list(dict.fromkeys(name for kind, name in code if outside(name) or name in known(kind)))


def fingerprint(named: Iterable[tuple[Kind, str]]) -> str:
    """Eight hex digits of the code behind those of the ``named`` parts that come from outside; empty without any.

    Code decides results, so it belongs to the names of stored runs: of a file the file, of a module the ``.py`` files
    of its top-level package, in which it may use anything.
    """
    texts: list[bytes] = []
    for kind, name in named:
        if outside(name) or name in known(kind):
            target = name if outside(name) else known(kind)[name].value
            texts += [target.encode(), *_code(target)]
    return digest(texts) if texts else ""


def _code(target: str) -> list[bytes]:
    place = target.rpartition(":")[0]
    if target.startswith(LIVE):
        return []
    if target.startswith(RECORDING):
        where = Path(target.removeprefix(RECORDING))
        recorded = (where / "game.json", *sorted(where.rglob("log.jsonl")))
        return [file.read_bytes() for file in recorded if file.is_file()]
    if place.endswith(".py"):
        file = Path(place).expanduser()
        return [file.read_bytes()] if file.is_file() else []
    top = place.partition(".")[0]
    spec = importlib.util.find_spec(top) if _found(top) else None
    if spec is None:
        return []
    if spec.submodule_search_locations:
        files = sorted(file for folder in spec.submodule_search_locations for file in Path(folder).rglob("*.py"))
    else:
        files = [Path(spec.origin)] if spec.origin and spec.origin.endswith(".py") else []
    return [file.read_bytes() for file in files]


def digest(texts: Iterable[bytes]) -> str:
    """Eight hex digits of some texts in order."""
    state = hashlib.sha256()
    for text in texts:
        state.update(len(text).to_bytes(8, "little") + text)
    return state.hexdigest()[:8]


def _source(part: Any) -> bytes:
    """What tells a live part from others: its source and what it holds on to, which stays as long as the session."""
    held = [id(cell.cell_contents) for cell in getattr(part, "__closure__", None) or ()]
    try:
        return f"{inspect.getsource(part)} {held}".encode()
    except (OSError, TypeError):
        return f"{id(part)} {held}".encode()
