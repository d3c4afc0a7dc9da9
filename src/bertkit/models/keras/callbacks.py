"""Callbacks for `fit`: metrics of a whole dataset, and uploads to the Hub."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bertkit.errors import MissingExtraError, UsageError
from bertkit.heads import IGNORED


class KerasMetricCallback(keras.callbacks.Callback):
    """Compute metrics of a whole dataset after each epoch, and write them into the logs.

    metric_fn: takes (predictions, labels) and returns a dict of metrics.
    eval_dataset: a tf.data.Dataset of batches; or arrays, with `batch_size`.
    output_cols: names of the outputs in predictions; None: all but the loss. One output is an array, several are a dict.
    label_cols: names of labels among the inputs; None: separate labels, "labels", or the positions of answers.
    """

    def __init__(
        self,
        metric_fn: Callable[[Any], Mapping[str, Any]],
        eval_dataset: Any,
        output_cols: Sequence[str] | None = None,
        label_cols: Sequence[str] | None = None,
        batch_size: int | None = None,
        predict_with_generate: bool = False,
        use_xla_generation: bool = False,
        generate_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if predict_with_generate:
            raise UsageError("predict_with_generate is not supported: leave it out.")
        if not isinstance(eval_dataset, tf.data.Dataset):
            if batch_size is None:
                raise UsageError("An eval_dataset of arrays needs a batch_size: for example batch_size=8.")
            eval_dataset = tf.data.Dataset.from_tensor_slices(eval_dataset).batch(batch_size)
        self.metric_fn, self.eval_dataset, self.output_cols = metric_fn, eval_dataset, output_cols
        spec = eval_dataset.element_spec
        self.separate_labels = isinstance(spec, tuple) and len(spec) > 1 and label_cols is None
        inputs = spec[0] if isinstance(spec, tuple) else spec
        candidates = [list(label_cols)] if label_cols else [["labels"], ["start_positions", "end_positions"]]
        self.label_cols = next((names for names in candidates if set(names) <= set(inputs)), [])
        if not self.separate_labels and not self.label_cols:
            raise UsageError(
                f"Unknown labels in a dataset of {', '.join(inputs)}: type label_cols=[...] with the names of the labels."
            )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Predict all batches, and compute the metrics."""
        predictions, labels = [], []
        for batch in self.eval_dataset:
            inputs, labelled = (batch[0], batch[1]) if isinstance(batch, tuple) else (batch, None)
            found = dict(self.model.predict_on_batch(inputs))
            names = self.output_cols or [name for name in found if name != "loss"]
            predictions.append({name: found[name] for name in names})
            labels.append(
                _named(labelled if self.separate_labels else {name: inputs[name] for name in self.label_cols})
            )
        scores = self.metric_fn((_joined(predictions), _joined(labels)))
        if not isinstance(scores, Mapping):
            raise UsageError(f"metric_fn returned {type(scores).__name__}, and must return a dict of metrics.")
        if logs is not None:
            logs.update(scores)


def _named(labels: Any) -> dict[Any, Any]:
    if isinstance(labels, Mapping):
        return dict(labels)
    return dict(enumerate(labels if isinstance(labels, (tuple, list)) else [labels]))


def _joined(batches: Sequence[Mapping[Any, Any]]) -> Any:
    """Concatenate the rows of all batches, shorter ones padded with -100. One column becomes an array."""
    found = {name: _rows([np.asarray(batch[name]) for batch in batches]) for name in batches[0]}
    return next(iter(found.values())) if len(found) == 1 else found


def _rows(batches: Sequence[Any]) -> Any:
    if batches[0].ndim < 2 or len({batch.shape[1:] for batch in batches}) == 1:
        return np.concatenate(batches)
    width = max(batch.shape[1] for batch in batches)
    padded = [
        np.pad(x, [(0, 0), (0, width - x.shape[1]), *[(0, 0)] * (x.ndim - 2)], constant_values=IGNORED) for x in batches
    ]
    return np.concatenate(padded)


class PushToHubCallback(keras.callbacks.Callback):
    """Save the model and upload it to the Hub after each epoch, after each `save_steps` steps, or only after training.

    hub_model_id: the repository, which is created if it does not exist; None: the name of `output_dir`.
    checkpoint: also upload the state of the optimizer, as `checkpoint.weights.h5`. Only with save_strategy="epoch".
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        save_strategy: str = "epoch",
        save_steps: int | None = None,
        tokenizer: Any = None,
        hub_model_id: str | None = None,
        hub_token: str | None = None,
        checkpoint: bool = False,
        **model_card_args: Any,
    ) -> None:
        super().__init__()
        self.save_strategy = str(getattr(save_strategy, "value", save_strategy)).lower()
        if self.save_strategy not in ("epoch", "steps", "no"):
            raise UsageError(f'save_strategy is {save_strategy!r}, and must be "epoch", "steps" or "no".')
        if self.save_strategy == "steps" and (not isinstance(save_steps, int) or save_steps < 1):
            raise UsageError(f'save_strategy="steps" needs save_steps, a positive whole number, not {save_steps!r}.')
        if checkpoint and self.save_strategy != "epoch":
            raise UsageError('checkpoint=True needs save_strategy="epoch".')
        try:
            from huggingface_hub import HfApi
        except ModuleNotFoundError as error:
            raise MissingExtraError("huggingface_hub", None, "PushToHubCallback") from error
        self.save_steps, self.tokenizer, self.checkpoint = save_steps, tokenizer, checkpoint
        self.model_card_args = model_card_args
        self.history: list[Mapping[str, Any]] = []
        self.output_dir = Path(output_dir)
        self.api = HfApi(token=hub_token)
        self.hub_model_id = self.api.create_repo(hub_model_id or self.output_dir.absolute().name, exist_ok=True).repo_id
        self.last: Future[Any] | None = None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Upload after each `save_steps` steps."""
        if self.save_strategy == "steps" and (batch + 1) % int(self.save_steps or 1) == 0:
            self._upload(f"Training in progress, step {batch + 1}")

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Upload after each epoch."""
        self.history.append({"epoch": epoch, **(logs or {})})
        if self.save_strategy == "epoch":
            self._upload(f"Training in progress, epoch {epoch + 1}")

    def on_train_end(self, logs: Any = None) -> None:
        """Upload the trained model, and wait for it."""
        if self.last is not None:
            self.last.result()
        self._upload("End of training")
        assert self.last is not None
        self.last.result()

    def _upload(self, message: str) -> None:
        """Save, and upload in the background. Does nothing if an earlier upload is still running."""
        if self.last is not None and not self.last.done():
            return
        self.model.save_pretrained(self.output_dir)
        if self.tokenizer is not None:
            self.tokenizer.save_pretrained(self.output_dir)
        if self.checkpoint:
            self.model.save_weights(self.output_dir / "checkpoint.weights.h5")
        (self.output_dir / "README.md").write_text("\n".join(self._card()), encoding="utf-8")
        self.last = self.api.upload_folder(
            repo_id=self.hub_model_id, folder_path=self.output_dir, commit_message=message, run_as_future=True
        )

    def _card(self) -> Iterable[str]:
        yield from (
            "---",
            "library_name: keras",
            *[f"{name}: {value}" for name, value in self.model_card_args.items()],
            "---",
        )
        yield f"\n# {self.hub_model_id.rpartition('/')[2]}\n"
        for epoch in self.history:
            yield ", ".join(f"{name} {value:.4g}" for name, value in epoch.items())
