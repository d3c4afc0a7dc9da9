"""What the data collators of transformers 4.57.6 return for TensorFlow, and how many tokens its whole-word masking chooses.

    python3.11 -m venv .venv-transformers4
    .venv-transformers4/bin/pip install "transformers==4.57.6" torch==2.13.0 tensorflow-cpu==2.21.0 numpy
    PYTHONPATH=tests:tests/support .venv-transformers4/bin/python tests/oracles/collators_transformers4.py

This writes tests/data/collators_transformers4.json.xz: "tf" -> name of a case in collator_cases.py -> its answer, and "whole words" -> the shares.
"""

from __future__ import annotations

import json
import lzma
import tempfile
from pathlib import Path

import collator_cases as cases
import transformers

DATA = Path(__file__).parents[1] / "data" / "collators_transformers4.json.xz"

if __name__ == "__main__":
    assert transformers.__version__ == "4.57.6", "see the first lines of this script"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocab.txt"
        path.write_text("\n".join(cases.VOCABULARY) + "\n")
        tokenizer = transformers.BertTokenizerFast(str(path))
    found = {
        "tf": {name: cases.answer(transformers, tokenizer, name, "tf") for name in cases.CASES},
        "whole words": cases.whole_words(transformers, tokenizer, 0),
    }
    DATA.write_bytes(lzma.compress(json.dumps(found).encode(), preset=9 | lzma.PRESET_EXTREME))
    print(f"{DATA}: {DATA.stat().st_size} bytes; whole words: {found['whole words']}")
