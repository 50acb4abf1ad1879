"""Several pieces of work side by side that meet where they ask for the same, so that it is done for all at once.

Each is plain code in a thread of its own, and one runs at a time, in their order: what is random or global in a process
is theirs alone until they ask. So their results are those of one after the other, as far as the answers are.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class _Left(BaseException):
    """Raised in work that nobody waits for any more, so that it unwinds."""


class _Piece(Generic[Result]):
    """One of them, in a thread; ``asked`` is what it waits for, if anything."""

    def __init__(self, work: Callable[[], Result], back: threading.Semaphore) -> None:
        self.go, self.back, self.work = threading.Semaphore(0), back, work
        self.over, self.left = False, False
        self.asked: Any = None
        self.answer: Any = None
        self.result: Result | None = None
        self.error: BaseException | None = None
        run = contextvars.copy_context().run
        self.thread = threading.Thread(target=run, args=(self._run,), daemon=True)

    def _run(self) -> None:
        self.go.acquire()
        try:
            if not self.left:
                self.result = self.work()
        except BaseException as error:
            self.error = error
        finally:
            self.over = True
            self.back.release()

    def wait(self, asked: Any) -> Any:
        """Ask, and wait for the answer; raises it where it is an error."""
        self.asked = asked
        self.back.release()
        self.go.acquire()
        if self.left:
            raise _Left
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Lockstep:
    """``answer`` is given what all that are still at work ask for, in their order, and gives as many answers.

    ``spent``: the cpu-seconds that it took so far. An answer that is an exception is raised where it was asked for.
    """

    def __init__(self, answer: Callable[[Sequence[Any]], Sequence[Any]]) -> None:
        self._answer, self.spent = answer, 0.0
        self._now: _Piece[Any] | None = None

    def meet(self, asked: Any) -> Any:
        """The answer to what is ``asked``; called from within the work."""
        if self._now is None:
            return self._answer([asked])[0]
        return self._now.wait(asked)

    def run(self, works: Sequence[Callable[[], Result]]) -> list[Result]:
        """Do all ``works`` and return their results. Raises the first error, after the others were unwound."""
        back = threading.Semaphore(0)
        pieces = [_Piece(work, back) for work in works]
        for piece in pieces:
            piece.thread.start()
        try:
            while active := [piece for piece in pieces if not piece.over]:
                for piece in active:
                    self._step(piece, back)
                waiting = [piece for piece in active if not piece.over]
                begun = time.thread_time()
                answers = self._answer([piece.asked for piece in waiting]) if waiting else []
                self.spent += time.thread_time() - begun
                for piece, answer in zip(waiting, answers, strict=True):
                    piece.answer = answer
        finally:
            for piece in pieces:
                piece.left = True
                piece.go.release()
            for piece in pieces:
                piece.thread.join()
            self._now = None
        return [piece.result for piece in pieces]  # type: ignore[misc]

    def _step(self, piece: _Piece[Any], back: threading.Semaphore) -> None:
        """Let one go on until it asks or ends."""
        self._now = piece
        piece.go.release()
        back.acquire()
        if piece.error is not None:
            raise piece.error
