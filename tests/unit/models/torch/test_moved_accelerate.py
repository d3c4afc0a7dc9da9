"""Public training loops around accelerate, and run_glue_no_trainer: the same calls in the same order, by either library."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from accelerate import Accelerator
from accelerate.utils import set_seed
from moved import TEXTS, Script, checkpoint, same
from seqeval.metrics import classification_report, f1_score
from torch.optim import AdamW
from torch.utils.data import DataLoader

import bertkit

pytestmark = pytest.mark.filterwarnings("ignore")  # those of the others


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> str:
    return checkpoint(tmp_path_factory.mktemp("moved") / "bert-base-cased")


def rows_of(columns: Any) -> list[dict[str, Any]]:
    """As a data set maps them."""
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def trained(accelerator: Accelerator, model: Any, optimizer: Any, scheduler: Any, loader: Any) -> list[float]:
    """One epoch of the course's loop: its losses."""
    losses = []
    model.train()
    for batch in loader:
        outputs = model(**batch)
        loss = outputs.loss
        accelerator.backward(loss)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def saved(accelerator: Accelerator, model: Any, tokenizer: Any, folder: Path) -> None:
    accelerator.wait_for_everyone()
    unwrapped = accelerator.unwrap_model(model)
    unwrapped.save_pretrained(folder, save_function=accelerator.save)
    if accelerator.is_main_process:
        tokenizer.save_pretrained(folder)


NAMES = ["O", "B-PER", "I-PER", "B-LOC"]


def tagged(tokenizer: Any) -> list[dict[str, Any]]:
    """Chapter 7/2: a label for each word, -100 for special tokens, and I- for the later pieces of a B- word."""
    words = [text.split() for text in TEXTS]
    encoded = tokenizer(words, truncation=True, is_split_into_words=True)
    labels = []
    for i, row in enumerate(words):
        of_words = [(len(word) % 4 if word[0].isupper() else 0) for word in row]
        of_tokens, before = [], None
        for word in encoded.word_ids(i):
            label = -100 if word is None else of_words[word]
            of_tokens.append(label + 1 if word is not None and word == before and label == 1 else label)
            before = word
        labels.append(of_tokens)
    encoded["labels"] = labels
    return rows_of(encoded)


def token_classification(library: Any, start: str, folder: Path) -> Any:
    tokenizer = library.AutoTokenizer.from_pretrained(start)
    assert tokenizer.is_fast
    rows = tagged(tokenizer)
    collator = library.DataCollatorForTokenClassification(tokenizer=tokenizer)
    first = collator([rows[i] for i in range(2)])["labels"]
    train = DataLoader(rows[:8], shuffle=True, collate_fn=collator, batch_size=4)
    evaluation = DataLoader(rows[8:], collate_fn=collator, batch_size=2)
    id2label = dict(enumerate(NAMES))
    label2id = {name: i for i, name in id2label.items()}
    model = library.AutoModelForTokenClassification.from_pretrained(start, id2label=id2label, label2id=label2id)
    count = model.config.num_labels
    optimizer = AdamW(model.parameters(), lr=1e-3)
    accelerator = Accelerator(cpu=True)
    model, optimizer, train, evaluation = accelerator.prepare(model, optimizer, train, evaluation)
    epochs = 2
    scheduler = library.get_scheduler(
        "linear", optimizer=optimizer, num_warmup_steps=0, num_training_steps=epochs * len(train)
    )
    losses, reports = [], []
    for _ in range(epochs):
        losses += trained(accelerator, model, optimizer, scheduler, train)
        model.eval()
        said, true = [], []
        for batch in evaluation:
            with torch.no_grad():
                outputs = model(**batch)
            predictions = outputs.logits.argmax(dim=-1)
            predictions = accelerator.pad_across_processes(predictions, dim=1, pad_index=-100)
            labels = accelerator.pad_across_processes(batch["labels"], dim=1, pad_index=-100)
            gathered = accelerator.gather(predictions).detach().cpu().clone().numpy()
            wanted = accelerator.gather(labels).detach().cpu().clone().numpy()
            for row, own in zip(gathered, wanted, strict=True):
                said.append([NAMES[p] for p, w in zip(row, own, strict=True) if w != -100])
                true.append([NAMES[w] for w in own if w != -100])
        reports.append(classification_report(true, said, output_dict=True, zero_division=0))
        saved(accelerator, model, tokenizer, folder)
    classify = library.pipeline(
        "token-classification", model=str(folder), aggregation_strategy="simple", device=-1, dtype="float32"
    )
    entities = [
        {**entity, "score": float(entity["score"])} for entity in classify("Maria Lopez moved from Lima to Zurich.")
    ]
    return {"first": first, "count": count, "losses": losses, "reports": reports, "entities": entities}


def masked_words(library: Any, start: str, folder: Path) -> Any:
    """Chapter 7/3: texts in chunks of one length; the masks of the evaluation are drawn once."""
    tokenizer = library.AutoTokenizer.from_pretrained(start)
    model = library.AutoModelForMaskedLM.from_pretrained(start)
    size = model.num_parameters()
    text = "This is a great [MASK]."
    inputs = tokenizer(text, return_tensors="pt")
    place = torch.where(inputs["input_ids"] == tokenizer.mask_token_id)[1]
    words = torch.topk(model(**inputs).logits[0, place, :], 5, dim=1).indices[0].tolist()
    words = [text.replace(tokenizer.mask_token, tokenizer.decode([token])) for token in words]
    encoded = tokenizer(TEXTS)
    encoded["word_ids"] = [encoded.word_ids(i) for i in range(len(encoded["input_ids"]))]
    joined = {name: [value for row in encoded[name] for value in row] for name in encoded}
    total = (len(joined["input_ids"]) // 16) * 16
    chunks = {name: [column[i : i + 16] for i in range(0, total, 16)] for name, column in joined.items()}
    chunks["labels"] = chunks["input_ids"].copy()
    rows = rows_of(chunks)
    for row in rows:
        row.pop("word_ids")
    collator = library.DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm_probability=0.15)
    drawn = collator(rows[8:])
    evaluation_rows = rows_of({name: column.numpy() for name, column in drawn.items()})
    batch_size = 4
    train = DataLoader(rows[:8], shuffle=True, batch_size=batch_size, collate_fn=collator)
    evaluation = DataLoader(evaluation_rows, batch_size=batch_size, collate_fn=library.default_data_collator)
    optimizer = AdamW(model.parameters(), lr=5e-4)
    accelerator = Accelerator(cpu=True)
    model, optimizer, train, evaluation = accelerator.prepare(model, optimizer, train, evaluation)
    scheduler = library.get_scheduler(
        "linear", optimizer=optimizer, num_warmup_steps=0, num_training_steps=2 * len(train)
    )
    losses, perplexities = [], []
    for _ in range(2):
        losses += trained(accelerator, model, optimizer, scheduler, train)
        model.eval()
        seen = []
        for batch in evaluation:
            with torch.no_grad():
                outputs = model(**batch)
            seen.append(accelerator.gather(outputs.loss.repeat(batch_size)))
        perplexities.append(math.exp(torch.mean(torch.cat(seen)[: len(evaluation_rows)])) / 1e3)
        saved(accelerator, model, tokenizer, folder)
    fill = library.pipeline("fill-mask", model=str(folder), device=-1, dtype="float32")
    filled = [answer["sequence"] for answer in fill(text)]
    return {"size": size, "words": words, "losses": losses, "perplexities": perplexities, "filled": filled}


QUESTIONS = [(" Who moved?", TEXTS[1], "Maria Lopez"), ("What closed the harbour? ", TEXTS[4], "A heavy storm")]
LONG = {"max_length": 24, "truncation": "only_second", "stride": 4, "padding": "max_length"}


def training_features(tokenizer: Any) -> list[dict[str, Any]]:
    """Chapter 7/7: windows of a context, and where the answer is in each, 0 where it is not."""
    inputs = tokenizer(
        [question.strip() for question, _, _ in QUESTIONS],
        [context for _, context, _ in QUESTIONS],
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        **LONG,
    )
    offsets, samples = inputs.pop("offset_mapping"), inputs.pop("overflow_to_sample_mapping")
    starts, ends = [], []
    for i, offset in enumerate(offsets):
        _, context, answer = QUESTIONS[samples[i]]
        first = context.index(answer)
        last = first + len(answer)
        sides = inputs.sequence_ids(i)
        left, right = sides.index(1), len(sides) - 1 - sides[::-1].index(1)
        if offset[left][0] > first or offset[right][1] < last:
            starts.append(0)
            ends.append(0)
        else:
            starts.append(max(j for j in range(left, right + 1) if offset[j][0] <= first))
            ends.append(min(j for j in range(left, right + 1) if offset[j][1] >= last))
    inputs["start_positions"], inputs["end_positions"] = starts, ends
    return rows_of(inputs)


def validation_features(tokenizer: Any) -> list[dict[str, Any]]:
    """The same without labels, with the offsets of the context alone."""
    inputs = tokenizer(
        [question.strip() for question, _, _ in QUESTIONS],
        [context for _, context, _ in QUESTIONS],
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        **LONG,
    )
    samples = inputs.pop("overflow_to_sample_mapping")
    inputs["example_id"] = [samples[i] for i in range(len(inputs["input_ids"]))]
    for i in range(len(inputs["input_ids"])):
        offset = inputs["offset_mapping"][i]
        inputs["offset_mapping"][i] = [o if side == 1 else None for o, side in zip(offset, inputs.sequence_ids(i))]  # noqa: B905
    return rows_of(inputs)


def best_answers(start_logits: Any, end_logits: Any, features: list[dict[str, Any]]) -> list[str]:
    """The best span of a question over all its windows."""
    answers = []
    for example, (_, context, _) in enumerate(QUESTIONS):
        found = []
        for i, feature in enumerate(features):
            if feature["example_id"] != example:
                continue
            offsets = feature["offset_mapping"]
            for first in np.argsort(start_logits[i])[-1:-8:-1].tolist():
                for last in np.argsort(end_logits[i])[-1:-8:-1].tolist():
                    if offsets[first] is None or offsets[last] is None or last < first or last - first + 1 > 8:
                        continue
                    text = context[offsets[first][0] : offsets[last][1]]
                    found.append((start_logits[i][first] + end_logits[i][last], text))
        answers.append(max(found, key=lambda pair: pair[0])[1] if found else "")
    return answers


def question_answering(library: Any, start: str, folder: Path) -> Any:
    tokenizer = library.AutoTokenizer.from_pretrained(start)
    features, validation = training_features(tokenizer), validation_features(tokenizer)
    left_out = ("example_id", "offset_mapping")
    given = [{key: value for key, value in row.items() if key not in left_out} for row in validation]
    train = DataLoader(features, shuffle=True, collate_fn=library.default_data_collator, batch_size=2)
    evaluation = DataLoader(given, collate_fn=library.default_data_collator, batch_size=2)
    model = library.AutoModelForQuestionAnswering.from_pretrained(start)
    optimizer = AdamW(model.parameters(), lr=1e-3)
    accelerator = Accelerator(cpu=True)
    model, optimizer, train, evaluation = accelerator.prepare(model, optimizer, train, evaluation)
    scheduler = library.get_scheduler(
        "linear", optimizer=optimizer, num_warmup_steps=0, num_training_steps=2 * len(train)
    )
    losses, answers = [], []
    for _ in range(2):
        losses += trained(accelerator, model, optimizer, scheduler, train)
        model.eval()
        first, last = [], []
        for batch in evaluation:
            with torch.no_grad():
                outputs = model(**batch)
            first.append(accelerator.gather(outputs.start_logits).cpu().numpy())
            last.append(accelerator.gather(outputs.end_logits).cpu().numpy())
        start_logits, end_logits = np.concatenate(first)[: len(validation)], np.concatenate(last)[: len(validation)]
        answers.append(best_answers(start_logits, end_logits, validation))
        saved(accelerator, model, tokenizer, folder)
    real = np.array([row["attention_mask"] for row in validation]) == 1
    again = library.AutoModelForQuestionAnswering.from_pretrained(folder)
    with torch.no_grad():
        other = again(**library.default_data_collator(given)).start_logits
    return {"losses": losses, "answers": answers, "start": start_logits[real], "again": other[torch.tensor(real)]}


PAIRS = [(TEXTS[i], TEXTS[i + 1 + i % 2], i % 3 == 0) for i in range(10)]


def run_glue_no_trainer(library: Any, start: str, folder: Path) -> Any:
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    set_seed(7)
    label_list = ["equivalent", "not_equivalent"]
    config = library.AutoConfig.from_pretrained(
        start, num_labels=len(label_list), finetuning_task="mrpc", trust_remote_code=False
    )
    tokenizer = library.AutoTokenizer.from_pretrained(start, use_fast=True, trust_remote_code=False)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    config.pad_token_id = tokenizer.pad_token_id
    model = library.AutoModelForSequenceClassification.from_pretrained(
        start,
        from_tf=bool(".ckpt" in start),
        config=config,
        ignore_mismatched_sizes=False,
        trust_remote_code=False,
    )
    assert model.config.label2id == library.PretrainedConfig(num_labels=len(label_list)).label2id
    model.config.label2id = {label: i for i, label in enumerate(label_list)}
    model.config.id2label = {i: label for label, i in config.label2id.items()}
    result = tokenizer(
        [first for first, _, _ in PAIRS],
        [second for _, second, _ in PAIRS],
        padding=False,
        max_length=32,
        truncation=True,
    )
    result["labels"] = [int(label) for _, _, label in PAIRS]
    rows = rows_of(result)
    collator = library.DataCollatorWithPadding(tokenizer, pad_to_multiple_of=None)
    train = DataLoader(rows[:6], shuffle=True, collate_fn=collator, batch_size=2)
    evaluation = DataLoader(rows[6:], collate_fn=collator, batch_size=3)
    no_decay = ["bias", "LayerNorm.weight"]
    decayed = [p for n, p in model.named_parameters() if not any(nd in n for nd in no_decay)]
    rest = [p for n, p in model.named_parameters() if any(nd in n for nd in no_decay)]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3)
    scheduler = library.get_scheduler(
        name=library.SchedulerType("cosine"), optimizer=optimizer, num_warmup_steps=1, num_training_steps=4
    )
    model, optimizer, train, evaluation, scheduler = accelerator.prepare(model, optimizer, train, evaluation, scheduler)
    accelerator.register_for_checkpointing(scheduler)
    losses, correct = [], []
    for epoch in range(2):
        model.train()
        for batch in train:
            with accelerator.accumulate(model):
                outputs = model(**batch)
                loss = outputs.loss
                losses.append(loss.detach().float())
                accelerator.backward(loss)
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
        model.eval()
        seen = 0
        for step, batch in enumerate(evaluation):
            with torch.no_grad():
                outputs = model(**batch)
            predictions = outputs.logits.argmax(dim=-1)
            predictions, references = accelerator.gather((predictions, batch["labels"]))
            if accelerator.num_processes > 1 and step == len(evaluation) - 1:
                predictions = predictions[: len(evaluation.dataset) - seen]
            seen += references.shape[0]
            correct.append((predictions == references).float().mean())
        accelerator.save_state(str(folder / f"epoch_{epoch}"))
    accelerator.wait_for_everyone()
    unwrapped = accelerator.unwrap_model(model)
    unwrapped.save_pretrained(folder, is_main_process=accelerator.is_main_process, save_function=accelerator.save)
    tokenizer.save_pretrained(folder)
    accelerator.load_state(str(folder / "epoch_0"))
    with torch.no_grad():
        resumed = model(**collator(rows[:2])).logits
    classify = library.pipeline("text-classification", str(folder), device=-1, dtype="float32")
    score = classify({"text": PAIRS[0][0], "text_pair": PAIRS[0][1]})["score"]
    sizes = [len(group["params"]) for group in optimizer.param_groups]
    return {"losses": losses, "correct": correct, "resumed": resumed, "score": score, "sizes": sizes}


def with_the_trainer(library: Any, start: str, folder: Path) -> Any:
    """Chapters 7/2 and 7/7 by the Trainer."""
    tokenizer = library.AutoTokenizer.from_pretrained(start)
    rows, features, validation = tagged(tokenizer), training_features(tokenizer), validation_features(tokenizer)
    options: dict[str, Any] = {"num_train_epochs": 2, "weight_decay": 0.01, "learning_rate": 1e-3, "logging_steps": 1}
    quiet: dict[str, Any] = {"report_to": "none", "use_cpu": True, "disable_tqdm": True}

    def compute_metrics(answer: Any) -> dict[str, float]:
        logits, labels = answer
        predictions = np.argmax(logits, axis=-1)
        said = [[NAMES[p] for p, w in zip(*row, strict=True) if w != -100] for row in zip(predictions, labels)]  # noqa: B905
        true = [[NAMES[w] for w in row if w != -100] for row in labels]
        return {"f1": f1_score(true, said)}

    trainer = library.Trainer(
        model=library.AutoModelForTokenClassification.from_pretrained(start, id2label=dict(enumerate(NAMES))),
        args=library.TrainingArguments(
            str(folder / "ner"), eval_strategy="epoch", save_strategy="epoch", **options, **quiet
        ),
        train_dataset=rows[:8],
        eval_dataset=rows[8:],
        data_collator=library.DataCollatorForTokenClassification(tokenizer=tokenizer),
        compute_metrics=compute_metrics,
        processing_class=tokenizer,
    )
    trainer.train()
    answering = library.Trainer(
        model=library.AutoModelForQuestionAnswering.from_pretrained(start),
        args=library.TrainingArguments(
            str(folder / "squad"), eval_strategy="no", save_strategy="epoch", **options, **quiet
        ),
        train_dataset=features,
        processing_class=tokenizer,
    )
    answering.train()
    (start_logits, end_logits), _, _ = answering.predict(
        [{key: row[key] for key in ("input_ids", "attention_mask", "token_type_ids")} for row in validation]
    )
    answering.save_model(str(folder / "saved"))
    again = library.AutoTokenizer.from_pretrained(folder / "saved")
    losses = [
        {key: row[key] for key in ("loss", "eval_loss", "eval_f1", "learning_rate") if key in row}
        for row in (*trainer.state.log_history, *answering.state.log_history)
    ]
    answers = best_answers(start_logits, end_logits, validation)
    return {"losses": losses, "answers": answers, "ids": again(TEXTS[0])["input_ids"]}


SCRIPTS = [token_classification, masked_words, question_answering, run_glue_no_trainer, with_the_trainer]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_loops_with_another_import_line(script: Script, start: str, tmp_path: Path) -> None:
    same(script, start, tmp_path)


def test_label_names_of_label2id_alone(tmp_path: Path) -> None:
    """run_glue_no_trainer saves such a file: transformers drops the names when it reads it."""
    configuration = transformers.BertConfig()
    configuration.label2id = {"same": 0, "other": 1}
    configuration.save_pretrained(tmp_path)
    assert transformers.AutoConfig.from_pretrained(tmp_path).id2label == {0: "LABEL_0", 1: "LABEL_1"}
    assert bertkit.AutoConfig.from_pretrained(tmp_path).id2label == {0: "same", 1: "other"}
