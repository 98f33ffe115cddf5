"""Memory that is freed and soon wanted again stays with the process."""

from typing import Final

_LARGEST_BLOCK_BYTES: Final = 30 << 20  # below glibc's DEFAULT_MMAP_THRESHOLD_MAX, 32 MiB


def keep_freed_memory() -> None:
    """Let the C library hold on to what is freed, up to 60 MB, for what is read next.

    By itself glibc gives the end of its heap back as soon as half a megabyte of it is free, and
    asks for it anew for the next batch: the kernel then clears each page before it is written over.
    A third of the time of a bulk transfer went there. It learns from the largest block that was
    freed (mallopt(3), M_MMAP_THRESHOLD); this one is never touched, and so never really there.
    """
    bytes(_LARGEST_BLOCK_BYTES)
