"""What `get_extended_attention_mask` of transformers 4.57.6 answers, which transformers 5 dropped.

    python3.11 -m venv .venv-transformers4
    .venv-transformers4/bin/pip install "transformers==4.57.6" torch==2.13.0 numpy
    PYTHONPATH=tests .venv-transformers4/bin/python tests/oracles/masks4.py record

`record` writes tests/data/masks4.json: for each case where the mask is 0, and the number that stands elsewhere.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import transformers
from mask_cases import answers

DATA = Path(__file__).parents[1] / "data" / "masks4.json"


def record() -> None:
    """Ask and write."""
    assert transformers.__version__ == "4.57.6", f"this is transformers {transformers.__version__}"
    DATA.write_text(json.dumps(answers(transformers)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    {"record": record}[sys.argv[1]]()
