"""Keeps a process that streams results small: large buffers go back to the operating system when they are freed.

glibc raises its mmap threshold to the size of each large block that is freed (mallopt(3), M_MMAP_THRESHOLD), so the
buffers of a streamed result soon come from the heap, which fragments: 5 million rows grew a process by 400 MB that
held 3 MB of live arrays. A fixed threshold ends that, at no measurable cost.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress

import pyarrow as pa

_M_MMAP_THRESHOLD = -3
THRESHOLD_BYTES = 256 * 1024


def return_large_buffers() -> None:
    """Fixes the threshold for this process. Does nothing where the C library has no mallopt (macOS, musl)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, THRESHOLD_BYTES)
        pa.set_memory_pool(pa.system_memory_pool())
