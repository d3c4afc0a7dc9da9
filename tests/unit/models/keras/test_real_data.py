"""The example scripts for the TensorFlow classes on small parts of real data: the same calls in the same order.

Each fine-tuned model is saved and gives the same outputs in PyTorch, the first one also in a new process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from conformance.keras_backend import tensorflow

import bertkit

tf = tensorflow()
import keras  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:Gradients do not exist:UserWarning"),
    pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning"),  # a warning of Keras for any dataset
]

DATA = Path(os.environ.get("BERTKIT_DATA", Path(__file__).parents[5] / "shared" / "data"))


def lines(name: str, count: int) -> list[str]:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} does not exist: set BERTKIT_DATA to the folder of the data")
    with open(path, encoding="utf-8") as file:
        return [line.rstrip("\n") for line, _ in zip(file, range(count), strict=False)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small BERT of random weights, and the vocabulary of bert-base-uncased."""
    folder = tmp_path_factory.mktemp("model")
    words = lines("vocab/bert-base-uncased.txt", 10**6)
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    bertkit.BertTokenizerFast(vocab_file=folder / "vocab.txt").save_pretrained(folder)
    sizes = {"vocab_size": len(words), "hidden_size": 16, "max_position_embeddings": 64, "num_hidden_layers": 1}
    config = tiny.config(**sizes, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=0.2)
    bertkit.TFBertForPreTraining(config).save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def _seed() -> None:
    keras.utils.set_random_seed(0)


def optimizer(steps: int) -> Any:
    """The optimizer of the scripts."""
    made, _ = bertkit.create_optimizer(
        init_lr=1e-2,
        num_train_steps=steps,
        num_warmup_steps=1,
        adam_beta1=0.9,
        adam_beta2=0.999,
        adam_epsilon=1e-8,
        weight_decay_rate=0.01,
        adam_global_clipnorm=1.0,
    )
    return made


def assert_loss_falls(history: Any) -> None:
    losses = history.history["loss"]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]


def assert_same_in_torch(model: Any, folder: Path, batch: Any) -> None:
    """The saved model gives the same outputs in PyTorch."""
    model.save_pretrained(folder)
    theirs = getattr(bertkit, type(model).__name__.removeprefix("TF")).from_pretrained(folder)
    batch = {name: np.array(x) for name, x in batch.items() if "label" not in name and "positions" not in name}
    with torch.no_grad():
        wanted = theirs(**{name: torch.from_numpy(x) for name, x in batch.items()})
    found = model.predict(batch, verbose=0)
    for name in found:
        np.testing.assert_allclose(found[name], wanted[name], atol=1e-5, rtol=1e-5, err_msg=name)


def test_text_classification(place: Path, tmp_path: Path) -> None:
    """run_text_classification and run_glue, on reviews of SST-2."""
    rows = [line.split("\t") for line in lines("glue/SST-2/train.tsv", 41)[1:]]
    with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
        config = bertkit.AutoConfig.from_pretrained(place, num_labels=2, finetuning_task="sst2")
        tokenizer = bertkit.AutoTokenizer.from_pretrained(place)
        encoded = [{**tokenizer(text, max_length=32, truncation=True), "label": int(label)} for text, label in rows]
        collate = bertkit.DataCollatorWithPadding(tokenizer, return_tensors="np")
        model = bertkit.TFAutoModelForSequenceClassification.from_pretrained(place, config=config)
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        train, test = (
            model.prepare_tf_dataset(
                encoded, shuffle=shuffle, batch_size=8, collate_fn=collate, drop_remainder=shuffle, tokenizer=tokenizer
            ).with_options(options)
            for shuffle in (True, False)
        )
        model.compile(optimizer=optimizer(steps=len(train) * 4), metrics=["accuracy"], jit_compile=False)
        assert_loss_falls(model.fit(train, validation_data=test, epochs=4, verbose=0))
    predictions = np.argmax(model.predict(test, verbose=0)["logits"], axis=1)
    assert predictions.shape == (40,)
    batch = tokenizer([text for text, _ in rows], padding=True, return_tensors="np")
    assert_same_in_torch(model, tmp_path / "tuned", batch)
    tokenizer.save_pretrained(tmp_path / "tuned")
    script = """
import json, sys, bertkit, numpy as np
model = bertkit.TFAutoModelForSequenceClassification.from_pretrained(sys.argv[1])
batch = bertkit.AutoTokenizer.from_pretrained(sys.argv[1])(json.load(sys.stdin), padding=True, return_tensors="np")
print(json.dumps(model.predict(dict(batch), verbose=0).logits.tolist()))
"""
    run = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "tuned"],
        input=json.dumps([text for text, _ in rows]),
        capture_output=True,
        text=True,
        check=True,
    )
    found = np.array(json.loads(run.stdout.splitlines()[-1]))
    np.testing.assert_allclose(found, model.predict(dict(batch), verbose=0).logits, atol=1e-5)
    assert (found.argmax(1) == predictions).all()


def test_token_classification(place: Path, tmp_path: Path) -> None:
    """run_ner, and the post on German names, on texts of WNUT 17."""
    texts: list[list[list[str]]] = [[]]
    for line in lines("wnut17/wnut17train.conll", 600):
        if line.strip():
            texts[-1].append(line.split("\t")[:2])
        elif texts[-1]:
            texts.append([])
    texts = texts[:24]
    names = sorted({label for text in texts for _, label in text})
    id2label, label2id = dict(enumerate(names)), {name: i for i, name in enumerate(names)}
    tokenizer = bertkit.AutoTokenizer.from_pretrained(place)
    encoded = []
    for text in texts:
        row = dict(tokenizer([word for word, _ in text], truncation=True, max_length=48, is_split_into_words=True))
        words = tokenizer(
            [word for word, _ in text], truncation=True, max_length=48, is_split_into_words=True
        ).word_ids()
        before = [None, *words]
        row["labels"] = [
            -100 if word is None or word == last else label2id[text[word][1]]
            for last, word in zip(before, words, strict=False)
        ]
        encoded.append(row)
    collator = bertkit.DataCollatorForTokenClassification(tokenizer=tokenizer, return_tensors="np")
    model = bertkit.TFAutoModelForTokenClassification.from_pretrained(place, id2label=id2label, label2id=label2id)
    embeddings = model.get_input_embeddings()
    if len(tokenizer) > embeddings.embeddings.shape[0]:
        model.resize_token_embeddings(len(tokenizer))
    train = model.prepare_tf_dataset(encoded, collate_fn=collator, batch_size=8, shuffle=True)
    test = tf.data.Dataset.from_generator(  # as to_tf_dataset does: labels among the inputs
        lambda: (dict(collator(encoded[i : i + 8])) for i in range(0, 24, 8)),
        output_signature={name: tf.TensorSpec([None, None], tf.int64) for name in encoded[0]},
    ).apply(tf.data.experimental.assert_cardinality(3))
    model.compile(optimizer=optimizer(steps=12), jit_compile=False)
    assert_loss_falls(model.fit(train, validation_data=test, epochs=4, verbose=0))
    found, wanted = [], []
    for batch in test:
        logits, labels = model.predict(batch, verbose=0)["logits"], batch["labels"].numpy()
        for row, kept in zip(logits.argmax(-1), labels != -100, strict=True):
            found.append([id2label[int(i)] for i in row[kept]])
        wanted += [[id2label[int(i)] for i in row[row != -100]] for row in labels]
    assert [len(row) for row in found] == [len(row) for row in wanted]
    assert_same_in_torch(model, tmp_path, batch)


def test_masked_language_modelling(place: Path, tmp_path: Path) -> None:
    """run_mlm, on sentences of SST-2 in blocks of 32 tokens."""
    tokenizer = bertkit.AutoTokenizer.from_pretrained(place)
    texts = [line.split("\t")[0] for line in lines("glue/SST-2/train.tsv", 61)[1:]]
    ids = [i for row in tokenizer(texts, return_special_tokens_mask=True)["input_ids"] for i in row]
    blocks = [{"input_ids": ids[i : i + 32], "attention_mask": [1] * 32} for i in range(0, len(ids) - 31, 32)]
    model = bertkit.TFAutoModelForMaskedLM.from_pretrained(place)
    collator = bertkit.DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm_probability=0.15, return_tensors="np")
    train = model.prepare_tf_dataset(blocks, shuffle=True, batch_size=8, collate_fn=collator, drop_remainder=True)
    model.compile(optimizer=optimizer(steps=len(train) * 4), jit_compile=False)
    history = model.fit(train, validation_data=train, epochs=4, verbose=0)
    assert_loss_falls(history)
    assert np.exp(history.history["val_loss"][-1]) < 30522  # the perplexity of equal probabilities
    assert_same_in_torch(model, tmp_path, next(iter(train))[0])


def test_question_answering(place: Path, tmp_path: Path) -> None:
    """run_qa, on questions of SQuAD: windows, positions of characters, logits of both ends."""
    path = DATA / "squad" / "train-v1.1.json"
    if not path.exists():
        pytest.skip(f"{path} does not exist: set BERTKIT_DATA to the folder of the data")
    paragraphs = json.loads(path.read_text(encoding="utf-8"))["data"][0]["paragraphs"][:3]
    examples = [(qa["question"], p["context"], qa["answers"][0]) for p in paragraphs for qa in p["qas"]]
    questions, contexts, answers = zip(*examples, strict=True)
    tokenizer = bertkit.AutoTokenizer.from_pretrained(place)
    encoded = tokenizer(
        list(questions),
        list(contexts),
        truncation="only_second",
        max_length=64,
        stride=16,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding="max_length",
    )
    rows = []
    for i, (of, offsets) in enumerate(
        zip(encoded.pop("overflow_to_sample_mapping"), encoded.pop("offset_mapping"), strict=True)
    ):
        start, answer = answers[of]["answer_start"], answers[of]["text"]
        inside = [n for n, side in enumerate(encoded.sequence_ids(i)) if side == 1]
        at = [n for n in inside if offsets[n][0] < start + len(answer) and offsets[n][1] > start]
        whole = bool(at) and offsets[inside[0]][0] <= start and offsets[inside[-1]][1] >= start + len(answer)
        own = {name: encoded[name][i] for name in encoded}
        rows.append({**own, "start_positions": at[0] if whole else 0, "end_positions": at[-1] if whole else 0})
    assert len(rows) > len(examples) and any(row["start_positions"] for row in rows)
    model = bertkit.TFAutoModelForQuestionAnswering.from_pretrained(place)
    train = model.prepare_tf_dataset(
        rows, shuffle=True, batch_size=16, collate_fn=bertkit.DefaultDataCollator(return_tensors="np")
    )
    exact = keras.metrics.SparseCategoricalAccuracy("exact")
    model.compile(optimizer=optimizer(steps=len(train) * 3), jit_compile=False, metrics=["accuracy", exact])
    history = model.fit(train, epochs=3, verbose=0)
    assert_loss_falls(history)
    assert history.history["end_logits_accuracy"] == history.history["end_logits_exact"]
    assert history.history["start_logits_accuracy"] != history.history["end_logits_accuracy"]
    test = model.prepare_tf_dataset(
        [{name: x for name, x in row.items() if "positions" not in name} for row in rows], shuffle=False, batch_size=16
    )
    found = model.predict(test, verbose=0)
    assert found.start_logits.shape == found.end_logits.shape == (len(rows), 64)
    assert_same_in_torch(model, tmp_path, {name: np.array([row[name] for row in rows[:4]]) for name in rows[0]})


def test_multiple_choice(place: Path, tmp_path: Path) -> None:
    """run_swag, on CODAH: four endings of a sentence, flattened for the tokenizer and reshaped again."""
    rows = [line.split("\t") for line in lines("codah/train.tsv", 24)]
    tokenizer = bertkit.AutoTokenizer.from_pretrained(place)
    encoded = [
        {**tokenizer([prompt] * 4, endings, truncation=True, max_length=48), "label": int(label)}
        for _, prompt, *endings, label in rows
    ]

    def collate(features: list[dict[str, Any]]) -> dict[str, Any]:
        labels = [feature.pop("label") for feature in features]
        flat = [{name: x[i] for name, x in feature.items()} for feature in features for i in range(4)]
        batch = tokenizer.pad(flat, padding=True, return_tensors="np")
        folded = {name: tf.reshape(x, (len(features), 4, -1)) for name, x in batch.items()}
        return {**folded, "labels": tf.constant(labels, dtype=tf.int64)}

    model = bertkit.TFAutoModelForMultipleChoice.from_pretrained(place)
    train = model.prepare_tf_dataset(encoded, shuffle=True, batch_size=6, collate_fn=collate)
    model.compile(optimizer=optimizer(steps=20), metrics=["accuracy"], jit_compile=False)
    assert_loss_falls(model.fit(train, epochs=5, verbose=0))
    assert_same_in_torch(model, tmp_path, next(iter(train))[0])
