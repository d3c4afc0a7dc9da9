"""The data collators compared with those of transformers: 5.x in the same test, and recorded results of 4.57.6."""

from __future__ import annotations

import functools
import json
import lzma
import pickle
from pathlib import Path
from typing import Any

import collator_cases as cases
import numpy as np
import pytest
import torch
import transformers
from torch_models import SIZES

import bertkit
from bertkit.errors import BertkitError

RECORDED = json.loads(
    lzma.decompress((Path(__file__).parents[2] / "data" / "collators_transformers4.json.xz").read_bytes())
)


@functools.cache
def ours(side: str = "right") -> bertkit.BertTokenizerFast:
    return bertkit.BertTokenizerFast(cases.VOCABULARY, padding_side=side)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("tokenizer")
    ours().save_pretrained(folder)
    return transformers.BertTokenizerFast.from_pretrained(folder)


def equal(here: list[list[Any]], there: list[list[Any]]) -> None:
    assert [(name, dtype) for name, dtype, _ in here] == [(name, dtype) for name, dtype, _ in there]
    for (name, _, mine), (_, _, other) in zip(here, there, strict=True):
        assert mine == other, name


@pytest.mark.parametrize("kind", ["pt", "np"])
@pytest.mark.parametrize("name", cases.CASES)
def test_each_case_beside_transformers(name: str, kind: str, theirs: Any) -> None:
    """The columns, their order, dtypes and values are the same, including the masks of a seed."""
    if name.startswith("choices") and kind == "np":
        found = cases.answer(bertkit, ours(), name, "np")  # transformers returns only PyTorch tensors here
        equal(found, cases.answer(transformers, theirs, name, "pt"))
        return
    equal(cases.answer(bertkit, ours(), name, kind), cases.answer(transformers, theirs, name, kind))


@pytest.mark.parametrize("name", cases.CASES)
def test_tensorflow_beside_transformers_4(name: str) -> None:
    equal(cases.answer(bertkit, ours(), name, "tf"), RECORDED["tf"][name])


@pytest.mark.parametrize("kind", ["pt", "np"])
def test_masks_from_the_global_seed(kind: str, theirs: Any) -> None:
    """`transformers.set_seed` leads to the same masks, so that changing the import line does not change a training."""
    found = []
    for library, tokenizer in ((bertkit, ours()), (transformers, theirs)):
        transformers.set_seed(7)
        collate = library.DataCollatorForLanguageModeling(tokenizer, return_tensors=kind)
        found.append([collate(cases.rows())["input_ids"].tolist() for _ in range(3)])
    assert found[0] == found[1]


def test_padding_on_the_left(theirs: Any) -> None:
    theirs.padding_side = "left"
    try:
        for name in ("pad, label", "tokens", "masks"):
            equal(cases.answer(bertkit, ours("left"), name, "pt"), cases.answer(transformers, theirs, name, "pt"))
    finally:
        theirs.padding_side = "right"


def test_our_collators_take_transformers_tokenizers(theirs: Any) -> None:
    for name in ("pad, label", "tokens", "choices", "masks", "masks, lists"):
        equal(cases.answer(bertkit, theirs, name, "pt"), cases.answer(transformers, theirs, name, "pt"))


def test_their_collators_take_our_tokenizers(theirs: Any) -> None:
    for name in ("pad, label", "tokens", "choices", "masks", "masks, lists"):
        equal(cases.answer(transformers, ours(), name, "pt"), cases.answer(transformers, theirs, name, "pt"))


def test_examples_of_tensors_and_objects(theirs: Any) -> None:
    class Features:
        def __init__(self, **given: Any) -> None:
            self.__dict__.update(given)

    tensors = [{name: torch.tensor(value) for name, value in row.items()} for row in cases.rows(label=lambda n, _: n)]
    for library, tokenizer in ((bertkit, ours()), (transformers, theirs)):
        batch = library.DataCollatorWithPadding(tokenizer)(tensors)
        assert batch["labels"].tolist() == [0, 1, 2, 3] and batch["input_ids"].shape == (4, 12)
        batch = library.default_data_collator([Features(input_ids=torch.ones(3), label=torch.tensor(1))])
        assert batch["input_ids"].dtype == torch.float32 and batch["labels"].dtype == torch.int64


# Whole words.


@pytest.mark.parametrize("seed", [0, 1])
def test_whole_words_beside_transformers_4(seed: int) -> None:
    here, there = cases.whole_words(bertkit, ours(), seed), RECORDED["whole words"]
    assert here["broken"] == there["broken"] == 0
    for name in ("chosen", "mask", "same"):
        assert here[name] == pytest.approx(there[name], abs=0.015)


@pytest.mark.parametrize("kind", ["pt", "np", "tf"])
def test_whole_words(kind: str) -> None:
    """Parts of words, special tokens and padding are never masked. The batch keeps its other columns, unlike in 4.57.6."""
    collate = bertkit.DataCollatorForWholeWordMask(ours(), mlm_probability=0.4, return_tensors=kind, seed=3)
    assert collate.mlm and collate.whole_word_mask
    masks = set()
    for _ in range(20):
        batch = {name: np.asarray(column) for name, column in collate(cases.rows()).items()}
        assert list(batch) == ["input_ids", "token_type_ids", "attention_mask", "labels"]
        chosen, ids = batch["labels"] != -100, np.where(batch["labels"] == -100, batch["input_ids"], batch["labels"])
        assert not (chosen & (batch["attention_mask"] == 0)).any() and not (chosen & (ids < cases.FIRST)).any()
        pieces = (ids[:, 1:] >= cases.FIRST_PIECE) & (ids[:, :-1] >= cases.FIRST)
        assert (chosen[:, 1:] == chosen[:, :-1])[pieces].all()
        assert not np.isin(batch["input_ids"][chosen], [0, 1, 2, 3]).any()
        assert chosen.any(1).all()
        masks.add(chosen.tobytes())
    assert len(masks) > 10
    again = bertkit.DataCollatorForLanguageModeling(
        ours(), whole_word_mask=True, mlm_probability=0.4, return_tensors=kind, seed=3
    )
    first = np.asarray(bertkit.DataCollatorForWholeWordMask(ours(), mlm_probability=0.4, seed=3, return_tensors=kind)(
        cases.rows()
    )["labels"])  # fmt: skip
    assert np.array_equal(first, np.asarray(again(cases.rows())["labels"]))


def test_chinese_words() -> None:
    """`chinese_ref` has the positions of tokens that continue a word."""
    row = {"input_ids": [cases.CLS, 6, 7, 8, 9, cases.SEP], "chinese_ref": [2, 4]}
    collate = bertkit.DataCollatorForWholeWordMask(ours(), mlm_probability=0.5, return_tensors="np", seed=0)
    found = {tuple((collate([row])["labels"][0] != -100).tolist()) for _ in range(30)}
    assert found == {(False, True, True, False, False, False), (False, False, False, True, True, False)}


# Errors.


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"mlm_probability": 1.5}, "mlm_probability=1.5 is not between 0 and 1"),
        ({"mlm_probability": None}, "mlm_probability=None is not between 0 and 1"),
        ({"mask_replace_prob": -0.1}, "mask_replace_prob=-0.1 is not between 0 and 1"),
        ({"mask_replace_prob": 0.8, "random_replace_prob": 0.3}, "have a sum above 1"),
        ({"mlm": False, "whole_word_mask": True}, "type mlm=True"),
        ({"tf_experimental_compile": True}, "leave tf_experimental_compile=True out"),
    ],
)
def test_invalid_arguments(options: dict[str, Any], sentence: str, theirs: Any) -> None:
    with pytest.raises(BertkitError, match=sentence) as caught:
        bertkit.DataCollatorForLanguageModeling(ours(), **options)
    assert isinstance(caught.value, ValueError)
    with pytest.raises((ValueError, TypeError)):
        transformers.DataCollatorForLanguageModeling(theirs, **options)


def test_no_mask_token() -> None:
    tokenizer = bertkit.BertTokenizerFast(cases.VOCABULARY)
    tokenizer.mask_token = None
    with pytest.raises(BertkitError, match="type mlm=False"):
        bertkit.DataCollatorForLanguageModeling(tokenizer)
    assert "labels" in bertkit.DataCollatorForLanguageModeling(tokenizer, mlm=False)(cases.rows())


def test_invalid_batches() -> None:
    rows = cases.rows(labels=lambda _, length: [0] * (length + 9))
    with pytest.raises(BertkitError, match="one label for each token"):
        bertkit.DataCollatorForTokenClassification(ours())(rows)
    with pytest.raises(BertkitError, match="type padding=True"):
        bertkit.DataCollatorWithPadding(ours(), padding=False)(cases.rows())
    with pytest.raises(BertkitError, match="differ in length"):
        bertkit.default_data_collator(cases.rows())
    with pytest.raises(BertkitError, match="Example 1 of the batch has no label"):
        bertkit.default_data_collator([{"a": 1, "label": 1}, {"a": 1}])
    with pytest.raises(BertkitError, match="return_tensors='jax'"):
        bertkit.DataCollatorWithPadding(ours(), return_tensors="jax")(cases.rows())
    with pytest.raises(BertkitError, match="returned no tensor input_ids"):
        bertkit.DataCollatorWithPacking(lambda rows: {"input_ids": [1, 2]})([{}])


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # with one core
def test_workers_have_different_masks() -> None:
    """The two workers of a data loader use different seeds, the same in every run, as in transformers."""
    collate = bertkit.DataCollatorForLanguageModeling(ours(), mlm_probability=0.5, seed=1)
    assert pickle.loads(pickle.dumps(collate)).seed == 1
    runs = []
    for _ in range(2):
        loader = torch.utils.data.DataLoader(
            cases.rows()[:1] * 2,
            batch_size=1,
            num_workers=2,
            collate_fn=collate,
            multiprocessing_context="spawn",  # other tests import JAX, which does not support fork
        )
        runs.append([batch["labels"].tolist() for batch in loader])
    assert runs[0] == runs[1] and runs[0][0] != runs[0][1]


# Packing.


def packed_and_padded(name: str, collator: Any, examples: list[dict[str, Any]], **more: Any) -> tuple[Any, Any]:
    """Return the outputs of a tiny model for the packed and the padded batch."""
    sizes = {**SIZES, "vocab_size": len(cases.VOCABULARY), **more}
    torch.manual_seed(0)
    model = getattr(bertkit, name)(bertkit.BertConfig(**sizes)).eval()
    padded = collator(examples)
    packed = bertkit.DataCollatorWithPacking(collator)(examples)
    return model(**packed), model(**padded)


@pytest.mark.parametrize("side", ["right", "left"])
def test_packed_and_padded_batches_have_the_same_loss(side: str) -> None:
    tokenizer = ours(side)
    pad = bertkit.DataCollatorWithPadding(tokenizer)
    spans = {"start_positions": lambda n, _: n % 3, "end_positions": lambda n, _: n % 3}
    runs = [
        ("BertForSequenceClassification", pad, cases.rows(label=lambda n, _: n % 3)),
        ("BertForNextSentencePrediction", pad, cases.rows(label=lambda n, _: n % 2)),
        ("BertForTokenClassification", bertkit.DataCollatorForTokenClassification(tokenizer), cases.rows(
            labels=lambda _, length: [place % 3 for place in range(length)])),
        ("BertForMaskedLM", bertkit.DataCollatorForLanguageModeling(tokenizer, mlm=False), cases.rows()),
        ("BertForMultipleChoice", bertkit.DataCollatorForMultipleChoice(tokenizer), cases.choices()),
    ]  # fmt: skip
    for name, collator, examples in runs:
        packed, padded = packed_and_padded(name, collator, examples)
        assert packed.loss.item() == pytest.approx(padded.loss.item(), abs=1e-5), name
    if side == "right":
        packed, padded = packed_and_padded("BertForQuestionAnswering", pad, cases.rows(**spans), num_labels=2)
        assert packed.start_logits.shape == (1, sum(cases.LENGTHS))
        several = cases.rows(labels=lambda n, _: [1.0, 0.0, n % 2])
        packed, padded = packed_and_padded("BertForSequenceClassification", pad, several)
        assert packed.loss.item() == pytest.approx(padded.loss.item(), abs=1e-5)


def test_hidden_states_of_a_packed_batch() -> None:
    """Outputs for tokens have the shape [1, T] of the tokens, and the same numbers as for tokens [T]."""
    torch.manual_seed(0)
    model = bertkit.BertModel(bertkit.BertConfig(**{**SIZES, "vocab_size": len(cases.VOCABULARY)})).eval()
    batch = bertkit.DataCollatorWithPacking(bertkit.DataCollatorWithPadding(ours()))(cases.rows())
    one = model(**batch, output_hidden_states=True, output_attentions=True)
    flat = {name: column[0] if column.dim() == 2 else column for name, column in batch.items()}
    row = model(**flat, output_hidden_states=True, output_attentions=True)
    assert one.last_hidden_state.shape == (1, sum(cases.LENGTHS), SIZES["hidden_size"])
    assert torch.equal(one.last_hidden_state[0], row.last_hidden_state)
    assert all(torch.equal(a[0], b) for a, b in zip(one.hidden_states, row.hidden_states, strict=True))
    assert [weights.shape for weights in one.attentions[0]] == [weights.shape for weights in row.attentions[0]]
    decoder = bertkit.BertLMHeadModel(
        bertkit.BertConfig(**{**SIZES, "vocab_size": len(cases.VOCABULARY)}, is_decoder=True)
    )
    decoder.eval()
    causal = bertkit.DataCollatorForLanguageModeling(ours(), mlm=False)
    packed = decoder(**bertkit.DataCollatorWithPacking(causal)(cases.rows()))
    assert packed.loss.item() == pytest.approx(decoder(**causal(cases.rows())).loss.item(), abs=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("head", ["SequenceClassification", "TokenClassification", "MaskedLM"])
def test_trainer_without_padding(head: str, tmp_path: Path) -> None:
    """The losses of training and evaluation equal those with padding, and metrics use all tokens."""
    sizes = {**SIZES, "vocab_size": len(cases.VOCABULARY)}
    random = np.random.default_rng(1)
    examples = [
        {"input_ids": [cases.CLS, *random.integers(cases.FIRST, 75, int(length)).tolist(), cases.SEP], "text": "unused"}
        for length in random.integers(1, 30, 22)
    ]
    if head == "SequenceClassification":
        collator: Any = bertkit.DataCollatorWithPadding(ours())
        examples = [{**row, "label": number % 3} for number, row in enumerate(examples)]
    elif head == "TokenClassification":
        collator = bertkit.DataCollatorForTokenClassification(ours())
        examples = [{**row, "labels": [-100, *[n % 3 for n in row["input_ids"][1:-1]], -100]} for row in examples]
    else:
        collator = bertkit.DataCollatorForLanguageModeling(ours(), mlm_probability=0.5, seed=1)
    counted: list[int] = []

    def metrics(prediction: Any) -> dict[str, float]:
        scores, labels = prediction.predictions, prediction.label_ids
        real = labels != -100
        counted.append(int(real.sum()))
        return {"right": float((scores.argmax(-1) == labels)[real].mean())}

    found = []
    for packing in (False, True):
        if head == "MaskedLM":
            collator = bertkit.DataCollatorForLanguageModeling(ours(), mlm_probability=0.5, seed=1)
        torch.manual_seed(0)
        trainer = transformers.Trainer(
            getattr(bertkit, f"BertFor{head}")(bertkit.BertConfig(**sizes)),
            transformers.TrainingArguments(
                str(tmp_path / str(packing)), max_steps=6, per_device_train_batch_size=4, per_device_eval_batch_size=4,
                logging_steps=1, report_to=[], use_cpu=True, seed=3, learning_rate=1e-3, save_strategy="no", disable_tqdm=True,
            ),
            data_collator=bertkit.DataCollatorWithPacking(collator) if packing else collator,
            train_dataset=examples, eval_dataset=examples, compute_metrics=metrics,
        )  # fmt: skip
        trainer.train()
        history = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        answer = trainer.evaluate()
        found.append((history, answer["eval_loss"], answer["eval_right"]))
    (padded, packed) = found
    assert len(padded[0]) == 6
    assert packed[0] == pytest.approx(padded[0], abs=1e-5)
    assert packed[1] == pytest.approx(padded[1], abs=1e-5) and packed[2] == pytest.approx(padded[2], abs=1e-5)
    assert counted[0] == counted[1] > 0
