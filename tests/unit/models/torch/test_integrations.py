"""With what users put around a model: compilers, distribution, adapters, and transformers' own Trainer."""

from __future__ import annotations

import copy
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch_models import batch, furthest, ours

import bertkit
from bertkit import BertForMaskedLM, BertForSequenceClassification

pytestmark = pytest.mark.filterwarnings("ignore")  # those of the others


def random_batch(rows: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(rows * length)
    mask = torch.arange(length) < torch.randint(1, length + 1, (rows, 1), generator=rng)
    return torch.randint(1, 50, (rows, length), generator=rng), mask.long()


@pytest.mark.parametrize("name", ["BertForSequenceClassification", "BertForMaskedLM"])
def test_compiled_without_a_graph_break_in_five_graphs(name: str) -> None:
    from torch._dynamo.testing import CompileCounterWithBackend

    torch._dynamo.reset()
    model, counter = ours(name), CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(model, fullgraph=True, backend=counter)
    with torch.no_grad():
        for shape in [(5, 17), (4, 12), (7, 33), (1, 9), (3, 40), (2, 1), (1, 1), (16, 39), (8, 8), (31, 2), (1, 22)]:
            ids, mask = random_batch(*shape)
            assert furthest(compiled(ids, mask).logits, model(ids, mask).logits) < 1e-5
    assert counter.frame_count <= 5  # many rows, one row, one column, ...
    ids, mask = batch()
    labels = ids.masked_fill(mask == 0, -100) if name == "BertForMaskedLM" else torch.tensor([0, 1, 2, 0, 1])
    loss = compiled(ids, mask, labels=labels).loss
    loss.backward()
    assert abs(loss - model(ids, mask, labels=labels).loss) < 1e-5


def test_exported_with_sides_that_vary() -> None:
    model = ours("BertForSequenceClassification")
    ids, mask = batch()
    sides = {0: torch.export.Dim("rows", min=1, max=64), 1: torch.export.Dim("length", min=2, max=40)}
    shapes = {"input_ids": sides, "attention_mask": sides}
    exported = torch.export.export(model, (), {"input_ids": ids, "attention_mask": mask}, dynamic_shapes=shapes)
    file = io.BytesIO()
    torch.export.save(exported, file)
    file.seek(0)
    again = torch.export.load(file).module()
    for shape in [(3, 11), (1, 40), (64, 2)]:
        ids, mask = random_batch(*shape)
        assert furthest(again(input_ids=ids, attention_mask=mask).logits, model(ids, mask).logits) < 1e-5


def test_traced() -> None:
    model = ours("BertForSequenceClassification", return_dict=False)
    traced = torch.jit.trace(model, batch())
    ids, mask = random_batch(3, 11)
    assert furthest(traced(ids, mask)[0], model(ids, mask)[0]) < 1e-5


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize("way", ["ddp", "fsdp2"])
def test_distributed(way: str) -> None:
    model = ours("BertForMaskedLM").train()
    other: Any = copy.deepcopy(model)
    if way == "ddp":
        wrapped = torch.nn.parallel.DistributedDataParallel(other)
    else:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh("cpu", (1,))
        for layer in other.bert.encoder.layer:
            fully_shard(layer, mesh=mesh)
        wrapped = fully_shard(other, mesh=mesh)
    ids, mask = batch()
    labels = ids.masked_fill(mask == 0, -100)
    for one in (model, wrapped):
        optimizer = torch.optim.SGD(one.parameters(), 0.1)
        for _ in range(2):
            optimizer.zero_grad()
            one(ids, mask, labels=labels).loss.backward()
            optimizer.step()
    for key, parameter in other.named_parameters():
        whole = parameter.full_tensor() if way == "fsdp2" else parameter
        assert furthest(whole.detach(), model.get_parameter(key).detach()) < 1e-6


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("BertModel", "FEATURE_EXTRACTION"),
        ("BertForSequenceClassification", "SEQ_CLS"),
        ("BertForTokenClassification", "TOKEN_CLS"),
        ("BertForQuestionAnswering", "QUESTION_ANS"),
        ("BertLMHeadModel", "CAUSAL_LM"),
        ("BertForMaskedLM", None),
    ],
)
def test_lora(name: str, task: str | None, tmp_path: Path) -> None:
    import peft

    ids, mask = batch()
    adapted = peft.get_peft_model(ours(name), peft.LoraConfig(task_type=task, target_modules=["query", "value"], r=4))
    output = adapted(input_ids=ids, attention_mask=mask)
    output[0].sum().backward()
    trained = [key for key, parameter in adapted.named_parameters() if parameter.requires_grad]
    assert len([key for key in trained if "lora_" in key]) == 12
    for key, parameter in adapted.named_parameters():
        if "lora_B" in key:
            parameter.data.normal_()
    expected = adapted(input_ids=ids, attention_mask=mask)[0]
    adapted.save_pretrained(tmp_path)
    again = peft.PeftModel.from_pretrained(ours(name), tmp_path)
    assert furthest(again(input_ids=ids, attention_mask=mask)[0], expected) < 1e-5
    assert furthest(adapted.merge_and_unload()(ids, mask)[0], expected) < 1e-4


@pytest.mark.parametrize("kind", ["PromptTuningConfig", "PromptEncoderConfig", "PrefixTuningConfig"])
@pytest.mark.parametrize(
    ("name", "task"), [("BertForSequenceClassification", "SEQ_CLS"), ("BertLMHeadModel", "CAUSAL_LM")]
)
def test_learned_prompts(kind: str, name: str, task: str, tmp_path: Path) -> None:
    """Prompt tuning, p-tuning and prefix tuning, beside transformers. An adapter knows its base model."""
    import peft

    ours(name).save_pretrained(tmp_path / "base")
    ids, mask = batch()
    ids, mask = ids[:, 3:], mask[:, :14].new_ones(5, 14)
    more = {} if kind == "PromptTuningConfig" else {"encoder_hidden_size": 16}
    logits = []
    for library in (bertkit, transformers):
        torch.manual_seed(0)
        options = {"is_decoder": True} if task == "CAUSAL_LM" else {}
        made = getattr(library, name)
        config = getattr(peft, kind)(task_type=task, num_virtual_tokens=4, **more)
        adapted = peft.get_peft_model(made.from_pretrained(tmp_path / "base", **options), config).eval()
        expected = adapted(input_ids=ids, attention_mask=mask).logits
        expected.sum().backward()
        assert all(
            parameter.grad is not None for parameter in adapted.prompt_encoder.parameters() if parameter.requires_grad
        )
        adapted.save_pretrained(tmp_path / library.__name__)
        assert peft.PeftConfig.from_pretrained(tmp_path / library.__name__).base_model_name_or_path == str(
            tmp_path / "base"
        )
        base = made.from_pretrained(tmp_path / "base", **options)
        again = peft.PeftModel.from_pretrained(base, tmp_path / library.__name__).eval()
        assert furthest(again(input_ids=ids, attention_mask=mask).logits, expected) < 1e-6
        logits.append(expected)
    assert furthest(*logits) < 1e-5


def test_an_adapter_finds_its_base_model(tmp_path: Path) -> None:
    """With a task, peft opens it by transformers; without one, by our class where its allowlist has our name."""
    import peft

    ids, mask = batch()
    ours("BertForMaskedLM").save_pretrained(tmp_path / "words")
    adapted = peft.get_peft_model(
        BertForMaskedLM.from_pretrained(tmp_path / "words"),
        peft.LoraConfig(target_modules=["query"], init_lora_weights=False),
    )
    adapted.save_pretrained(tmp_path / "adapter")
    again = peft.AutoPeftModel.from_pretrained(tmp_path / "adapter", import_allowlist=["bertkit"])
    assert type(again.get_base_model()) is BertForMaskedLM
    assert furthest(again.eval()(ids, mask).logits, adapted.eval()(ids, mask).logits) < 1e-5
    ours("BertForSequenceClassification").save_pretrained(tmp_path / "texts")
    base = BertForSequenceClassification.from_pretrained(tmp_path / "texts")
    adapted = peft.get_peft_model(base, peft.LoraConfig(task_type="SEQ_CLS", init_lora_weights=False))
    adapted.save_pretrained(tmp_path / "of texts")
    again = peft.AutoPeftModelForSequenceClassification.from_pretrained(tmp_path / "of texts", num_labels=3)
    assert isinstance(again.get_base_model(), transformers.BertForSequenceClassification)
    assert furthest(again.eval()(ids, mask).logits, adapted.eval()(ids, mask).logits) < 1e-5


@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize("way", ["fsdp1", "fsdp2"])
@pytest.mark.parametrize("name", ["BertForMaskedLM", "BertForSequenceClassification", "BertModel"])
def test_sharded(name: str, way: str) -> None:
    """Outputs keep their class, logits can be read after the forward, and steps are those of the model alone."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
    from torch.distributed.fsdp.wrap import ModuleWrapPolicy

    from bertkit.models.torch.model import BertLayer

    model = ours(name).train()
    other: Any = copy.deepcopy(model)
    mesh = init_device_mesh("cpu", (1,))
    if way == "fsdp1":
        policy = ModuleWrapPolicy({BertLayer})
        wrapped = FullyShardedDataParallel(
            other, auto_wrap_policy=policy, use_orig_params=True, device_id=torch.device("cpu")
        )
    else:
        for layer in other.bert.encoder.layer if hasattr(other, "bert") else other.encoder.layer:
            fully_shard(layer, mesh=mesh, reshard_after_forward=True)
        wrapped = fully_shard(other, mesh=mesh, reshard_after_forward=True)
        assert isinstance(wrapped, transformers.PreTrainedModel) and isinstance(wrapped, type(model))
    ids, mask = batch()
    labels = {
        "BertForMaskedLM": {"labels": ids.masked_fill(mask == 0, -100)},
        "BertForSequenceClassification": {"labels": torch.tensor([0, 1, 2, 0, 1])},
    }.get(name, {})
    read = []
    for one in (model, wrapped):
        optimizer = torch.optim.SGD(one.parameters(), 0.1)
        for step in range(2):
            optimizer.zero_grad()
            output = one(input_ids=ids, attention_mask=mask, **labels)
            assert type(output) is type(model(input_ids=ids, attention_mask=mask, **labels))
            main = output.last_hidden_state if name == "BertModel" else output.logits
            read.append(main.detach().clone())
            (main.square().mean() if name == "BertModel" or step else output.loss).backward()
            optimizer.step()
    for first, second in zip(read[:2], read[2:], strict=True):
        assert furthest(first, second) < 1e-5
