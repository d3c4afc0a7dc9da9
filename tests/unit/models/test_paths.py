"""transformers' paths: each documented module is here, under its names."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest
import transformers
import transformers.models.bert.modeling_bert as their_modeling

import bertkit
from bertkit.errors import BertkitError

MODULES = ("configuration_bert", "modeling_bert", "tokenization_bert", "tokenization_bert_fast")
ABSENT = {  # raises an ImportError that says so
    "configuration_bert": ["BertOnnxConfig"],
    "modeling_bert": [
        "BertIntermediate", "BertPredictionHeadTransform", "BertCrossAttention", "load_tf_weights_in_bert",
        "eager_attention_forward",
    ],
    "modeling_tf_bert": ["TFBertSelfAttention"],
    "modeling_flax_bert": ["FlaxBertModule"],
}  # fmt: skip


def module(name: str) -> object:
    return importlib.import_module(f"bertkit.models.bert.{name}")


def test_every_class_of_transformers_module_has_its_name() -> None:
    names = [
        name
        for name, value in vars(their_modeling).items()
        if inspect.isclass(value) and value.__module__ == their_modeling.__name__
    ]
    assert len(names) > 20
    for name in names:
        if name not in ABSENT["modeling_bert"]:
            assert inspect.isclass(getattr(module("modeling_bert"), name)), name


@pytest.mark.parametrize("name", MODULES)
def test_the_classes_are_ours(name: str) -> None:
    found = module(name)
    there = importlib.import_module(f"transformers.models.bert.{name.removesuffix('_fast')}")
    for public in ["BertTokenizerFast"] if name.endswith("_fast") else there.__all__:
        if public in ABSENT.get(name, []) or public == "BertTokenizerLegacy":
            continue
        assert getattr(found, public) is getattr(bertkit.models.bert, public)
        if public in bertkit.__all__:
            assert getattr(found, public) is getattr(bertkit, public)


@pytest.mark.parametrize(("name", "absent"), [(name, absent) for name, some in ABSENT.items() for absent in some])
def test_what_is_not_here_says_so(name: str, absent: str) -> None:
    with pytest.raises(ImportError, match=f"bertkit has no {absent}") as caught:
        exec(f"from bertkit.models.bert.{name} import {absent}")
    assert isinstance(caught.value, BertkitError)
    with pytest.raises(ImportError, match="cannot import name 'Brt'"):
        exec(f"from bertkit.models.bert.{name} import Brt")
    if absent.startswith(("TF", "Flax", "BertOnnx", "load_tf")):
        with pytest.raises(ImportError, match=f"bertkit has no {absent}"):
            exec(f"from bertkit.models.bert import {absent}")


def test_the_flax_classes_are_ours() -> None:
    names = [name for name in bertkit.__all__ if name.startswith("FlaxBert")]
    assert len(names) == 11
    for name in names:
        assert (
            getattr(module("modeling_flax_bert"), name) is getattr(bertkit.models.bert, name) is getattr(bertkit, name)
        )


def test_the_tensorflow_classes_are_ours() -> None:
    for name in ("TFBertModel", "TFBertForSequenceClassification", "TFBertMainLayer", "TFBertForPreTrainingOutput"):
        assert getattr(module("modeling_tf_bert"), name) is getattr(bertkit, name) is getattr(bertkit.models.bert, name)
    assert module("tokenization_bert_tf").TFBertTokenizer is bertkit.TFBertTokenizer  # type: ignore[attr-defined]


def test_parts_are_those_of_models() -> None:
    parts = module("modeling_bert")
    model = bertkit.BertModel(bertkit.BertConfig.named("tiny"))
    layer = model.encoder.layer[0]
    pairs = {
        "BertEmbeddings": model.embeddings, "BertEncoder": model.encoder, "BertPooler": model.pooler, "BertLayer": layer,
        "BertAttention": layer.attention, "BertSelfAttention": layer.attention.self,
        "BertSelfOutput": layer.attention.output, "BertOutput": layer.output,
    }  # fmt: skip
    for name, part in pairs.items():
        assert isinstance(part, getattr(parts, name)), name
    whole = bertkit.BertForPreTraining(bertkit.BertConfig.named("tiny"))
    assert isinstance(whole.cls, parts.BertPreTrainingHeads)  # type: ignore[attr-defined]
    assert isinstance(whole.cls.predictions, parts.BertLMPredictionHead)  # type: ignore[attr-defined]


def test_outputs() -> None:
    import bertkit.modeling_outputs as ours

    for name in vars(ours):
        if name.endswith(("Output", "Attentions")):
            assert getattr(transformers.modeling_outputs, name, transformers.utils.ModelOutput).__name__ == name
            assert getattr(ours, name) is getattr(bertkit.outputs, name)


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    script = (
        "import sys, bertkit.models.bert as bert, bertkit.modeling_outputs\n"
        "from bertkit.models.bert import BertConfig, BertTokenizer, modeling_tf_bert, modeling_flax_bert\n"
        "assert not {'torch', 'tensorflow', 'jax'} & set(sys.modules)\n"
        "bert.BertModel\n"
        "assert 'torch' in sys.modules and 'tensorflow' not in sys.modules and 'BertModel' in dir(bert)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
