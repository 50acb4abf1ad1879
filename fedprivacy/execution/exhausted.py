"""Whether an error says that memory ran out, which fewer workers may mend: no result, and never kept as one."""

from __future__ import annotations


def out_of_memory(error: BaseException) -> bool:
    """Of Python, or of torch on any device."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "allocate" in str(error))
