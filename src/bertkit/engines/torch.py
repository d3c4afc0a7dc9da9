"""The engine of the PyTorch classes: packed batches, on a processor or a GPU, in any precision."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bertkit.config import BertConfig
from bertkit.data.batches import Batch
from bertkit.engines.base import layers_of
from bertkit.errors import UsageError
from bertkit.models.torch.packing import Layout, Packed, arrange
from bertkit.models.torch.prepared import prepare

Array = NDArray[Any]
_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_OF_SEQUENCES = {
    "ForSequenceClassification": "classifier",
    "ForMultipleChoice": "classifier",
    "ForNextSentencePrediction": "cls.seq_relationship",
}


class TorchEngine:
    """One class of BERT in PyTorch. A model of `bertkit` can be given to it, and stays as it is; one that it opens itself is
    prepared for inference.

    >>> from bertkit.data.batches import Row, pack
    >>> config = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    >>> engine = TorchEngine(model_class("ForTokenClassification")(config).eval())
    >>> rows = [Row(np.array([2, 4, 3]), np.zeros(3, int)), Row(np.array([2, 3]), np.zeros(2, int))]
    >>> engine.run(pack(rows), ["logits"])["logits"].shape
    (5, 2)
    """

    def __init__(self, model: Any) -> None:
        self.model, self.head, self.config = model, model.head, model.config
        self._body = model if self.head == "Model" else model.bert

    @classmethod
    def open(
        cls,
        name: Any,
        head: str,
        config: BertConfig,
        source: Mapping[str, Any],
        device: object = None,
        precision: str = "auto",
    ) -> TorchEngine:
        """The engine for a class, with the weights of a checkpoint."""
        place = device_of(device)
        model = model_class(head).from_pretrained(name, config=config, dtype=type_of(precision, place), **source)
        engine = cls(model.to(place).eval())
        prepare(engine._body.encoder, config.hidden_act)
        return engine

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        parameter: torch.nn.Parameter = next(self.model.parameters())
        return parameter.device

    @property
    def dtype(self) -> torch.dtype:
        """In which type of numbers."""
        parameter: torch.nn.Parameter = next(self.model.parameters())
        return parameter.dtype

    def run(self, batch: Batch, want: Collection[str]) -> dict[str, Array]:
        """The outputs in `want` by name, as float32 in NumPy."""
        with torch.inference_mode():
            layers, types = layers_of(want), self._tensor(batch.token_type_ids)
            inputs = arrange(self._tensor(batch.input_ids), None, types, None, None, batch.lengths.tolist())
            inputs.wanted = self._wanted(batch, want, inputs.layout)
            last_only = inputs.wanted is None and layers == [self.config.num_hidden_layers]
            states = self._body(inputs, output_hidden_states=bool(layers) and not last_only, output_attentions=False)
            outputs = self._answers(batch, want, states, inputs.layout)
            for layer in layers:
                state = inputs.layout.unpack(states.last_hidden_state) if last_only else states.hidden_states[layer]
                outputs[f"hidden_states.{layer}"] = state
            if "pooler_output" in want:
                outputs["pooler_output"] = states.pooler_output
            return {name: outputs[name].float().cpu().numpy() for name in want}

    def _wanted(self, batch: Batch, want: Collection[str], layout: Layout) -> torch.Tensor | None:
        """The tokens whose last states the outputs are made of, None for all."""
        if self._body.pooler is not None:
            return None if layers_of(want) else layout.firsts
        if self.head == "ForMaskedLM" and batch.positions is not None:
            assert isinstance(layout, Packed)
            return layout.here(self._tensor(batch.positions))
        return None

    def _answers(self, batch: Batch, want: Collection[str], states: Any, layout: Layout) -> dict[str, torch.Tensor]:
        """What the head makes of the last states, which are packed, and of the pooled ones."""
        x, model = states.last_hidden_state, self.model
        if self.head == "ForMaskedLM" and {"logits", "label_log_probs"} & set(want):
            logits = model.cls.predictions(x)
            if batch.positions is None:
                logits = layout.unpack(logits)
            if "label_log_probs" not in want:
                return {"logits": logits}
            assert batch.labels is not None
            logs = logits.float().log_softmax(-1).gather(1, self._tensor(batch.labels)[:, None])[:, 0]
            return {"logits": logits, "label_log_probs": logs}
        if self.head == "ForQuestionAnswering" and "start_logits" in want:
            start, end = layout.unpack(model.qa_outputs(x)).unbind(-1)
            return {"start_logits": start, "end_logits": end}
        if self.head in _OF_SEQUENCES and "logits" in want:
            logits = model.get_submodule(_OF_SEQUENCES[self.head])(states.pooler_output)
            return {"logits": logits[:, 0] if self.head == "ForMultipleChoice" else logits}
        if self.head == "ForTokenClassification" and "logits" in want:
            return {"logits": layout.unpack(model.classifier(x))}
        return {}

    def _tensor(self, array: Array) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, np.int64)).to(self.device)


def model_class(head: str) -> Any:
    """The PyTorch class of a head."""
    room = "model" if head == "Model" else "heads"
    return getattr(import_module(f"bertkit.models.torch.{room}"), "Bert" + head)


def device_of(given: object) -> torch.device:
    """A device as pipelines take it: None (a GPU where there is one), -1 (the processor), 0, "cuda:1", a torch.device."""
    if given is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if isinstance(given, int) and not isinstance(given, bool):
        given = "cpu" if given < 0 else f"cuda:{given}"
    try:
        device = torch.device(given)  # type: ignore[call-overload]
    except (RuntimeError, TypeError) as error:
        raise UsageError(
            f'device={given!r} is none: type "cpu", "cuda", "cuda:1", 0, or -1 for the processor.'
        ) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(f'device={given!r} is a GPU, and PyTorch sees none here: type device="cpu".')
    return torch.device(device)


def type_of(precision: str, device: torch.device) -> torch.dtype:
    """The type of numbers. "auto": bf16 on a GPU that multiplies it itself, fp32 elsewhere."""
    if precision == "auto":
        native = device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= 8
        precision = "bf16" if native else "fp32"
    if precision not in _TYPES:
        raise UsageError(f"The engine of PyTorch has no precision {precision!r}: type one of {', '.join(_TYPES)}.")
    return _TYPES[precision]
