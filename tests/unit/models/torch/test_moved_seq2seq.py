"""Warm-starting an encoder-decoder with BERT, in transformers' Seq2SeqTrainer: the same calls by either library."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from moved import TEXTS, checkpoint, compare, same

import bertkit

pytestmark = pytest.mark.filterwarnings("ignore")  # those of the others


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> str:
    return checkpoint(tmp_path_factory.mktemp("moved") / "bert-base-uncased")


ENCODER_LENGTH, DECODER_LENGTH = 32, 16


def columns(tokenizer: Any, texts: list[str], has_inputs: bool = False) -> list[dict[str, list[int]]]:
    """Articles and their summaries, of which padding has no loss. has_inputs: with the decoder's, as in the first scripts."""
    articles = [f"{one} {two}" for one, two in itertools.pairwise(texts)]
    inputs = tokenizer(articles, padding="max_length", truncation=True, max_length=ENCODER_LENGTH)
    outputs = tokenizer(texts[:-1], padding="max_length", truncation=True, max_length=DECODER_LENGTH)
    labels = [[-100 if token == tokenizer.pad_token_id else token for token in row] for row in outputs.input_ids]
    found = {"input_ids": inputs.input_ids, "attention_mask": inputs.attention_mask, "labels": labels}
    if has_inputs:
        found |= {"decoder_input_ids": outputs.input_ids, "decoder_attention_mask": outputs.attention_mask}
    return [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]


def fresh_weights(model: Any) -> None:
    """Give cross-attention, which no BERT has, the same random weights in either library."""
    draws = torch.Generator().manual_seed(1)
    for name, parameter in sorted(model.named_parameters()):
        if "crossattention" in name and name.endswith("weight") and "LayerNorm" not in name:
            torch.nn.init.normal_(parameter, std=0.2, generator=draws)


def bert2bert(library: Any, start: str, folder: Path, on_config: bool = False, has_inputs: bool = False) -> Any:
    tokenizer = library.BertTokenizerFast.from_pretrained(start)
    tokenizer.bos_token = tokenizer.cls_token
    tokenizer.eos_token = tokenizer.sep_token
    train, validation = (columns(tokenizer, texts, has_inputs) for texts in (TEXTS[:9], TEXTS[8:]))
    model = library.EncoderDecoderModel.from_encoder_decoder_pretrained(start, start)
    fresh_weights(model)
    model.config.decoder_start_token_id = tokenizer.bos_token_id
    model.config.eos_token_id = tokenizer.eos_token_id
    model.config.pad_token_id = tokenizer.pad_token_id
    model.config.vocab_size = model.config.encoder.vocab_size
    settings = model.config if on_config else model.generation_config
    settings.decoder_start_token_id = tokenizer.bos_token_id
    settings.max_length = 14
    settings.min_length = 5
    settings.no_repeat_ngram_size = 3
    settings.early_stopping = True
    settings.length_penalty = 2.0
    settings.num_beams = 4
    written: list[list[str]] = []

    def compute_metrics(prediction: Any) -> dict[str, float]:
        labels = prediction.label_ids.copy()
        labels[labels == -100] = tokenizer.pad_token_id
        predicted = tokenizer.batch_decode(prediction.predictions, skip_special_tokens=True)
        wanted = tokenizer.batch_decode(labels, skip_special_tokens=True)
        written.append(predicted)
        shares = [
            len({*one.split()} & {*two.split()}) / len({*two.split()})
            for one, two in zip(predicted, wanted, strict=True)
        ]
        return {"recall": round(float(np.mean(shares)), 4)}

    args = library.Seq2SeqTrainingArguments(
        output_dir=str(folder),
        predict_with_generate=True,
        eval_strategy="steps",
        per_device_train_batch_size=4,
        per_device_eval_batch_size=4,
        learning_rate=5e-3,
        num_train_epochs=12,
        logging_steps=1,
        save_steps=16,
        eval_steps=12,
        save_total_limit=1,
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
    )
    trainer = library.Seq2SeqTrainer(
        model=model,
        args=args,
        train_dataset=train,
        eval_dataset=validation,
        compute_metrics=compute_metrics,
        processing_class=tokenizer,
    )
    trainer.train()
    timed = ("runtime", "per_second", "total_flos")
    log = [{key: x for key, x in row.items() if not key.endswith(timed)} for row in trainer.state.log_history]
    predicted = trainer.predict(validation, max_length=12, num_beams=2)
    model.save_pretrained(folder / "best")
    again = library.EncoderDecoderModel.from_pretrained(folder / "best")
    inputs = tokenizer(TEXTS[9:11], padding="max_length", truncation=True, max_length=32, return_tensors="pt")
    words = again.generate(inputs.input_ids, attention_mask=inputs.attention_mask)
    return {
        "log": log,
        "written": written,
        "predictions": predicted.predictions.tolist(),
        "metrics": [predicted.metrics[f"test_{name}"] for name in ("loss", "recall")],
        "words": words.tolist(),
        "texts": tokenizer.batch_decode(words, skip_special_tokens=True),
    }


def test_bert2bert_with_another_import_line(start: str, tmp_path: Path) -> None:
    """Settings on `model.config`, as in older scripts, which transformers 5 refuses, have the same effect."""
    found = same(bert2bert, start, tmp_path)
    torch.manual_seed(0)
    compare(bert2bert(bertkit, start, tmp_path / "config", on_config=True), found, "")


def test_bert2bert_with_the_inputs_of_the_decoder(start: str, tmp_path: Path) -> None:
    """The Trainer leaves the columns decoder_input_ids and decoder_attention_mask out of what it passes to generate."""
    same(functools.partial(bert2bert, has_inputs=True), start, tmp_path)
