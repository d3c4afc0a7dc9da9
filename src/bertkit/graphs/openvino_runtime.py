"""OpenVINO, imported without its telemetry: `import openvino` alone sends an event over the network."""

from __future__ import annotations

import sys
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
