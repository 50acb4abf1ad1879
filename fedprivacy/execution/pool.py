"""Jobs in a pool of worker processes.

Workers start from a fork server that has imported torch once; a worker ends by itself when the process that asked for
it is gone, in order.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from fedprivacy import lock
from fedprivacy.execution.job import Job, Tick, WorkerLost, call, set_threads

TO_UNWIND = 30.0
"""Seconds that a worker has to end in order once nobody waits for it."""

_ticks: Any = None


def run_in_pool(jobs: Sequence[Job], workers: int, threads: int, tick: Tick) -> Iterator[tuple[Job, Any]]:
    """Run all jobs and yield (job, result) as they finish.

    Raises the first error of a job after stopping the others, and :class:`WorkerLost` when a worker died.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(sorted({job.function.partition(":")[0] for job in jobs}))
    queue = context.SimpleQueue()
    with ProcessPoolExecutor(
        min(workers, len(jobs)), context, initializer=_start_worker, initargs=(queue, threads)
    ) as pool:
        try:
            waiting = {pool.submit(_in_worker, job): job for job in jobs}
            while waiting:
                finished, _ = wait(waiting, timeout=0.1, return_when=FIRST_COMPLETED)
                _drain(queue, tick)
                for future in finished:
                    yield waiting.pop(future), future.result()
        except BrokenProcessPool:
            raise WorkerLost(
                "a worker process died, perhaps for lack of memory; finished work is kept: go on with fewer workers"
            ) from None
        except BaseException:
            for process in list(pool._processes.values()):
                process.terminate()
            pool.shutdown(cancel_futures=True)
            raise


def _drain(queue: Any, tick: Tick) -> None:
    while not queue.empty():
        tick(*queue.get())


def _start_worker(queue: Any, threads: int) -> None:
    global _ticks
    _ticks = queue
    set_threads(threads)
    asked_by = multiprocessing.parent_process()  # not os.getppid(): that is the fork server, which outlives it
    assert asked_by is not None

    def watch() -> None:
        asked_by.join()
        os.kill(os.getpid(), signal.SIGTERM)
        threading.main_thread().join(TO_UNWIND)
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all, and the one who asked passes it on
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=watch, daemon=True).start()


def _end(*_: Any) -> None:
    """Unwind when asked to end, undisturbed, so that no temporary file and no lock is left."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(1)


def _in_worker(job: Job) -> Any:
    try:
        return call(job, lambda done: _ticks.put((job.name, done)))
    except SystemExit:
        lock.tidy()
        os._exit(1)  # the pool would take it for the job's answer and go on with the next
