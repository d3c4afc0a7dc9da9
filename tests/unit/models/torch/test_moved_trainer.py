"""Public notebooks, and loops around plain modules: the same calls in the same order, by either library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from moved import TEXTS, Script, checkpoint, same
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score
from torch import nn
from torch.utils.data import DataLoader, Dataset

pytestmark = pytest.mark.filterwarnings("ignore")  # those of the others


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> str:
    return checkpoint(tmp_path_factory.mktemp("moved") / "bert-base-uncased")


QUIET: dict[str, Any] = {"report_to": "none", "use_cpu": True, "disable_tqdm": True, "logging_steps": 1}


def logged(trainer: Any) -> list[dict[str, float]]:
    """What a Trainer says of losses and scores."""
    times = ("runtime", "per_second", "total_flos")
    return [{key: x for key, x in row.items() if not key.endswith(times)} for row in trainer.state.log_history]


def multi_label(library: Any, start: str, folder: Path) -> Any:
    labels = ["anger", "joy", "fear", "trust"]
    id2label = dict(enumerate(labels))
    label2id = {label: i for i, label in id2label.items()}
    tokenizer = library.AutoTokenizer.from_pretrained(start)

    def preprocess(texts: list[str]) -> list[dict[str, torch.Tensor]]:
        encoding = tokenizer(texts, padding="max_length", truncation=True, max_length=24)
        matrix = np.zeros((len(texts), len(labels)))
        for i, text in enumerate(texts):
            matrix[i] = [letter in text for letter in "kvxy"]
        encoding["labels"] = matrix.tolist()
        return [{key: torch.tensor(column[i]) for key, column in encoding.items()} for i in range(len(texts))]

    train, validation = preprocess(TEXTS[:8]), preprocess(TEXTS[8:])
    model = library.AutoModelForSequenceClassification.from_pretrained(
        start,
        problem_type="multi_label_classification",
        num_labels=len(labels),
        id2label=id2label,
        label2id=label2id,
    )
    before = model(input_ids=train[0]["input_ids"].unsqueeze(0), labels=train[0]["labels"].unsqueeze(0))

    def compute_metrics(prediction: Any) -> dict[str, float]:
        logits = prediction.predictions
        logits = logits[0] if isinstance(logits, tuple) else logits
        probabilities = nn.Sigmoid()(torch.Tensor(logits))
        predicted = np.zeros(probabilities.shape)
        predicted[np.where(probabilities >= 0.5)] = 1
        return {
            "f1": f1_score(prediction.label_ids, predicted, average="micro"),
            "roc_auc": roc_auc_score(prediction.label_ids, predicted, average="micro"),
            "accuracy": accuracy_score(prediction.label_ids, predicted),
        }

    args = library.TrainingArguments(
        str(folder / "finetuned"),
        eval_strategy="epoch",
        save_strategy="epoch",
        learning_rate=1e-3,
        per_device_train_batch_size=4,
        per_device_eval_batch_size=4,
        num_train_epochs=2,
        weight_decay=0.01,
        load_best_model_at_end=True,
        metric_for_best_model="f1",
        **QUIET,
    )
    trainer = library.Trainer(
        model,
        args,
        train_dataset=train,
        eval_dataset=validation,
        processing_class=tokenizer,
        compute_metrics=compute_metrics,
    )
    trainer.train()
    trainer.evaluate()
    encoding = tokenizer(TEXTS[0], return_tensors="pt")
    encoding = {key: value.to(trainer.model.device) for key, value in encoding.items()}
    logits = trainer.model(**encoding).logits
    probabilities = nn.Sigmoid()(logits.squeeze().cpu())
    said = [id2label[i] for i, probability in enumerate(probabilities) if probability >= 0.5]
    return {"before": before.loss, "log": logged(trainer), "probabilities": probabilities, "said": said}


TAGS = ["O", "B-geo", "B-per"]


class Tagged(Dataset[dict[str, torch.Tensor]]):
    """Labels on the first wordpiece of each word."""

    def __init__(self, texts: list[str], tokenizer: Any, max_len: int) -> None:
        self.texts, self.tokenizer, self.max_len = texts, tokenizer, max_len

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        words = self.texts[index].strip().split()
        encoding = self.tokenizer(
            words,
            is_split_into_words=True,
            return_offsets_mapping=True,
            padding="max_length",
            truncation=True,
            max_length=self.max_len,
        )
        labels = [(word[0].isupper() + (len(word) > 6 and word[0].isupper())) for word in words]
        encoded = np.ones(len(encoding["offset_mapping"]), dtype=int) * -100
        i = 0
        for place, (first, last) in enumerate(encoding["offset_mapping"]):
            if first == 0 and last != 0:
                encoded[place] = labels[i]
                i += 1
        item = {key: torch.as_tensor(value) for key, value in encoding.items()}
        item["labels"] = torch.as_tensor(encoded)
        return item


def first_wordpiece(library: Any, start: str, folder: Path) -> Any:
    tokenizer = library.BertTokenizerFast.from_pretrained(start)
    training, testing = Tagged(TEXTS[:8], tokenizer, 32), Tagged(TEXTS[8:], tokenizer, 32)
    loaders = DataLoader(training, batch_size=4, shuffle=True), DataLoader(testing, batch_size=2)
    model = library.BertForTokenClassification.from_pretrained(start, num_labels=len(TAGS))
    model.to("cpu")
    one = training[2]
    outputs = model(
        one["input_ids"].unsqueeze(0),
        attention_mask=one["attention_mask"].unsqueeze(0),
        labels=one["labels"].unsqueeze(0),
    )
    losses, accuracies, shapes = [outputs[0].item()], [], [list(outputs[1].shape)]
    optimizer = torch.optim.Adam(params=model.parameters(), lr=1e-3)
    for loader in loaders:
        model.train(loader is loaders[0])
        for batch in loader:
            ids = batch["input_ids"].to("cpu", dtype=torch.long)
            mask = batch["attention_mask"].to("cpu", dtype=torch.long)
            labels = batch["labels"].to("cpu", dtype=torch.long)
            loss, logits = model(input_ids=ids, attention_mask=mask, labels=labels, return_dict=False)
            losses.append(loss.item())
            targets = labels.view(-1)
            predictions = torch.argmax(logits.view(-1, model.num_labels), axis=1)
            active = labels.view(-1) != -100
            targets, predictions = torch.masked_select(targets, active), torch.masked_select(predictions, active)
            accuracies.append(accuracy_score(targets.numpy(), predictions.numpy()))
            if loader is loaders[0]:
                torch.nn.utils.clip_grad_norm_(parameters=model.parameters(), max_norm=10)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    inputs = tokenizer(
        TEXTS[1].split(),
        is_split_into_words=True,
        return_offsets_mapping=True,
        padding="max_length",
        truncation=True,
        max_length=32,
        return_tensors="pt",
    )
    ids = inputs["input_ids"].to("cpu")
    logits = model(ids, attention_mask=inputs["attention_mask"].to("cpu"))[0]
    flat = torch.argmax(logits.view(-1, model.num_labels), axis=1)
    tokens = tokenizer.convert_ids_to_tokens(ids.squeeze().tolist())
    pieces = list(zip(tokens, [TAGS[i] for i in flat.cpu().numpy()], strict=True))
    kept = zip(pieces, inputs["offset_mapping"].squeeze().tolist(), strict=True)
    tags = [tag for (_, tag), place in kept if place[0] == 0 and place[1] != 0]
    tokenizer.save_vocabulary(str(folder))
    model.save_pretrained(folder)
    again = library.BertForTokenClassification.from_pretrained(folder)
    return {
        "losses": losses,
        "accuracies": accuracies,
        "shapes": shapes,
        "tags": tags,
        "again": again(ids, attention_mask=inputs["attention_mask"]).logits[inputs["attention_mask"] == 1],
    }


class Reviews(Dataset[dict[str, Any]]):
    """Texts with a target each, encoded one by one."""

    def __init__(self, texts: list[str], tokenizer: Any, max_len: int) -> None:
        self.texts, self.tokenizer, self.max_len = texts, tokenizer, max_len

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, item: int) -> dict[str, Any]:
        encoding = self.tokenizer(
            self.texts[item],
            add_special_tokens=True,
            max_length=self.max_len,
            return_token_type_ids=False,
            padding="max_length",
            truncation=True,
            return_attention_mask=True,
            return_tensors="pt",
        )
        return {
            "text": self.texts[item],
            "input_ids": encoding["input_ids"].flatten(),
            "attention_mask": encoding["attention_mask"].flatten(),
            "targets": torch.tensor(item % 3, dtype=torch.long),
        }


class Sentiment(nn.Module):
    """BERT's pooled vector, dropout and a linear layer."""

    def __init__(self, library: Any, start: str) -> None:
        super().__init__()
        self.bert = library.BertModel.from_pretrained(start)
        self.drop = nn.Dropout(p=0.0)
        self.out = nn.Linear(self.bert.config.hidden_size, 3)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        _, pooled = self.bert(input_ids=input_ids, attention_mask=attention_mask, return_dict=False)
        return self.out(self.drop(pooled))


def sentiment(library: Any, start: str, folder: Path) -> Any:
    library.set_seed(42)
    tokenizer = library.BertTokenizer.from_pretrained(start)
    train = DataLoader(Reviews(TEXTS[:8], tokenizer, 24), batch_size=4)
    test = DataLoader(Reviews(TEXTS[8:], tokenizer, 24), batch_size=4)
    model = Sentiment(library, start).to("cpu")
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-4)
    steps = len(train) * 3
    scheduler = library.get_linear_schedule_with_warmup(optimizer, num_warmup_steps=1, num_training_steps=steps)
    loss_fn = nn.CrossEntropyLoss().to("cpu")
    losses, rates, best = [], [], 0.0
    for _ in range(3):
        model = model.train()
        correct = 0.0
        for batch in train:
            outputs = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
            _, predictions = torch.max(outputs, dim=1)
            loss = loss_fn(outputs, batch["targets"])
            correct += torch.sum(predictions == batch["targets"]).double()
            losses.append(loss.item())
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            rates.append(scheduler.get_last_lr()[0])
        if correct >= best:
            torch.save(model.state_dict(), folder / "best_model_state.bin")
            best = correct
    again = Sentiment(library, start)
    again.load_state_dict(torch.load(folder / "best_model_state.bin"))
    again = again.eval()
    with torch.no_grad():
        probabilities = [
            torch.softmax(again(input_ids=b["input_ids"], attention_mask=b["attention_mask"]), dim=1) for b in test
        ]
    return {"losses": losses, "rates": rates, "correct": correct, "probabilities": torch.cat(probabilities)}


@pytest.mark.parametrize("script", [multi_label, first_wordpiece, sentiment], ids=lambda script: script.__name__)
def test_notebooks_with_another_import_line(script: Script, start: str, tmp_path: Path) -> None:
    same(script, start, tmp_path)
