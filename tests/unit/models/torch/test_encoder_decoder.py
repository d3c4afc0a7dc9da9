"""EncoderDecoderModel computes, loads, saves and writes what transformers' does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import bertkit
from bertkit.config.encoder_decoder import EncoderDecoderConfig
from bertkit.errors import ConfigError, HubError, LoadError, UsageError
from bertkit.models.torch.encoder_decoder import EncoderDecoderModel

SIZES = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 64,
    "initializer_range": 0.8,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
TOKENS = {"decoder_start_token_id": 2, "pad_token_id": 0, "eos_token_id": 3}


def theirs(seed: int = 0, width: int = 16, **more: Any) -> Any:
    torch.manual_seed(seed)
    encoder, decoder = (transformers.BertConfig(**SIZES | more | {"hidden_size": own}) for own in (16, width))
    config = transformers.EncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder, **TOKENS)
    return transformers.EncoderDecoderModel(config=config).eval()


def pair(folder: Path, seed: int = 0, width: int = 16, **more: Any) -> tuple[Any, Any]:
    other = theirs(seed, width, **more)
    other.save_pretrained(folder)
    return EncoderDecoderModel.from_pretrained(folder), other


def batch() -> dict[str, torch.Tensor]:
    ids = torch.randint(4, 40, (3, 7), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, 4:], mask[2, 6:] = 0, 0
    labels = torch.tensor([[5, 6, 7, 3], [8, 3, -100, -100], [9, 10, 3, -100]])
    return {"input_ids": ids * mask, "attention_mask": mask, "labels": labels}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("width", [16, 32])
def test_outputs_loss_and_gradients(tmp_path: Path, width: int) -> None:
    own, other = pair(tmp_path, width=width)
    options = {"output_hidden_states": True}
    found, expected = own(**batch(), **options), other(**batch(), **options)
    torch.testing.assert_close(found.loss, expected.loss, atol=1e-5, rtol=1e-5)
    words = own.prepare_decoder_input_ids_from_labels(batch()["labels"]) != 0
    torch.testing.assert_close(found.logits[words], expected.logits[words], atol=1e-5, rtol=1e-5)
    real = batch()["attention_mask"].bool()
    torch.testing.assert_close(
        found.encoder_last_hidden_state[real], expected.encoder_last_hidden_state[real], atol=1e-5, rtol=1e-5
    )
    for one, two in zip(found.decoder_hidden_states, expected.decoder_hidden_states, strict=True):
        torch.testing.assert_close(one[words], two[words], atol=1e-5, rtol=1e-5)
    found.loss.backward()
    expected.loss.backward()
    gradients = {name: parameter.grad for name, parameter in other.named_parameters() if parameter.grad is not None}
    for name, parameter in own.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, gradients.pop(name), atol=1e-5, rtol=1e-4, msg=name)
    assert not gradients


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("width", [16, 32])
def test_attention_weights(tmp_path: Path, width: int, is_packed: bool) -> None:
    own, other = pair(tmp_path, width=width, initializer_range=0.3)  # larger weights amplify the rounding of logits
    other.set_attn_implementation("eager")  # the only one whose weights can be returned
    given = batch()
    real, mask = given["labels"] != -100, given["attention_mask"].bool()
    expected = other(**given, output_attentions=True)
    if is_packed:
        packed = {"input_ids": given["input_ids"][mask], "lengths": mask.sum(1), "labels": given["labels"]}
        found = own(**packed, output_attentions=True)
        assert found.encoder_last_hidden_state.shape == (int(mask.sum()), 16)
    else:
        found = own(**given, output_attentions=True)
    torch.testing.assert_close(found.loss, expected.loss, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.logits[real], expected.logits[real], atol=1e-5, rtol=1e-5)
    assert len(found.cross_attentions) == len(expected.cross_attentions) == 2
    for name in ("cross_attentions", "decoder_attentions"):
        for one, two in zip(found[name], expected[name], strict=True):
            assert one.shape == two.shape
            one, two = (weights.transpose(1, 2)[real] for weights in (one, two))  # of the words with a label
            torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_labels_of_padding_count(tmp_path: Path) -> None:
    """As in scripts that do not replace the padding of labels by -100."""
    own, other = pair(tmp_path)
    given = batch()
    given["labels"] = given["labels"].masked_fill(given["labels"] == -100, 0)
    found, expected = own(**given), other(**given)
    for name in ("loss", "logits"):
        torch.testing.assert_close(found[name], expected[name], atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("width", [16, 32])
def test_files_open_on_both_sides(tmp_path: Path, width: int) -> None:
    own, other = pair(tmp_path / "theirs", width=width)
    own.save_pretrained(tmp_path / "own")
    again = transformers.EncoderDecoderModel.from_pretrained(tmp_path / "own").eval()
    state = other.state_dict()
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    config = json.loads((tmp_path / "own" / "config.json").read_text())
    assert (config["model_type"], config["is_encoder_decoder"], config["decoder_start_token_id"]) == (
        "encoder-decoder",
        True,
        2,
    )
    assert config["decoder"]["add_cross_attention"] is True
    assert EncoderDecoderConfig.from_pretrained(tmp_path / "own").to_dict()["decoder"] == own.config.decoder.to_dict()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("beams", [1, 4])
def test_words_are_those_of_transformers(tmp_path: Path, beams: int) -> None:
    own, other = pair(tmp_path, seed=2)
    given = batch()
    del given["labels"]
    options: dict[str, Any] = {"num_beams": beams, "max_length": 14, "min_length": 4, "no_repeat_ngram_size": 2}
    options |= {"length_penalty": 2.0, "early_stopping": True} if beams > 1 else {}
    expected = other.generate(**given, **options)
    found = own.generate(**given, **options)
    assert found.tolist() == expected.tolist()
    assert own.generate(given["input_ids"], **options, use_cache=False).tolist() == found.tolist()
    alone = own.generate(given["input_ids"][1:2, :4], **options)[0].tolist()
    assert alone == found[1, : len(alone)].tolist()


def folder(place: Path, **more: Any) -> Path:
    torch.manual_seed(0)
    bertkit.BertModel(bertkit.BertConfig(**SIZES | more)).save_pretrained(place)
    return place


def test_two_trained_models(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = folder(tmp_path)
    model = EncoderDecoderModel.from_encoder_decoder_pretrained(place, place, decoder_hidden_dropout_prob=0.3)
    trained = bertkit.BertModel.from_pretrained(place).state_dict()
    for path in ("embeddings.word_embeddings.weight", "encoder.layer.1.attention.self.query.weight"):
        assert torch.equal(model.encoder.state_dict()[path], trained[path])
        assert torch.equal(model.decoder.bert.state_dict()[path], trained[path])
    assert model.decoder.config.hidden_dropout_prob == 0.3 and model.encoder.config.hidden_dropout_prob == 0.0
    assert "crossattention" in caplog.text
    tied = EncoderDecoderModel.from_encoder_decoder_pretrained(place, place, tie_encoder_decoder=True)
    assert tied.decoder.bert.encoder.layer[0].output.dense.weight is tied.encoder.encoder.layer[0].output.dense.weight
    assert tied.decoder.cls.predictions.decoder.weight is tied.encoder.embeddings.word_embeddings.weight
    assert sum(1 for _ in tied.parameters()) < sum(1 for _ in model.parameters())


def test_what_is_invalid(tmp_path: Path) -> None:
    place = folder(tmp_path / "bert")
    model = EncoderDecoderModel.from_encoder_decoder_pretrained(place, place)
    ids = torch.tensor([[4, 5, 6]])
    with pytest.raises(
        UsageError, match=r"has no decoder_start_token_id: set it, as in model\.config\.decoder_start_token_id"
    ):
        model(ids, labels=ids)
    with pytest.raises(UsageError, match="has no decoder_start_token_id: set it"):
        model.generate(ids)
    with pytest.raises(UsageError, match=r"attention_mask is \[1, 2\], and must be \[1, 3\]"):
        model(ids, attention_mask=torch.ones(1, 2), decoder_input_ids=ids, encoder_outputs=model.encoder(ids))
    with pytest.raises(UsageError, match="has no 'hidden_size': names begin with encoder_ or decoder_"):
        EncoderDecoderModel.from_encoder_decoder_pretrained(place, place, hidden_size=3)
    with pytest.raises(ConfigError, match="has model_type='bert', and an encoder-decoder has this type"):
        EncoderDecoderConfig.from_pretrained(place)
    with pytest.raises(ConfigError, match="needs is_decoder=True and add_cross_attention=True"):
        EncoderDecoderConfig(encoder={}, decoder={})
    model.config.decoder_start_token_id = 2
    model.save_pretrained(tmp_path / "whole")
    from bertkit.checkpoint import safetensors_file

    path = tmp_path / "whole" / "model.safetensors"
    tensors = {
        name: array.copy() for name, array in safetensors_file.read(path).items() if "crossattention" not in name
    }
    safetensors_file.write(path, tensors)
    with pytest.raises(LoadError, match="crossattention"):
        EncoderDecoderModel.from_pretrained(tmp_path / "whole")


@pytest.mark.filterwarnings("ignore")
def test_the_first_words_of_the_decoder(tmp_path: Path) -> None:
    own, other = pair(tmp_path, seed=2)
    ids = torch.tensor([[4, 3, 6], [7, 8, 9]])
    for options in (
        {"decoder_input_ids": torch.tensor([[5, 6], [7, 8]])},  # decoder_start_token_id comes before them
        {"decoder_input_ids": torch.tensor([[2, 6], [2, 8]])},
        {"decoder_start_token_id": [2, 5]},
        {"pad_token_id": 3},  # it ends texts, too, so it is no padding of the text that is read
    ):
        given = {"max_length": 9, **options}
        assert own.generate(ids, **given).tolist() == other.generate(ids, **given).tolist(), options
    assert own.generate(ids, eos_token_id=None).shape == (2, 21)  # 20 new words
    encoded = own.encoder(ids)
    assert own.generate(encoder_outputs=encoded, max_length=9).tolist() == own.generate(ids, max_length=9).tolist()
    with pytest.raises(UsageError, match="decoder_start_token_id has 3 words, and must have one, or one for each of 2"):
        own.generate(ids, decoder_start_token_id=[2, 5, 6])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("beams", [1, 2])
def test_the_class_of_the_output(tmp_path: Path, beams: int) -> None:
    own, other = pair(tmp_path)
    given = {"num_beams": beams, "max_length": 5, "return_dict_in_generate": True}
    found, expected = (model.generate(torch.tensor([[4, 5, 6]]), **given) for model in (own, other))
    assert type(found).__name__ == type(expected).__name__


@pytest.mark.filterwarnings("ignore")
def test_arguments_of_from_pretrained(tmp_path: Path) -> None:
    own, other = pair(tmp_path, seed=1)
    ids = torch.tensor([[4, 5, 6]])
    for name, value in (("decoder_strt_token_id", 4), ("output_loading_inf", True), ("to_dict", 1)):
        with pytest.raises(UsageError, match=f"EncoderDecoderModel.from_pretrained has no '{name}'"):
            EncoderDecoderModel.from_pretrained(tmp_path, **{name: value})
    model = EncoderDecoderModel.from_pretrained(tmp_path, attn_implementation="eager", eos_token_id=None, num_beams=2)
    assert (model.config.encoder._attn_implementation, model.config.decoder._attn_implementation) == ("eager", "eager")
    assert (model.config.eos_token_id, model.config.num_beams) == (None, 2)
    state = {name: tensor + 1 for name, tensor in other.state_dict().items()}
    changed = EncoderDecoderModel.from_pretrained(tmp_path, state_dict=state)
    assert torch.equal(changed.encoder.pooler.dense.bias, own.encoder.pooler.dense.bias + 1)
    changed.save_pretrained(tmp_path, variant="changed")
    again = EncoderDecoderModel.from_pretrained(tmp_path, variant="changed", use_safetensors=True)
    assert again.generate(ids).tolist() == changed.generate(ids).tolist()
    with pytest.raises(HubError, match=r"expected one of pytorch_model\.bin"):
        EncoderDecoderModel.from_pretrained(tmp_path, use_safetensors=False)


def test_tied_parts_have_the_weights_of_the_decoder(tmp_path: Path) -> None:
    """As in transformers 4.57.6, whose files leave out the tensors of the encoder that the decoder has, too."""
    encoder = bertkit.BertModel(bertkit.BertConfig(**SIZES))
    decoder = bertkit.BertLMHeadModel(bertkit.BertConfig(**SIZES, is_decoder=True, add_cross_attention=True))
    before = {name: tensor.clone() for name, tensor in decoder.bert.state_dict().items()}
    pooler = encoder.pooler.dense.weight.clone()
    config = EncoderDecoderConfig.from_encoder_decoder_configs(
        encoder.config, decoder.config, tie_encoder_decoder=True, **TOKENS
    )
    model = EncoderDecoderModel(config, encoder, decoder).eval()
    assert torch.equal(model.encoder.pooler.dense.weight, pooler)
    for name, parameter in model.encoder.named_parameters():
        if name in before:
            assert torch.equal(parameter, before[name])
            assert parameter is model.decoder.bert.get_parameter(name)
    model.save_pretrained(tmp_path)
    from bertkit.checkpoint import safetensors_file

    path = tmp_path / "model.safetensors"
    tensors = {name: array.copy() for name, array in safetensors_file.read(path).items()}
    kept = {name: array for name, array in tensors.items() if not name.startswith("encoder.") or "pooler" in name}
    assert len(kept) < len(tensors)
    safetensors_file.write(path, kept)
    again = EncoderDecoderModel.from_pretrained(tmp_path)
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


def test_parts_that_do_not_fit() -> None:
    sizes = [bertkit.BertConfig(**SIZES | {"hidden_size": width}) for width in (16, 32)]
    made = EncoderDecoderConfig.from_encoder_decoder_configs
    with pytest.raises(
        UsageError, match=r"tie_encoder_decoder needs two parts of the same sizes, .* is \[40, 16\] in the"
    ):
        EncoderDecoderModel(made(*sizes, tie_encoder_decoder=True))
    config = made(*sizes)
    config.decoder.cross_attention_hidden_size = 24
    with pytest.raises(UsageError, match="cross_attention_hidden_size of the decoder is 24, and the encoder's states"):
        EncoderDecoderModel(config)
    for name in ("to_dict", "save_pretrained"):
        with pytest.raises(ConfigError, match=f"has the key '{name}', which is the name of a method"):
            EncoderDecoderConfig.from_dict({**made(*sizes).to_dict(), name: 1})


def test_models_in_place_of_names(tmp_path: Path) -> None:
    place = folder(tmp_path)
    encoder = bertkit.BertModel.from_pretrained(place)
    decoder = bertkit.BertLMHeadModel.from_pretrained(place, is_decoder=True, add_cross_attention=True)
    model = EncoderDecoderModel.from_encoder_decoder_pretrained(
        None, None, encoder_model=encoder, decoder_model=decoder
    )
    assert model.encoder is encoder and model.decoder is decoder
    mixed = EncoderDecoderModel.from_encoder_decoder_pretrained(place, decoder_model=decoder)
    assert mixed.decoder is decoder
    with pytest.raises(UsageError, match="needs the name of the decoder, or decoder_model=model"):
        EncoderDecoderModel.from_encoder_decoder_pretrained(place)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("beams", [1, 3])
def test_transition_scores(tmp_path: Path, beams: int) -> None:
    own, other = pair(tmp_path, seed=2)
    ids = torch.tensor([[4, 5, 6], [7, 8, 9]])
    options = {"num_beams": beams, "max_length": 9, "return_dict_in_generate": True, "output_scores": True}
    options |= {"attention_mask": torch.ones_like(ids), "eos_token_id": None}  # no text is shorter
    found, expected = (
        model.compute_transition_scores(output.sequences, output.scores, output.beam_indices if beams > 1 else None)
        for model in (own, other)
        for output in [model.generate(ids, **options)]
    )
    assert found.shape == (2, 8)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_names_of_files(tmp_path: Path) -> None:
    other = theirs()
    other.save_pretrained(tmp_path)
    own, info = EncoderDecoderModel.from_pretrained(pretrained_model_name_or_path=tmp_path, output_loading_info=True)
    assert info == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": [], "error_msgs": []}
    assert own.name_or_path == own.config._name_or_path == str(tmp_path)
    state = own.state_dict() | {"decoder.cls.seq_relationship.bias": torch.zeros(2), "extra.weight": torch.zeros(2)}
    _, info = EncoderDecoderModel.from_pretrained(tmp_path, state_dict=state, output_loading_info=True)
    assert info["unexpected_keys"] == ["decoder.cls.seq_relationship.bias", "extra.weight"]
    config = EncoderDecoderConfig.from_pretrained(tmp_path)
    config.encoder.vocab_size = 50
    with pytest.raises(LoadError, match=r"\[40, 16\], expected \[50, 16\]"):
        EncoderDecoderModel.from_pretrained(tmp_path, config)
    wider, info = EncoderDecoderModel.from_pretrained(
        tmp_path, config, ignore_mismatched_sizes=True, output_loading_info=True
    )
    assert info["missing_keys"] == ["encoder.embeddings.word_embeddings.weight"]
    assert wider.get_input_embeddings().weight.std() > 0.1
    assert torch.equal(wider.encoder.pooler.dense.weight, own.encoder.pooler.dense.weight)


def test_vocabularies_of_both_parts() -> None:
    """As in transformers, which names the methods of the parts."""
    own = small(tie_encoder_decoder=True)
    with pytest.raises(
        UsageError, match=r"model\.encoder\.resize_token_embeddings\(len\(tokenizer\)\).* model.tie_weights"
    ):
        own.resize_token_embeddings(50)
    for part in (own.encoder, own.decoder):
        part.resize_token_embeddings(50)
    own.tie_weights()
    assert own.get_input_embeddings().weight is own.decoder.get_input_embeddings().weight
    assert own(torch.tensor([[4, 49]]), decoder_input_ids=torch.tensor([[2, 48]])).logits.shape == (1, 2, 50)
    for tied in (False, True):
        own = small(tie_encoder_decoder=tied)
        words = torch.nn.Embedding(40, 16)
        own.set_input_embeddings(words)
        assert own.get_input_embeddings() is words
        assert (own.decoder.get_input_embeddings() is words) is tied
    projection = torch.nn.Linear(16, 40)
    own.set_output_embeddings(projection)
    assert own.get_output_embeddings() is projection


def small(**more: Any) -> EncoderDecoderModel:
    sizes = (bertkit.BertConfig(**SIZES) for _ in range(2))
    config = EncoderDecoderConfig.from_encoder_decoder_configs(*sizes, **TOKENS, **more)
    return EncoderDecoderModel.from_config(config).eval()


def test_methods_of_all_models() -> None:
    own = EncoderDecoderModel.from_config(small().config, dtype="bfloat16", attn_implementation="eager")
    assert own.dtype is torch.bfloat16 and own.base_model is own and own.can_generate()
    assert own.config.encoder._attn_implementation == own.config.decoder._attn_implementation == "eager"
    own.set_attn_implementation("sdpa")
    assert own.decoder.attn_implementation == own.encoder.attn_implementation == "sdpa"
    other = theirs()
    for only in (False, True):
        assert own.num_parameters(exclude_embeddings=only) == other.num_parameters(exclude_embeddings=only)
    assert small().get_memory_footprint(return_buffers=False) == other.get_memory_footprint(return_buffers=False)
    own.gradient_checkpointing_enable()
    assert own.is_gradient_checkpointing and own.decoder.is_gradient_checkpointing
    own.gradient_checkpointing_disable()
    assert not own.is_gradient_checkpointing
    encoded = own.encoder(torch.tensor([[4, 5]]))
    given = own.prepare_inputs_for_generation(torch.tensor([[2, 6]]), attention_mask=None, encoder_outputs=encoded)
    assert own(**given).logits.shape == (1, 2, 40)
    given |= own.prepare_inputs_for_generation(torch.tensor([[2, 6, 7]]), own(**given).past_key_values)
    assert given["decoder_input_ids"].tolist() == [[7]]


@pytest.mark.filterwarnings("ignore")
def test_peft(tmp_path: Path) -> None:
    import peft

    own, other = pair(tmp_path, seed=2)
    ids = torch.tensor([[4, 5, 6]])
    config = {
        "task_type": "SEQ_2_SEQ_LM",
        "init_lora_weights": False,
        "lora_alpha": 400,
        "target_modules": ["query", "value"],
    }
    ours, adapted = (peft.get_peft_model(model, peft.LoraConfig(**config)) for model in (own, other))
    before = own.generate(ids, max_length=9).tolist()
    ours.load_state_dict(adapted.state_dict())
    options = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "max_length": 9}
    assert ours.generate(**options).tolist() == adapted.generate(**options).tolist() != before
    tuned = small()
    config = peft.PromptTuningConfig(
        task_type="SEQ_2_SEQ_LM",
        num_virtual_tokens=4,
        token_dim=16,
        num_transformer_submodules=1,
        num_attention_heads=2,
    )
    config.num_layers = 2
    tuned.config.vocab_size = 40  # peft looks for it
    with pytest.raises(UsageError, match="generate does not support prompt tuning and prefix tuning"):
        peft.get_peft_model(tuned, config).generate(input_ids=ids, max_new_tokens=3)
    assert tuned.generate(ids, max_new_tokens=3).shape[1] > 1  # peft puts the method back


def test_methods_of_the_configuration(tmp_path: Path) -> None:
    """Those of BertConfig, which transformers has for both, too."""
    config = small(num_beams=4).config
    config.save_pretrained(tmp_path)
    theirs = transformers.EncoderDecoderConfig.from_pretrained(tmp_path)
    assert theirs.to_diff_dict()["decoder"]["hidden_size"] == config.to_diff_dict()["decoder"]["hidden_size"] == 16
    config.to_json_file(tmp_path / "whole.json", use_diff=False)
    config.to_json_file(tmp_path / "short.json")
    whole, short = (json.loads((tmp_path / name).read_text()) for name in ("whole.json", "short.json"))
    assert whole["bos_token_id"] is None and "bos_token_id" not in short and "pruned_heads" not in short["encoder"]
    assert EncoderDecoderConfig.from_json_file(tmp_path / "whole.json") == config
    assert EncoderDecoderConfig.get_config_dict(tmp_path, force_download=True, x=1) == (short, {"x": 1})
    config.update({"num_beams": 3, "length_penalty": 2.0})
    config.update_from_string("num_beams=2,tie_encoder_decoder=true")
    assert (config.num_beams, config.length_penalty, config.tie_encoder_decoder) == (2, 2.0, True)
    with pytest.raises(ConfigError, match="EncoderDecoderConfig has no 'num_beans'"):
        config.update_from_string("num_beans=2")
    assert "num_beams" in config and config.use_return_dict
    config.name_or_path = "pair"
    assert (config._name_or_path, "pair" in config.to_json_string()) == ("pair", False)
    old = EncoderDecoderConfig.from_dict({**short, "torch_dtype": "bfloat16"})  # a file of transformers 4
    assert (old.dtype, old.torch_dtype, "torch_dtype" in old.to_dict()) == ("bfloat16", "bfloat16", False)
    found = EncoderDecoderConfig.from_pretrained(tmp_path, return_unused_kwargs=True, num_beams=5, x=1)
    assert (found[0].num_beams, found[1]) == (5, {"x": 1})
    made = EncoderDecoderConfig.from_encoder_decoder_configs
    with pytest.raises(ConfigError, match="no 'decoder_start_tokn_id'. Did you mean 'decoder_start_token_id'"):
        made(config.encoder, config.decoder, decoder_start_tokn_id=3)
    with pytest.raises(UsageError, match="takes a BertConfig, not a dict"):
        made({}, {})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="takes a dict of fields, not 5"):
        EncoderDecoderConfig.from_dict(5)  # type: ignore[arg-type]
    config.decoder.is_decoder = False
    with pytest.raises(ConfigError, match="needs is_decoder=True"):
        config.save_pretrained(tmp_path)


IDS = torch.tensor([[4, 5, 6], [7, 8, 9]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder_outputs": 5}, r"encoder_outputs are 5 \(int\), and must be what model.encoder\(input_ids\) returns"),
        ({"encoder_hidden_states": IDS}, "encoder_hidden_states are for a BertLMHeadModel: pass encoder_outputs"),
        ({"encoder_attention_mask": IDS}, "encoder_attention_mask are for a BertLMHeadModel: pass encoder_outputs"),
        ({"decoder_input_ids": IDS[:1]}, "decoder_input_ids have 1 rows, and must have one for each of 2 texts"),
        ({"decoder_input_ids": IDS[0]}, r"decoder_input_ids are .* and must be a tensor \[batch, length\] of whole"),
        ({"decoder_input_ids": [[2, 5]]}, "decoder_input_ids are .* and must be a tensor"),
        ({"attention_mask": torch.ones(2, 4)}, r"attention_mask has the shape \[2, 4\], and the words have \[2, 3\]"),
        ({"max_length": 70}, "The text may have 70 words, and the model has positions for 64"),
        ({"num_beams": 2, "num_return_sequences": 3}, "num_return_sequences=3 needs as many different texts"),
        ({"streamer": 5}, r"streamer is 5 \(int\), and must have the methods put and end"),
        (
            {"stopping_criteria": [lambda words, scores: None]},
            "A function of stopping_criteria returned .* for each of 2",
        ),
        ({"stopping_criteria": [lambda words, scores: torch.ones(3) > 0]}, "A function of stopping_criteria returned"),
        ({"do_sample": True, "suppress_tokens": [*range(40)]}, "No word can be drawn"),
        ({"do_sample": True, "logits_processor": [lambda words, scores: scores * torch.nan]}, "No word can be drawn"),
        ({"do_sample": True, "seed": "a"}, "seed is 'a', and must be a whole number, 0 or above, or a list of them"),
        ({"do_sample": True, "seed": [1, -1]}, r"seed is \[1, -1\], and must be"),
    ],
)
def test_what_generate_refuses(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        small().generate(IDS, **options)


def test_criteria_and_seeds_of_other_types() -> None:
    import numpy as np

    own = small()
    assert own.generate(IDS, stopping_criteria=[lambda words, scores: [True, False]], max_length=4)[0, 2:].tolist() == [
        0,
        0,
    ]
    one, two = (own.generate(IDS, do_sample=True, seed=seed) for seed in (3, np.int64(3)))
    assert torch.equal(one, two)
    states = own.encoder(IDS)
    for given in (states, states.to_tuple(), [states[0]], states[0]):
        assert torch.equal(own.generate(encoder_outputs=given), own.generate(IDS))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (IDS[:, :2], r"Labels have the shape \[2, 2\], and must be 6"),
        (IDS.int(), r"Labels are of torch.int32, and must be numbers of classes: labels.long\(\)"),
        (IDS + 40, "Labels are 44 to 49, and must be 0 to 39, or -100"),
    ],
)
def test_labels_that_are_invalid(labels: torch.Tensor, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        small()(IDS, decoder_input_ids=IDS, labels=labels)
    for wrong in (IDS[0], IDS.float(), IDS.tolist()):
        with pytest.raises(
            UsageError, match=r"(?s)labels are .* and must be a tensor \[batch, length\] of whole numbers"
        ):
            small()(IDS, labels=wrong)


def test_parts_of_other_classes() -> None:
    plain = bertkit.BertConfig(**SIZES)
    decoding = bertkit.BertConfig(**SIZES, is_decoder=True, add_cross_attention=True)
    encoder, decoder = bertkit.BertModel(plain), bertkit.BertLMHeadModel(decoding)
    for wrong in ((encoder, bertkit.BertModel(decoding)), (bertkit.BertForMaskedLM(plain), decoder)):
        with pytest.raises(UsageError, match="must be a BertModel; the decoder is a Bert.* must be a BertLMHeadModel"):
            EncoderDecoderModel(encoder=wrong[0], decoder=wrong[1])
    with pytest.raises(UsageError, match="takes a BertConfig"):
        EncoderDecoderModel(encoder=encoder, decoder=5)
    with pytest.raises(ConfigError, match="needs is_decoder=True and add_cross_attention=True"):
        EncoderDecoderModel(encoder=encoder, decoder=bertkit.BertLMHeadModel(plain))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("beams", [1, 3])
def test_half_precision(tmp_path: Path, dtype: torch.dtype, beams: int) -> None:
    """The cache has the type of the model. Scores, which functions of the caller get, are float32, as in transformers."""
    pair(tmp_path, seed=2, width=32, initializer_range=0.2)
    whole, half = (EncoderDecoderModel.from_pretrained(tmp_path, dtype=kind) for kind in (torch.float32, dtype))
    caches: list[Any] = []
    half.decoder.register_forward_pre_hook(
        lambda module, given, named: caches.append(named["past_key_values"]), with_kwargs=True
    )
    types: list[torch.dtype] = []

    def note(words: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        types.append(scores.dtype)
        return scores

    given = {name: value for name, value in batch().items() if name != "labels"}
    options = {"num_beams": beams, "max_length": 9, "logits_processor": [note]}
    options |= {"return_dict_in_generate": True, "output_scores": True, "output_logits": True}
    found, expected = half.generate(**given, **options), whole.generate(**given, **options)
    assert {*types} == {one.dtype for one in (*found.scores, *found.logits)} == {torch.float32}
    held = [part for cache in caches if cache is not None for layer in cache for part in layer]
    assert len(held) == 7 * 2 * 4  # steps with a cache, layers, keys and values of words and of the encoder
    assert {getattr(part, "memory", part).dtype for part in held} == {dtype}
    assert half.enc_to_dec_proj.weight.dtype == dtype
    torch.testing.assert_close(found.logits[0], expected.logits[0], atol=0.1, rtol=0)
    if beams > 1:
        assert found.sequences_scores.dtype == torch.float32
