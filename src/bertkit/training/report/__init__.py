"""The report of a run: report.html, and its pictures as PNG files in report/."""

from __future__ import annotations

import os
from pathlib import Path

from bertkit.hub.disk import whole_file
from bertkit.training.record import read_record
from bertkit.training.report.mistakes import mistakes
from bertkit.training.report.overview import curves, data, lengths, reproduction, samples, scores
from bertkit.training.report.page import page
from bertkit.training.report.pictures import Pictures
from bertkit.training.report.results import calibration, results


def write_report(folder: str | os.PathLike[str]) -> Path:
    """Write report.html of a run, and return its path.

    The page has no script and loads nothing, so that it can be sent as one file. Its pictures need matplotlib; without it the
    page has the same numbers in tables.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> size = (folder / "run.json").write_text('{"task": "text-classification", "scores": {"accuracy": 0.9}}')
    >>> write_report(folder).name
    'report.html'

    Args:
        folder: the output folder of the run, with run.json, metrics.jsonl and, after fine-tuning, predictions.jsonl.
    """
    record = read_record(folder)
    pictures = Pictures(record.folder / "report")
    makers = (scores, curves, samples, results, calibration, mistakes, lengths, data, reproduction)
    sections = [section for make in makers for section in make(record, pictures)]
    path = record.folder / "report.html"
    with whole_file(path) as file:
        file.write(page(record, sections, pictures).encode())
    return path
