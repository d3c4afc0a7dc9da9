"""bertkit.logging beside transformers' module of that name."""

from __future__ import annotations

import inspect
import logging
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import transformers
from huggingface_hub.utils import are_progress_bars_disabled

import bertkit
from bertkit.errors import UsageError
from bertkit.logging import __all__ as names
from bertkit.pipelines.run import progress_bar


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("bertkit", "transformers")]
    before = [(one.level, one.propagate, list(one.handlers)) for one in loggers]
    in_use = bertkit.logging._HANDLER.in_use
    yield
    bertkit.logging._HANDLER.in_use = in_use
    for one, (level, propagate, handlers) in zip(loggers, before, strict=True):
        one.setLevel(level)
        one.propagate, one.handlers = propagate, handlers
    bertkit.logging.enable_progress_bar()
    transformers.logging.enable_progress_bar()


def test_every_name_is_here() -> None:
    """All but what belongs to transformers' own bars and loggers."""
    theirs = transformers.utils.logging
    public = {name for name in vars(theirs) if not name.startswith("_") and inspect.isfunction(getattr(theirs, name))}
    own = {"captureWarnings", "warning_advice", "warning_once", "info_once", "set_tqdm_hook"}
    assert public - own == {name for name in names if inspect.isfunction(getattr(bertkit.logging, name))}
    for name in public - own:
        here, there = (inspect.signature(getattr(module, name)) for module in (bertkit.logging, theirs))
        assert list(here.parameters) == list(there.parameters)
    for name in ("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG", "FATAL", "WARN", "NOTSET"):
        assert getattr(bertkit.logging, name) == getattr(theirs, name)


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_levels_beside_transformers(level: str) -> None:
    found = []
    transformers.logging.disable_propagation()  # its default, but where the variable CI is set
    for module in (bertkit.logging, transformers.logging):
        getattr(module, f"set_verbosity_{level}")()
        logger = module.get_logger()
        found.append(
            (module.get_verbosity(), [logger.isEnabledFor(number) for number in range(10, 60, 10)], logger.propagate)
        )
        assert module.get_logger("bertkit.text") is logging.getLogger("bertkit.text")
        module.enable_propagation()
        assert module.get_logger().propagate
        module.disable_propagation()
        assert not module.get_logger().propagate
    assert found[0] == found[1]


def test_messages_follow_the_level(capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = bertkit.BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], model_max_length=4)
    bertkit.logging.set_verbosity_warning()
    tokenizer("a " * 9)
    assert "11" in capsys.readouterr().err
    again = bertkit.BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], model_max_length=4)
    bertkit.logging.set_verbosity_error()
    again("a " * 9)
    assert capsys.readouterr().err == ""


def test_handlers(capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    handler = Keeping()
    bertkit.logging.add_handler(handler)
    bertkit.logging.disable_default_handler()
    bertkit.logging.get_logger().warning("to mine")
    assert said == ["to mine"] and capsys.readouterr().err == ""
    bertkit.logging.remove_handler(handler)
    with pytest.raises(UsageError, match="call add_handler first"):
        bertkit.logging.remove_handler(handler)
    bertkit.logging.enable_default_handler()
    bertkit.logging.enable_explicit_format()
    bertkit.logging.get_logger().warning("with a line")
    assert capsys.readouterr().err.startswith("[WARNING|test_logging.py:")
    bertkit.logging.reset_format()
    bertkit.logging.get_logger().warning("alone")
    assert capsys.readouterr().err == "alone\n"


def test_progress_bars(capsys: pytest.CaptureFixture[str]) -> None:
    for module in (bertkit.logging, transformers.logging):
        module.disable_progress_bar()
        assert not module.is_progress_bar_enabled() and are_progress_bars_disabled()
        module.enable_progress_bar()
        assert module.is_progress_bar_enabled() and not are_progress_bars_disabled()
    bertkit.logging.disable_progress_bar()
    with progress_bar(3) as bar:
        bar.update(3)
    assert capsys.readouterr().err == ""
    bertkit.logging.enable_progress_bar()
    with progress_bar(3) as bar:
        bar.update(3)
    assert "3/3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "level", "said"), [("error", 40, ""), ("DEBUG", 10, ""), ("loud", 30, "set one of debug"), ("", 0, "")]
)
def test_the_environment_variable(value: str, level: int, said: str) -> None:
    """It takes effect at import, without a call of bertkit.logging."""
    script = "import bertkit, logging; print(logging.getLogger('bertkit').level)"
    environment = {**os.environ, "BERTKIT_VERBOSITY": value}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert int(run.stdout) == level and said in run.stderr and bool(run.stderr) == bool(said)
