"""OpenVINO, imported without its telemetry: `import openvino` alone sends an event over the network."""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from typing import Any

_TELEMETRY = "openvino_telemetry"


def _imported() -> Any:
    """Import OpenVINO. It does not find its telemetry, and then uses a replacement that does nothing."""
    sys.modules.setdefault(_TELEMETRY, None)  # type: ignore[arg-type]  # None means that there is no such module
    try:
        return import_module("openvino")
    finally:
        if sys.modules[_TELEMETRY] is None:
            del sys.modules[_TELEMETRY]


ov: Any = _imported()
ops: Any = import_module("openvino.opset15")


@cache
def core() -> Any:
    """The only `ov.Core` of the process, which is never freed.

    A core replaces the stack on which the main thread handles signals, and unmaps it when it is freed. If cores are freed in
    another order than the reverse one, a stack stays in use after it was unmapped, and the next signal ends the process.
    """
    return ov.Core()
