"""The functions that SageMaker's containers of Hugging Face and PyTorch call. Change them for your inputs and answers."""

from __future__ import annotations

import csv
import io
import json
import os
from typing import Any

from bertkit import pipeline


def model_fn(model_dir: str, context: Any = None) -> Any:
    """Open the model in a directory, for the task in the environment variable HF_TASK, or the main task of the model."""
    return pipeline(os.environ.get("HF_TASK") or None, model_dir)


def input_fn(data: str | bytes, content_type: str = "application/json") -> dict[str, Any]:
    """Read the body of a request: JSON, or a CSV table with the column `inputs` or the fields of an example."""
    text = data if isinstance(data, str) else bytes(data).decode()
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json":
        found = json.loads(text)
        return found if isinstance(found, dict) and "inputs" in found else {"inputs": found}
    if kind == "text/csv":
        return {"inputs": [row.get("inputs", row) for row in csv.DictReader(io.StringIO(text, newline=""))]}
    raise ValueError(f"The content type is {content_type!r:.80}: send application/json or text/csv.")


def predict_fn(data: dict[str, Any], model: Any) -> Any:
    """Answer the inputs with the parameters, which are options of the pipeline."""
    return model(data["inputs"], **(data.get("parameters") or {}))


def output_fn(prediction: Any, accept: str = "application/json") -> str:
    """Write the answer as JSON."""
    return json.dumps(prediction)
