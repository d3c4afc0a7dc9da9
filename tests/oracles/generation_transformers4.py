"""What `generate` of transformers 4.57.6 writes for 380 random settings.

    python3.11 -m venv .venv-transformers4
    .venv-transformers4/bin/pip install "transformers==4.57.6" torch==2.13.0 ml-dtypes huggingface-hub tqdm
    PYTHONPATH=src:tests:tests/support .venv-transformers4/bin/python tests/oracles/generation_transformers4.py

It writes tests/data/generation_transformers4.json: the words of each case of `generation_cases`, the score of each text of a beam
search, and for sampling the changed scores of the first word, null for those that are excluded. Without a cache are the cases with
the states of an encoder, which fail with one, and those with relative positions: with a cache, transformers computes all words of a
prompt with the distances of the last one.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
import transformers
from generation_cases import COUNT, Case, case

DATA = Path(__file__).parents[1] / "data" / "generation_transformers4.json"


def answer(one: Case) -> dict[str, Any]:
    """Ask transformers."""
    config = transformers.BertConfig(**{k: v for k, v in one.config.to_dict().items() if k != "model_type"})
    model = transformers.BertLMHeadModel(config).eval()
    model.load_state_dict({name: torch.from_numpy(array) for name, array in one.weights.items()}, strict=False)
    model.tie_weights()
    prompt, mask = torch.from_numpy(one.prompt), torch.from_numpy(one.mask)
    given = {name: torch.from_numpy(array) for name, array in one.given.items()}
    has_no_cache = given or config.position_embedding_type != "absolute"
    options = one.options | given | ({"use_cache": False} if has_no_cache else {})
    found = model.generate(prompt, attention_mask=mask, **options, return_dict_in_generate=True, output_scores=True)
    if one.options["do_sample"]:
        rows = found.scores[0].tolist()
        return {"scores": [[round(x, 6) if math.isfinite(x) else None for x in row] for row in rows]}
    beams = one.options["num_beams"] > 1
    return {"words": found.sequences.tolist()} | (
        {"totals": [round(x, 6) for x in found.sequences_scores.tolist()]} if beams else {}
    )


def main() -> None:
    """Ask all cases, and write the file."""
    assert transformers.__version__ == "4.57.6", f"this is transformers {transformers.__version__}"
    torch.set_num_threads(1)
    lines = [json.dumps(answer(case(seed)), separators=(",", ":")) for seed in range(COUNT)]
    DATA.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
    print(f"{DATA}: {COUNT} cases, {DATA.stat().st_size} bytes")


if __name__ == "__main__":
    main()
