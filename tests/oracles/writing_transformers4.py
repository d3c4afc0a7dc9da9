"""What the pipelines of transformers 4.57.6 write for random calls on tiny models.

    python3.11 -m venv .venv-transformers4
    .venv-transformers4/bin/pip install "transformers==4.57.6" torch==2.13.0 ml-dtypes huggingface-hub tqdm
    PYTHONPATH=src:tests:tests/support:tests/oracles .venv-transformers4/bin/python tests/oracles/writing_transformers4.py

This writes tests/data/writing_transformers4.json: task -> the answers to `writing_cases.case(task, 0)`, `case(task, 1)`, ...
"""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import pipelines_transformers4
import torch
import transformers
import writing_cases

DATA = Path(__file__).parents[1] / "data" / "writing_transformers4.json"


def pair() -> Any:
    config = transformers.EncoderDecoderConfig(**writing_cases.pair_config().to_dict())
    made = transformers.EncoderDecoderModel(config).eval()
    weights = {name: torch.from_numpy(array) for name, array in writing_cases.pair_weights().items()}
    missing, unexpected = made.load_state_dict(weights, strict=False)
    assert not unexpected, unexpected
    assert set(missing) <= {"decoder.cls.predictions.decoder.weight", "decoder.cls.predictions.decoder.bias"}, missing
    made.tie_weights()
    made.decoder.tie_weights()
    made.generation_config = transformers.GenerationConfig.from_model_config(config)
    return made


def plain(answer: Any) -> Any:
    """Tensors of ids as lists."""
    if isinstance(answer, dict):
        return {key: plain(value) for key, value in answer.items()}
    return (
        [plain(one) for one in answer]
        if isinstance(answer, list)
        else answer.tolist()
        if hasattr(answer, "tolist")
        else answer
    )


def main() -> None:
    assert transformers.__version__ == "4.57.6", f"this is transformers {transformers.__version__}"
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    found: dict[str, list[Any]] = {}
    for task in writing_cases.TASKS:
        model = pipelines_transformers4.model("decoder") if task == "text-generation" else pair()
        opened = transformers.pipeline(task, model=model, tokenizer=pipelines_transformers4.tokenizer(), device="cpu")
        found[task] = []
        for seed in range(writing_cases.COUNT):
            texts, options = writing_cases.case(task, seed)
            found[task].append(plain(opened(texts, **options)))
    lines = [
        f'"{task}": [\n' + ",\n".join(json.dumps(one) for one in answers) + "\n]" for task, answers in found.items()
    ]
    DATA.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(f"{DATA}: {DATA.stat().st_size} bytes")


if __name__ == "__main__":
    main()
