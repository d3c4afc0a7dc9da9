"""The losses of 50 steps of the Seq2SeqTrainer of transformers 4.57.6 on a tiny encoder-decoder.

    python3.11 -m venv .venv-transformers4
    .venv-transformers4/bin/pip install "transformers[torch]==4.57.6" torch==2.13.0 ml-dtypes huggingface-hub tqdm
    PYTHONPATH=src:tests/support .venv-transformers4/bin/python tests/oracles/seq2seq_transformers4.py

It writes tests/data/seq2seq_transformers4.json: the loss of each step on the examples of `seq2seq_cases`, in their order.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers
from seq2seq_cases import OPTIONS, SIZE, STEPS, config, examples, weights

DATA = Path(__file__).parents[1] / "data" / "seq2seq_transformers4.json"


class Recorded(transformers.Seq2SeqTrainer):
    """Keeps the loss of each step, and the order of the examples."""

    def _get_train_sampler(self, *_: Any) -> Any:
        return torch.utils.data.SequentialSampler(self.train_dataset)

    def training_step(self, *arguments: Any, **named: Any) -> torch.Tensor:
        loss = super().training_step(*arguments, **named)
        self.losses = [*getattr(self, "losses", []), float(loss)]
        return loss


def padded(rows: list[tuple[list[int], list[int]]]) -> dict[str, torch.Tensor]:
    """Pad a batch."""
    texts, summaries = ([torch.tensor(row[side]) for row in rows] for side in (0, 1))
    pad = torch.nn.utils.rnn.pad_sequence
    ids = pad(texts, batch_first=True)
    labels = pad(summaries, batch_first=True, padding_value=-100)
    return {"input_ids": ids, "attention_mask": (ids != 0).long(), "labels": labels}


def main() -> None:
    """Train, and write the file."""
    assert transformers.__version__ == "4.57.6", f"this is transformers {transformers.__version__}"
    torch.set_num_threads(1)
    made = transformers.EncoderDecoderConfig.from_dict(config().to_dict())
    model = transformers.EncoderDecoderModel(made)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights().items()}, strict=False)
    model.tie_weights()
    arguments = transformers.Seq2SeqTrainingArguments(
        output_dir=tempfile.mkdtemp(),
        max_steps=STEPS,
        per_device_train_batch_size=SIZE,
        learning_rate=OPTIONS["lr"],
        warmup_ratio=OPTIONS["warmup"],
        lr_scheduler_type="linear",
        weight_decay=OPTIONS["weight_decay"],
        max_grad_norm=OPTIONS["clip"],
        optim="adamw_torch",
        remove_unused_columns=False,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )
    trainer = Recorded(model, arguments, data_collator=padded, train_dataset=examples())
    trainer.train()
    DATA.write_text(json.dumps([round(loss, 7) for loss in trainer.losses]) + "\n", encoding="utf-8")
    print(f"{DATA}: {trainer.losses[0]:.4f} to {trainer.losses[-1]:.4f}")


if __name__ == "__main__":
    main()
