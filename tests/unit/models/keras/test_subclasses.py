"""Users' subclasses of the TensorFlow classes: calls, training, saving and loading with all their layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from conformance.keras_backend import tensorflow

import bertkit
from bertkit.errors import BertkitError, UsageError

tensorflow()
import keras  # noqa: E402

IDS = np.random.default_rng(0).integers(1, 23, (4, 6))
INPUTS = {"input_ids": IDS, "attention_mask": (IDS > 2).astype(int)}


class Deeper(bertkit.TFBertForSequenceClassification):
    """One of the nine with another layer and without post_init, as in code for transformers."""

    def __init__(self, config: Any, *inputs: Any, **options: Any) -> None:
        super().__init__(config, *inputs, **options)
        self.extra = keras.layers.Dense(4)

    def call(self, inputs: Any, training: bool | None = None, **given: Any) -> Any:
        return self.extra(super().call(inputs, training=training, **given).logits)


class Renamed(bertkit.TFBertForSequenceClassification):
    """One of the nine with another name."""


class Tagger(bertkit.TFBertPreTrainedModel):
    """Layers around the main layer, without post_init."""

    def __init__(self, config: Any, *inputs: Any, width: int = 5, **options: Any) -> None:
        super().__init__(config, *inputs, **options)
        self.bert = bertkit.TFBertMainLayer(config, add_pooling_layer=False, name="bert")
        self.middle = keras.Sequential([keras.layers.Dense(7, "tanh"), keras.layers.Dense(6)])
        self.norm = keras.layers.BatchNormalization()
        self.tagger = keras.layers.Dense(width)

    def call(self, input_ids: Any, attention_mask: Any = None, training: bool | None = None) -> Any:
        x = self.bert(input_ids, attention_mask=attention_mask, training=training)[0]
        return self.tagger(self.norm(self.middle(x), training=training))


class Initialized(Tagger):
    """The same with post_init."""

    def __init__(self, config: Any, **options: Any) -> None:
        super().__init__(config, **options)
        self.post_init()


@pytest.fixture
def pretrained(tmp_path: Path) -> Path:
    config = tiny.config()
    bertkit.save_checkpoint(tmp_path / "bert", tiny.weights(config, "ForMaskedLM"), config, "ForMaskedLM")
    return tmp_path / "bert"


@pytest.mark.parametrize("cls", [Deeper, Renamed, Tagger, Initialized])
def test_trained_saved_and_loaded(cls: Any, pretrained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = cls.from_pretrained(pretrained)
    weights = tiny.weights(model.config, "Model")
    assert all(np.array_equal(x, weights[name]) for name, x in model._arrays().items() if "layer.1" in name)
    assert ("tagger/kernel" in caplog.text) == isinstance(model, Tagger)
    assert ("extra/kernel" in caplog.text) == (cls is Deeper)
    caplog.clear()
    if cls is not Renamed:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(1e-2), loss=loss, run_eagerly=True)
        model.fit(INPUTS, IDS % 4 if isinstance(model, Tagger) else IDS[:, 0] % 4, verbose=0)
    model.save_pretrained(tmp_path / "own")
    again, info = cls.from_pretrained(tmp_path / "own", output_loading_info=True)
    assert not any(info.values()) and not caplog.text
    for one, other in zip(keras.tree.flatten(again(INPUTS)), keras.tree.flatten(model(INPUTS)), strict=True):
        np.testing.assert_array_equal(one, other)
    name = "BertForSequenceClassification" if cls is Renamed else cls.__name__
    assert again.config.architectures == [name]
    if cls is not Renamed:
        with pytest.raises(UsageError, match="cannot hold layers of your own"):
            model.save_pretrained(tmp_path / "h5", safe_serialization=False)


def test_initial_values_without_post_init() -> None:
    """A main layer that the first call builds, also in a graph, has random weights."""
    for model in (Tagger(tiny.config()), Initialized(tiny.config())):
        states = model.bert(IDS).last_hidden_state
        table = np.asarray(model.bert.embeddings.word_embeddings.embeddings)
        assert 0.015 < table[1:].std() < 0.025 and not table[0].any() and np.std(states) > 0.1
    model = Tagger(tiny.config())
    model.compile("adam", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(INPUTS, IDS % 4, verbose=0)
    assert np.asarray(model.bert.embeddings.word_embeddings.embeddings)[1:].std() > 0.015


def test_loading_errors(pretrained: Path, tmp_path: Path) -> None:
    Tagger.from_pretrained(pretrained).save_pretrained(tmp_path / "own")
    with pytest.raises(BertkitError, match="of another shape: tagger/"):
        Tagger.from_pretrained(tmp_path / "own", width=3)
    model = Tagger.from_pretrained(tmp_path / "own", width=3, ignore_mismatched_sizes=True)
    assert model(INPUTS).shape == (4, 6, 3)
    Deeper.from_pretrained(pretrained).save_pretrained(tmp_path / "deeper")
    with pytest.raises(BertkitError, match="unexpected: extra"):
        bertkit.TFBertForSequenceClassification.from_pretrained(tmp_path / "deeper")

    class Nameless(bertkit.TFBertPreTrainedModel):
        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.encoder = bertkit.TFBertMainLayer(config, name="encoder")

        def call(self, inputs: Any) -> Any:
            return self.encoder(inputs)[0]

    with pytest.raises(UsageError, match="no layer with the name bert"):
        Nameless.from_pretrained(pretrained)


def test_without_a_pooler(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = bertkit.TFBertModel(tiny.config(), add_pooling_layer=False)
    model.save_pretrained(tmp_path)
    again = bertkit.TFBertModel.from_pretrained(tmp_path, add_pooling_layer=False)
    assert not caplog.text
    np.testing.assert_array_equal(again(IDS).last_hidden_state, model(IDS).last_hidden_state)
    assert bertkit.TFBertModel.from_pretrained(tmp_path)(IDS).pooler_output is not None and "pooler" in caplog.text
