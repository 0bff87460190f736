"""Reading pickles without running them.

A pickle is a program: ``pickle.load`` on a file from the internet may execute anything. MANO and HO-3D come as pickles,
written by Python 2, and MANO's hold objects of ``chumpy``, a library that no longer imports on current NumPy.

This module does not restrict ``pickle.Unpickler``; it does not use it at all. It walks the instructions with a machine
of its own (:mod:`pickletools` only decodes their arguments) that knows numbers, text, containers and exactly these
constructions:

* NumPy arrays, dtypes and scalars of plain numbers and text, under the module names of NumPy 1 and 2;
* ``scipy.sparse`` matrices (csc, csr, coo), checked for consistent indices before SciPy sees them;
* ``_codecs.encode(text, 'latin1')``, which is how Python 3 writes bytes under protocol 2;
* ``set``, ``frozenset`` and empty ``bytes``;
* ``copy_reg._reconstructor``, which is how protocols 0 and 1 create an object;
* ``chumpy`` nodes, which become arrays where that needs no more than selecting, reshaping or transposing.

A name in a pickle is never imported and never called: it is looked up in a table of this module. There is no ``eval``,
no attribute access on a real object, no ``__setstate__``, no registry and no persistent id to abuse. Whatever is not
in the table is refused with its name.

A small file cannot grow large either: everything built is counted, before it is built, against one budget for the
whole file, and keys that could make a dictionary slow are refused.

Python 2 text is decoded as latin1 (as with ``encoding='latin1'``), which keeps every byte of an array.
"""

import io
import math
import pickletools
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import scipy.sparse

from hoiray.errors import ContractError, describe
from hoiray.hand.files import read_file

Array: TypeAlias = npt.NDArray[Any]
Sparse: TypeAlias = scipy.sparse.csc_array | scipy.sparse.csr_array | scipy.sparse.coo_array
Key: TypeAlias = str | bytes | int | float | bool | None
Item = TypeVar("Item")

MAX_BYTES: Final = 64 * 1024 * 1024
"""MANO_RIGHT.pkl has 3.8 MB, an HO-3D meta file 10 KB; nothing of the kind comes near this."""

MAX_INSTRUCTIONS: Final = 2_000_000
"""About 20 s of this interpreter; MANO needs some thousands, since an array's bytes are one instruction."""

MAX_DEPTH: Final = 64
"""Containers in containers. The limit keeps hostile nesting away from Python's own recursion limit."""

MAX_ARRAY_BYTES: Final = MAX_BYTES
"""A ``Select`` or a sparse shape could otherwise claim more memory than its file has bytes."""

MAX_BUILT_BYTES: Final = 4 * MAX_BYTES
"""What one file may make of itself: the bytes of its arrays as text, as bytes and as numbers, and its objects. Without
the limit 30 selections of 70 bytes, all from one array of 8 MB, took 2 GB."""

_OBJECT_BYTES: Final = 64
"""What an instruction is charged for the object it may make; 2 million of them take half the budget."""

_MEMBER_BYTES: Final = 64
"""What a member of a set takes in the set."""

_RESOLVED_BYTES: Final = 256
"""What the resolver keeps for each container and object, beside its copy, to recognise the next occurrence."""

_MAX_KEY_BITS: Final = 60
"""Python hashes an integer modulo 2 ** 61 - 1, so larger ones can all be made to collide: 20000 such keys took 5 s."""

_MAX_KEY_LENGTH: Final = 1024
"""Equal texts that are two objects are compared to their end, each time one is looked up."""

_MAX_AXES: Final = 32
"""NumPy 1 had no more."""

_MAX_MESSAGE: Final = 300
"""A refusal quotes the file, which may hold megabytes where a name should be."""

_PLAIN_DTYPE = re.compile(r"[<>=|]?(?:b1|[iu][1248]|f[248]|c(?:8|16)|[SU]\d{0,6}|\?)")
_MARK: Final = object()


class _Refusal(Exception):  # noqa: N818 - not an error of the reader but its verdict; becomes a ContractError
    """Why the program is not read; turned into a ContractError with the file's name."""


@dataclass
class _Budget:
    """How many bytes the file may still make."""

    left: int

    def charge(self, num_bytes: int) -> None:
        """Take bytes from the budget; called before what they are for is built.

        Raises:
            _Refusal: so many are not left.
        """
        self.left -= num_bytes
        if self.left < 0:
            raise _Refusal(f"data that takes more than {MAX_BUILT_BYTES} bytes")


@dataclass(frozen=True)
class _Global:
    """A name in the pickle. It stands for nothing but itself."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class _Pending:
    """An object under construction: its kind, what it was made from, and the state that BUILD brought."""

    kind: str
    class_name: str = ""
    made_from: tuple[object, ...] = ()
    state: object = None


def read_pickle(path: str | Path, *, max_bytes: int = MAX_BYTES) -> object:
    """Read a pickle file as data, executing nothing.

    Args:
        path: the file; Python 2 or 3, protocols 0 to 5.
        max_bytes: larger files are refused before they are read.

    Returns:
        Numbers, text, bytes, containers, NumPy arrays and scalars, SciPy sparse matrices. Chumpy objects are arrays.

    Raises:
        ContractError: the file is missing, cannot be read, is too large, empty, truncated or no pickle, or needs
            something this module does not construct, or more memory than a file may make of itself. The message names
            the file and the construction.
    """
    fix = "Check that it is the file you meant."
    content = read_file(Path(path), kind="a pickle", max_bytes=max_bytes, fix=fix)
    return parse_pickle(content, name=str(path))


def parse_pickle(data: bytes, *, name: str) -> object:
    """Read a pickle held in memory; see :func:`read_pickle`.

    Args:
        data: the pickle.
        name: what messages call it.

    Raises:
        ContractError: as for :func:`read_pickle`.
    """
    try:
        budget = _Budget(MAX_BUILT_BYTES)
        return _Resolver(budget).resolve(_Machine(budget).run(data))
    except _Refusal as refusal:
        found = str(refusal)[:_MAX_MESSAGE]
        fix = "Do not use a file you do not trust; convert one you trust to .npz where it was made."
        expected = "a pickle of plain data (numbers, text, containers, arrays)"
        raise ContractError(describe(what=name, expected=expected, found=found, fix=fix)) from None
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, UnicodeError) as error:
        found = f"a damaged one of {len(data)} bytes ({type(error).__name__}: {str(error)[:_MAX_MESSAGE]})"
        fix = "The file is truncated, damaged or no pickle: download or copy it again."
        raise ContractError(describe(what=name, expected="a complete pickle", found=found, fix=fix)) from error


@dataclass
class _Machine:
    """The pickle machine: a stack, a memo, and the instructions data needs."""

    budget: _Budget
    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def run(self, data: bytes) -> object:
        if not data:
            raise _Refusal("an empty file")
        file = io.BytesIO(data)
        for _ in range(MAX_INSTRUCTIONS):
            position = file.tell()
            instruction = _BY_CODE.get(file.read(1))
            if instruction is None:
                raise ValueError(f"no instruction at byte {position}")
            if instruction.name == "STOP":
                return self.stack.pop()
            action = _INSTRUCTIONS.get(instruction.name)
            if action is None:
                raise _Refusal(f"the instruction {instruction.name} at byte {position}, which plain data never needs")
            self.budget.charge(_OBJECT_BYTES)
            action(self, _read_argument(instruction, file))
        raise _Refusal(f"more than {MAX_INSTRUCTIONS} instructions")

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop_to_mark(self) -> list[Any]:
        start = len(self.stack) - 1
        while self.stack[start] is not _MARK:
            start -= 1
            if start < 0:
                raise _Refusal("a missing mark")
        items = self.stack[start + 1 :]
        del self.stack[start:]
        return items

    def top(self, kind: type[Item]) -> Item:
        target = self.stack[-1]
        if not isinstance(target, kind):
            raise _Refusal(f"an attempt to add items to a {type(target).__name__}")
        return target

    def add_pairs(self, items: list[Any]) -> None:
        target: dict[Key, object] = self.top(dict)
        if len(items) % 2:
            raise _Refusal("a dictionary with a key that has no value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[_hashable(key)] = value

    def make_tuple(self, count: int) -> None:
        items = tuple(self.stack[-count:])
        if len(items) < count or any(item is _MARK for item in items):
            raise _Refusal("a tuple with too few items")
        self.stack[-count:] = [items]

    def reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, _Global) or not isinstance(arguments, tuple):
            raise _Refusal("a call of something that is no name")
        self.push(_construct(function, arguments, self.budget))

    def new_object(self) -> None:
        arguments, cls = self.stack.pop(), self.stack.pop()
        if not isinstance(cls, _Global) or not isinstance(arguments, tuple) or arguments:
            raise _Refusal(f"an object created with arguments from {_quoted(cls)}")
        self.push(_new_instance(cls))

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, _Pending) or target.state is not None:
            raise _Refusal(f"a change of the state of a {type(target).__name__}")
        target.state = state


_BY_CODE: Final = {instruction.code.encode("latin-1"): instruction for instruction in pickletools.opcodes}


def _read_argument(instruction: pickletools.OpcodeInfo, file: io.BytesIO) -> object:
    """Decode what follows an instruction's code; nothing but bytes to text and numbers happens here."""
    # Two readers of pickletools are replaced: both undo escapes with a decoder that warns about unknown ones, and that
    # of STRING insists on ASCII, while Python 2 wrote the bytes of arrays into protocol 0.
    if instruction.name == "STRING":
        return _unquoted(_read_line(file))
    if instruction.name == "GLOBAL":
        return _Global(_read_line(file).decode("utf-8"), _read_line(file).decode("utf-8"))
    return None if instruction.arg is None else instruction.arg.reader(file)


def _read_line(file: io.BytesIO) -> bytes:
    line = file.readline()
    if not line.endswith(b"\n"):
        raise ValueError("it ends inside a line")
    return line.rstrip(b"\r\n")


_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|.?)", re.DOTALL)
_ESCAPED: Final[Mapping[bytes, bytes]] = {b"\\": b"\\", b"'": b"'", b'"': b'"', b"n": b"\n", b"r": b"\r", b"t": b"\t"}


def _unquoted(text: bytes) -> str:
    """Undo the repr of a Python 2 str, which escapes with a backslash, quotes, n, r, t and hexadecimal numbers."""
    if len(text) < 2 or text[0] != text[-1] or text[:1] not in {b"'", b'"'}:
        raise ValueError("a text without quotes")

    def plain(escape: re.Match[bytes]) -> bytes:
        code = escape[1]
        return bytes.fromhex(code[1:].decode()) if len(code) == 3 else _ESCAPED[code]

    return _ESCAPE.sub(plain, text[1:-1]).decode("latin-1")


def _quoted(value: object) -> str:
    """Name a value for a message; what is nested is not spelled out, since lists can double at every level."""
    is_flat = isinstance(value, tuple) and all(type(item) is int for item in value)
    return str(value) if is_flat or isinstance(value, str | int | _Global) else f"<{type(value).__name__}>"


def _hashable(key: object) -> Key:
    """Let only flat and small keys through.

    Hashing a deeply nested tuple would exhaust the C stack; large numbers and long texts make dictionaries slow.
    """
    if isinstance(key, int) and key.bit_length() > _MAX_KEY_BITS:
        raise _Refusal(f"a number of {key.bit_length()} bits as a dictionary key or set member")
    if isinstance(key, str | bytes) and len(key) > _MAX_KEY_LENGTH:
        raise _Refusal(f"a text of {len(key)} characters as a dictionary key or set member")
    if key is None or isinstance(key, str | bytes | int | float | bool):
        return key
    raise _Refusal(f"a {type(key).__name__} as a dictionary key or set member")


def _admit(module: str, name: str) -> _Global:
    """Admit a name of the table, or refuse it by name."""
    if (module, name) in _CONSTRUCTORS or (module, name) in _CLASSES or _is_chumpy(module):
        return _Global(module, name)
    raise _Refusal(f"the name {module}.{name}, which could run code")


def _is_chumpy(module: str) -> bool:
    return module == "chumpy" or module.startswith("chumpy.")


def _global(machine: _Machine, argument: _Global) -> None:
    machine.push(_admit(argument.module, argument.name))


def _stack_global(machine: _Machine, _argument: object) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    if type(name) is not str or type(module) is not str:
        raise _Refusal("a name that is not text")
    machine.push(_admit(module, name))


def _memoize(machine: _Machine, argument: int | None) -> None:
    machine.memo[len(machine.memo) if argument is None else argument] = machine.stack[-1]


def _append(machine: _Machine, _argument: object) -> None:
    item = machine.stack.pop()
    machine.top(list).append(item)


def _appends(machine: _Machine, _argument: object) -> None:
    items = machine.pop_to_mark()
    machine.top(list).extend(items)


def _set_item(machine: _Machine, _argument: object) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    machine.add_pairs([key, value])


def _add_items(machine: _Machine, _argument: object) -> None:
    items = machine.pop_to_mark()
    machine.top(set).update(_hashable(item) for item in items)


def _dict_from_mark(machine: _Machine, _argument: object) -> None:
    items = machine.pop_to_mark()
    machine.push({})
    machine.add_pairs(items)


_Action: TypeAlias = Callable[[_Machine, Any], object]


def _literal(machine: _Machine, argument: object) -> None:
    machine.push(argument)


def _constant(make: Callable[[], object]) -> _Action:
    return lambda machine, _argument: machine.push(make())


def _container(kind: type[list[Any]] | type[dict[Any, Any]] | type[set[Any]]) -> _Action:
    size = sys.getsizeof(kind())

    def push(machine: _Machine, _argument: object) -> None:
        machine.budget.charge(size)
        machine.push(kind())

    return push


_LITERALS: Final = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
)


def _tuple_of(count: int) -> _Action:
    return lambda machine, _argument: machine.make_tuple(count)


_INSTRUCTIONS: Final[Mapping[str, _Action]] = {
    **dict.fromkeys(_LITERALS, _literal),
    **dict.fromkeys(("PROTO", "FRAME"), lambda _machine, _argument: None),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _memoize),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda machine, index: machine.push(machine.memo[index])),
    **{f"TUPLE{count}": _tuple_of(count) for count in (1, 2, 3)},
    "BYTEARRAY8": lambda machine, argument: machine.push(bytes(argument)),
    "MARK": _constant(lambda: _MARK),
    "NONE": _constant(lambda: None),
    "NEWTRUE": _constant(lambda: True),
    "NEWFALSE": _constant(lambda: False),
    "EMPTY_LIST": _container(list),
    "EMPTY_TUPLE": _constant(tuple),
    "EMPTY_DICT": _container(dict),
    "EMPTY_SET": _container(set),
    "LIST": lambda machine, _: machine.push(machine.pop_to_mark()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_to_mark())),
    "FROZENSET": lambda machine, _: machine.push(frozenset(map(_hashable, machine.pop_to_mark()))),
    "DICT": _dict_from_mark,
    "APPEND": _append,
    "APPENDS": _appends,
    "SETITEM": _set_item,
    "SETITEMS": lambda machine, _: machine.add_pairs(machine.pop_to_mark()),
    "ADDITEMS": _add_items,
    "POP": lambda machine, _: machine.stack.pop(),
    "POP_MARK": lambda machine, _: machine.pop_to_mark(),
    "DUP": lambda machine, _: machine.push(machine.stack[-1]),
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": lambda machine, _: machine.reduce(),
    "NEWOBJ": lambda machine, _: machine.new_object(),
    "BUILD": lambda machine, _: machine.build(),
}


# --- what a name may construct -------------------------------------------------------------------------------------

_Constructor: TypeAlias = Callable[[tuple[Any, ...], _Budget], object]


def _construct(function: _Global, arguments: tuple[Any, ...], budget: _Budget) -> object:
    constructor = _CONSTRUCTORS.get((function.module, function.name))
    if constructor is None:
        raise _Refusal(f"a call of {function} with {len(arguments)} arguments")
    try:
        return constructor(arguments, budget)
    except (ValueError, TypeError) as error:
        raise _Refusal(f"a call of {function} with arguments that describe no data ({error})") from error


def _new_instance(cls: _Global) -> _Pending:
    kind = "chumpy" if _is_chumpy(cls.module) else _CLASSES.get((cls.module, cls.name), "")
    if kind not in {"chumpy", "csc", "csr", "coo"}:
        raise _Refusal(f"an instance of {cls}")
    return _Pending(kind, class_name=str(cls))


def _make_reconstructed(arguments: tuple[Any, ...], _budget: _Budget) -> _Pending:
    cls, base, state = arguments
    if not isinstance(cls, _Global) or not isinstance(base, _Global) or base.name != "object" or state is not None:
        raise _Refusal("a copy_reg._reconstructor call on something else than a plain object")
    return _new_instance(cls)


def _make_empty_array(arguments: tuple[Any, ...], _budget: _Budget) -> _Pending:
    subtype, shape, kind = arguments
    if not isinstance(subtype, _Global) or _CLASSES.get((subtype.module, subtype.name)) != "ndarray":
        raise _Refusal(f"an array of the class {_quoted(subtype)}")
    if shape != (0,) or kind not in ("b", b"b"):  # compared, not looked up: a nested tuple takes for ever to hash
        raise _Refusal("an array that is not made empty")
    return _Pending("ndarray")


def _make_dtype(arguments: tuple[Any, ...], _budget: _Budget) -> _Pending:
    if len(arguments) != 3 or type(arguments[0]) is not str:
        raise _Refusal("a NumPy dtype that is no plain one")
    return _Pending("dtype", made_from=arguments)


def _make_bytes(arguments: tuple[Any, ...], budget: _Budget) -> bytes:
    text, encoding = arguments
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise _Refusal("bytes in an encoding other than latin1")
    budget.charge(len(text))
    return text.encode("latin-1")


def _make_no_bytes(arguments: tuple[Any, ...], _budget: _Budget) -> bytes:
    if arguments:
        raise _Refusal("bytes made from something")
    return b""


def _make_collection(kind: type[set[Any]] | type[frozenset[Any]]) -> _Constructor:
    def make(arguments: tuple[Any, ...], budget: _Budget) -> object:
        (items,) = arguments
        if type(items) is not list:
            raise _Refusal("a set made from something else than a list")
        budget.charge(_MEMBER_BYTES * len(items))
        return kind(_hashable(item) for item in items)

    return make


def _make_pending(kind: str, count: int) -> _Constructor:
    def make(arguments: tuple[Any, ...], _budget: _Budget) -> _Pending:
        if len(arguments) != count:
            raise _Refusal(f"a {kind} of {len(arguments)} arguments")
        return _Pending(kind, made_from=arguments)

    return make


_NUMPY_CORES: Final = ("numpy.core", "numpy._core")

_CONSTRUCTORS: Final[Mapping[tuple[str, str], _Constructor]] = {
    **{(f"{core}.multiarray", "_reconstruct"): _make_empty_array for core in _NUMPY_CORES},
    **{(f"{core}.multiarray", "scalar"): _make_pending("scalar", 2) for core in _NUMPY_CORES},
    **{(f"{core}.numeric", "_frombuffer"): _make_pending("frombuffer", 4) for core in _NUMPY_CORES},
    ("numpy", "dtype"): _make_dtype,
    ("_codecs", "encode"): _make_bytes,
    # Python 3 writes empty bytes, and so the content of an empty array, as a call of bytes without arguments.
    **{(builtins, "bytes"): _make_no_bytes for builtins in ("__builtin__", "builtins")},
    **{(builtins, "set"): _make_collection(set) for builtins in ("__builtin__", "builtins")},
    **{(builtins, "frozenset"): _make_collection(frozenset) for builtins in ("__builtin__", "builtins")},
    **{(registry, "_reconstructor"): _make_reconstructed for registry in ("copy_reg", "copyreg")},
}
"""Names that may be called, and what stands in for the call."""

_CLASSES: Final[Mapping[tuple[str, str], str]] = {
    ("numpy", "ndarray"): "ndarray",
    ("__builtin__", "object"): "object",
    ("builtins", "object"): "object",
    **{
        (f"scipy.sparse.{module}", f"{layout}_{suffix}"): layout
        for layout in ("csc", "csr", "coo")
        for module in (layout, f"_{layout}")
        for suffix in ("matrix", "array")
    },
}
"""Names that may be a class, and the kind of thing they are."""


# --- from pending objects to data ------------------------------------------------------------------------------------


class _Resolver:
    """Replaces pending objects by the data they describe; an object that occurs twice is built once."""

    def __init__(self, budget: _Budget) -> None:
        self._budget = budget
        self._done: dict[int, tuple[object, object]] = {}
        self._open: set[int] = set()

    def resolve(self, value: object) -> object:
        """Return ``value`` with every pending object inside replaced.

        Raises:
            _Refusal: it contains itself, is nested too deeply, or describes no data.
        """
        if isinstance(value, _Global) or value is _MARK:
            raise _Refusal(f"the bare name {value}" if isinstance(value, _Global) else "a stray mark")
        if not isinstance(value, _Pending | list | tuple | dict):
            return value
        key = id(value)
        if key in self._done:
            return self._done[key][1]
        if key in self._open or len(self._open) >= MAX_DEPTH:
            raise _Refusal(f"data that contains itself or is nested deeper than {MAX_DEPTH}")
        self._open.add(key)
        result = self._build(value)
        self._open.discard(key)
        self._done[key] = (value, result)  # holding value keeps its id from being given to another object
        return result

    def _build(self, value: _Pending | list[object] | tuple[object, ...] | dict[Key, object]) -> object:
        self._budget.charge(sys.getsizeof(value) + _RESOLVED_BYTES)  # a container is copied, without what is in it
        if isinstance(value, list):
            return [self.resolve(item) for item in value]
        if isinstance(value, tuple):
            return tuple(self.resolve(item) for item in value)
        if isinstance(value, dict):
            return {key: self.resolve(item) for key, item in value.items()}
        return self._BUILDERS[value.kind](self, value)

    def _dtype(self, pending: _Pending) -> np.dtype[Any]:
        code, state = pending.made_from[0], self.resolve(pending.state)
        if state is not None:
            # (version, byte order, subarray, field names, fields, size, alignment, flags)
            if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", ">", "|", "="):
                raise _Refusal("a NumPy dtype of no known state")
            if state[2:5] != (None, None, None):
                raise _Refusal("a NumPy dtype with fields")
            code = f"{state[1]}{code}"
        if not isinstance(code, str) or not _PLAIN_DTYPE.fullmatch(code):
            raise _Refusal(f"a NumPy dtype {code!r}, which is none of plain numbers or text")
        return np.dtype(code)

    def _array(self, pending: _Pending) -> Array:
        state = self.resolve(pending.state)
        if not isinstance(state, tuple) or len(state) != 5:
            raise _Refusal("an array without content")
        _version, shape, dtype, is_fortran, content = state
        return _array_from_bytes(content, dtype, shape, self._budget, is_fortran=bool(is_fortran))

    def _frombuffer(self, pending: _Pending) -> Array:
        content, dtype, shape, order = (self.resolve(part) for part in pending.made_from)
        return _array_from_bytes(content, dtype, shape, self._budget, is_fortran=order == "F")

    def _scalar(self, pending: _Pending) -> np.generic:
        dtype, content = (self.resolve(part) for part in pending.made_from)
        scalar: np.generic = _array_from_bytes(content, dtype, (1,), self._budget, is_fortran=False)[0]
        return scalar

    def _sparse(self, pending: _Pending) -> Sparse:
        state = self.resolve(pending.state)
        if not isinstance(state, dict):
            raise _Refusal(f"a {pending.class_name} without state")
        # SciPy before 1.0 wrote "shape"; since 1.13 a coo matrix has "coords" in place of "row" and "col".
        shape = state.get("_shape", state.get("shape"))
        if pending.kind == "coo":
            row, column = state["coords"] if "coords" in state else (state["row"], state["col"])
            self._charge_copies(state["data"], row, column)
            return _checked_coo(shape, state["data"], row, column)
        parts = (state["data"], state["indices"], state["indptr"])
        self._charge_copies(*parts)
        return _checked_compressed(pending.kind, shape, *parts)

    def _charge_copies(self, *parts: object) -> None:
        # SciPy copies what has not the type it likes best.
        self._budget.charge(sum(part.nbytes for part in parts if isinstance(part, np.ndarray)))

    def _chumpy(self, pending: _Pending) -> Array:
        attributes = pending.state
        if not isinstance(attributes, dict):
            raise _Refusal(f"a {pending.class_name} without state")
        evaluate = _CHUMPY_NODES.get(pending.class_name)
        if evaluate is None:
            raise _Refusal(f"a {pending.class_name}, a chumpy expression this reader cannot evaluate")
        # Only what the node needs is resolved: the rest is chumpy's bookkeeping.
        needed = {key: self.resolve(attributes[key]) for key in evaluate.needs if key in attributes}
        array = evaluate.value(needed, self._budget)
        if array.dtype.kind not in "biuf" or array.nbytes > MAX_ARRAY_BYTES:
            raise _Refusal(f"a {pending.class_name} that holds no plain array")
        return array

    _BUILDERS: Final[Mapping[str, Callable[["_Resolver", _Pending], object]]] = {
        "dtype": _dtype,
        "ndarray": _array,
        "frombuffer": _frombuffer,
        "scalar": _scalar,
        "csc": _sparse,
        "csr": _sparse,
        "coo": _sparse,
        "chumpy": _chumpy,
    }


def _array_from_bytes(content: object, dtype: object, shape: object, budget: _Budget, *, is_fortran: bool) -> Array:
    """Build an array from its bytes, which must fill its shape exactly; the result owns its memory."""
    if isinstance(content, str):
        budget.charge(len(content))
        content = content.encode("latin-1")
    if not isinstance(content, bytes) or not isinstance(dtype, np.dtype):
        raise _Refusal("an array whose content is no bytes")
    if not isinstance(shape, tuple) or len(shape) > _MAX_AXES or not all(_is_size(size) for size in shape):
        raise _Refusal(f"an array of the shape {_quoted(shape)}")
    if math.prod(shape) * dtype.itemsize != len(content):
        raise _Refusal(f"an array of the shape {shape} and type {dtype} in {len(content)} bytes")
    budget.charge(len(content))
    flat: Array = np.frombuffer(content, dtype=dtype) if content else np.empty(0, dtype=dtype)
    return flat.reshape(shape, order="F" if is_fortran else "C").astype(dtype.newbyteorder("="), order="C")


def _is_size(size: object) -> bool:
    # Bounded on its own: the product of numbers of a megabyte each would take minutes.
    return type(size) is int and 0 <= size <= MAX_ARRAY_BYTES


def _sparse_shape(shape: object) -> tuple[int, int]:
    sizes = [int(size) if isinstance(size, np.integer) else size for size in shape] if isinstance(shape, tuple) else []
    if len(sizes) != 2 or not all(_is_size(size) for size in sizes) or math.prod(sizes) * 8 > MAX_ARRAY_BYTES:
        raise _Refusal(f"a sparse matrix of the shape {_quoted(shape)}")
    rows, columns = sizes
    return rows, columns


def _flat(part: object, kinds: str) -> Array:
    if not isinstance(part, np.ndarray) or part.ndim != 1 or part.dtype.kind not in kinds:
        raise _Refusal("a sparse matrix whose parts are no lists of numbers")
    return part


def _checked_coo(shape: object, data: object, row: object, column: object) -> Sparse:
    rows, columns = _sparse_shape(shape)
    values, row, column = _flat(data, "biuf"), _flat(row, "iu"), _flat(column, "iu")
    if not len(values) == len(row) == len(column) or not _within(row, rows) or not _within(column, columns):
        raise _Refusal(_LEAVES_SHAPE)
    return scipy.sparse.coo_array((values, (row, column)), shape=(rows, columns))


def _checked_compressed(layout: str, shape: object, data: object, indices: object, indptr: object) -> Sparse:
    rows, columns = _sparse_shape(shape)
    values, indices, starts = _flat(data, "biuf"), _flat(indices, "iu"), _flat(indptr, "iu")
    major, minor = (columns, rows) if layout == "csc" else (rows, columns)
    # SciPy's C++ trusts these numbers: one index too large would read foreign memory.
    if len(starts) != major + 1 or starts[0] != 0 or not starts[-1] == len(indices) == len(values):
        raise _Refusal(_LEAVES_SHAPE)
    if bool(np.any(np.diff(starts.astype(np.int64)) < 0)) or not _within(indices, minor):
        raise _Refusal(_LEAVES_SHAPE)
    make = scipy.sparse.csc_array if layout == "csc" else scipy.sparse.csr_array
    return make((values, indices, starts), shape=(rows, columns))


_LEAVES_SHAPE: Final = "a sparse matrix whose indices leave its shape"


def _within(indices: Array, size: int) -> bool:
    return bool(np.all((indices >= 0) & (indices < size)))


@dataclass(frozen=True)
class _ChumpyNode:
    """How to evaluate one chumpy class: the attributes it needs, and what it does with them."""

    needs: tuple[str, ...]
    value: Callable[[Mapping[str, object], _Budget], Array]


def _plain(attributes: Mapping[str, object], key: str, budget: _Budget) -> Array:
    value = attributes.get(key)
    if isinstance(value, Sparse):
        budget.charge(math.prod(value.shape) * value.dtype.itemsize)
        return value.toarray()
    if not isinstance(value, np.ndarray | np.generic | int | float):
        raise _Refusal(f"a chumpy node whose attribute {key!r} is a {type(value).__name__}")
    return np.asarray(value)


def _integers(attributes: Mapping[str, object], key: str) -> tuple[int, ...] | None:
    """Return a shape or an order of axes; None where there is none."""
    value = attributes.get(key)
    if value is None:
        return None
    # Taken apart here and not by NumPy, which would walk into lists of lists that a file makes double at every level.
    parts = value.tolist() if isinstance(value, np.ndarray) and value.size <= _MAX_AXES else value
    parts = parts if isinstance(parts, list | tuple) else [parts]
    sizes = tuple(part.item() if isinstance(part, np.integer) else part for part in parts[: _MAX_AXES + 1])
    if len(sizes) > _MAX_AXES or not all(type(size) is int and abs(size) <= MAX_ARRAY_BYTES for size in sizes):
        raise _Refusal(f"a chumpy node whose attribute {key!r} is a {type(value).__name__}")
    return sizes


def _select(attributes: Mapping[str, object], budget: _Budget) -> Array:
    values, places = _plain(attributes, "a", budget), _plain(attributes, "idxs", budget)
    # The values in one row, the places as int64, and what they select.
    budget.charge(values.nbytes + places.size * (8 + values.dtype.itemsize))
    chosen = values.ravel()[places.astype(np.int64)]
    shape = _integers(attributes, "preferred_shape")
    return chosen if shape is None else chosen.reshape(shape)


def _reshape(attributes: Mapping[str, object], budget: _Budget) -> Array:
    values, shape = _plain(attributes, "a", budget), _integers(attributes, "newshape")
    budget.charge(values.nbytes)
    return values.reshape((-1,) if shape is None else shape)


def _transpose(attributes: Mapping[str, object], budget: _Budget) -> Array:
    return np.transpose(_plain(attributes, "a", budget), _integers(attributes, "axes"))


_CHUMPY_NODES: Final[Mapping[str, _ChumpyNode]] = {
    **{
        f"{module}.Ch": _ChumpyNode(("x",), lambda attributes, budget: _plain(attributes, "x", budget))
        for module in ("chumpy", "chumpy.ch")
    },
    "chumpy.reordering.Select": _ChumpyNode(("a", "idxs", "preferred_shape"), _select),
    "chumpy.reordering.Reshape": _ChumpyNode(("a", "newshape"), _reshape),
    "chumpy.reordering.transpose": _ChumpyNode(("a", "axes"), _transpose),
}
"""The nodes of chumpy's ``ch.py`` and ``reordering.py`` that only move numbers."""
