"""The server on a local Ray, with two replicas."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pipeline_models
import pytest

JOB = Path(__file__).parents[2] / "support" / "ray_serve_job.py"


def test_two_replicas_answer(tmp_path: Path) -> None:
    """Each request is answered by one of them, with the answer of a pipeline, and both are healthy."""
    paths = os.pathsep.join(sys.path)
    environment = {**os.environ, "PYTHONPATH": paths, "HOME": str(tmp_path)}
    trial = subprocess.run([sys.executable, "-c", "import ray.serve"], env=environment, capture_output=True, text=True)
    if trial.returncode:
        pytest.skip(f"needs Ray Serve: type pip install 'ray[serve]'. {trial.stderr.splitlines()[-1]}")
    command = [sys.executable, str(JOB), str(pipeline_models.folder("two"))]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr[-3000:]
    printed = [line for line in run.stdout.splitlines() if line.startswith(("[", "{"))]  # not the messages of Ray
    answers, states, counts, (health, refused) = map(json.loads, printed)
    expected = pipeline_models.ours("text-classification", "two")("Anna moved to Paris.", top_k=None)
    assert [[one["label"] for one in answer] for answer in answers] == [[one["label"] for one in expected]]
    assert answers[0][0]["score"] == pytest.approx(expected[0]["score"], abs=1e-5)
    assert states == {"RUNNING": 2}
    assert sum(counts) * (2 if len(counts) == 1 else 1) == 40
    assert (health, refused) == ([200], 422)
