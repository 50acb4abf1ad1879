"""Everything that is measured of speed, in one table: ``make bench``, or

    python benchmarks/bench.py [--only KIND,"NAME"] [--peer DIR] [--resume] [--json FILE] [--out FILE.md]

Each cell is measured in a process of its own on one thread, and stored in the JSON as soon as it is there. ``--resume``
keeps the cells that the file has; without it, those that ``--only`` names (all by default) are measured again. The
table and the page show all cells of the file. ``--peer``: a clone of TsingZ0/PFLlib, timed beside ours.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import banks
import growth
import private
import protocols
import scoring
import steps
import torch
from measure import MEMORY, Cell, Figures, here
from page import page, table
from threadpoolctl import threadpool_limits

import attacks

KINDS = {
    "steps": steps,
    "protocols": protocols,
    "private": private,
    "scoring": scoring,
    "growth": growth,
    "attacks": attacks,
    "banks": banks,
}


def main() -> None:
    """Measure, store, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help=f"kinds ({', '.join(KINDS)}) or words in the names of cells")
    parser.add_argument("--peer", type=Path, help="folder of a clone of PFLlib")
    parser.add_argument("--resume", action="store_true", help="keep the cells that the JSON has")
    parser.add_argument("--json", type=Path, default=Path("bench.json"), help="where cells are stored")
    parser.add_argument("--out", type=Path, help="file for the page")
    given = parser.parse_args()
    stored: dict[str, Any] = json.loads(given.json.read_text()) if given.json.exists() else {}
    machine = here()
    if not (given.resume or given.only):
        stored |= {"machine": machine, "elsewhere": {}}
    stored.setdefault("machine", machine)
    elsewhere: dict[str, str] = stored.setdefault("elsewhere", {})
    found: dict[str, dict[str, Figures]] = stored.setdefault("cells", {})
    library = given.peer.resolve() if given.peer else None
    for kind, module in KINDS.items():
        known = found.setdefault(kind, {})
        for cell in module.cells(library):
            if not _asked(kind, cell.name, given.only) or (given.resume and cell.name in known):
                continue
            start = time.monotonic()
            known[cell.name] = apart(cell)
            elsewhere.pop(cell.name, None)
            if machine != stored["machine"]:
                elsewhere[cell.name] = ", ".join(machine.values())
            given.json.write_text(json.dumps(stored, indent=1) + "\n")
            print(f"{cell.name}: {_words(known[cell.name])} ({time.monotonic() - start:.0f} s)", flush=True)
        found[kind] = {cell.name: known[cell.name] for cell in module.cells(library) if cell.name in known}
    print(table(found, elsewhere))
    given.json.write_text(json.dumps(stored, indent=1) + "\n")
    if given.out:
        every = [(kind, cell.name) for kind, module in KINDS.items() for cell in module.cells(library)]
        given.out.write_text(page(stored, [name for kind, name in every if name not in found[kind]]))


def apart(cell: Cell) -> Figures:
    """The figures of a cell from a process of its own, which begins with all imports made."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_measured, args=(cell, theirs))
    process.start()
    theirs.close()
    try:
        answer: dict[str, Any] = ours.recv()
    except EOFError:
        raise SystemExit(f"{cell.name}: the process that measured it died") from None
    process.join()
    return answer


def _measured(cell: Cell, answer: Connection) -> None:
    torch.set_num_threads(1)
    threadpool_limits(1)
    MEMORY.begin()
    figures = cell.work()
    answer.send({"memory_mb": MEMORY.peak(), **figures})


def _asked(kind: str, name: str, only: str) -> bool:
    return not only or any(word in (kind, name) or word in name for word in only.split(","))


def _words(figures: Figures) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())


if __name__ == "__main__":
    main()
