"""How models and tokenizers are instances of classes of transformers once transformers is imported.

The Trainer of transformers, peft and others test `isinstance(model, PreTrainedModel)` before they save a model with its
configuration or read its embeddings; the Trainer tests `isinstance(tokenizer, PreTrainedTokenizerBase)` before it pads. Both
are plain classes: other classes cannot be registered with them. If `type(x)` is no subclass, isinstance tests `x.__class__`.
That is a twin here: a subclass of the object's class and of theirs, which behaves like the object's class in every other
way. `type(model)`, methods and attributes do not change, and this module imports nothing of transformers.
"""

from __future__ import annotations

import copyreg
import functools
import inspect
import sys
from typing import Any, ClassVar


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
    """The twin of a class: a subclass of it and of one of transformers."""
    plain = type(own) is type
    meta = Twin if plain else type("Twin", (Twin, type(own)), {})
    copyreg.pickle(meta, lambda twin: (own_class, (own_class(twin),)))
    made: type = meta(own.__name__, (_Quiet, own, theirs), {"_stands_for": own})
    return made


_CLASS: Any = object.__dict__["__class__"]


class PassesForTheirs:
    """An object whose `__class__` is the twin of its class and of a class of transformers."""

    _theirs: ClassVar[tuple[str, str]]
    """The module and the name of that class."""

    def _own_or_twin(self) -> type:
        own: Any = type(self)
        module, name = own._theirs
        theirs = getattr(sys.modules.get(module), name, None)
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
