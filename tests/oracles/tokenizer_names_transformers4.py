"""The names and signatures of the BERT tokenizers of transformers 4.57.6.

    python3.11 -m venv .venv-transformers4
    .venv-transformers4/bin/pip install "transformers==4.57.6" torch==2.13.0
    PYTHONPATH=tests:tests/support .venv-transformers4/bin/python tests/oracles/tokenizer_names_transformers4.py

This writes tests/data/tokenizer_names_transformers4.json: class -> name -> its parameters, null for what is no function.
"""

from __future__ import annotations

import json
from pathlib import Path

import transformers
from tokenizer_names import names_of

DATA = Path(__file__).parents[1] / "data" / "tokenizer_names_transformers4.json"

if __name__ == "__main__":
    assert transformers.__version__ == "4.57.6", "see the first lines of this script"
    found = {name: names_of(getattr(transformers, name)) for name in ("BertTokenizer", "BertTokenizerFast")}
    DATA.write_text(json.dumps(found, indent=0, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{DATA}: {DATA.stat().st_size} bytes")
