"""AdamW with the parameter table's groups, and the schedule of its learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from torch import nn

from bertkit.errors import Setting, UsageError, received
from bertkit.models.torch.encoder_decoder import EncoderDecoderModel
from bertkit.models.torch.loading import table_of
from bertkit.parameters import Parameter
from bertkit.training.rows import RowAdamW


def learning_rate_factor(step: float, total: int, warmup: float, schedule: str) -> float:
    """Return the factor of the learning rate at a step. `warmup` is a number of steps, or below 1 their share of the total.

    >>> [learning_rate_factor(step, 10, 0.2, "linear") for step in (0, 1, 2, 6, 10)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    rising = min(math.ceil(total * warmup), total - 1) if warmup < 1 else int(warmup)  # a run of one step trains
    if step < rising:
        return step / rising
    if schedule == "constant":
        return 1.0
    done = (step - rising) / max(total - rising, 1)
    return max(0.0, 0.5 * (1 + math.cos(math.pi * done)) if schedule == "cosine" else 1 - done)


def optimizer_of(
    model: nn.Module,
    lr: float,
    weight_decay: float = 0.01,
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
    layer_decay: float = 1.0,
) -> RowAdamW:
    """Return fused AdamW for the parameters of a model that are trained.

    Matrices decay, norms and biases do not. With `layer_decay`, the learning rate of each layer is that of the layer above it
    times this factor; embeddings are below the first layer, and the head has the full rate.
    """
    rows = _rows(model)
    depth = 1 + max((row.layer for row in rows.values() if row.layer is not None), default=-1)
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        row = rows.get(name)
        decays = row.decays if row else parameter.dim() > 1
        scale = layer_decay ** (depth + 1 - _height(row, depth))
        groups.setdefault((decays, scale), []).append(parameter)
    if not groups:
        raise UsageError("All parameters are frozen, so that nothing can be trained: leave freeze out.")
    options = [
        {"params": some, "weight_decay": weight_decay if decays else 0.0, "lr": lr * scale, "initial_lr": lr * scale}
        for (decays, scale), some in groups.items()
    ]
    return RowAdamW(options, lr=lr, betas=betas, eps=epsilon, fused=True)


def _rows(model: Any) -> dict[str, Parameter]:
    """Return the rows of the parameter table by the names of a model's parameters, also within adapters of peft."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if isinstance(base, EncoderDecoderModel):
        parts = {"encoder": base.encoder, "decoder": base.decoder}
        return {f"{name}.{path}": row for name, part in parts.items() for path, row in table_of(part).items()}
    return dict(table_of(base)) if hasattr(base, "config") else {}


def _height(row: Parameter | None, depth: int) -> int:
    """Return 0 for embeddings, 1 for the first layer, and the number of layers plus 1 for the head."""
    if row is None:
        return depth + 1
    if row.layer is not None:
        return row.layer + 1
    return 0 if ".embeddings." in f".{row.name}" else depth + 1


def freeze(model: Any, parts: str | None) -> None:
    """Exclude parts from training: "embeddings", "encoder" (all but the head), or "2" for embeddings and two layers."""
    if parts is None:
        return
    bert = model.base_model
    layers: Iterable[nn.Module] = bert.encoder.layer
    if parts == "encoder":
        chosen: list[nn.Module] = [bert.embeddings, bert.encoder]
    elif parts == "embeddings":
        chosen = [bert.embeddings]
    elif parts.isdecimal() and int(parts) <= len(bert.encoder.layer):
        chosen = [bert.embeddings, *list(layers)[: int(parts)]]
    else:
        most = len(bert.encoder.layer)
        advice = Setting("freeze", "embeddings")
        raise UsageError(
            received("freeze", parts), " is invalid: type ", advice, f', "encoder", or a number of layers up to {most}.'
        )
    for module in chosen:
        module.requires_grad_(False)
