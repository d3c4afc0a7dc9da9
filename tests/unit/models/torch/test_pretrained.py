"""Where weights come from and go to, and what can be done to a model as a whole."""

from __future__ import annotations

import copy
import logging
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
import transformers
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch_models import CLASSES, batch, furthest, ours, settings, theirs

import bertkit
from bertkit import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertLMHeadModel,
    BertModel,
    convert,
)
from bertkit.errors import ConfigError, LoadError, UsageError
from bertkit.models.torch.pretrained import BertPreTrainedModel

# Saved and loaded.


@pytest.mark.parametrize("name", CLASSES)
def test_their_files_are_ours_and_ours_are_theirs(name: str, tmp_path: Path) -> None:
    their = theirs(name)
    their.save_pretrained(tmp_path / "theirs")
    our, info = getattr(bertkit, name).from_pretrained(tmp_path / "theirs", output_loading_info=True)
    assert not any(info.values())
    assert not our.training
    our.save_pretrained(tmp_path / "ours")
    back, info = getattr(transformers, name).from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    for key, parameter in their.named_parameters():
        assert torch.equal(our.get_parameter(key), parameter)
        assert torch.equal(back.get_parameter(key), parameter)
    assert our.config.architectures == [name]


@pytest.mark.parametrize("to", ["google", "h5", "msgpack"])
def test_files_of_other_frameworks(to: str, tmp_path: Path) -> None:
    our = ours("BertForPreTraining")
    our.save_pretrained(tmp_path / "a")
    convert(tmp_path / "a", tmp_path / "b", to=to)
    again = bertkit.BertForPreTraining.from_pretrained(tmp_path / "b")
    for key, parameter in our.named_parameters():
        assert torch.equal(again.get_parameter(key), parameter)
        assert again.get_parameter(key).is_contiguous()


def test_training_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    ours("BertForMaskedLM").save_pretrained(tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    model = BertForMaskedLM.from_pretrained(tmp_path).train()
    ids, mask = batch()
    model(ids, mask, labels=ids.masked_fill(mask == 0, -100)).loss.backward()
    torch.optim.AdamW(model.parameters()).step()
    assert (tmp_path / "model.safetensors").read_bytes() == before
    assert (
        furthest(
            BertForMaskedLM.from_pretrained(tmp_path).bert.embeddings.word_embeddings.weight,
            model.bert.embeddings.word_embeddings.weight,
        )
        > 0
    )
    model.save_pretrained(tmp_path)  # over the file that it is mapped from
    again = BertForMaskedLM.from_pretrained(tmp_path)
    assert all(torch.equal(again.get_parameter(key), parameter) for key, parameter in model.named_parameters())


def test_a_missing_head_is_initialized_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ours("BertModel").save_pretrained(tmp_path)
    torch.manual_seed(0)
    with caplog.at_level(logging.WARNING):
        model, info = BertForSequenceClassification.from_pretrained(tmp_path, num_labels=5, output_loading_info=True)
    assert "classifier" in caplog.text
    assert info["missing_keys"] == ["classifier.weight", "classifier.bias"]
    assert model.classifier.weight.shape == (5, 32)
    assert 0.005 < model.classifier.weight.std() < 0.05
    assert model.classifier.bias.count_nonzero() == 0
    assert model.config.num_labels == 5


def test_the_wrong_weights_are_an_error(tmp_path: Path) -> None:
    model = ours("BertForSequenceClassification")
    model.save_pretrained(tmp_path)
    with pytest.raises(LoadError, match="of another shape"):
        BertForSequenceClassification.from_pretrained(tmp_path, num_labels=7)
    reset = BertForSequenceClassification.from_pretrained(tmp_path, num_labels=7, ignore_mismatched_sizes=True)
    assert reset.classifier.weight.shape == (7, 32)
    with pytest.raises(ConfigError, match="num_label"):
        BertForSequenceClassification.from_pretrained(tmp_path, num_label=7)


@pytest.mark.parametrize(
    ("asked", "got"), [(None, "float32"), ("auto", "bfloat16"), ("float16", "float16"), (torch.float64, "float64")]
)
def test_dtype(asked: str | torch.dtype | None, got: str, tmp_path: Path) -> None:
    BertModel(BertConfig(**settings("BertModel"))).to(torch.bfloat16).save_pretrained(tmp_path)
    assert BertConfig.from_pretrained(tmp_path).dtype == "bfloat16"
    assert str(BertModel.from_pretrained(tmp_path, dtype=asked).dtype) == f"torch.{got}"
    assert str(BertModel.from_pretrained(tmp_path, torch_dtype=asked).dtype) == f"torch.{got}"


def test_options_of_from_pretrained(tmp_path: Path) -> None:
    ours("BertModel").save_pretrained(tmp_path)
    for device_map in ("auto", "cpu", {"": "cpu"}, torch.device("cpu"), None):
        assert BertModel.from_pretrained(tmp_path, device_map=device_map).device.type in ("cpu", "cuda", "mps")
    assert BertModel.from_pretrained(tmp_path, attn_implementation="eager").attn_implementation == "eager"
    assert BertModel.from_pretrained(tmp_path, add_pooling_layer=False).pooler is None
    assert BertModel.from_pretrained(tmp_path, config=BertConfig(**settings("BertModel"))).config.hidden_size == 32
    weights = {key: value * 2 for key, value in ours("BertModel").state_dict().items()}
    doubled = BertModel.from_pretrained(tmp_path, state_dict=weights)
    assert torch.equal(doubled.pooler.dense.weight, ours("BertModel").pooler.dense.weight * 2)
    for wrong, sentence in [
        ({"device_map": "gpu"}, "device_map is 'gpu'"),
        ({"device_map": "cuda:99"}, "device_map is 'cuda:99', and must be 'auto', 'cpu'"),
        ({"device_map": "mps:99"}, "device_map is 'mps:99'"),
        ({"dtype": "float31"}, "Did you mean"),
        ({"attn_implementation": "spda"}, "must be 'sdpa' or 'eager'"),
    ]:
        with pytest.raises(UsageError, match=sentence):
            BertModel.from_pretrained(tmp_path, **wrong)
    with pytest.raises(UsageError, match=r"type BertModel.from_pretrained\(name\)"):
        BertModel("bert-base-uncased")
    with pytest.raises(UsageError, match="pickle"):
        ours("BertModel").save_pretrained(tmp_path, safe_serialization=False)


def test_calls_as_they_are_written_for_transformers(tmp_path: Path) -> None:
    model, config = ours("BertModel"), BertConfig(**settings("BertModel"))
    model.save_pretrained(
        tmp_path, is_main_process=True, save_function=torch.save, push_to_hub=False, token=None, save_peft_format=True
    )
    inert = {"max_memory": {0: "1GB"}, "offload_folder": "x", "key_mapping": None, "proxies": None}
    for kind in (BertModel, bertkit.AutoModel):
        for again in (
            kind.from_pretrained(pretrained_model_name_or_path=tmp_path, trust_remote_code=True, **inert),
            kind.from_pretrained(tmp_path, config),
        ):
            assert torch.equal(again.pooler.dense.weight, model.pooler.dense.weight)
        assert kind.from_config(config, torch_dtype=torch.float16, trust_remote_code=True).dtype == torch.float16
    their = transformers.BertConfig(**settings("BertModel"))
    for taken_over in (BertModel(their), BertModel.from_config(their), BertModel.from_pretrained(tmp_path, their)):
        assert type(taken_over.config) is BertConfig and taken_over.config.hidden_size == 32
    tagger = BertForSequenceClassification(
        transformers.BertConfig(**settings("BertModel"), attn_implementation="eager")
    )
    assert tagger.config is tagger.bert.config and tagger.attn_implementation == "eager"
    with pytest.raises(UsageError, match=r"not a BertModel of transformers\..*state_dict=model.state_dict\(\)\)\.$"):
        BertModel.from_pretrained(theirs("BertModel"))
    with pytest.raises(ConfigError, match="roberta"):
        BertModel(transformers.RobertaConfig())
    with pytest.raises(UsageError, match="HTTPS_PROXY"):
        BertModel.from_pretrained(tmp_path, proxies={"https": "localhost"})
    with pytest.raises(UsageError, match="pass state_dict"):
        BertModel.from_pretrained(tmp_path, key_mapping={"a": "b"})


def test_loading_copies_nothing_and_draws_nothing(tmp_path: Path) -> None:
    ours("BertModel").save_pretrained(tmp_path)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    model = BertModel.from_pretrained(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    start = min(parameter.data_ptr() for parameter in model.parameters())
    end = max(parameter.data_ptr() for parameter in model.parameters())
    assert end - start < (tmp_path / "model.safetensors").stat().st_size


def test_auto_classes(tmp_path: Path) -> None:
    ours("BertForPreTraining").save_pretrained(tmp_path)
    for suffix, name in {
        "": "BertModel",
        "ForPreTraining": "BertForPreTraining",
        "ForMaskedLM": "BertForMaskedLM",
        "ForCausalLM": "BertLMHeadModel",
        "ForNextSentencePrediction": "BertForNextSentencePrediction",
        "ForSequenceClassification": "BertForSequenceClassification",
        "ForMultipleChoice": "BertForMultipleChoice",
        "ForTokenClassification": "BertForTokenClassification",
        "ForQuestionAnswering": "BertForQuestionAnswering",
    }.items():
        auto = getattr(bertkit, f"AutoModel{suffix}")
        assert type(auto.from_pretrained(tmp_path)).__name__ == name
        assert (
            type(auto.from_config(BertConfig(**settings(name)), attn_implementation="eager", dtype="bf16")).__name__
            == name
        )
        with pytest.raises(UsageError, match="from_pretrained"):
            auto()
    (tmp_path / "config.json").write_text('{"model_type": "roberta"}', encoding="utf-8")
    with pytest.raises(ConfigError, match="roberta"):
        bertkit.AutoModel.from_pretrained(tmp_path)


# Classes of the user's own.


class Gated(BertForSequenceClassification):
    """One of the nine with a part more."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.gate = torch.nn.Linear(config.hidden_size, config.hidden_size)
        self.post_init()


class Scaled(BertModel):
    """The base with a part more, which is a buffer."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.register_buffer("scale", torch.rand(3))


class Tagger(BertPreTrainedModel):
    """A head of its own, by a name that one of the nine has too, with statistics, a constant and a shared parameter."""

    def __init__(self, config: BertConfig, tags: int = 5) -> None:
        super().__init__(config)
        self.words = torch.nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.words.weight = self.bert.embeddings.word_embeddings.weight
        self.norm = torch.nn.BatchNorm1d(config.hidden_size)
        self.classifier = torch.nn.Linear(config.hidden_size, tags)
        self.register_buffer("constant", torch.ones(1), persistent=False)
        self.init_weights()

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        states = self.bert(**inputs).last_hidden_state
        return (
            self.classifier(self.norm(states.transpose(1, 2)).transpose(1, 2)) * self.constant
            + self.words(states)[..., :5]
        )


@pytest.mark.parametrize("made", [Gated, Scaled, Tagger])
def test_own_parts_are_saved_and_loaded(made: type[BertPreTrainedModel], tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = made(BertConfig(**settings("BertModel"))).train()
    ids, mask = batch()
    if made is Tagger:
        model(input_ids=ids, attention_mask=mask)  # which moves the statistics
    model.save_pretrained(tmp_path, max_shard_size="30KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    again, info = made.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    state = model.state_dict()
    assert state.keys() == again.state_dict().keys() and {"gate.bias", "scale", "norm.running_var"} & state.keys()
    for key, value in again.state_dict().items():
        assert torch.equal(value, state[key]), key
    if made is Tagger:
        assert again.words.weight is again.get_input_embeddings().weight
        half = Tagger.from_pretrained(tmp_path, dtype=torch.float16)
        assert half.norm.running_var.dtype == torch.float16 and half.norm.num_batches_tracked.dtype == torch.int64
        assert half(input_ids=ids, attention_mask=mask).dtype == torch.float16


def test_missing_own_parts_are_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ours("BertForSequenceClassification").save_pretrained(tmp_path / "plain")
    with caplog.at_level(logging.WARNING):
        _, info = Gated.from_pretrained(tmp_path / "plain", output_loading_info=True)
    assert "has no gate.weight, gate.bias: they are initialized by Gated._init_weights" in caplog.text
    assert info["missing_keys"] == ["gate.weight", "gate.bias"]
    tagger = Tagger(BertConfig(**settings("BertModel")))
    tagger.save_pretrained(tmp_path / "tagger")
    shape = r"classifier.weight \[5, 32\], expected \[7, 32\]"
    with pytest.raises(LoadError, match=shape):
        Tagger.from_pretrained(tmp_path / "tagger", tags=7)
    other, info = Tagger.from_pretrained(
        tmp_path / "tagger", tags=7, ignore_mismatched_sizes=True, output_loading_info=True
    )
    assert other.classifier.weight.shape == (7, 32)
    assert info["missing_keys"] == ["classifier.weight", "classifier.bias"]
    with pytest.raises(LoadError, match="unexpected: norm"):
        Gated.from_pretrained(tmp_path / "tagger")
    Gated(ours("BertForSequenceClassification").config).save_pretrained(tmp_path / "gated")
    with pytest.raises(LoadError, match="unexpected: gate"):
        BertForSequenceClassification.from_pretrained(tmp_path / "gated")


@pytest.mark.parametrize(
    "made",
    [
        lambda: torch.nn.Linear(5, 3),
        lambda: torch.nn.Linear(5, 3, bias=False),
        lambda: torch.nn.Embedding(5, 3, padding_idx=2),
        lambda: torch.nn.Conv1d(4, 3, 2),
        lambda: torch.nn.ConvTranspose2d(4, 3, 2, bias=False),
        lambda: torch.nn.LSTM(4, 3, bidirectional=True),
        lambda: torch.nn.LayerNorm(4),
        lambda: torch.nn.BatchNorm1d(4),
        lambda: torch.nn.LayerNorm(4, elementwise_affine=False),
        lambda: torch.nn.PReLU(),
    ],
)
def test_init_weights_beside_transformers(made: Callable[[], torch.nn.Module]) -> None:
    drawn = []
    for model in (ours("BertModel"), theirs("BertModel")):
        module = made()
        torch.nn.utils.vector_to_parameters(
            torch.full((sum(p.numel() for p in module.parameters()),), 0.25), module.parameters()
        )
        torch.manual_seed(1)
        model._init_weights(module)
        drawn.append(module.state_dict())
    assert drawn[0].keys() == drawn[1].keys()
    assert all(torch.equal(value, drawn[1][name]) for name, value in drawn[0].items())


class Stacked(BertPreTrainedModel):
    """Another model inside, by a name of its own, and parts that are drawn when all of it is."""

    def __init__(self, config: BertConfig, encoder: BertModel) -> None:
        super().__init__(config)
        self.encoder = encoder
        self.scorer = torch.nn.Linear(config.hidden_size, 400)
        self.post_init()


class Halved(BertForSequenceClassification):
    """One of the nine that draws its head, and what is of its own, in another way."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.gate = torch.nn.Linear(4, 4)
        self.post_init()

    def _init_weights(self, module: torch.nn.Module) -> None:
        if isinstance(module, torch.nn.Linear):
            module.weight.data.fill_(0.5)


def test_own_parts_are_drawn_by_init_weights(tmp_path: Path) -> None:
    inner = ours("BertModel")
    state = {name: value.clone() for name, value in inner.state_dict().items()}
    model = Stacked(inner.config, inner)
    assert model.scorer.weight.std().item() == pytest.approx(inner.config.initializer_range, rel=0.1)
    assert model.scorer.bias.count_nonzero() == 0
    assert all(torch.equal(value, state[name]) for name, value in inner.state_dict().items())
    ours("BertModel").save_pretrained(tmp_path)
    for halved in (Halved(inner.config), Halved.from_pretrained(tmp_path)):
        assert halved.classifier.weight.eq(0.5).all() and halved.gate.weight.eq(0.5).all()
        assert halved.bert.pooler.dense.weight.ne(0.5).any()
    halved.gate.weight.data.fill_(2)
    halved.save_pretrained(tmp_path / "own")
    assert Halved.from_pretrained(tmp_path / "own").gate.weight.eq(2).all()


# State dicts, copies, ties.


def test_state_dicts_go_both_ways() -> None:
    their, our = theirs("BertForMaskedLM"), ours("BertForMaskedLM")
    state = our.state_dict()
    assert list(their.state_dict()) == list(state)
    into = transformers.BertForMaskedLM(their.config)
    into.load_state_dict(state, strict=True)
    assert all(torch.equal(value, state[key]) for key, value in into.state_dict().items())
    again = BertForMaskedLM(our.config)
    again.load_state_dict(state)
    assert torch.equal(again.cls.predictions.decoder.weight, their.cls.predictions.decoder.weight)
    again.load_state_dict(state, assign=True)
    assert again.cls.predictions.decoder.weight is again.bert.embeddings.word_embeddings.weight
    each_once = {key: value for key, value in state.items() if "decoder" not in key}  # as files have it
    for device in ("meta", "cpu"):
        empty = BertForMaskedLM(our.config).to(device).to_empty(device="cpu")
        empty.load_state_dict(each_once if device == "meta" else state)
        assert empty.cls.predictions.decoder.weight is empty.bert.embeddings.word_embeddings.weight
        assert empty.cls.predictions.decoder.bias is empty.cls.predictions.bias
        assert torch.equal(empty.cls.predictions.decoder.weight, their.cls.predictions.decoder.weight)
    nested = torch.nn.ModuleDict({"a": copy.deepcopy(our)})
    nested.load_state_dict(nested.state_dict())


def test_one_name_of_a_tied_parameter_is_reported_as_missing(tmp_path: Path) -> None:
    """With strict=False, as in transformers: load_model of safetensors, and so load_state of accelerate, rely on it."""
    found = []
    for model in (ours("BertForMaskedLM"), copy.deepcopy(theirs("BertForMaskedLM"))):
        safetensors.torch.save_model(model, str(tmp_path / "one.safetensors"))
        for wrapped in (model, torch.nn.ModuleDict({"a": model})):
            safetensors.torch.save_model(wrapped, str(tmp_path / "wrapped.safetensors"))
            safetensors.torch.load_model(wrapped, str(tmp_path / "wrapped.safetensors"))
        one = safetensors.torch.load_file(tmp_path / "one.safetensors")
        for name in ("bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"):
            half = {key: one.get(key, torch.ones(50, 32)) for key in (name, "cls.predictions.bias")}
            found.append(
                (sorted(model.load_state_dict(half, strict=False).missing_keys), model.state_dict()[name].sum())
            )
    assert found[:2] == found[2:]


@pytest.mark.parametrize("name", ["bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"])
def test_one_name_is_assigned_to_both(name: str) -> None:
    model = ours("BertForMaskedLM")
    state = {key: tensor for key, tensor in model.state_dict().items() if "decoder" not in key}
    state[name] = 2 * state.pop("bert.embeddings.word_embeddings.weight")
    model.load_state_dict(state, assign=True)
    assert torch.equal(model.get_input_embeddings().weight, state[name])
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


@pytest.mark.parametrize("way", ["copy", "pickle"])
def test_copies_are_tied_too(way: str) -> None:
    model = ours("BertForMaskedLM")
    other = copy.deepcopy(model) if way == "copy" else pickle.loads(pickle.dumps(model))
    assert other.cls.predictions.decoder.weight is other.bert.embeddings.word_embeddings.weight
    assert other.cls.predictions.decoder.bias is other.cls.predictions.bias
    ids, mask = batch()
    assert torch.equal(other(ids, mask).logits, model(ids, mask).logits)


def test_an_untied_projection_is_its_own() -> None:
    model = ours("BertForMaskedLM", tie_word_embeddings=False)
    assert model.cls.predictions.decoder.weight is not model.bert.embeddings.word_embeddings.weight
    assert "cls.predictions.decoder.weight" in model.state_dict()


def test_the_second_bias_of_an_untied_projection_counts(tmp_path: Path) -> None:
    """As in transformers 5, whose two biases go apart in training."""
    their = copy.deepcopy(theirs("BertForMaskedLM", tie_word_embeddings=False))
    ids, mask = batch()
    optimizer = torch.optim.SGD(their.parameters(), 1.0)
    their(ids, mask, labels=ids).loss.backward()
    optimizer.step()
    assert furthest(their.cls.predictions.bias, their.cls.predictions.decoder.bias) > 0.01
    our = BertForMaskedLM(BertConfig(**settings("BertForMaskedLM", tie_word_embeddings=False)))
    our.load_state_dict(their.state_dict())
    their.save_pretrained(tmp_path)
    for model in (our.eval(), BertForMaskedLM.from_pretrained(tmp_path, state_dict=their.state_dict())):
        assert furthest(model(ids).logits, their(ids).logits) < 1e-5


@pytest.mark.parametrize("name", ["cls.predictions.decoder.weight", "cls.predictions.decoder.bias"])
def test_tied_tensors_with_different_values_are_an_error(tmp_path: Path, name: str) -> None:
    """With load_state_dict, transformers loads one of them; with from_pretrained both, untied, after a warning."""
    weights = {key: tensor.clone() for key, tensor in theirs("BertForMaskedLM").state_dict().items()}
    weights[name] = weights[name] + 1
    with pytest.raises(RuntimeError, match=rf"{name} and .* are tied, but their values differ"):
        ours("BertForMaskedLM").load_state_dict(weights)
    theirs("BertForMaskedLM").save_pretrained(tmp_path)
    safetensors.torch.save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(LoadError, match=f"{name} and .*values differ: to load both, type tie_word_embeddings=False"):
        BertForMaskedLM.from_pretrained(tmp_path)
    BertForTokenClassification.from_pretrained(tmp_path)  # which has no such tensors
    ids = batch()[0]
    ours_, theirs_ = (
        library.BertForMaskedLM.from_pretrained(tmp_path, tie_word_embeddings=False)(ids)
        for library in (bertkit, transformers)
    )
    assert furthest(ours_.logits, theirs_.logits) < 1e-5


def test_fresh_weights_follow_the_table() -> None:
    torch.manual_seed(0)
    first = BertForMaskedLM(BertConfig(**settings("BertForMaskedLM", hidden_size=128)))
    torch.manual_seed(0)
    second = BertForMaskedLM(BertConfig(**settings("BertForMaskedLM", hidden_size=128)))
    for key, parameter in first.named_parameters():
        assert torch.equal(parameter, second.get_parameter(key))
        if key.endswith("bias"):
            assert parameter.count_nonzero() == 0
        elif "LayerNorm" in key:
            assert (parameter == 1).all()
        else:
            assert 0.015 < parameter.std() < 0.025
    assert first.bert.embeddings.word_embeddings.weight[0].count_nonzero() == 0
    theirs_ = dict(
        transformers.BertForMaskedLM(
            transformers.BertConfig(**settings("BertForMaskedLM", hidden_size=128))
        ).named_parameters()
    )
    assert theirs_.keys() == dict(first.named_parameters()).keys()


# The model as a whole.


@pytest.mark.parametrize("tied", [True, False])
def test_resizing_the_vocabulary(tied: bool) -> None:
    model = ours("BertForMaskedLM", tie_word_embeddings=tied)
    ids, mask = batch()
    before = model(ids, mask).logits
    old = model.get_input_embeddings().weight.clone()
    returned = model.resize_token_embeddings(53, pad_to_multiple_of=8)
    assert returned is model.get_input_embeddings()
    assert returned.weight.shape == (56, 32)
    assert model.config.vocab_size == 56
    assert furthest(returned.weight[55], old.mean(0)) < 1e-6
    decoder = model.get_output_embeddings()
    assert decoder.weight.shape == (56, 32)
    assert decoder.bias is model.cls.predictions.bias
    assert (decoder.weight is returned.weight) == tied
    assert furthest(model(ids, mask).logits[..., :50], before) < 1e-6
    model.resize_token_embeddings(60, mean_resizing=False)
    assert 0 < model.get_input_embeddings().weight[56:].std() < 0.1
    model.resize_token_embeddings(50)
    assert furthest(model(ids, mask).logits, before) < 1e-6
    with pytest.raises(UsageError, match="does not contain the padding token"):
        model.resize_token_embeddings(0)
    for wrong in ({"new_num_tokens": 3.5}, {"new_num_tokens": "60"}, {"pad_to_multiple_of": -8}):
        with pytest.raises(UsageError, match="must be a whole number"):
            model.resize_token_embeddings(**wrong)
    for wrong in (-1, 0, 2.5):
        with pytest.raises(UsageError, match="every_n_layers is"):
            model.gradient_checkpointing_enable(every_n_layers=wrong)


def test_other_embeddings_can_be_set() -> None:
    model = ours("BertForMaskedLM")
    model.set_input_embeddings(torch.nn.Embedding(50, 32))
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert ours("BertModel").get_output_embeddings() is None


@pytest.mark.parametrize("bias", [True, False])
def test_another_projection_stays(bias: bool, tmp_path: Path) -> None:
    """It is not tied any more, which the configuration says and files keep."""
    model = ours("BertForMaskedLM")
    ids, mask = batch()
    torch.manual_seed(0)
    decoder = torch.nn.Linear(32, 50, bias=bias)
    model.set_output_embeddings(decoder)
    assert model.cls.predictions.bias is decoder.bias
    assert bias or decoder.bias.count_nonzero() == 0
    expected = model(ids, mask).logits
    model.load_state_dict(model.state_dict())
    assert torch.equal(model(ids, mask).logits, expected)
    model.save_pretrained(tmp_path)
    assert torch.equal(BertForMaskedLM.from_pretrained(tmp_path)(ids, mask).logits, expected)
    decoder.weight = model.get_input_embeddings().weight
    model.set_output_embeddings(decoder)
    assert model.config.tie_word_embeddings


def test_pruned_heads(tmp_path: Path) -> None:
    model = ours("BertForSequenceClassification")
    ids, mask = batch()
    off = torch.ones(3, 4)
    off[0, [1, 3]] = 0
    off[2, 0] = 0
    expected = model(ids, mask, head_mask=off).logits
    model.prune_heads({0: [1], 2: [0]})
    model.prune_heads({0: [3, 1]})
    assert model.config.pruned_heads == {0: [1, 3], 2: [0]}
    assert model.bert.encoder.layer[0].attention.self.query.weight.shape == (16, 32)
    assert furthest(model(ids, mask).logits, expected) < 1e-5
    model.save_pretrained(tmp_path)
    again = BertForSequenceClassification.from_pretrained(tmp_path)
    assert torch.equal(again(ids, mask).logits, model(ids, mask).logits)
    factors = torch.rand(3, 4)
    assert (
        furthest(
            model(ids, mask, head_mask=factors).logits,
            ours("BertForSequenceClassification")(ids, mask, head_mask=factors * off).logits,
        )
        < 1e-5
    )
    before = model.state_dict().keys(), model.config.pruned_heads
    for wrong in ({5: [0]}, {0: [9]}, {1: [0, 1, 2, 3]}, {1: [1], 0: [9]}, {0: 1}, [0], {0: [1.0]}):
        with pytest.raises(UsageError, match="layer|Layer"):
            model.prune_heads(wrong)
    assert before == (model.state_dict().keys(), model.config.pruned_heads)
    assert model.bert.encoder.layer[1].attention.self.query.weight.shape == (32, 32)


def test_the_last_layers_alone() -> None:
    """Cut out by hand: they are numbered as they stand now."""
    model = ours("BertModel", is_decoder=True)
    ids, mask = batch()
    model.encoder.layer = model.encoder.layer[1:]
    model.config.num_hidden_layers = 2
    got = model(ids, mask, output_attentions=True, head_mask=torch.rand(2, 4))
    assert [weights.shape for weights in got.attentions] == [(5, 4, 17, 17)] * 2
    assert len(got.past_key_values) == 2
    step = model(ids[:, 16:], past_key_values=model(ids[:, :16]).past_key_values)
    assert furthest(step.last_hidden_state[:, 0], model(ids).last_hidden_state[:, 16]) < 1e-5


@pytest.mark.parametrize("every", [1, 2])
def test_gradient_checkpointing_changes_no_gradient(every: int) -> None:
    ids, mask = batch()
    plain, checkpointed = ours("BertForMaskedLM").train(), ours("BertForMaskedLM").train()
    checkpointed.gradient_checkpointing_enable(every_n_layers=every)
    assert checkpointed.is_gradient_checkpointing
    calls = []
    checkpointed.bert.encoder.layer[0].attention.self.query.register_forward_hook(lambda *_: calls.append(1))
    for model in (plain, checkpointed):
        model(ids, mask, labels=ids.masked_fill(mask == 0, -100)).loss.backward()
    assert len(calls) == 2
    for key, parameter in plain.named_parameters():
        assert furthest(parameter.grad, checkpointed.get_parameter(key).grad) < 1e-6
    checkpointed.gradient_checkpointing_disable()
    assert not checkpointed.is_gradient_checkpointing


def test_feed_forward_in_chunks_changes_nothing() -> None:
    ids, mask = batch()
    got = ours("BertModel", chunk_size_feed_forward=5)(ids, mask).last_hidden_state
    assert furthest(got, ours("BertModel")(ids, mask).last_hidden_state) < 1e-6


def test_large_batches_are_computed_in_parts() -> None:
    ids = torch.arange(5_000).remainder(40).view(200, 25)
    model, rows = ours("BertModel"), []
    model.encoder.layer[0].intermediate.register_forward_hook(
        lambda _, __, wide: rows.append(wide.numel() // wide.shape[-1])
    )
    whole = model(ids).last_hidden_state
    with torch.no_grad():
        in_parts = model(ids).last_hidden_state
    assert rows == [5_000, 2_500, 2_500]
    assert furthest(whole, in_parts) < 1e-6


class Doubled(nn.GELU):
    """One that somebody puts in the place of ours."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    "how", ["hook", "hook before", "hook of all", "hook before all", "forward", "a module more", "another activation"]
)
def test_wide_states_that_somebody_sees_are_not_written_over(how: str) -> None:
    ids, mask = batch()
    model = ours("BertModel", num_hidden_layers=1)
    wide, seen, remove = model.encoder.layer[0].intermediate, [], None
    if how == "hook":
        wide.dense.register_forward_hook(lambda _, __, y: seen.append(y.detach()))
    elif how == "hook before":
        wide.intermediate_act_fn.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    elif how == "hook of all":
        remove = register_module_forward_hook(lambda part, _, y: seen.append(y) if part is wide.dense else None)
    elif how == "hook before all":
        remove = register_module_forward_pre_hook(
            lambda part, given: seen.append(given[0]) if part is wide.intermediate_act_fn else None
        )
    elif how == "forward":
        forward = wide.dense.forward
        wide.dense.forward = lambda x: seen.append(forward(x)) or seen[-1]
    elif how == "a module more":
        wide.append(nn.Tanh())
    else:
        wide.intermediate_act_fn = Doubled()
    with_gradients = model(ids, mask).last_hidden_state
    given, seen[:] = seen[:], []
    with torch.no_grad():
        without = model(ids, mask).last_hidden_state
    if remove is not None:
        remove.remove()
    assert torch.equal(with_gradients, without)
    assert len(seen) == len(given) == (how not in ("a module more", "another activation"))
    assert all(map(torch.equal, given, seen))


def test_number_of_parameters() -> None:
    model, their = ours("BertForMaskedLM"), theirs("BertForMaskedLM")
    assert model.num_parameters() == their.num_parameters()
    model.bert.requires_grad_(False)
    assert model.num_parameters(only_trainable=True) == sum(
        p.numel() for p in model.cls.parameters() if p.requires_grad
    )
    assert model.num_parameters(exclude_embeddings=True) == their.num_parameters(exclude_embeddings=True)
    assert model.num_parameters(exclude_embeddings=True) == model.num_parameters() - (50 + 40 + 2) * 32


# Outputs.


def test_logits_are_computed_when_they_are_read() -> None:
    model = ours("BertForMaskedLM")
    ids, mask = batch()
    rows = []
    model.cls.predictions.decoder.register_forward_hook(lambda module, given, output: rows.append(output.shape[0]))
    labels = torch.full_like(ids, -100)
    labels[0, 2] = 5
    output = model(ids, mask, labels=labels)
    assert rows == [1]
    assert output.logits.shape == (5, 17, 50)
    assert rows == [1, 39]
    assert output.logits is output[1]
    assert output.logits.requires_grad
    loss, logits = model(ids, mask, labels=labels, return_dict=False)
    assert torch.equal(logits, output.logits)
    assert loss == output.loss
    with torch.no_grad():
        frozen = model(ids, mask, labels=labels)
    assert not frozen.logits.requires_grad
    with torch.autocast("cpu", torch.bfloat16):
        cast = model(ids, mask, labels=labels)
    assert cast.logits.dtype == torch.bfloat16


def test_models_of_inference_mode(tmp_path: Path) -> None:
    ids, mask = batch()
    labels = ids.masked_fill(mask == 0, -100)
    expected = ours("BertForMaskedLM")(ids, mask, labels=labels)
    ours("BertForMaskedLM").save_pretrained(tmp_path)
    with torch.inference_mode():
        output = BertForMaskedLM.from_pretrained(tmp_path)(ids, mask, labels=labels)
        assert torch.equal(output.loss, expected.loss)
        assert torch.equal(output.logits, expected.logits)


def test_a_decoder_with_labels_returns_a_cache_only_on_request() -> None:
    model, their = ours("BertLMHeadModel"), theirs("BertLMHeadModel")
    ids, _ = batch()
    assert list(model(ids)) == ["logits", "past_key_values"]
    assert list(model(ids, labels=ids)) == ["loss", "logits"]
    assert list(model(ids, labels=ids, use_cache=True)) == ["loss", "logits", "past_key_values"]
    given = {"labels": ids, "output_hidden_states": True, "return_dict": False}
    kinds = [type(value) for value in their(ids, **given) if not isinstance(value, transformers.Cache)]
    assert [type(value) for value in model(ids, **given)] == kinds


def test_logits_that_were_not_read_in_time_are_refused() -> None:
    model = ours("BertForMaskedLM").train()
    ids, mask = batch()
    output = model(ids, mask, labels=ids.masked_fill(mask == 0, -100))
    output.loss.backward()
    torch.optim.SGD(model.parameters(), 0.1).step()
    with pytest.raises(UsageError, match=r"before optimizer.step\(\)"):
        output.logits  # noqa: B018


def test_outputs_are_dicts_attributes_and_tuples() -> None:
    model = ours("BertForMaskedLM")
    ids, mask = batch()
    output = model(ids, mask, labels=ids)
    assert isinstance(output, dict)
    assert {**output}.keys() == {"loss", "logits"}
    assert torch.equal(dict(output)["logits"], output["logits"])
    assert output.attentions is None
    assert "attentions" not in output
    assert len(output[:2]) == 2
    assert torch.equal(pickle.loads(pickle.dumps(output)).logits, output.logits)
    assert torch.equal(type(output)({"loss": output.loss, "logits": output.logits})[1], output.logits)
    with pytest.raises(AttributeError, match="it has loss"):
        output.logit  # noqa: B018


def test_a_decoder_without_is_decoder_gets_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        BertLMHeadModel(BertConfig(**{**settings("BertLMHeadModel"), "is_decoder": False}))
    assert "is_decoder=True" in caplog.text


# Without files, without parts.


@pytest.mark.parametrize("name", CLASSES)
def test_a_state_dict_in_place_of_files(name: str) -> None:
    their = theirs(name)
    model, info = getattr(bertkit, name).from_pretrained(
        None, config=their.config, state_dict=their.state_dict(), output_loading_info=True
    )
    assert not any(info.values()) and not model.training
    for key, parameter in their.named_parameters():
        assert torch.equal(model.get_parameter(key), parameter)
        assert model.get_parameter(key).data_ptr() != parameter.data_ptr()
    with pytest.raises(UsageError, match="requires config and state_dict"):
        getattr(bertkit, name).from_pretrained(None, config=their.config)


def test_a_model_without_pooler(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    inner = ours("BertForMaskedLM").bert
    inner.save_pretrained(tmp_path)
    assert BertConfig.from_pretrained(tmp_path).architectures == ["BertModel"]
    ids, mask = batch()
    expected = inner(ids, mask).last_hidden_state
    with caplog.at_level(logging.WARNING):
        again, info = BertModel.from_pretrained(tmp_path, add_pooling_layer=False, output_loading_info=True)
        assert again.pooler is None and not any(info.values()) and not caplog.records
        assert furthest(again(ids, mask).last_hidden_state, expected) < 1e-6
        with_pooler, info = BertModel.from_pretrained(tmp_path, output_loading_info=True)
    assert info["missing_keys"] == ["bert.pooler.dense.weight", "bert.pooler.dense.bias"]
    assert [record.getMessage().partition(" has ")[2] for record in caplog.records] == [
        "no bert.pooler: initialized at random in BertModel, train it before use."
    ]
    assert furthest(with_pooler(ids, mask).last_hidden_state, expected) < 1e-6
    their = transformers.BertModel.from_pretrained(tmp_path, add_pooling_layer=False)
    real = their(ids, mask).last_hidden_state * mask[..., None]
    assert furthest(real, expected) < 1e-5


def test_a_decoder_from_an_encoders_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    our = ours("BertForMaskedLM")
    our.save_pretrained(tmp_path)
    ids, mask = batch()
    with caplog.at_level(logging.WARNING):
        model, info = BertLMHeadModel.from_pretrained(
            tmp_path, is_decoder=True, add_cross_attention=True, output_loading_info=True
        )
    assert [record.getMessage().partition(" has ")[2] for record in caplog.records] == [
        "no bert.encoder.layer.*.crossattention: initialized at random in BertLMHeadModel, train it before use."
    ]
    _, their_info = transformers.BertLMHeadModel.from_pretrained(
        tmp_path, is_decoder=True, add_cross_attention=True, output_loading_info=True
    )
    assert {*info["missing_keys"]} == {*their_info["missing_keys"]}
    fresh = model.bert.encoder.layer[1].crossattention
    assert 0.005 < fresh.self.query.weight.std() < 0.05 and fresh.output.LayerNorm.weight.eq(1).all()
    model(ids, mask, encoder_hidden_states=torch.ones(len(ids), 2, 32)).logits.sum().backward()
    assert fresh.self.key.weight.grad is not None
    model.save_pretrained(tmp_path / "decoder")
    with pytest.raises(LoadError, match="crossattention"):
        BertForMaskedLM.from_pretrained(tmp_path / "decoder", is_decoder=False, add_cross_attention=False)


def test_the_error_of_a_mismatched_shape_gives_advice(tmp_path: Path) -> None:
    ours("BertForSequenceClassification").save_pretrained(tmp_path)
    with pytest.raises(LoadError) as refusal:
        BertForSequenceClassification.from_pretrained(tmp_path, num_labels=7)
    assert "strict" not in str(refusal.value) and "ignore_mismatched_sizes=True" in str(refusal.value)


# What the configuration says holds for the model.


def test_the_configuration_is_honoured(tmp_path: Path) -> None:
    config = BertConfig(**settings("BertForMaskedLM", gradient_checkpointing=True, attn_implementation="eager"))
    model = BertForMaskedLM(config)
    their = transformers.BertForMaskedLM(
        transformers.BertConfig(**settings("BertForMaskedLM", gradient_checkpointing=True))
    )
    assert model.is_gradient_checkpointing and their.is_activation_checkpointing
    assert model.attn_implementation == "eager"
    seen = []
    for layer in model.bert.encoder.layer:
        layer.register_forward_pre_hook(lambda module, given: seen.append(module))
    ids, mask = batch()
    model.train()(ids, mask, labels=ids).loss.backward()
    assert len(seen) == 2 * len(model.bert.encoder.layer)
    config._attn_implementation = "sdpa"
    assert model.attn_implementation == "sdpa" and model.bert.attn_implementation == "sdpa"
    with pytest.raises(ConfigError, match="must be 'sdpa' or 'eager'"):
        config._attn_implementation = "spda"
    with pytest.raises(ConfigError, match="must be 'sdpa' or 'eager'"):
        BertConfig(attn_implementation="flash")
    model.save_pretrained(tmp_path)
    assert "_attn_implementation" not in (tmp_path / "config.json").read_text()
    again = BertForMaskedLM.from_pretrained(tmp_path, attn_implementation="eager", use_cache=False)
    assert again.config._attn_implementation == "eager"
    pairs = BertForMaskedLM.from_pretrained(tmp_path, torchscript=True)
    assert isinstance(pairs(ids, mask), tuple) and isinstance(pairs.bert(ids, mask), tuple)
    assert not isinstance(pairs(ids, mask, return_dict=True), tuple)
    config.pruned_heads = {-1: [0]}
    with pytest.raises(ConfigError, match=r"has \[0\] for layer -1"):
        BertForMaskedLM(config)
    config.pruned_heads = {"1": (2, 0)}
    assert BertForMaskedLM(config).bert.encoder.layer[1].attention.self.query.out_features == 16


@pytest.mark.parametrize(("asked", "said"), [("bfloat16", "bfloat16"), (None, "float32"), (torch.float16, "float16")])
def test_the_configuration_says_the_type(asked: str | torch.dtype | None, said: str, tmp_path: Path) -> None:
    ours("BertModel").to(torch.bfloat16).save_pretrained(tmp_path)
    for model in (
        BertModel.from_pretrained(tmp_path, dtype=asked),
        BertModel.from_pretrained(tmp_path, torch_dtype=asked),
    ):
        assert model.config.dtype == model.config.torch_dtype == said == str(model.dtype).removeprefix("torch.")


def test_arguments_that_say_the_default(tmp_path: Path) -> None:
    ours("BertModel").save_pretrained(tmp_path)
    inert = {
        "use_auth_token": None,
        "quantization_config": None,
        "trust_remote_code": False,
        "mirror": None,
        "_fast_init": True,
        "resume_download": False,
        "adapter_kwargs": None,
        "gguf_file": None,
        "device_mesh": None,
        "tp_plan": None,
        "load_in_8bit": False,
        "revision": None,
        "subfolder": None,
        "token": None,
        "cache_dir": None,
        "proxies": None,
        "low_cpu_mem_usage": None,
        "weights_only": None,
        "state_dict": None,
        "variant": None,
    }
    assert type(BertModel.from_pretrained(tmp_path, **inert)) is BertModel
    assert type(bertkit.AutoModel.from_pretrained(tmp_path, **inert)) is BertModel
    of_config = {k: v for k, v in inert.items() if k not in ("state_dict", "variant")}
    assert BertConfig.from_pretrained(tmp_path, **of_config).hidden_size == 32
    assert bertkit.AutoConfig.from_pretrained(tmp_path, **of_config).hidden_size == 32
    for name, value, sentence in [
        ("quantization_config", {"load_in_4bit": True}, "not quantized here"),
        ("load_in_8bit", True, "not quantized here"),
        ("gguf_file", "x.gguf", "convert the file"),
        ("mirror", "tuna", "HF_ENDPOINT"),
        ("device_mesh", object(), "fully_shard"),
    ]:
        for kind in (BertModel, BertConfig):
            with pytest.raises(UsageError, match=sentence):
                kind.from_pretrained(tmp_path, **{name: value})
