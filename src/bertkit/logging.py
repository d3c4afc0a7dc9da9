"""How much bertkit says: levels, handlers and progress bars.

    bertkit.logging.set_verbosity_error()

The environment variable BERTKIT_VERBOSITY (debug, info, warning, error, critical) sets the level from the start.
"""

from __future__ import annotations

import logging
import os
import sys
from logging import CRITICAL, DEBUG, ERROR, FATAL, INFO, NOTSET, WARN, WARNING
from typing import Any

from bertkit.errors import UsageError, did_you_mean

__all__ = [
    "CRITICAL",
    "DEBUG",
    "ERROR",
    "FATAL",
    "INFO",
    "NOTSET",
    "WARN",
    "WARNING",
    "add_handler",
    "disable_default_handler",
    "disable_progress_bar",
    "disable_propagation",
    "enable_default_handler",
    "enable_explicit_format",
    "enable_progress_bar",
    "enable_propagation",
    "get_log_levels_dict",
    "get_logger",
    "get_verbosity",
    "is_progress_bar_enabled",
    "remove_handler",
    "reset_format",
    "set_verbosity",
    "set_verbosity_debug",
    "set_verbosity_error",
    "set_verbosity_info",
    "set_verbosity_warning",
]

VARIABLE = "BERTKIT_VERBOSITY"

_LEVELS = {"debug": DEBUG, "info": INFO, "warning": WARNING, "error": ERROR, "critical": CRITICAL}
_EXPLICIT = "[%(levelname)s|%(filename)s:%(lineno)s] %(asctime)s >> %(message)s"
_BARS = {"enabled": True}


class _ToStderr(logging.StreamHandler[Any]):
    """Writes to what sys.stderr is now, as tests and notebooks replace it."""

    in_use = False

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr

    @stream.setter
    def stream(self, value: object) -> None: ...


_HANDLER = _ToStderr()


def _logger() -> logging.Logger:
    """The logger of the library, with its handler and its level from its first use on."""
    logger = logging.getLogger("bertkit")
    if not _HANDLER.in_use:
        _HANDLER.in_use = True
        logger.addHandler(_HANDLER)
        logger.propagate = False
        name = os.environ.get(VARIABLE) or "warning"
        logger.setLevel(_LEVELS.get(name.lower(), WARNING))
        if name.lower() not in _LEVELS:
            known = ", ".join(_LEVELS)
            logger.warning("%s=%r is not a level: set one of %s.%s", VARIABLE, name, known, did_you_mean(name, _LEVELS))
    return logger


def get_logger(name: str | None = None) -> logging.Logger:
    """The logger of the library, or that of a name."""
    library = _logger()
    return library if name is None else logging.getLogger(name)


def get_log_levels_dict() -> dict[str, int]:
    """The levels by name.

    >>> get_log_levels_dict()["error"]
    40
    """
    return dict(_LEVELS)


def get_verbosity() -> int:
    """The level below which nothing is said: 30, a warning, by default."""
    return _logger().getEffectiveLevel()


def set_verbosity(verbosity: int) -> None:
    """Say what is of this level or above, such as `bertkit.logging.ERROR`."""
    _logger().setLevel(verbosity)


def set_verbosity_debug() -> None:
    """Say everything."""
    set_verbosity(DEBUG)


def set_verbosity_info() -> None:
    """Say what happens, too."""
    set_verbosity(INFO)


def set_verbosity_warning() -> None:
    """Say warnings and errors, which is the default."""
    set_verbosity(WARNING)


def set_verbosity_error() -> None:
    """Say errors alone."""
    set_verbosity(ERROR)


def enable_default_handler() -> None:
    """Write to stderr, which is the default."""
    _logger().addHandler(_HANDLER)


def disable_default_handler() -> None:
    """Write to handlers of yours alone."""
    _logger().removeHandler(_HANDLER)


def add_handler(handler: logging.Handler) -> None:
    """Write to a handler, too."""
    _logger().addHandler(handler)


def remove_handler(handler: logging.Handler) -> None:
    """Write to a handler no more."""
    if handler not in _logger().handlers:
        raise UsageError(f"{handler!r} is not a handler of bertkit's logger: call add_handler first.")
    _logger().removeHandler(handler)


def enable_propagation() -> None:
    """Pass records on to Python's root logger. Disable the default handler then, or each is written twice."""
    _logger().propagate = True


def disable_propagation() -> None:
    """Pass no records on to Python's root logger."""
    _logger().propagate = False


def enable_explicit_format() -> None:
    """Write level, file, line and time before each message."""
    for handler in _logger().handlers:
        handler.setFormatter(logging.Formatter(_EXPLICIT))


def reset_format() -> None:
    """Write the message alone, which is the default."""
    for handler in _logger().handlers:
        handler.setFormatter(None)


def is_progress_bar_enabled() -> bool:
    """Whether progress bars are drawn."""
    return _BARS["enabled"]


def enable_progress_bar() -> None:
    """Draw progress bars where they are asked for, and when files are downloaded."""
    _set_bars(True)


def disable_progress_bar() -> None:
    """Draw no progress bars."""
    _set_bars(False)


def _set_bars(enabled: bool) -> None:
    from huggingface_hub.utils.tqdm import disable_progress_bars, enable_progress_bars

    _BARS["enabled"] = enabled
    (enable_progress_bars if enabled else disable_progress_bars)()
