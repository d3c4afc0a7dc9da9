"""The error without TensorFlow."""

from __future__ import annotations

import subprocess
import sys


def test_the_error_names_the_package_to_install() -> None:
    script = """
import sys
for name in ("tensorflow", "tensorflow_text"):
    sys.modules[name] = None
import bertkit
for name in ("TFBertModel", "TFAutoModel", "TFBertTokenizer", "create_optimizer", "KerasMetricCallback"):
    try:
        getattr(bertkit, name)
    except ImportError as error:
        assert 'pip install "bertkit[tf]"' in str(error), error
    else:
        raise AssertionError(name)
"""
    subprocess.run([sys.executable, "-c", script], check=True)
