"""Mappings and lists that cannot be changed: what a configuration holds is what its fingerprint names."""

from typing import Never, TypeVar

Value = TypeVar("Value")


class FrozenDict(dict[str, object]):
    """A ``dict`` that refuses every change; equal to a plain one, and hashable where its values are.

    A subclass, so that predictors can hand their options on as they are (``json.dumps``, ``**options``).
    """

    def _refuse(self, *_: object, **__: object) -> Never:
        raise TypeError("a configuration cannot be changed; copy it with dict(...), or model_copy(update=...)")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]  # dict says None: unhashable, because it may change
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[type["FrozenDict"], tuple[dict[str, object]]]:
        return FrozenDict, (dict(self),)


class FrozenList(list[object]):
    """A ``list`` that refuses every change; equal to a plain one, and hashable where its values are."""

    def _refuse(self, *_: object, **__: object) -> Never:
        raise TypeError("a configuration cannot be changed; copy it with list(...), or model_copy(update=...)")

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse

    def __hash__(self) -> int:  # type: ignore[override]  # list says None: unhashable, because it may change
        return hash(tuple(self))

    def __reduce__(self) -> tuple[type["FrozenList"], tuple[list[object]]]:
        return FrozenList, (list(self),)


def frozen(value: Value) -> Value:
    """Return an equal value whose dicts and lists, at every depth, refuse to be changed."""
    made: object = value
    if isinstance(value, dict):
        made = FrozenDict({key: frozen(child) for key, child in value.items()})
    elif isinstance(value, list):
        made = FrozenList(frozen(child) for child in value)
    return made  # type: ignore[return-value]  # a FrozenDict is a dict, a FrozenList a list
