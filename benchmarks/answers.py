"""How long help, lists and usage errors take: processor and wall seconds of a whole process, best of several.

Run: ``python benchmarks/answers.py``
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

LINES = ("--help", "run --help", "list protocols", "run --protocol mutal", "run --rounds 0", "run --out /dev/null")
REPEATS = 5


def spent(line: str) -> tuple[float, float]:
    """(processor, wall) seconds of one answer."""
    command = [sys.executable, "-c", "from fedprivacy.cli.main import main; main()", *line.split()]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, capture_output=True, check=False)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def main() -> None:
    """Print a line an answer."""
    print(f"{'answer':24}  cpu s  wall s   (best of {REPEATS})")
    for line in LINES:
        tries = [spent(line) for _ in range(REPEATS)]
        print(f"{line:24}  {min(cpu for cpu, _ in tries):5.2f}  {min(wall for _, wall in tries):6.2f}")


if __name__ == "__main__":
    main()
