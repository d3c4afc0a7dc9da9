"""transformers' own Trainer, unchanged, around our classes and around theirs."""

from __future__ import annotations

import abc
import copy
import functools
import inspect
import io
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
import transformers
from torch.nn.utils import parametrize
from torch_models import LENGTHS, batch, furthest, ours, settings, theirs

import bertkit
from bertkit import BertConfig, BertForSequenceClassification, BertModel

pytestmark = pytest.mark.filterwarnings("ignore")  # those of the others


class Examples(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """Texts of random words; the label is told by the first."""

    def __init__(self, masked: bool) -> None:
        self.masked = masked

    def __len__(self) -> int:
        return 40

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        rng = torch.Generator().manual_seed(i)
        ids = torch.zeros(17, dtype=torch.long)
        length = LENGTHS[i % 5] + 2 if i % 5 else 17
        ids[:length] = torch.randint(1, 50, (length,), generator=rng)
        mask = (ids > 0).long()
        label = torch.where(mask > 0, ids, -100) if self.masked else torch.tensor(i % 3)
        return {"input_ids": ids, "attention_mask": mask, "labels": label}


def arguments(directory: Path, **more: Any) -> transformers.TrainingArguments:
    return transformers.TrainingArguments(
        str(directory),
        **{
            "num_train_epochs": 2,
            "per_device_train_batch_size": 8,
            "learning_rate": 1e-2,
            "save_strategy": "epoch",
            "eval_strategy": "epoch",
            "load_best_model_at_end": True,
            "report_to": [],
            "use_cpu": True,
            "disable_tqdm": True,
            **more,
        },
    )


LABELS = {"id2label": {0: "no", 1: "yes", 2: "maybe"}, "label2id": {"no": 0, "yes": 1, "maybe": 2}}


def trained(library: Any, name: str, directory: Path, **more: Any) -> transformers.Trainer:
    """The same script with either library."""
    labels = LABELS if name == "BertForSequenceClassification" else {}
    model = getattr(library, name)(library.BertConfig(**settings(name, **labels)))
    model.load_state_dict(theirs(name).state_dict())
    data = Examples(masked=name == "BertForMaskedLM")
    trainer = transformers.Trainer(model, arguments(directory, **more), train_dataset=data, eval_dataset=data)
    trainer.before = trainer.evaluate()["eval_loss"]
    trainer.train()
    trainer.save_model(str(directory / "saved"))
    return trainer


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("name", ["BertForSequenceClassification", "BertForMaskedLM"])
def test_folders_of_the_trainer_load_in_both_libraries(name: str, checkpointing: bool, tmp_path: Path) -> None:
    of_ours, of_theirs = (
        trained(library, name, tmp_path / library.__name__, gradient_checkpointing=checkpointing)
        for library in (bertkit, transformers)
    )
    for ours_said, theirs_said in zip(of_ours.state.log_history, of_theirs.state.log_history, strict=True):
        for key in ("loss", "eval_loss", "grad_norm", "total_flos"):
            assert ours_said.get(key, 0.0) == pytest.approx(theirs_said.get(key, 0.0), rel=1e-3), key
    assert of_ours.evaluate()["eval_loss"] < of_ours.before
    ids, mask = batch()
    real = mask[..., None] if name == "BertForMaskedLM" else 1
    expected = of_ours.model.eval()(ids, mask).logits
    assert furthest(expected, of_theirs.model.eval()(ids, mask).logits * real) < 1e-3
    for folder in ("saved", "checkpoint-10"):
        for library in (bertkit, transformers):
            again, info = getattr(library, name).from_pretrained(
                tmp_path / "bertkit" / folder, output_loading_info=True
            )
            assert not any(info.values())
            if name == "BertForSequenceClassification":
                assert again.config.id2label == LABELS["id2label"] and again.config.label2id == LABELS["label2id"]
            if folder == "saved":
                assert furthest(again(ids, mask).logits * real, expected) < 1e-5
        config = json.loads((tmp_path / "bertkit" / folder / "config.json").read_text())
        assert config["architectures"] == [name]
    resumed = transformers.Trainer(
        getattr(bertkit, name)(of_ours.model.config),
        arguments(tmp_path / "bertkit"),
        train_dataset=Examples(name == "BertForMaskedLM"),
        eval_dataset=Examples(name == "BertForMaskedLM"),
    )
    assert resumed.train(resume_from_checkpoint=str(tmp_path / "bertkit" / "checkpoint-5")).global_step == 10
    assert furthest(resumed.model.eval()(ids, mask).logits, expected) < 1e-3


def test_the_trainer_with_an_adapter(tmp_path: Path) -> None:
    import peft

    base = tmp_path / "base"
    ours("BertForSequenceClassification").save_pretrained(base)
    logits = []
    for library in (bertkit, transformers):
        torch.manual_seed(0)
        model = library.BertForSequenceClassification.from_pretrained(base)
        adapted = peft.get_peft_model(model, peft.LoraConfig(task_type="SEQ_CLS", target_modules="all-linear", r=4))
        assert adapted.peft_config["default"].base_model_name_or_path == str(base)
        assert "classifier" not in adapted.peft_config["default"].target_modules
        data = Examples(masked=False)
        directory = tmp_path / library.__name__
        trainer = transformers.Trainer(adapted, arguments(directory), train_dataset=data, eval_dataset=data)
        trainer.train()
        trainer.save_model(str(directory / "saved"))
        again = library.BertForSequenceClassification.from_pretrained(base)
        again = peft.PeftModel.from_pretrained(again, directory / "saved").eval()
        ids, mask = batch()
        assert furthest(again(ids, mask).logits, adapted.eval()(ids, mask).logits) < 1e-5
        logits.append(again(ids, mask).logits)
        resumed = transformers.Trainer(adapted, arguments(directory), train_dataset=data, eval_dataset=data)
        assert resumed.train(resume_from_checkpoint=str(directory / "checkpoint-5")).global_step == 10
    assert furthest(*logits) < 1e-3


# What else asks for the class of a model.


class Squared(BertForSequenceClassification):
    """With a parameter of its own, which can be parametrized."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.scale = torch.nn.Parameter(torch.ones(2, 2))


class Abstract(BertModel, abc.ABC):
    """Of another metaclass."""


class Counted(BertModel):
    """Counts its subclasses."""

    subclasses: ClassVar[list[str]] = []

    def __init_subclass__(cls, *, called: str) -> None:
        Counted.subclasses.append(called)


class Below(Counted, called="below"):
    """A subclass that wants an argument of its class statement."""


class Twice(torch.nn.Module):
    """A parametrization."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


@pytest.mark.parametrize("made", [BertModel, BertForSequenceClassification, Squared, Abstract, Below])
def test_a_model_passes_for_theirs_and_its_class_stays(made: type) -> None:
    model = made(BertConfig(**settings("BertModel")))
    assert isinstance(model, transformers.PreTrainedModel)
    assert not isinstance(model, transformers.BertModel)
    assert type(model) is made and repr(model).startswith(f"{made.__name__}(\n")
    seen = model.__class__
    assert issubclass(seen, transformers.PreTrainedModel) and issubclass(seen, made)
    assert seen == made and {made: 1}[seen] == 1 and repr(seen) == repr(made)
    assert inspect.getmro(seen) == made.__mro__ and dir(seen) == dir(made)
    assert inspect.signature(seen) == inspect.signature(made)
    assert not {"get_compiled_call", "_tp_plan"} & {*dir(model), *dir(seen)}
    assert Counted.subclasses == ["below"]
    of_same_class = [
        seen(model.config),
        seen.__new__(seen),
        copy.copy(model),
        copy.deepcopy(model),
        *(pickle.loads(pickle.dumps(model, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)),
        *(pickle._loads(pickle._dumps(model, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)),  # type: ignore[attr-defined]
    ]
    assert [type(one) for one in of_same_class] == [made] * len(of_same_class)
    for one in of_same_class[2:]:
        assert torch.equal(
            one.embeddings.word_embeddings.weight if hasattr(one, "embeddings") else one.classifier.weight,
            model.embeddings.word_embeddings.weight if hasattr(model, "embeddings") else model.classifier.weight,
        )
    assert pickle.loads(pickle.dumps(seen)) is made
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    assert type(torch.load(file, weights_only=False)) is made


def test_classes_made_from_a_models_class() -> None:
    model = Squared(BertConfig(**settings("BertForSequenceClassification")))

    class Sub(model.__class__):  # type: ignore[name-defined,misc]
        def __init__(self, config: BertConfig) -> None:
            super().__init__(config)

    assert Sub.__mro__[1] is Squared and Sub.__module__ == __name__
    assert isinstance(Sub(model.config), model.__class__) and not isinstance(model, Sub)
    parametrize.register_parametrization(model, "scale", Twice())
    assert (model.scale == 2).all() and isinstance(model, transformers.PreTrainedModel)
    parametrize.remove_parametrizations(model, "scale")
    assert type(model) is Squared and (model.scale == 2).all()

    @functools.singledispatch
    def kind(x: object) -> str:
        return "object"

    kind.register(BertForSequenceClassification, lambda x: "ours")
    assert kind(model) == "ours"


def test_their_library_is_not_imported_by_ours() -> None:
    """A model made before transformers is imported passes too."""
    script = """
import sys
from bertkit import BertConfig, BertModel
model = BertModel(BertConfig(num_hidden_layers=1, hidden_size=8, num_attention_heads=2, vocab_size=9))
assert model.__class__ is BertModel and not isinstance(model, int)
assert "transformers" not in sys.modules
from transformers import PreTrainedModel
assert isinstance(model, PreTrainedModel)
"""
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("name", ["BertForSequenceClassification", "BertForMaskedLM"])
def test_steps_of_several_batches_are_means(name: str, tmp_path: Path) -> None:
    """With gradient_accumulation_steps, transformers adds up the means of BERT's batches: ours is their mean."""
    logged = {}
    for library in (bertkit, transformers):
        model = getattr(library, name)(library.BertConfig(**settings(name)))
        model.load_state_dict(theirs(name).state_dict())
        more = {"gradient_accumulation_steps": 2, "num_train_epochs": 1, "logging_steps": 1, "max_grad_norm": 1e9}
        of_eight = {**more, "per_device_train_batch_size": 4, "save_strategy": "no", "eval_strategy": "no"}
        given = arguments(tmp_path, **of_eight, load_best_model_at_end=False)
        trainer = transformers.Trainer(model, given, train_dataset=Examples(name == "BertForMaskedLM"))
        trainer.train()
        logged[library.__name__] = next(row["loss"] for row in trainer.state.log_history if "loss" in row)
    assert logged["transformers"] == pytest.approx(2 * logged["bertkit"], rel=1e-5)


class Passing(BertForSequenceClassification):
    """A forward that passes on what it is given, as many are written."""

    def forward(self, labels: Any = None, **given: Any) -> Any:
        output = super().forward(**given)
        output["loss"] = torch.nn.functional.cross_entropy(output.logits, labels)
        return output


def test_a_forward_that_passes_arguments_on(tmp_path: Path) -> None:
    model = Passing(BertConfig(**settings("BertForSequenceClassification")))
    more = {"save_strategy": "no", "eval_strategy": "no", "load_best_model_at_end": False}
    trainer = transformers.Trainer(
        model, arguments(tmp_path, max_steps=2, remove_unused_columns=False, **more), train_dataset=Examples(False)
    )
    assert trainer.train().training_loss > 0


# Tokenizers.


@pytest.mark.parametrize("kind", [bertkit.BertTokenizer, bertkit.BertTokenizerFast])
def test_a_tokenizer_passes_for_theirs_and_its_class_stays(kind: Any, tmp_path: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(str, range(9))]
    tokenizer = kind(words)
    assert isinstance(tokenizer, transformers.PreTrainedTokenizerBase) and isinstance(tokenizer, kind)
    assert isinstance(tokenizer, bertkit.PreTrainedTokenizerBase)
    assert not isinstance(tokenizer, transformers.BertTokenizerFast)
    copies = [copy.copy(tokenizer), copy.deepcopy(tokenizer), pickle.loads(pickle.dumps(tokenizer))]
    assert [type(one) for one in copies] == [kind] * 3
    assert [one("1 2") for one in copies] == [tokenizer("1 2")] * 3
    rows = [{**tokenizer(" ".join("12345678"[: 1 + i % 8])), "label": i % 2} for i in range(8)]
    model = BertForSequenceClassification(BertConfig(**settings("BertForSequenceClassification")))
    more = {"save_strategy": "no", "eval_strategy": "no", "load_best_model_at_end": False, "max_steps": 1}
    trainer = transformers.Trainer(model, arguments(tmp_path, **more), train_dataset=rows, processing_class=tokenizer)
    assert type(trainer.data_collator) is transformers.DataCollatorWithPadding
    assert trainer.train().training_loss > 0


def test_the_trainer_by_our_name() -> None:
    from bertkit.training import _THEIRS

    assert len(_THEIRS) == 20
    assert all(getattr(bertkit, name) is getattr(transformers, name) for name in _THEIRS)
    with pytest.raises(ImportError, match="bertkit has no AdamW: type from torch.optim import AdamW"):
        from bertkit import AdamW  # noqa: F401
    assert bertkit.PretrainedConfig is bertkit.PreTrainedConfig is BertConfig
    assert bertkit.PreTrainedModel is bertkit.BertPreTrainedModel
    assert bertkit.PreTrainedTokenizer is bertkit.BertTokenizer
    assert bertkit.PreTrainedTokenizerFast is bertkit.BertTokenizerFast
    script = """
import sys
sys.modules["transformers"] = None  # as where it is not installed
import bertkit
try:
    bertkit.Trainer
except ImportError as error:
    assert str(error) == 'Trainer needs transformers[torch], which is not installed. Type: pip install transformers[torch]', error
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_values_of_names_that_others_ask_for() -> None:
    our, their = ours("BertForSequenceClassification"), theirs("BertForSequenceClassification")
    for model in (our, their):
        assert model.num_labels == 3 and model.name_or_path == "" and model.can_generate() is False
        assert model.get_memory_footprint() >= 4 * sum(p.numel() for p in model.parameters())
        assert "BertLayer" in our._no_split_modules
        model = copy.deepcopy(model)
        model.requires_grad_(False)
        model.enable_input_require_grads()
        ids, mask = batch()
        assert model(ids, mask).logits.requires_grad
        model.disable_input_require_grads()
        assert not model(ids, mask).logits.requires_grad
    assert our.get_memory_footprint(return_buffers=False) == their.get_memory_footprint(return_buffers=False)
    layer = copy.deepcopy(our).bert.encoder.layer[2].apply(our._init_weights)
    assert 0.01 < layer.output.dense.weight.std() < 0.03 and layer.output.LayerNorm.weight.eq(1).all()


class Around(transformers.BertPreTrainedModel):
    """A model of transformers with one of ours inside."""

    def __init__(self, config: transformers.BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config)
        self.tagger = torch.nn.Linear(config.hidden_size, 2)
        self.post_init()


def test_inside_a_model_of_transformers(tmp_path: Path) -> None:
    model = Around(transformers.BertConfig(**settings("BertModel")))
    ids, mask = batch()
    expected = model.eval().bert(ids, mask).last_hidden_state
    model.save_pretrained(tmp_path)
    again = Around.from_pretrained(tmp_path)
    assert furthest(again.bert(ids, mask).last_hidden_state, expected) < 1e-6
