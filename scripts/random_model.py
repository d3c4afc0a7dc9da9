"""Write a model with the configuration and the tokenizer of another, but with random weights.

    python scripts/random_model.py MODEL OUT [--seed 0]

Fine-tuned in the same way as MODEL, it shows what the pretraining of MODEL is worth.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import bertkit


def main() -> None:
    """Write the model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    bertkit.BertModel(bertkit.BertConfig.from_pretrained(options.model)).save_pretrained(options.out)
    bertkit.AutoTokenizer.from_pretrained(options.model).save_pretrained(options.out)


if __name__ == "__main__":
    main()
