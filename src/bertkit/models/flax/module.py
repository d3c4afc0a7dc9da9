"""A model with the call of a Flax module."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bertkit.errors import UsageError
from bertkit.models.flax import arguments


class Module:
    """A model as a function of its variables: `module.apply({"params": params}, input_ids, ...)`."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.config, self.dtype = model.config, model.dtype

    def apply(
        self,
        variables: Mapping[str, Any],
        *inputs: Any,
        rngs: Mapping[str, Any] | None = None,
        mutable: bool | str | Iterable[str] = False,
        deterministic: bool = True,
        output_attentions: bool | Sequence[int] = False,
        output_hidden_states: bool = False,
        return_dict: bool = True,
        **named_inputs: Any,
    ) -> Any:
        """The output object. With mutable=["cache"], a pair of the output object and {"cache": ...}.

        variables: "params", and with past tokens of a decoder also "cache".
        inputs: in the order of the class: input_ids, attention_mask, token_type_ids, position_ids, head_mask, ...
        rngs: {"dropout": key}, required for deterministic=False.
        """
        model, cache = self._model, variables.get("cache")
        if cache and not mutable:
            raise UsageError(
                'A forward returns a new cache: type mutable=["cache"], and take it from the returned pair.'
            )
        given = {**dict(zip(model._order, inputs, strict=False)), **named_inputs, "cache": cache}
        output = model._answer(
            variables["params"],
            arguments.check(model, given),
            model._mode(output_attentions, output_hidden_states, not deterministic),
            model._dropout_key((rngs or {}).get("dropout"), not deterministic),
        )
        cache = output.pop("past_key_values", None)
        output = output if return_dict else output.to_tuple()
        return (output, {} if cache is None else {"cache": cache}) if mutable else output

    def init(self, rngs: Any, *_: Any, init_cache: bool = False, **__: Any) -> dict[str, Any]:
        """{"params": random parameters}. rngs: a key, or {"params": key}. The other arguments have no effect."""
        rng = rngs["params"] if isinstance(rngs, Mapping) else rngs
        return {"params": self._model.init_weights(rng)}
