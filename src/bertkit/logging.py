"""What bertkit logs and displays: levels, handlers and progress bars.

    bertkit.logging.set_verbosity_error()

The environment variable BERTKIT_VERBOSITY (debug, info, warning, error, critical) sets the initial level.
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
    """Writes to the current sys.stderr, since tests and notebooks replace it."""

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
    """Return the logger of the library. The first call sets its handler and its level."""
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
    """Return the logger of bertkit, or the logger called `name`."""
    library = _logger()
    return library if name is None else logging.getLogger(name)


def get_log_levels_dict() -> dict[str, int]:
    """Return the numbers of the levels by name.

    >>> get_log_levels_dict()["error"]
    40
    """
    return dict(_LEVELS)


def get_verbosity() -> int:
    """Return the level below which nothing is logged, by default 30 (warning)."""
    return _logger().getEffectiveLevel()


def set_verbosity(verbosity: int) -> None:
    """Log messages of this level or above, for example `bertkit.logging.ERROR`."""
    _logger().setLevel(verbosity)


def set_verbosity_debug() -> None:
    """Log everything."""
    set_verbosity(DEBUG)


def set_verbosity_info() -> None:
    """Log information, warnings and errors."""
    set_verbosity(INFO)


def set_verbosity_warning() -> None:
    """Log warnings and errors, which is the default."""
    set_verbosity(WARNING)


def set_verbosity_error() -> None:
    """Log only errors."""
    set_verbosity(ERROR)


def enable_default_handler() -> None:
    """Write log messages to stderr, which is the default."""
    _logger().addHandler(_HANDLER)


def disable_default_handler() -> None:
    """Do not write log messages to stderr, only to the handlers that were added."""
    _logger().removeHandler(_HANDLER)


def add_handler(handler: logging.Handler) -> None:
    """Pass log messages to `handler` as well."""
    _logger().addHandler(handler)


def remove_handler(handler: logging.Handler) -> None:
    """Stop passing log messages to `handler`."""
    if handler not in _logger().handlers:
        raise UsageError(f"{handler!r} is not a handler of bertkit's logger: call add_handler first.")
    _logger().removeHandler(handler)


def enable_propagation() -> None:
    """Pass log messages on to Python's root logger. Disable the default handler too, or each message is written twice."""
    _logger().propagate = True


def disable_propagation() -> None:
    """Do not pass log messages on to Python's root logger, which is the default."""
    _logger().propagate = False


def enable_explicit_format() -> None:
    """Write level, file, line and time before each message."""
    for handler in _logger().handlers:
        handler.setFormatter(logging.Formatter(_EXPLICIT))


def reset_format() -> None:
    """Write only the message, which is the default."""
    for handler in _logger().handlers:
        handler.setFormatter(None)


def is_progress_bar_enabled() -> bool:
    """Whether progress bars are drawn."""
    return _BARS["enabled"]


def enable_progress_bar() -> None:
    """Draw progress bars, which is the default."""
    _set_bars(True)


def disable_progress_bar() -> None:
    """Draw no progress bars."""
    _set_bars(False)


def _set_bars(enabled: bool) -> None:
    from huggingface_hub.utils.tqdm import disable_progress_bars, enable_progress_bars

    _BARS["enabled"] = enabled
    (enable_progress_bars if enabled else disable_progress_bars)()
