"""What people do with BERT beside plain fine-tuning: the same calls in the same order, by either library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from moved import TEXTS, Script, checkpoint, same
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import StratifiedKFold
from torch import nn

pytestmark = pytest.mark.filterwarnings("ignore")  # those of the others


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> str:
    return checkpoint(tmp_path_factory.mktemp("moved") / "bert-base-uncased")


def mean_pooling(output: Any, mask: torch.Tensor) -> torch.Tensor:
    states = output[0]
    wide = mask.unsqueeze(-1).expand(states.size()).float()
    return torch.sum(states * wide, 1) / torch.clamp(wide.sum(1), min=1e-9)


def sentence_embeddings(library: Any, start: str, folder: Path) -> Any:
    """As on the cards of sentence-transformers' models."""
    tokenizer = library.AutoTokenizer.from_pretrained(start)
    model = library.AutoModel.from_pretrained(start)
    encoded = tokenizer(TEXTS, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        output = model(**encoded)
    embeddings = F.normalize(mean_pooling(output, encoded["attention_mask"]), p=2, dim=1)
    return embeddings @ embeddings.T


def attention(library: Any, start: str, folder: Path) -> Any:
    """As BertViz wants them; and the sum of the last layers for each token."""
    model = library.BertModel.from_pretrained(start, output_attentions=True, attn_implementation="eager")
    tokenizer = library.BertTokenizer.from_pretrained(start)
    inputs = tokenizer(TEXTS[0], TEXTS[1], return_tensors="pt", add_special_tokens=True)
    ids, types = inputs["input_ids"], inputs["token_type_ids"]
    weights = model(ids, token_type_ids=types).attentions
    second = types[0].tolist().index(1)
    tokens = tokenizer.convert_ids_to_tokens(ids[0].tolist())
    states = model(tokenizer.encode(TEXTS[2], return_tensors="pt"), output_hidden_states=True).hidden_states
    summed = torch.stack(states[-2:]).sum(0).squeeze()
    return {"weights": torch.stack(weights), "second": second, "tokens": tokens, "summed": summed}


def layer_wise(library: Any, start: str, folder: Path) -> Any:
    """Frozen embeddings and first layer, a lower rate for each layer further down, no decay of biases and norms."""
    model = library.BertForSequenceClassification.from_pretrained(start, num_labels=3)
    tokenizer = library.BertTokenizerFast.from_pretrained(start)
    for name, parameter in model.named_parameters():
        if name.startswith(("bert.embeddings", "bert.encoder.layer.0.")):
            parameter.requires_grad = False
    groups, no_decay, rate = [], ["bias", "LayerNorm.weight"], 1e-3
    layers = [model.bert.embeddings, *model.bert.encoder.layer, model.bert.pooler, model.classifier]
    for layer in reversed(layers):
        for decay in (0.01, 0.0):
            members = [
                p
                for n, p in layer.named_parameters()
                if p.requires_grad and (decay == 0) == any(word in n for word in no_decay)
            ]
            groups.append({"params": members, "lr": rate, "weight_decay": decay})
        rate *= 0.9
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]])
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    batch = tokenizer(TEXTS[:6], padding=True, return_tensors="pt")
    losses = []
    for _ in range(3):
        outputs = model(**batch, labels=torch.tensor([0, 1, 2, 0, 1, 2]))
        outputs.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(outputs.loss.item())
    moved = sorted(n for n, p in model.named_parameters() if not torch.equal(p, before[n]))
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    counts = [len(group["params"]) for group in optimizer.param_groups]
    return {"losses": losses, "moved": moved, "trainable": trainable, "counts": counts}


def weighted_folds(library: Any, start: str, folder: Path) -> Any:
    """Folds of a Trainer whose loss is weighted; it pads by itself, since it has the tokenizer."""

    class WeightedTrainer(library.Trainer):  # type: ignore[misc]
        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            labels = inputs.pop("labels")
            outputs = model(**inputs)
            logits = outputs.get("logits")
            loss_fct = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0], device=model.device))
            loss = loss_fct(logits.view(-1, self.model.config.num_labels), labels.view(-1))
            return (loss, outputs) if return_outputs else loss

    def compute_metrics(prediction: Any) -> dict[str, float]:
        labels, predictions = prediction.label_ids, prediction.predictions.argmax(-1)
        return {
            "accuracy": accuracy_score(labels, predictions),
            "f1": f1_score(labels, predictions, average="weighted"),
        }

    tokenizer = library.AutoTokenizer.from_pretrained(start)
    labels = np.arange(len(TEXTS)) % 3
    rows = [
        {**tokenizer(text, truncation=True), "label": int(label)} for text, label in zip(TEXTS, labels, strict=True)
    ]
    found = []
    folds = StratifiedKFold(n_splits=2, shuffle=True, random_state=0)
    for fold, (train, validation) in enumerate(folds.split(np.zeros(len(rows)), labels)):
        library.set_seed(fold)
        args = library.TrainingArguments(
            output_dir=str(folder / f"fold{fold}"),
            num_train_epochs=2,
            per_device_train_batch_size=3,
            learning_rate=1e-3,
            warmup_steps=1,
            eval_strategy="epoch",
            save_strategy="epoch",
            load_best_model_at_end=True,
            save_total_limit=1,
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
        )
        trainer = WeightedTrainer(
            model=library.AutoModelForSequenceClassification.from_pretrained(start, num_labels=3),
            args=args,
            train_dataset=[rows[i] for i in train],
            eval_dataset=[rows[i] for i in validation],
            processing_class=tokenizer,
            compute_metrics=compute_metrics,
            callbacks=[library.EarlyStoppingCallback(early_stopping_patience=1)],
        )
        trained = trainer.train()
        predicted = trainer.predict([rows[i] for i in validation])
        scores = {key: value for key, value in predicted.metrics.items() if key in ("test_loss", "test_f1")}
        found.append([trained.training_loss, scores, predicted.predictions])
    return found


def two_heads(library: Any, start: str, folder: Path) -> Any:
    """A class of one's own: intents of texts and slots of tokens, drawn in its own way, saved and read again."""

    class IntentAndSlots(library.BertPreTrainedModel):  # type: ignore[misc]
        config_class = library.BertConfig

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.num_labels, self.num_slots = config.num_labels, config.num_slots
            self.bert = library.BertModel(config)
            self.dropout = nn.Dropout(config.hidden_dropout_prob)
            self.intent = nn.Linear(config.hidden_size, config.num_labels)
            self.slots = nn.Sequential(nn.LayerNorm(config.hidden_size), nn.Linear(config.hidden_size, self.num_slots))
            self.post_init()

        def _init_weights(self, module: nn.Module) -> None:
            super()._init_weights(module)
            if isinstance(module, nn.Linear):
                generator = torch.Generator().manual_seed(module.out_features)
                module.weight.data.normal_(0.0, self.config.initializer_range, generator=generator)
                module.bias.data.fill_(0.25)

        def forward(
            self,
            input_ids: Any = None,
            attention_mask: Any = None,
            token_type_ids: Any = None,
            intents: Any = None,
            slots: Any = None,
        ) -> Any:
            outputs = self.bert(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
            intent = self.intent(self.dropout(outputs[1]))
            slot = self.slots(self.dropout(outputs[0]))
            found = (intent, slot, *outputs[2:])
            if intents is not None:
                active = attention_mask.view(-1) == 1
                loss = F.cross_entropy(intent.view(-1, self.num_labels), intents.view(-1))
                loss = loss + F.cross_entropy(slot.view(-1, self.num_slots)[active], slots.view(-1)[active])
                found = (loss, *found)
            return found

    config = library.BertConfig.from_pretrained(start, num_labels=3)
    config.num_slots = 4
    model = IntentAndSlots.from_pretrained(start, config=config)
    tokenizer = library.BertTokenizerFast.from_pretrained(start)
    drawn = {name: value.clone() for name, value in model.state_dict().items() if not name.startswith("bert.")}
    batch = tokenizer(TEXTS[:3], padding=True, return_tensors="pt")
    targets = {"intents": torch.tensor([0, 1, 2]), "slots": batch["input_ids"] % 4}
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(3):
        loss = model(**batch, **targets)[0]
        loss.backward()
        optimizer.step()
        model.zero_grad()
        losses.append(loss.item())
    model.save_pretrained(folder)
    again = IntentAndSlots.from_pretrained(folder)
    intent, slot = again(**batch)
    real = batch["attention_mask"] == 1
    fresh = IntentAndSlots(config).slots[1]
    return {
        "drawn": drawn,
        "losses": losses,
        "intent": intent,
        "slot": slot[real],
        "count": again.config.num_slots,
        "names": list(again.state_dict())[-6:],
        "fresh": [fresh.weight.detach(), fresh.bias.detach()],
    }


def bi_encoder(library: Any, start: str, folder: Path) -> Any:
    """Two texts by one encoder, a loss of their similarities, and the encoder alone saved."""

    class BiEncoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = library.AutoModel.from_pretrained(start, add_pooling_layer=False)

        def forward(self, inputs: Any) -> torch.Tensor:
            return F.normalize(mean_pooling(self.encoder(**inputs), inputs["attention_mask"]), dim=-1)

    tokenizer = library.AutoTokenizer.from_pretrained(start)
    model = BiEncoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-4)
    losses = []
    for _ in range(3):
        first = model(tokenizer(TEXTS[:4], padding=True, truncation=True, return_tensors="pt"))
        second = model(tokenizer(TEXTS[4:8], padding=True, truncation=True, return_tensors="pt"))
        scores = first @ second.T * 20
        loss = F.cross_entropy(scores, torch.arange(4)) + F.cosine_embedding_loss(first, second, torch.ones(4))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    model.encoder.save_pretrained(folder)
    again = library.AutoModel.from_pretrained(folder, add_pooling_layer=False)
    with torch.no_grad():
        kept = again(**tokenizer(TEXTS[8], return_tensors="pt")).last_hidden_state
    return {"losses": losses, "kept": kept}


def pretraining(library: Any, start: str, folder: Path) -> Any:
    """A vocabulary of one's own texts, a model of random weights, masked words by the Trainer."""
    old = library.AutoTokenizer.from_pretrained(start)
    corpus = (TEXTS[i : i + 4] for i in range(0, len(TEXTS), 4))
    new = old.train_new_from_iterator(corpus, vocab_size=120)
    spelt = [new.decode(new(text)["input_ids"], skip_special_tokens=True) for text in TEXTS]
    tokenizer = old  # the merges of equally frequent pairs differ, so that the losses would
    tokenizer.save_pretrained(folder)
    config = library.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = library.BertForMaskedLM(config=config)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.1, generator=generator)
    rows = [{"input_ids": ids} for ids in tokenizer(TEXTS, truncation=True, max_length=48)["input_ids"]]
    trainer = library.Trainer(
        model=model,
        args=library.TrainingArguments(
            output_dir=str(folder),
            num_train_epochs=1,
            per_device_train_batch_size=4,
            save_steps=2,
            save_total_limit=2,
            logging_steps=1,
            learning_rate=5e-4,
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
        ),
        data_collator=library.DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=True, mlm_probability=0.15),
        train_dataset=rows,
    )
    trainer.train()
    trainer.save_model(str(folder))
    fill = library.pipeline("fill-mask", model=str(folder), tokenizer=str(folder), device=-1, dtype="float32")
    filled = [answer["token_str"] for answer in fill("The [MASK] of the coast.")]
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    return {"vocabulary": len(new), "special": new.all_special_ids, "spelt": spelt, "losses": losses, "filled": filled}


SCRIPTS = [pretraining, sentence_embeddings, attention, layer_wise, weighted_folds, two_heads, bi_encoder]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_habits_with_another_import_line(script: Script, start: str, tmp_path: Path) -> None:
    same(script, start, tmp_path)
