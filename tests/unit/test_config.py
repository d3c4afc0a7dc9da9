"""BertConfig against transformers' own, and all that it refuses."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st

import bertkit
from bertkit.config import SIZES, AutoConfig, BertConfig
from bertkit.errors import ConfigError, HubError
from bertkit.parameters import expand

# As in Google's release of bert-base-uncased, and of multilingual models, which say more.
GOOGLE = {
    "attention_probs_dropout_prob": 0.1,
    "directionality": "bidi",
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "pooler_fc_size": 768,
    "pooler_type": "first_token_transform",
    "type_vocab_size": 2,
    "vocab_size": 119547,
}


def test_every_default_is_that_of_transformers() -> None:
    theirs = transformers.BertConfig().to_dict()
    ours = BertConfig().to_dict()
    for name in ours.keys() & theirs.keys():
        assert ours[name] == theirs[name], name
    # What their version 5 has dropped, and the names that say nothing about BERT.
    assert ours.keys() - theirs.keys() == {"position_embedding_type", "pruned_heads"}
    assert theirs.keys() - ours.keys() == {"transformers_version", "_name_or_path", "is_encoder_decoder"}


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"num_labels": 5},
        {"id2label": {0: "no", 1: "yes"}, "label2id": {"no": 0, "yes": 1}},
        {"is_decoder": True, "add_cross_attention": True, "tie_word_embeddings": False},
        {"problem_type": "regression", "num_labels": 1, "classifier_dropout": 0.3},
        {"output_attentions": True, "hidden_act": "gelu_new", "pad_token_id": None},
    ],
)
def test_files_load_in_transformers_and_theirs_in_ours(tmp_path: Path, given: dict[str, Any]) -> None:
    BertConfig(**given).save_pretrained(tmp_path / "ours")
    theirs = transformers.BertConfig.from_pretrained(tmp_path / "ours")
    transformers.BertConfig(**given).save_pretrained(tmp_path / "theirs")
    ours = BertConfig.from_pretrained(tmp_path / "theirs")
    for name in BertConfig(**given).to_dict().keys() & theirs.to_dict().keys():
        assert getattr(theirs, name) == getattr(ours, name) == getattr(BertConfig(**given), name), name


def test_a_google_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "bert_config.json").write_text(json.dumps(GOOGLE))
    config = BertConfig.from_pretrained(tmp_path)
    assert config.vocab_size == 119547
    assert config.to_dict()["directionality"] == "bidi"
    assert BertConfig.from_json_file(tmp_path / "bert_config.json") == config
    assert BertConfig.from_pretrained(tmp_path / "bert_config.json") == config


@given(
    st.dictionaries(
        st.text(st.characters(categories=["L"]), min_size=1).map("their_{}".format),
        st.integers() | st.text(),
        max_size=4,
    )
)
def test_unknown_keys_are_kept(unknown: dict[str, Any]) -> None:
    config = BertConfig.from_dict({"vocab_size": 100, "model_type": "bert", **unknown})
    again = BertConfig.from_dict(json.loads(config.to_json_string()))
    assert again == config
    assert {name: again.to_dict()[name] for name in unknown} == unknown


def test_labels_in_memory_and_on_disk() -> None:
    config = BertConfig.from_dict({"id2label": {"0": "O", "1": "B-PER", "2": "I-PER"}})
    assert config.id2label == {0: "O", 1: "B-PER", 2: "I-PER"}
    assert config.label2id == {"O": 0, "B-PER": 1, "I-PER": 2}
    assert config.num_labels == 3
    written = json.loads(config.to_json_string())
    assert written["id2label"] == {"0": "O", "1": "B-PER", "2": "I-PER"}
    assert "num_labels" not in written
    config.num_labels = 3
    assert config.id2label[2] == "I-PER"
    config.num_labels = 2
    assert config.id2label == {0: "LABEL_0", 1: "LABEL_1"}
    assert BertConfig(label2id={"a": 0, "b": 1}).id2label == {0: "a", 1: "b"}


def test_a_call_overrides_a_file(tmp_path: Path) -> None:
    BertConfig(id2label={0: "no", 1: "yes"}).save_pretrained(tmp_path)
    assert BertConfig.from_pretrained(tmp_path, num_labels=2).id2label == {0: "no", 1: "yes"}
    assert BertConfig.from_pretrained(tmp_path, num_labels=4).id2label[3] == "LABEL_3"
    assert BertConfig.from_pretrained(tmp_path, hidden_dropout_prob=0.0).hidden_dropout_prob == 0.0
    with pytest.raises(ConfigError, match="Did you mean 'hidden_dropout_prob'"):
        BertConfig.from_pretrained(tmp_path, hidden_dropout=0.0)


def test_overrides_are_checked_with_the_rest_of_the_file() -> None:
    """Five heads do not share the default width, and do share that of the file."""
    narrow = {"hidden_size": 320, "num_attention_heads": 4, "id2label": {"0": "no", "1": "yes"}, "num_labels": 2}
    assert BertConfig.from_dict(narrow, num_attention_heads=5).num_attention_heads == 5
    named = BertConfig.from_dict({**narrow, "label2id": {"no": 0, "yes": 1}}, id2label={0: "a", 1: "b", 2: "c"})
    assert named.label2id == {"a": 0, "b": 1, "c": 2}
    assert BertConfig.from_dict(narrow, label2id={"x": 0}).id2label == {0: "x"}
    with pytest.raises(ConfigError, match="num_labels is 3, and id2label has 1"):
        BertConfig.from_dict(narrow, num_labels=3, id2label={0: "a"})


def test_older_spellings() -> None:
    config = BertConfig(torch_dtype="torch.float16")
    assert config.dtype == config.torch_dtype == "float16"
    config.torch_dtype = "float32"
    assert config.dtype == "float32"
    assert BertConfig(**transformers.BertConfig(num_labels=3).to_dict()).num_labels == 3
    assert BertConfig(pruned_heads={"1": [0, 2]}).pruned_heads == {1: [0, 2]}
    assert BertConfig().use_return_dict is True


def test_attributes_stay_settable() -> None:
    config = BertConfig()
    config.hidden_dropout_prob = 0.0
    config.of_my_own = [1]
    config.update({"layer_norm_eps": 1e-5})
    assert config.to_dict()["of_my_own"] == [1]
    assert BertConfig.from_dict(config.to_dict()) == config
    config.to_dict()["of_my_own"].append(2)
    assert config.of_my_own == [1]
    config.hidden_size = 7
    with pytest.raises(ConfigError, match="hidden_size 7 is not a multiple of num_attention_heads 12"):
        config.validate()


def test_published_sizes() -> None:
    shapes = {
        size: (c.num_hidden_layers, c.hidden_size, c.num_attention_heads, c.intermediate_size)
        for size in SIZES
        for c in [BertConfig.named(size)]
    }
    assert shapes == {
        "tiny": (2, 128, 2, 512),
        "mini": (4, 256, 4, 1024),
        "small": (4, 512, 8, 2048),
        "medium": (8, 512, 8, 2048),
        "base": (12, 768, 12, 3072),
        "large": (24, 1024, 16, 4096),
    }
    assert BertConfig.named("base") == BertConfig()
    with pytest.raises(ConfigError, match="Did you mean 'large'"):
        BertConfig.named("lage")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"hiden_size": 8}, "no 'hiden_size'. Did you mean 'hidden_size'"),
        ({"qqqq": 8}, "no 'qqqq'. See help"),
        ({"hidden_size": 100}, "hidden_size 100 is not a multiple of num_attention_heads 12.*hidden_size=96"),
        ({"vocab_size": -1}, "vocab_size is -1, and must be a whole number from 1 to"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
        ({"num_hidden_layers": True}, "num_hidden_layers is True"),
        ({"intermediate_size": 3072.0}, "intermediate_size is 3072.0"),
        ({"max_position_embeddings": "512"}, "max_position_embeddings is '512'"),
        (
            {"hidden_dropout_prob": 1.0},
            "hidden_dropout_prob is 1.0, and must be a number from 0 up to, not including, 1",
        ),
        ({"attention_probs_dropout_prob": -0.1}, "attention_probs_dropout_prob is -0.1"),
        ({"classifier_dropout": 2}, "classifier_dropout is 2"),
        ({"hidden_dropout_prob": float("nan")}, "hidden_dropout_prob is nan"),
        ({"hidden_act": "gleu"}, "hidden_act is 'gleu'.*Did you mean 'gelu'"),
        ({"position_embedding_type": "rotary"}, "position_embedding_type is 'rotary', and must be one of absolute"),
        ({"problem_type": "ranking"}, "problem_type is 'ranking'"),
        ({"layer_norm_eps": 0}, "layer_norm_eps is 0"),
        ({"initializer_range": float("nan")}, "initializer_range is nan"),
        ({"chunk_size_feed_forward": -1}, "chunk_size_feed_forward is -1"),
        ({"pad_token_id": 30522}, "pad_token_id is 30522, and must be None or below vocab_size 30522"),
        ({"add_cross_attention": True}, "add is_decoder=True"),
        ({"num_labels": 0}, "num_labels is 0"),
        ({"num_labels": 3, "id2label": {0: "a", 1: "b"}}, "num_labels is 3, and id2label has 2"),
        ({"id2label": {0: "a", 5: "b"}}, "id2label has the numbers 0, 5, and 2 labels must be numbered from 0 to 1"),
        ({"label2id": {"a": 7}}, "numbered from 0 to 0"),
        ({"id2label": {0: None, 1: "a"}}, "a label must be a string"),
        ({"layer_norm_eps": float("inf")}, "layer_norm_eps is inf"),
        ({"vocab_size": 10**30}, "vocab_size is 10{30}, and"),
        ({"is_decoder": "false"}, "is_decoder is 'false', and must be one of True, False"),
        ({"use_cache": 5}, "use_cache is 5"),
        ({"tie_word_embeddings": "no"}, "tie_word_embeddings is 'no'"),
        ({"eos_token_id": "x"}, "eos_token_id is 'x', and must be None or the number of a token"),
        ({"pruned_heads": {0: "12"}}, "must be {layer: .*such as {0: "),
        ({"id2label": {"zero": "a"}}, "Labels must be id2label"),
        ({"id2label": ["a", "b"]}, "Labels must be id2label"),
        ({"model_type": "roberta"}, "model_type 'roberta'"),
    ],
)
def test_invalid_values_are_refused(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        BertConfig(**given)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "is not valid JSON"),
        (b"{", "is not valid JSON"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b'{"hidden_size": 8, "hidden_size": 16}', "the key 'hidden_size' occurs twice"),
        (b'{"id2label": {"0": "\\ud800"}}', "lone surrogate"),
        (b'{"architectures": [1]}', "names of classes"),
        (b'{"architectures": 3}', "names of classes"),
        (b'{"num_labels": 10000000}', "at most 1,000,000"),
        (b'{"num_hidden_layers": 1000000000}', "a whole number from 1 to 9,999"),
        (b"[]", "holds a list"),
        (b"[" * 100_000, "is nested more than 100 deep"),
        (b'{"model_type": "roberta"}', "has model_type 'roberta', and bertkit supports only 'bert'"),
        (b'{"hidden_size": "wide"}', "hidden_size is 'wide'"),
        (b'{"hidden_size": null}', "hidden_size is None"),
        (b'{"pruned_heads": 3}', "pruned_heads"),
        (b'{"id2label": 3}', "Labels must be id2label"),
        (b'{"to_dict": 3}', "key 'to_dict' is the name of an attribute"),
        (b'{"deep": ' + b"[" * 100 + b"]" * 100 + b"}", "is nested more than 100 deep"),
        (b'{"deep": ' + b'{"a":' * 600 + b"1" + b"}" * 601, "is nested more than 100 deep"),
        (b'{"many": [' + b"[]," * 3_000_000 + b"[]]}", "it has more than 2,500,000 commas and brackets"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, text: bytes, sentence: str) -> None:
    (tmp_path / "config.json").write_bytes(text)
    for read in (BertConfig.from_pretrained, AutoConfig.from_pretrained):
        with pytest.raises(ConfigError, match=sentence):
            read(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        '{"%s": 1, "%s": 2}',
        '{"hidden_act": "%s"}',
        '{"hidden_size": "%s"}',
        '{"model_type": "%s"}',
        '{"pruned_heads": "%s"}',
        '{"pruned_heads": {"0": ["%s"]}}',
        '{"num_labels": "%s", "id2label": {"0": "a"}}',
        '{"id2label": {"0": ["%s"]}}',
        '{"id2label": {"%s": "a"}}',
        '{"pad_token_id": "%s"}',
        '{"bos_token_id": "%s"}',
        '{"architectures": ["a", 1, "%s"]}',
    ],
)
def test_a_message_shows_little_of_a_large_value(tmp_path: Path, text: str) -> None:
    """And takes little time and memory to be written: a search for similar words is quick in short ones alone."""
    (tmp_path / "config.json").write_text(text.replace("%s", "\\u001b[2J" + "gelu" * 2**20))
    tracemalloc.start()
    try:
        with pytest.raises(ConfigError) as caught:
            BertConfig.from_pretrained(tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100 * 2**20, peak
    assert len(str(caught.value)) < 600
    assert str(caught.value).isprintable()


def test_as_deep_as_a_file_may_be(tmp_path: Path) -> None:
    """It is also written again."""
    (tmp_path / "config.json").write_text('{"deep": ' + "[" * 99 + "]" * 99 + "}")
    config = BertConfig.from_pretrained(tmp_path)
    config.save_pretrained(tmp_path / "again")
    assert BertConfig.from_pretrained(tmp_path / "again") == config


def test_as_many_values_as_a_million_labels_have(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"many": [' + "0," * 2_000_000 + "0]}")
    assert len(BertConfig.from_pretrained(tmp_path).to_dict()["many"]) == 2_000_001


def test_a_small_file_takes_little() -> None:
    """Numbers that are allowed, however large, cost nothing until somebody makes such a model."""
    config = BertConfig(hidden_size=2**30, num_attention_heads=2**30, num_hidden_layers=9_999)
    assert len(expand(config, "Model")) == 5 + 16 * 9_999 + 2


def test_other_objects_than_configurations_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"takes a dict of fields, not \[1\]"):
        BertConfig.from_dict([1])  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="Unknown size None"):
        BertConfig.named(None)  # type: ignore[arg-type]
    assert BertConfig.from_dict({"foo": 1}) != BertConfig.from_dict({"foo": 2})
    assert BertConfig() != 3


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    BertConfig().save_pretrained(tmp_path)
    before = (tmp_path / "config.json").read_bytes()
    config = BertConfig()
    config.of_my_own = "\ud800"
    with pytest.raises(UnicodeEncodeError):
        config.save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    assert (tmp_path / "config.json").read_bytes() == before


def test_a_byte_order_mark_is_no_damage(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b'\xef\xbb\xbf{"hidden_size": 24}')
    assert BertConfig.from_pretrained(tmp_path).hidden_size == 24


def test_a_directory_without_configuration(tmp_path: Path) -> None:
    with pytest.raises(HubError, match=r"no config\.json or bert_config\.json"):
        BertConfig.from_pretrained(tmp_path)


def test_auto_config() -> None:
    assert AutoConfig.for_model("bert", num_labels=3) == BertConfig(num_labels=3)
    with pytest.raises(ConfigError, match="model_type 'gpt2'"):
        AutoConfig.for_model("gpt2")


@pytest.mark.parametrize("heads", [{2: [0]}, {0: [2]}, {-1: [0]}, {0: [-1]}])
def test_unknown_heads_cannot_be_pruned(heads: dict[int, list[int]]) -> None:
    with pytest.raises(ConfigError, match="layers are 0 to 1, heads 0 to 1"):
        BertConfig(num_hidden_layers=2, num_attention_heads=2, pruned_heads=heads)


def test_a_layer_keeps_a_head() -> None:
    with pytest.raises(ConfigError, match="pruned_heads removes all 2 heads of layer 1: keep at least one"):
        BertConfig(num_hidden_layers=2, num_attention_heads=2, pruned_heads={0: [1], 1: [0, 1]})


def test_a_head_is_pruned_once() -> None:
    assert BertConfig(pruned_heads={"3": [5, 1, 5]}).pruned_heads == {3: [1, 5]}


def test_names_that_others_ask_for(tmp_path: Path) -> None:
    """Beside transformers' own configuration."""
    their, our = transformers.BertConfig(num_labels=3), BertConfig(num_labels=3)
    their.save_pretrained(tmp_path)
    for config in (their, our):
        assert config.is_encoder_decoder is False and config.name_or_path == "" and config._name_or_path == ""
        assert config.get_text_config() is config and config.get_text_config(decoder=True) is config
        assert "vocab_size" in config and "text_config" not in config
        config.update_from_string("hidden_dropout_prob=0.2,use_cache=false,hidden_size=96,hidden_act=relu")
        assert (config.hidden_dropout_prob, config.use_cache, config.hidden_size) == (0.2, False, 96)
        with pytest.raises(ValueError, match="hiden_size"):
            config.update_from_string("hiden_size=1")
        again, unused = type(config).from_pretrained(tmp_path, return_unused_kwargs=True, hidden_act="relu", foo=1)
        assert again.hidden_act == "relu" and unused == {"foo": 1}
        again, unused = type(config).from_dict(
            {"hidden_size": 24, "num_attention_heads": 2}, return_unused_kwargs=True, foo=1
        )
        assert again.hidden_size == 24 and unused == {"foo": 1}
        values, left = type(config).get_config_dict(str(tmp_path), foo=1)
        assert values["id2label"] == {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"} and "foo" in left
    assert bertkit.CONFIG_MAPPING["bert"] is BertConfig
    assert transformers.CONFIG_MAPPING["bert"] is transformers.BertConfig
    read = BertConfig.from_pretrained(tmp_path)
    assert read.name_or_path == str(tmp_path) and "_name_or_path" not in read.to_json_string()
    assert read == BertConfig.from_json_file(tmp_path / "config.json")
