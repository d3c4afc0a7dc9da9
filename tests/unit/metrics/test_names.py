"""The public names of bertkit.metrics."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import bertkit
from bertkit import metrics


def test_public_names() -> None:
    found = [name for name, value in vars(metrics).items() if name[0] != "_" and not isinstance(value, ModuleType)]
    assert sorted(metrics.__all__) == sorted(found)
    for name in metrics.__all__:
        value = getattr(metrics, name)
        assert value.__doc__, name
        assert not callable(value) or value.__module__.startswith("bertkit.metrics."), name


def test_metrics_is_an_attribute_of_bertkit() -> None:
    script = "import sys, bertkit; assert 'numpy' not in sys.modules; print(bertkit.metrics.accuracy([1], [1]))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "1.0\n"
    assert bertkit.metrics is metrics


def test_every_class_is_a_metric() -> None:
    streams: list[metrics.Metric] = [
        metrics.Calibration(),
        metrics.Classification(),
        metrics.EntityScores(),
        metrics.Glue("rte"),
        metrics.LanguageModelling(),
        metrics.MultiLabelClassification(),
        metrics.Regression(),
        metrics.Rouge(),
        metrics.Squad(),
        metrics.Squad2(),
    ]
    for stream in streams:
        stream.update([], [])
        assert all(isinstance(value, float | int) for value in stream.compute().values())
