"""Files that appear whole or not at all, and files that one process has for itself."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_LOCKED_BYTE = 2**30
"""Of a file that is locked on Windows, where a locked byte cannot be read: beyond the end of the file."""

_logger = logging.getLogger(__name__)


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file to write to that stands at `path` once the block has ended, and never in part.

    It is written beside and renamed, so that a crash, Ctrl-C or a full disk leaves what stood there before.
    """
    target = Path(path)
    beside = target.with_name(f".{target.name}.{os.urandom(4).hex()}.part")
    with open(beside, "xb") as file:  # which follows no link
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            file.close()  # Windows renames no open file
            os.replace(beside, target)
        except BaseException:
            file.close()
            beside.unlink(missing_ok=True)
            raise


def remove_unfinished(path: str | os.PathLike[str]) -> None:
    """Remove what kill -9 left of writing `path` by `whole_file`, at a time when no process writes it."""
    target = Path(path)
    name = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{8}}\.part")
    for beside in target.parent.iterdir():
        if name.fullmatch(beside.name):
            beside.unlink(missing_ok=True)


def open_own(path: str | os.PathLike[str], create: bool) -> BinaryIO:
    """A file to read and write, unbuffered. What is no plain file of one name, such as a link, is an OSError."""
    flags = os.O_RDWR | (os.O_CREAT if create else 0)
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    descriptor = os.open(path, flags, 0o666)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(descriptor)
        raise OSError(errno.ELOOP, "it is a link, a file of several names, or no file", os.fspath(path))
    return open(descriptor, "r+b", buffering=0)


def lock(file: BinaryIO, path: str | os.PathLike[str]) -> bool:
    """Lock an open file until it is closed, or its process is dead. Whether no other process has it.

    It is `flock` where there is one, else the locks of Windows. Where the disk has no locks, as some networks' have none, a
    warning says so.
    """
    try:
        _lock(file)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            return False
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL):
            raise
        _logger.warning("%s is on a disk without locks: start no second run with the same output.", path)
    return True


def _lock(file: BinaryIO) -> None:
    try:
        import fcntl
    except ImportError:
        import msvcrt

        file.seek(_LOCKED_BYTE)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_at(file: BinaryIO, path: str | os.PathLike[str]) -> bool:
    """Whether an open file is what a path leads to now."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.lstat(path))
    except FileNotFoundError:
        return False
