"""Pipelines in scripts for transformers: its classes, devices, arguments, models and tokenizers."""

from __future__ import annotations

import logging
import subprocess
import sys
from functools import cache
from numbers import Real
from pathlib import Path
from typing import Any

import peft
import pipeline_models
import pytest
import torch
import transformers
from pipeline_cases import MODELS, SENTENCES, config
from pipeline_models import folder
from transformers.pipelines.pt_utils import KeyDataset as TheirKeyDataset

import bertkit
from bertkit.cli import main
from bertkit.errors import BertkitError, ConfigError, UsageError
from bertkit.pipelines import Pipeline, pipeline
from bertkit.pipelines.pt_utils import KeyDataset, KeyPairDataset

NO_GPU = not torch.cuda.is_available() and not torch.backends.mps.is_available()
CLASSES: dict[str, tuple[str, str, tuple[Any, ...], dict[str, Any]]] = {
    "TextClassificationPipeline": ("text-classification", "five", (SENTENCES[0],), {"top_k": 2}),
    "TokenClassificationPipeline": (
        "token-classification",
        "names",
        (SENTENCES[0],),
        {"aggregation_strategy": "simple"},
    ),
    "FillMaskPipeline": ("fill-mask", "masked", ("The [MASK] of it.",), {"top_k": 3}),
    "ZeroShotClassificationPipeline": (
        "zero-shot-classification",
        "follows",
        (SENTENCES[0],),
        {"candidate_labels": ["food", "law"]},
    ),
    "FeatureExtractionPipeline": ("feature-extraction", "plain", (SENTENCES[0],), {}),
}
ANSWERS = ("question-answering", "answers", ({"question": "Who?", "context": SENTENCES[0]},), {})


@cache
def model_of(library: Any, name: str) -> Any:
    return getattr(library, "Bert" + MODELS[name][0]).from_pretrained(folder(name))


@cache
def their_tokenizer(name: str) -> Any:
    return transformers.AutoTokenizer.from_pretrained(folder(name))


def numbers(answer: Any) -> list[float]:
    if isinstance(answer, dict):
        return [number for value in answer.values() for number in numbers(value)]
    if isinstance(answer, (list, tuple)):
        return [number for value in answer for number in numbers(value)]
    return [float(answer)] if isinstance(answer, Real) else []


def alike(first: Any, second: Any) -> None:
    assert numbers(first) == pytest.approx(numbers(second), abs=1e-5)
    assert numbers(first)


@pytest.mark.parametrize("name", CLASSES)
def test_classes_of_pipelines(name: str) -> None:
    """They are made of a model and a tokenizer, and answer as those of transformers."""
    task, model, args, options = CLASSES[name]
    theirs = getattr(transformers, name)(model=model_of(transformers, model), tokenizer=their_tokenizer(model))
    ours = getattr(bertkit, name)(model=model_of(bertkit, model), tokenizer=pipeline_models.tokenizer())
    alike(ours(*args, **options), theirs(*args, **options))
    assert ours.task == task and ours.model is model_of(bertkit, model) and ours.device == torch.device("cpu")
    assert ours.tokenizer is pipeline_models.tokenizer()
    opened = pipeline(task, folder(model), dtype="float32", pipeline_class=getattr(bertkit, name))
    assert type(opened) is type(ours) is type(pipeline(task, folder(model), engine="numpy"))
    alike(opened(*args, **options), ours(*args, **options))


def test_the_class_that_transformers_dropped() -> None:
    task, model, args, _ = ANSWERS
    ours = bertkit.QuestionAnsweringPipeline(model_of(bertkit, model), pipeline_models.tokenizer(), task=task)
    alike(ours(*args), pipeline(task, folder(model), engine="numpy")(*args))
    assert bertkit.NerPipeline is bertkit.TokenClassificationPipeline


def test_classes_that_do_not_fit() -> None:
    model = folder("five")
    with pytest.raises(UsageError, match="TextClassificationPipeline is for text-classification, not for 'ner'"):
        bertkit.TextClassificationPipeline(model, task="ner")
    with pytest.raises(UsageError, match="FillMaskPipeline is for fill-mask, not for text-classification"):
        pipeline("text-classification", model, pipeline_class=bertkit.FillMaskPipeline)
    with pytest.raises(UsageError, match="type bertkit.TextClassificationPipeline"):
        pipeline("text-classification", model, pipeline_class=transformers.TextClassificationPipeline)
    with pytest.raises(UsageError, match="Own overrides postprocess, which pipelines of bertkit never call"):

        class Own(bertkit.TextClassificationPipeline):
            def postprocess(self, outputs: Any) -> Any:
                return outputs

    class Named(bertkit.TextClassificationPipeline):
        pass

    assert type(pipeline(model=model, pipeline_class=Named, engine="numpy")) is Named


def test_attention_and_types_of_a_model(tmp_path: Path) -> None:
    """`model_kwargs` change engine and model, or are refused."""
    call = ("text-classification", folder("five"))
    plain = pipeline(*call, dtype="float32")(SENTENCES)
    for name in ("eager", "sdpa"):
        pipe = pipeline(*call, dtype="float32", model_kwargs={"attn_implementation": name})
        assert pipe.model.attn_implementation == pipe.engine._runs.attn_implementation == name
        alike(pipe(SENTENCES), plain)
    for key in ("dtype", "torch_dtype"):
        for value in (torch.bfloat16, "bfloat16"):
            assert pipeline(*call, model_kwargs={key: value}).precision == "bf16"
    assert pipeline(*call, torch_dtype=torch.bfloat16).precision == "bf16"
    eager = {"attn_implementation": "eager", "low_cpu_mem_usage": True, "quantization_config": None}
    alike(pipeline(*call, engine="numpy", model_kwargs=eager)(SENTENCES), plain)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"engine": "numpy", "model_kwargs": {"attn_implementation": "sdpa"}}, 'type engine="torch"'),
        ({"model_kwargs": {"attn_implementation": "flash"}}, "attn_implementation"),
        ({"model_kwargs": {"load_in_8bit": True}}, "load_in_8bit"),
        ({"model_kwargs": {"trust_remote_code": True}}, "never runs the code"),
        ({"device_map": {"bert": 0, "classifier": "cpu"}}, "several devices"),
        ({"binary_output": True}, "binary_output"),
    ]
    for options, match in cases:
        with pytest.raises((UsageError, ConfigError), match=match):
            pipeline(*call, **options)
    model = model_of(bertkit, "five")
    for options in ({"dtype": "bfloat16"}, {"model_kwargs": eager}, {"config": folder("five")}):
        with pytest.raises(UsageError, match="needs? a model that is passed by name|cannot change a model"):
            pipeline("text-classification", model, tokenizer=pipeline_models.tokenizer(), **options)
    pipeline("text-classification", model, tokenizer=pipeline_models.tokenizer(), dtype=torch.float32, device=-1)


def test_arguments_that_say_the_default() -> None:
    names = (
        "config tokenizer feature_extractor image_processor processor framework token use_auth_token device device_map"
        " torch_dtype trust_remote_code model_kwargs pipeline_class batch_size num_workers modelcard"
    )
    none: dict[str, Any] = dict.fromkeys(names.split())
    pipe = pipeline("text-classification", folder("five"), engine="numpy", **none)
    usual = {"framework": "pt", "trust_remote_code": False, "device_map": "auto", "use_fast": True, "model_kwargs": {}}
    alike(pipeline("text-classification", folder("five"), **usual, dtype="float32")(SENTENCES), pipe(SENTENCES))
    alike(pipe(SENTENCES, on_long=None, function_to_apply=None, merge=None, batch_size=None), pipe(SENTENCES))
    ner = pipeline("ner", folder("names"), engine="numpy")
    assert ner(SENTENCES[0], aggregation_strategy=None, stride=None) == ner(SENTENCES[0])


@pytest.mark.skipif(not NO_GPU, reason="for machines without a GPU")
@pytest.mark.parametrize("device", [0, "cuda", "cuda:0", "mps", torch.device("cuda:0")])
def test_without_a_gpu_one_warning_and_the_cpu(device: Any, caplog: pytest.LogCaptureFixture) -> None:
    pipe = pipeline("fill-mask", model=folder("masked"), device=device)
    pipe(["The [MASK] of it."] * 3)
    assert pipe.device == torch.device("cpu")
    made = bertkit.FillMaskPipeline(model_of(bertkit, "masked"), pipeline_models.tokenizer(), device=device)
    assert made.device == torch.device("cpu")
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2


@pytest.mark.skipif(not NO_GPU, reason="for machines without a GPU")
@pytest.mark.parametrize("device", ["0", "cuda:0", "mps"])
def test_a_command_without_a_gpu(device: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The command in the documentation of BERT in transformers."""
    assert main(["fill-mask", "The [MASK] of it.", "--model", str(folder("masked")), "--device", device]) == 0
    said = capsys.readouterr()
    assert said.err.count("using the CPU") == 1 and "Traceback" not in said.err
    assert said.out.count("\n") == 1


def test_a_gpu_without_pytorch() -> None:
    code = f"""
import sys, logging
sys.modules["torch"] = None
import importlib.util
importlib.util.find_spec = lambda name, find=importlib.util.find_spec: None if name == "torch" else find(name)
logging.basicConfig(level="WARNING")
from bertkit import pipeline
print(pipeline("fill-mask", {str(folder("masked"))!r}, device=0)("The [MASK] of it.")[0]["token"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.count("is not installed: using the CPU") == 1
    assert int(done.stdout) == pipeline("fill-mask", folder("masked"), engine="numpy")("The [MASK] of it.")[0]["token"]


@pytest.mark.parametrize("name", ["masked", "five", "names", "answers", "plain", "order", "joint"])
def test_a_model_of_transformers(name: str) -> None:
    """The pipeline shares its tensors, and reads the files that its tokenizer saves."""
    task = pipeline(model=folder(name), engine="numpy").task
    example = {"answers": ANSWERS[2][0], "order": {"text": "a", "text_pair": "b"}}.get(name, "The [MASK] of it.")
    theirs = model_of(transformers, name)
    pipe = pipeline(task, theirs, tokenizer=their_tokenizer(name))
    alike(pipe(example), pipeline(task, folder(name), engine="numpy")(example))
    assert type(pipe.model) is getattr(bertkit, "Bert" + MODELS[name][0]) and not pipe.model.training
    own = dict(pipe.model.named_parameters())
    assert all(own[key].data_ptr() == tensor.data_ptr() for key, tensor in theirs.named_parameters())


@pytest.mark.filterwarnings("ignore")  # those of peft
def test_a_model_of_peft() -> None:
    answers = []
    for library in (bertkit, transformers):
        model = library.BertForSequenceClassification.from_pretrained(folder("five"))
        torch.manual_seed(0)
        adapted = peft.get_peft_model(model, peft.LoraConfig(task_type="SEQ_CLS", r=2, init_lora_weights=False))
        tokenizer = library.AutoTokenizer.from_pretrained(folder("five"))
        opened = library.pipeline("text-classification", model=adapted.eval(), tokenizer=tokenizer)
        answers.append(numbers(opened(SENTENCES[0], top_k=None)))
    assert answers[0] == pytest.approx(answers[1], abs=1e-5)
    virtual = peft.PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=2)
    prompted = peft.get_peft_model(bertkit.BertForSequenceClassification.from_pretrained(folder("five")), virtual)
    with pytest.raises(UsageError, match="with virtual tokens, which a pipeline cannot add: call the model itself"):
        pipeline("text-classification", prompted, tokenizer=tokenizer)


def test_a_tokenizer_of_transformers() -> None:
    """Its added tokens are kept. `tokenizer=` may also be a tuple of a name and options."""
    theirs = transformers.AutoTokenizer.from_pretrained(folder("plain"), do_lower_case=False)
    theirs.add_special_tokens({"additional_special_tokens": ["the"]})
    pipe = pipeline("feature-extraction", folder("plain"), engine="numpy", tokenizer=theirs)
    for text in SENTENCES:
        assert pipe.tokenizer(text).input_ids == theirs(text).input_ids
    assert type(pipe.tokenizer) is bertkit.BertTokenizerFast and "the" in pipe.tokenizer.all_special_tokens
    named = (str(folder("plain")), {"do_lower_case": False})
    pipe = pipeline("feature-extraction", folder("plain"), engine="numpy", tokenizer=named)
    assert pipe.tokenizer.do_lower_case is False


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"model": torch.nn.Linear(2, 2)}, "^model is of type Linear: "),
        ({"model": 3}, "^model is of type int: "),
        ({"model": bertkit.BertModel}, "^model is the class BertModel: "),
        ({"tokenizer": torch.nn.Linear(2, 2)}, "^tokenizer is a Linear: "),
        ({"tokenizer": {1}}, "^tokenizer is a set: "),
        (
            {"model": transformers.GPT2Model(transformers.GPT2Config(n_layer=1, n_embd=4, n_head=1, vocab_size=9))},
            "^model is a GPT2Model, which is not a BERT",
        ),
    ],
    ids=str,
)
def test_objects_that_are_refused_in_one_line(given: dict[str, Any], match: str) -> None:
    with pytest.raises(BertkitError, match=match) as caught:
        pipeline("text-classification", **{"model": folder("five"), **given})
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


def test_a_model_object_without_a_tokenizer() -> None:
    """As in transformers, the tokenizer is read from the files of the model, if they are on this disk or in the cache."""
    model = bertkit.BertForMaskedLM(config("masked")).eval()
    with pytest.raises(UsageError, match="no tokenizer was passed: type tokenizer="):
        pipeline("fill-mask", model=model)
    expected = pipeline("fill-mask", folder("masked"))("The [MASK].")
    alike(
        pipeline("fill-mask", model=bertkit.BertForMaskedLM.from_pretrained(folder("masked")))("The [MASK]."), expected
    )
    theirs = transformers.BertForMaskedLM.from_pretrained(folder("masked"))
    alike(pipeline("fill-mask", model=theirs)("The [MASK]."), expected)
    theirs.config._name_or_path = "nobody/this-is-not-in-the-cache"
    with pytest.raises(UsageError, match="no tokenizer was passed"):
        pipeline("fill-mask", model=theirs)


def test_saving(tmp_path: Path) -> None:
    """Both libraries can open what a pipeline saves."""
    for engine in ("numpy", "torch"):
        pipe = pipeline("text-classification", folder("five"), engine=engine, dtype="float32")
        pipe.save_pretrained(tmp_path / engine)
        again: Pipeline = pipeline(model=tmp_path / engine, engine="numpy")
        alike(again(SENTENCES), pipe(SENTENCES))
        alike(transformers.pipeline("text-classification", str(tmp_path / engine))(SENTENCES), pipe(SENTENCES))


def test_columns_of_datasets() -> None:
    rows = [{"text": text, "other": text[:5]} for text in SENTENCES[:5]]
    pipe = pipeline("text-classification", folder("five"), engine="numpy")
    expected = pipe([row["text"] for row in rows])
    for view in (KeyDataset(rows, "text"), TheirKeyDataset(rows, "text")):
        stream = pipe(view)
        assert not isinstance(stream, list)
        alike(list(stream), expected)
    pairs = list(pipe(KeyPairDataset(rows, "text", "other")))
    alike(pairs, pipe([{"text": row["text"], "text_pair": row["other"]} for row in rows]))
