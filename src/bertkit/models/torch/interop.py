"""How a model is an instance of transformers' PreTrainedModel once transformers is imported.

The Trainer of transformers, peft and others test `isinstance(model, PreTrainedModel)` before they save a model with its
configuration or read its embeddings. PreTrainedModel is a plain class: other classes cannot be registered with it. If `type(x)`
is no subclass, isinstance tests `x.__class__`. For a model that is a twin: a subclass of the model's class and of
PreTrainedModel, which behaves like the model's class in every other way. `type(model)`, methods and attributes do not change, and
this module imports nothing of transformers.
"""

from __future__ import annotations

import copyreg
import functools
import inspect
import sys
from typing import Any


class Twin(type):
    """The metaclass of twins. A twin behaves like the class that it stands for, except in isinstance and issubclass."""

    def __new__(meta, name: str, bases: tuple[type, ...], body: dict[str, Any], **options: Any) -> Any:
        """Subclassing a twin, as FSDP and parametrizations do, subclasses the class that it stands for."""
        if any(isinstance(base, Twin) for base in bases):
            body = {"__module__": sys._getframe(1).f_globals["__name__"], **body}
            return type(name, tuple(map(own_class, bases)), body, **options)
        return super().__new__(meta, name, bases, body, **options)

    def __call__(cls, *arguments: Any, **named: Any) -> Any:
        return own_class(cls)(*arguments, **named)

    def __getattribute__(cls, name: str) -> Any:
        if name == "__signature__":  # else inspect describes __call__
            return inspect.signature(own_class(cls))
        value = getattr(own_class(cls), name)
        if name == "__new__":  # as in `cls = self.__class__; cls.__new__(cls)`
            return lambda made, *arguments, **named: value(own_class(made), *arguments, **named)
        return value

    def __setattr__(cls, name: str, value: Any) -> None:
        setattr(own_class(cls), name, value)

    def __delattr__(cls, name: str) -> None:
        delattr(own_class(cls), name)

    def __dir__(cls) -> list[str]:
        return dir(own_class(cls))

    def __repr__(cls) -> str:
        return repr(own_class(cls))

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, own_class(cls))

    def __subclasscheck__(cls, other: type) -> bool:
        return issubclass(other, own_class(cls))

    def __eq__(cls, other: object) -> bool:
        return own_class(cls) is (own_class(other) if isinstance(other, type) else other)

    def __hash__(cls) -> int:
        return hash(own_class(cls))


class _Quiet:
    """The first base of a twin. It keeps `__init_subclass__` of the other bases from running."""

    def __init_subclass__(cls) -> None:
        pass


def own_class(cls: type) -> type:
    """The class that a twin stands for. Any other class is returned unchanged."""
    return type.__getattribute__(cls, "_stands_for") if isinstance(cls, Twin) else cls


@functools.cache
def twin(own: Any, theirs: Any) -> type:
    """The twin of a model's class: a subclass of it and of PreTrainedModel."""
    plain = type(own) is type
    meta = Twin if plain else type("Twin", (Twin, type(own)), {})
    copyreg.pickle(meta, lambda twin: (own_class, (own_class(twin),)))

    return meta(own.__name__, (_Quiet, own, theirs), {"_stands_for": own})


_CLASS: Any = object.__dict__["__class__"]


class PassesForTheirs:
    """Attributes that transformers and peft expect of a model. Its `__class__` is the twin of its class."""

    def _own_or_twin(self) -> type:
        own: Any = type(self)
        module = sys.modules.get("transformers.modeling_utils")
        theirs = getattr(module, "PreTrainedModel", None)
        return own if theirs is None or theirs in own.__mro__ else twin(own, theirs)

    def _become(self, cls: type) -> None:
        _CLASS.__set__(self, own_class(cls))

    __class__ = property(_own_or_twin, _become)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """As for any object, without copyreg.__newobj__: pickle requires there that the type is `__class__`."""
        made = super().__reduce_ex__(protocol)
        if isinstance(made, tuple) and made[0] is copyreg.__newobj__:  # type: ignore[attr-defined]
            return (copyreg._reconstructor, (type(self), object, None), *made[2:])  # type: ignore[attr-defined]
        return made

    # Methods that they call.

    @classmethod
    def is_remote_code(cls) -> bool:
        """False: a model has no code in its files."""
        return False

    @classmethod
    def is_custom_code(cls) -> bool:
        """True: the class is not one of transformers, whose renamings of weights do not apply."""
        return True

    def get_expanded_tied_weights_keys(self, all_submodels: bool = False) -> dict[str, str]:
        """Empty: `tie_weights` ties the parameters."""
        return {}

    def _initialize_weights(self, module: Any, is_remote_code: bool = False) -> None:
        """Do nothing. As a part of a model of transformers, our weights are initialized already."""

    def _can_set_attn_implementation(self) -> bool:
        return False

    def _can_set_experts_implementation(self) -> bool:
        return False
