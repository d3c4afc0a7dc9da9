"""Writing files atomically, and locking files against other processes."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_LOCKED_BYTE = 2**30
"""The position of the byte that is locked on Windows. It is after the end of the file, since a locked byte cannot be read."""

_logger = logging.getLogger(__name__)


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for writing that appears at `path`, complete, at the end of the block.

    The file is written under a temporary name in the same folder and renamed, so that a crash, Ctrl-C or a full disk
    leaves an earlier file at `path` unchanged.
    """
    target = Path(path)
    beside = target.with_name(f".{target.name}.{os.urandom(4).hex()}.part")
    with open(beside, "xb") as file:  # mode x follows no link
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            file.close()  # Windows cannot rename an open file
            os.replace(beside, target)
        except BaseException:
            file.close()
            beside.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def whole_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A folder to fill, which appears at `path` at the end of the block, or is removed after an error.

    `path` must not exist, or be an empty folder.
    """
    target = Path(path)
    beside = target.with_name(f".{target.name}.{os.urandom(4).hex()}.part")
    beside.mkdir()
    try:
        yield beside
        if target.is_dir():
            target.rmdir()  # Windows does not rename to a folder that exists
        beside.rename(target)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def remove_unfinished(path: str | os.PathLike[str]) -> None:
    """Remove what a killed process left from `whole_file(path)` or `whole_folder(path)`. No process may be writing `path`."""
    target = Path(path)
    name = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{8}}\.part")
    for beside in target.parent.iterdir():
        if name.fullmatch(beside.name):
            if beside.is_dir() and not beside.is_symlink():
                shutil.rmtree(beside, ignore_errors=True)
            else:
                beside.unlink(missing_ok=True)


def open_own(path: str | os.PathLike[str], create: bool) -> BinaryIO:
    """Open a file for unbuffered reading and writing. Raises OSError for a link, a device and a file with several names."""
    flags = os.O_RDWR | (os.O_CREAT if create else 0)
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    descriptor = os.open(path, flags, 0o666)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(descriptor)
        raise OSError(errno.ELOOP, "it is a link, a file with several names, or not a regular file", os.fspath(path))
    return open(descriptor, "r+b", buffering=0)


def lock(file: BinaryIO, path: str | os.PathLike[str]) -> bool:
    """Lock an open file until it is closed or the process ends. Returns False if another process has locked it.

    Uses `flock`, or the locks of Windows. If the disk does not support locks, as on some networks, a warning is logged and
    the result is True.
    """
    try:
        _lock(file)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            return False
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL):
            raise
        _logger.warning("%s is on a disk without locks: do not start a second run with the same output.", path)
    return True


@contextlib.contextmanager
def locked(path: str | os.PathLike[str]) -> Iterator[bool]:
    """Create and lock a file until the end of the block, which removes it. The value is False if it is locked already."""
    with open_own(path, create=True) as file:
        own = lock(file, path) and is_at(file, path)
        try:
            yield own
        finally:
            if own:
                Path(path).unlink(missing_ok=True)


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
    """Whether `path` still leads to the open file `file`."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.lstat(path))
    except FileNotFoundError:
        return False
