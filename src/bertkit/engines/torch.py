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

Array = NDArray[Any]
_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_OF_SEQUENCES = {
    "ForSequenceClassification": "classifier",
    "ForMultipleChoice": "classifier",
    "ForNextSentencePrediction": "cls.seq_relationship",
}


class TorchEngine:
    """One class of BERT in PyTorch. A model of `bertkit` can be given to it, and stays as it is.

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
        return cls(model.to(place).eval())

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
            layers = layers_of(want)
            states = self._body(
                self._tensor(batch.input_ids),
                token_type_ids=self._tensor(batch.token_type_ids),
                lengths=batch.lengths.tolist(),
                output_hidden_states=bool(set(layers) - {self.config.num_hidden_layers}),
                output_attentions=False,
                return_dict=True,
            )
            outputs = {name: value for name, value in self._answers(batch, want, states).items() if name in want}
            for layer in layers:
                last = layer == self.config.num_hidden_layers
                outputs[f"hidden_states.{layer}"] = states.last_hidden_state if last else states.hidden_states[layer]
            if "pooler_output" in want:
                outputs["pooler_output"] = states.pooler_output
            return {name: value.float().cpu().numpy() for name, value in outputs.items()}

    def _answers(self, batch: Batch, want: Collection[str], states: Any) -> dict[str, torch.Tensor]:
        """What the head makes of the states."""
        x, model = states.last_hidden_state, self.model
        if self.head == "ForMaskedLM" and {"logits", "label_log_probs"} & set(want):
            logits = model.cls.predictions(x if batch.positions is None else x[self._tensor(batch.positions)])
            if "label_log_probs" not in want:
                return {"logits": logits}
            assert batch.labels is not None
            logs = logits.float().log_softmax(-1).gather(1, self._tensor(batch.labels)[:, None])[:, 0]
            return {"logits": logits, "label_log_probs": logs}
        if self.head == "ForQuestionAnswering" and "start_logits" in want:
            start, end = model.qa_outputs(x).unbind(-1)
            return {"start_logits": start, "end_logits": end}
        if self.head in _OF_SEQUENCES and "logits" in want:
            logits = model.get_submodule(_OF_SEQUENCES[self.head])(states.pooler_output)
            return {"logits": logits[:, 0] if self.head == "ForMultipleChoice" else logits}
        return {"logits": model.classifier(x)} if self.head == "ForTokenClassification" and "logits" in want else {}

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
