"""Facts about reading pickles without running them.

Attacks are real: each one, given to ``pickle.loads``, does what it says, and a test shows that the canary works.
"""

import builtins
import codecs
import contextlib
import copyreg
import io
import os
import pickle
import struct
import subprocess
import sys
import types
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from hoiray.errors import ContractError
from hoiray.hand import unpickle
from hoiray.hand.unpickle import MAX_BUILT_BYTES, MAX_DEPTH, parse_pickle, read_pickle

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def parse(data: bytes) -> Any:
    return parse_pickle(data, name="file.pkl")


def as_python_2(data: bytes) -> bytes:
    """Give modules the names they had when Python 2 wrote HO-3D and MANO."""
    renamed = data.replace(b"numpy._core", b"numpy.core").replace(b"scipy.sparse._csc", b"scipy.sparse.csc")
    return renamed.replace(b"cbuiltins\n", b"c__builtin__\n").replace(b"ccopyreg\n", b"ccopy_reg\n")


class Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 wrote its str: as STRING, BINSTRING or SHORT_BINSTRING."""

    dispatch: ClassVar[dict[Any, Any]] = dict(pickle._Pickler.dispatch)

    def save_bytes(self, obj: Any) -> None:
        if self.proto == 0:
            escaped = obj.decode("latin-1").encode("unicode_escape").replace(b"'", b"\\'")
            self.write(b"S'" + escaped + b"'\n")
        elif len(obj) < 256:
            self.write(b"U" + struct.pack("<B", len(obj)) + obj)
        else:
            self.write(b"T" + struct.pack("<i", len(obj)) + obj)
        self.memoize(obj)

    dispatch[bytes] = save_bytes


def dumps_like_python_2(value: Any, protocol: int = 2) -> bytes:
    file = io.BytesIO()
    Python2Pickler(file, protocol).dump(value)
    return as_python_2(file.getvalue())


# --- data is read exactly ---------------------------------------------------------------------------------------------

keys = st.integers(-(2**60) + 1, 2**60 - 1)  # larger ones are refused

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=4) | keys, inner, max_size=4)
        | st.tuples(inner, inner)
        | st.sets(keys, max_size=4)
        | st.frozensets(st.text(max_size=3), max_size=4)
    ),
    max_leaves=12,
)


@given(plain, st.sampled_from(PROTOCOLS))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_plain_data_is_read_as_pickle_reads_it(value: Any, protocol: int) -> None:
    data = pickle.dumps(value, protocol=protocol)
    assert parse(data) == value


ARRAYS = [
    np.arange(6.0).reshape(2, 3),
    np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4)),
    np.arange(4, dtype=">i4"),
    np.array([], dtype=np.float64),
    np.zeros((0, 3)),
    np.array(3.5),
    np.array([True, False]),
    np.array([1 + 2j]),
    np.array(["006_mustard_bottle", "x"]),
    np.array([b"raw"]),
    np.arange(256, dtype=np.uint8),
]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
def test_arrays_are_read_exactly(array: np.ndarray[Any, Any], protocol: int) -> None:
    read = parse(pickle.dumps(array, protocol=protocol))
    assert read.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_arrays_of_python_2_are_read_exactly(protocol: int) -> None:
    meta = {
        "handPose": np.linspace(-3, 3, 48),
        "objRot": np.arange(3.0)[:, None],
        "objName": "006_mustard_bottle",
        "objTrans": None,
        "bytes": np.arange(256, dtype=np.uint8),
    }
    data = dumps_like_python_2(meta, protocol)
    assert b"numpy.core.multiarray" in data
    assert b"_codecs" not in data
    read = parse(data)
    assert read["objName"] == meta["objName"]
    assert read["objTrans"] is None
    for key in ("handPose", "objRot", "bytes"):
        np.testing.assert_array_equal(read[key], meta[key])


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("scalar", [np.float32(1.5), np.int64(-7), np.bool_(True)])
def test_numpy_scalars_are_read_exactly(scalar: Any, protocol: int) -> None:
    read = parse(pickle.dumps(scalar, protocol=protocol))
    assert type(read) is type(scalar)
    assert read == scalar


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("make", [scipy.sparse.csc_matrix, scipy.sparse.csr_array, scipy.sparse.coo_matrix])
def test_sparse_matrices_are_read_exactly(make: Any, protocol: int) -> None:
    dense = np.array([[0.0, 1.0, 0.0], [2.0, 0.0, 3.0]])
    np.testing.assert_array_equal(parse(pickle.dumps(make(dense), protocol=protocol)).toarray(), dense)


def test_an_array_that_occurs_twice_is_built_once_and_owns_its_memory() -> None:
    array = np.arange(3.0)
    first, second = parse(pickle.dumps([array, array]))
    assert first is second
    first[0] = 9.0


# --- chumpy -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def chumpy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Modules that pickle like chumpy 0.70: its classes by name, its bookkeeping in the state."""
    package, ch, reordering = (types.ModuleType(name) for name in ("chumpy", "chumpy.ch", "chumpy.reordering"))

    def node(module: Any, name: str) -> Any:
        cls = type(name, (), {"__module__": module.__name__})
        setattr(module, name, cls)
        return cls

    for module in (package, ch, reordering):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    node(ch, "Ch")
    for name in ("Select", "Reshape", "transpose", "Concatenate"):
        node(reordering, name)
    return types.SimpleNamespace(ch=ch, reordering=reordering)


def make_node(cls: Any, **attributes: Any) -> Any:
    made = cls()
    bookkeeping = {"_dirty_vars": {"x"}, "_itr": None, "_depends_on_deps": {"shape": {"deps": (), "value": None}}}
    made.__dict__.update(bookkeeping, **attributes)
    return made


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_a_chumpy_array_becomes_an_array(chumpy: Any, protocol: int) -> None:
    value = np.random.default_rng(0).normal(size=(4, 3))
    data = dumps_like_python_2({"v_template": make_node(chumpy.ch.Ch, x=value)}, protocol)
    assert b"chumpy.ch" in data
    np.testing.assert_array_equal(parse(data)["v_template"], value)


def test_chumpy_select_reshape_and_transpose_are_evaluated(chumpy: Any) -> None:
    value = np.arange(12.0).reshape(3, 4)
    base = make_node(chumpy.ch.Ch, x=value)
    select = make_node(chumpy.reordering.Select, a=base, idxs=np.array([3, 1, 7, 11]), preferred_shape=(2, 2))
    flat = make_node(chumpy.reordering.Select, a=base, idxs=np.array([2]))
    reshaped = make_node(chumpy.reordering.Reshape, a=select, newshape=(4, 1))
    turned = make_node(chumpy.reordering.transpose, a=base, axes=(1, 0))
    read = parse(dumps_like_python_2([select, flat, reshaped, turned]))
    np.testing.assert_array_equal(read[0], [[3, 1], [7, 11]])
    np.testing.assert_array_equal(read[1], [2])
    np.testing.assert_array_equal(read[2], [[3], [1], [7], [11]])
    np.testing.assert_array_equal(read[3], value.T)


def test_a_chumpy_expression_that_would_have_to_be_computed_is_refused_by_name(chumpy: Any) -> None:
    data = dumps_like_python_2(make_node(chumpy.reordering.Concatenate, axis=0))
    with pytest.raises(ContractError, match=r"chumpy\.reordering\.Concatenate"):
        parse(data)


def test_a_chumpy_node_without_its_array_is_refused(chumpy: Any) -> None:
    with pytest.raises(ContractError, match="attribute 'x' is a NoneType"):
        parse(dumps_like_python_2(make_node(chumpy.ch.Ch)))
    with pytest.raises(ContractError, match="attribute 'x' is a str"):
        parse(dumps_like_python_2(make_node(chumpy.ch.Ch, x="os.system")))


# --- attacks ----------------------------------------------------------------------------------------------------------


class Call:
    """Pickles as a call of ``function`` with ``arguments``."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> Any:
        return self.function, self.arguments


def touching(canary: Path) -> dict[str, bytes]:
    """Attacks which, run by ``pickle.loads``, create the file ``canary``."""
    path = str(canary)
    command = f"touch {path}"
    code = f"open({path!r}, 'w').close()"
    return {
        "os.system": pickle.dumps(Call(os.system, command), protocol=2),
        "builtins.eval": pickle.dumps(Call(builtins.eval, code)),
        "builtins.exec, protocol 0": pickle.dumps(Call(builtins.exec, code), protocol=0),
        "subprocess": pickle.dumps(Call(subprocess.check_call, ["touch", path])),
        "getattr chain": b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n(S'os'\ntRS'system'\ntR(S'"
        + command.encode()
        + b"'\ntR.",
        "hidden in a dictionary": pickle.dumps({"v_template": np.zeros(3), "x": [Call(os.system, command)]}),
        "popped off the stack": b"cos\nsystem\n(S'" + command.encode() + b"'\ntR0N.",
        "INST": b"(S'" + command.encode() + b"'\nios\nsystem\n.",
        "OBJ": b"(cos\nsystem\nS'" + command.encode() + b"'\no.",
        "STACK_GLOBAL with a dotted name": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c"
        + bytes([len(command)])
        + command.encode()
        + b"\x85R.",
        "pathlib": pickle.dumps(Call(Path.touch, canary)),
        "numpy file writing": pickle.dumps(Call(np.savetxt, path, [1.0])),
    }


ATTACKS = sorted(touching(Path("x")))


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_work_on_pickle_itself(attack: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    pickle.loads(touching(canary)[attack])
    assert canary.exists()


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_are_refused_and_do_nothing(attack: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    file = tmp_path / "MANO_RIGHT.pkl"
    file.write_bytes(touching(canary)[attack])
    with pytest.raises(ContractError, match=r"MANO_RIGHT\.pkl"):
        read_pickle(file)
    assert not canary.exists()


def test_a_refusal_names_the_file_the_name_and_what_to_do() -> None:
    with pytest.raises(ContractError) as refusal:
        parse(pickle.dumps(Call(os.system, "true")))
    message = str(refusal.value)
    assert "file.pkl" in message
    assert f"{os.system.__module__}.system" in message
    assert "do not trust" in message.lower()


GADGETS = {
    "numpy.load": b"cnumpy\nload\n(S'x.npy'\ntR.",
    "numpy's loader by another path": b"cnumpy.lib.npyio\nload\n(S'x.npy'\ntR.",
    "numpy internals": b"cnumpy.core._internal\n_ctypes\n(tR.",
    "numpy.core.multiarray, another function": b"cnumpy.core.multiarray\nfromfile\n(S'x'\ntR.",
    "a dotted name in an admitted module": b"\x80\x04\x8c\x05numpy\x8c\x12dtype.__subclasses__\x93)R.",
    "an array of another class": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nmatrix\n(I0\ntS'b'\ntR.",
    "an array of a dtype class": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(I0\ntS'b'\ntR.",
    "an array born with a shape": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I9999999999\ntS'b'\ntR.",
    "a call of the array class": b"cnumpy\nndarray\n((I3\ntR.",
    "a dtype from a dictionary": b"cnumpy\ndtype\n((dI0\nI1\ntR.",
    "an object dtype": b"cnumpy\ndtype\n(S'O'\nI0\nI1\ntR.",
    "a dtype from a comma string": b"cnumpy\ndtype\n(S'i4,O'\nI0\nI1\ntR.",
    "the state of a class": b"cnumpy\ndtype\n(dS'__reduce__'\nI1\nsb.",
    "the state of a function": b"c_codecs\nencode\n(dS'__doc__'\nI1\nsb.",
    "the slots of a class": b"cscipy.sparse._csc\ncsc_matrix\n(N(dS'toarray'\nI1\nstb.",
    "the state of a list": b"(l(dS'append'\nI1\nsb.",
    "a second state": b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb.",
    "another codec": b"c_codecs\nencode\n(S'abc'\nS'rot13'\ntR.",
    "a bytes codec": b"c_codecs\nencode\n(S'abc'\nS'bz2'\ntR.",
    "_reconstructor of a function": b"ccopy_reg\n_reconstructor\n(cnumpy\nload\nc__builtin__\nobject\nNtR.",
    "_reconstructor of a base": b"ccopy_reg\n_reconstructor\n(cscipy.sparse.csc\ncsc_matrix\nc__builtin__\nlist\n(ltR.",
    "_reconstructor with a state": b"ccopy_reg\n_reconstructor\n(cscipy.sparse.csc\ncsc_matrix\nc__builtin__\nobject\n"
    b"I1\ntR.",
    "an instance with arguments": b"\x80\x02cscipy.sparse._csc\ncsc_matrix\nK\x05\x85\x81.",
    "an instance of object": b"\x80\x02c__builtin__\nobject\n)\x81.",
    "NEWOBJ of Popen": b"\x80\x02csubprocess\nPopen\n](S'true'\ne\x85\x81.",
    "bytes made by a call": b"cbuiltins\nbytes\n(I999999999999\ntR.",
    "NEWOBJ_EX": b"\x80\x04cnumpy\nndarray\n)}\x92.",
    "a persistent id": b"Psome-id\n.",
    "a binary persistent id": b"S'some-id'\nQ.",
    "an out-of-band buffer": b"\x80\x05\x97.",
    "a call of text": b"S'eval'\n(S'1'\ntR.",
    "a call of an array": b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(tR.",
    "arguments that are no tuple": b"cnumpy\ndtype\n(lR.",
    "a bare class": b"cnumpy\nndarray\n.",
    "a bare class in a list": b"(lcnumpy\nndarray\na.",
    "a stray mark": b"(.",
    "a mark in a tuple": b"(\x85.",
    "chumpy's own code": b"cchumpy.utils\ndfs_do_func_on_graph\n(tR.",
    "a name next to chumpy": b"cchumpyevil.ch\nCh\n(tR.",
    "a set of unhashable names": b"c__builtin__\nset\n((lcnumpy\nndarray\natR.",
    "a set of a text": b"c__builtin__\nset\n(S'abc'\ntR.",
    "a class as a key": b"(dcnumpy\nndarray\nI1\ns.",
}


@pytest.mark.parametrize("gadget", sorted(GADGETS))
def test_gadgets_are_refused(gadget: str) -> None:
    with pytest.raises(ContractError, match=r"file\.pkl"):
        parse(GADGETS[gadget])


def test_the_extension_registry_is_not_consulted() -> None:
    copyreg.add_extension("os", "system", 0xC0)
    try:
        data = b"\x80\x02\x82\xc0(X\x04\x00\x00\x00truetR."
        with pytest.raises(ContractError, match="EXT1"):
            parse(data)
    finally:
        copyreg.remove_extension("os", "system", 0xC0)


def test_real_objects_are_never_touched() -> None:
    before = dict(vars(scipy.sparse.csc_matrix))
    for gadget in GADGETS.values():
        with pytest.raises(ContractError):
            parse(gadget)
    assert dict(vars(scipy.sparse.csc_matrix)) == before


# --- arrays that lie --------------------------------------------------------------------------------------------------


def array_pickle(shape: tuple[int, ...], code: str = "f8", content: bytes = b"\0" * 8, order: str = "<") -> bytes:
    """Protocol-0 pickle of an array with a state of our choice."""
    sizes = b"".join(b"I%d\n" % size for size in shape)
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n("
        + sizes
        + b"tcnumpy\ndtype\n(S'"
        + code.encode()
        + b"'\nI0\nI1\ntR(I3\nS'"
        + order.encode()
        + b"'\nNNNI-1\nI-1\nI0\ntbI00\nS'"
        + b"".join(b"\\x%02x" % byte for byte in content)
        + b"'\ntb."
    )


def test_the_written_array_pickle_is_a_valid_one() -> None:
    np.testing.assert_array_equal(parse(array_pickle((1,))), np.zeros(1))


@pytest.mark.parametrize(
    "data",
    [
        array_pickle((2,)),
        array_pickle((-1,)),
        array_pickle((0,)),
        array_pickle((2**62, 4)),
        array_pickle((1,), code="O"),
        array_pickle((1,), code="V8"),
        array_pickle((1,), code="M8"),
        array_pickle((1,), code="f8", order="x"),
        array_pickle((1,) * 40),
    ],
    ids=["too large", "negative", "too small", "overflow", "object", "void", "date", "byte order", "40 axes"],
)
def test_an_array_whose_bytes_do_not_fill_its_shape_is_refused(data: bytes) -> None:
    with pytest.raises(ContractError):
        parse(data)


@pytest.mark.parametrize(
    "change",
    [
        {"indices": np.array([0, 5, 1], dtype=np.int32)},
        {"indices": np.array([0, -1, 1], dtype=np.int32)},
        {"indices": np.array([1, 2, 1], dtype=np.int32)},
        {"indptr": np.array([0, 1, 2, 99], dtype=np.int32)},
        {"indptr": np.array([0, 2, 1, 3], dtype=np.int32)},
        {"indptr": np.array([1, 1, 2, 3], dtype=np.int32)},
        {"indptr": np.array([0, 3], dtype=np.int32)},
        {"indices": np.array([0.0, 1.0, 0.0])},
        {"_shape": (2**20, 2**20)},
        {"_shape": (-2, 3)},
        {"data": np.zeros(2)},
    ],
)
def test_a_sparse_matrix_whose_indices_would_leave_memory_is_refused(change: dict[str, Any]) -> None:
    matrix = scipy.sparse.csc_matrix(np.array([[0.0, 1.0, 0.0], [2.0, 0.0, 3.0]]))
    vars(matrix).update(change)
    with pytest.raises(ContractError):
        parse(pickle.dumps(matrix, protocol=2))


MATRIX = scipy.sparse.csc_matrix(np.eye(2))
LARGE = scipy.sparse.coo_array(([1.0], ([0], [0])), shape=(2**20, 2**20))


@pytest.mark.parametrize(
    ("sound", "part", "forged", "reason"),
    [
        (array_pickle((1,)), b"(I0\nt", b"(I5\nt", "not made empty"),
        (array_pickle((1,)), b"NNNI-1", b"NS'x'\nNI-1", "dtype with fields"),
        (array_pickle((1,)), b"NNNI-1", b"(I1\ntNNI-1", "dtype with fields"),
        (dumps_like_python_2(MATRIX, 0), b"c__builtin__\nobject\n", b"cnumpy\nndarray\n", "_reconstructor"),
        (dumps_like_python_2(MATRIX, 2), b")\x81", b"K\x05\x85\x81", "created with arguments"),
        (pickle.dumps(LARGE, protocol=2), b"", b"", "sparse matrix of the shape"),
    ],
    ids=["shape", "field names", "subarray", "base class", "arguments", "size"],
)
def test_one_forged_detail_in_a_sound_pickle_is_refused_for_what_it_is(
    sound: bytes, part: bytes, forged: bytes, reason: str
) -> None:
    if part:
        parse(sound)
        assert part in sound
    with pytest.raises(ContractError, match=reason):
        parse(sound.replace(part, forged, 1) if part else sound)


# --- small files that would grow --------------------------------------------------------------------------------------

MEGABYTE = 1_000_000


class WithState(Call):
    """Pickles as a call of ``function``, and a state."""

    def __init__(self, function: Any, arguments: tuple[Any, ...], state: Any) -> None:
        super().__init__(function, *arguments)
        self.state = state

    def __reduce__(self) -> Any:
        return self.function, self.arguments, self.state


def bombs(chumpy: Any) -> dict[str, Any]:
    """What takes little room in a file, as often as it may occur, because it shares its content."""
    array, text, numbers = np.zeros(MEGABYTE, dtype=np.int8), "a" * MEGABYTE, list(range(20_000))
    most, long_text, content = text[1:], np.dtype("S999999"), text.encode()
    dtype, multiarray = np.dtype(np.int8), np._core.multiarray
    wide = scipy.sparse.coo_matrix(([1.0], ([0], [0])), shape=(8, MEGABYTE // 8))
    long = scipy.sparse.coo_matrix((array, (array, array)), shape=(1, 1))

    def again(matrix: Any) -> Any:
        copy = scipy.sparse.coo_matrix((1, 1))
        copy.__dict__ = dict(vars(matrix))
        return copy

    return {
        "selections": lambda: make_node(chumpy.reordering.Select, a=array, idxs=array),
        "reshaped": lambda: make_node(chumpy.reordering.Reshape, a=array, newshape=(MEGABYTE,)),
        "dense forms of a sparse matrix": lambda: make_node(chumpy.ch.Ch, x=wide),
        "bytes of a text": lambda: Call(codecs.encode, text, "latin1"),
        "arrays of a text": lambda: WithState(
            multiarray._reconstruct, (np.ndarray, (0,), b"b"), (1, (MEGABYTE,), dtype, False, text)
        ),
        "arrays of bytes": lambda: WithState(
            multiarray._reconstruct, (np.ndarray, (0,), b"b"), (1, (MEGABYTE,), dtype, False, content)
        ),
        "buffers of a text": lambda: Call(np._core.numeric._frombuffer, text, dtype, (MEGABYTE,), "C"),
        "scalars of a text": lambda: Call(multiarray.scalar, long_text, most),
        "sets of a list": lambda: Call(set, numbers),
        "sparse matrices": lambda: again(long),
    }


@pytest.mark.parametrize("kind", sorted(bombs(types.SimpleNamespace(ch=None, reordering=None))))
def test_a_small_file_that_would_take_much_memory_is_refused(
    chumpy: Any, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = bombs(chumpy)[kind]
    monkeypatch.setattr(unpickle, "MAX_BUILT_BYTES", 64 * MEGABYTE)
    assert len(parse(pickle.dumps([make() for _ in range(3)], protocol=3))) == 3
    data = pickle.dumps([make() for _ in range(70)], protocol=3)
    assert len(data) < len(pickle.dumps([make()], protocol=3)) + 70 * 300
    with pytest.raises(ContractError, match="data that takes more than 64000000 bytes"):
        parse(data)


def test_thirty_selections_from_eight_megabytes_are_refused(chumpy: Any) -> None:
    places = np.zeros(8 * MEGABYTE, dtype=np.int8)
    node = make_node(chumpy.reordering.Select, a=np.zeros(1), idxs=places)
    assert parse(pickle.dumps([node], protocol=3))[0].shape == places.shape
    nodes = [make_node(chumpy.reordering.Select, a=np.zeros(1), idxs=places) for _ in range(30)]
    with pytest.raises(ContractError, match=f"takes more than {MAX_BUILT_BYTES} bytes"):
        parse(pickle.dumps(nodes, protocol=3))


@pytest.mark.parametrize(("empty", "num_bytes"), [(b"}", 448), (b"]", 432), (b"\x8f", 280), (b"N", 64)])
def test_every_object_is_counted(empty: bytes, num_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"](" + 10_000 * empty + b"e."
    monkeypatch.setattr(unpickle, "MAX_BUILT_BYTES", 10_000 * num_bytes + 100_000)
    assert len(parse(data)) == 10_000
    monkeypatch.setattr(unpickle, "MAX_BUILT_BYTES", 10_000 * num_bytes)
    with pytest.raises(ContractError, match="takes more than"):
        parse(data)


@pytest.mark.parametrize("key", [2**60, -(2**60), 2**61 - 1, 5 * (2**61 - 1), 2**2000, "x" * 1025, b"x" * 1025])
def test_keys_that_could_make_a_dictionary_slow_are_refused(key: Any) -> None:
    for value in ({key: 1}, {key}, frozenset([key])):
        for protocol in (2, 4):
            with pytest.raises(ContractError, match="as a dictionary key or set member"):
                parse(pickle.dumps(value, protocol=protocol))


@pytest.mark.parametrize("key", [2**60 - 1, -(2**60) + 1, "x" * 1024, b"x" * 1024, 1e300, True, None])
def test_other_keys_are_read(key: Any) -> None:
    for value in ({key: 1}, {key}, frozenset([key])):
        assert parse(pickle.dumps(value, protocol=4)) == value


DOUBLED = b")q\x000" + b"".join(b"h%ch%c\x86q%c0" % (i, i, i + 1) for i in range(60)) + b"h%c" % 60
"""A tuple of two tuples of two tuples: 2 to the power of 60 items, were they spelled out, hashed or made an array."""


@pytest.mark.parametrize(
    "data",
    [
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85%s\x87R.",
        b"cnumpy.core.multiarray\n_reconstruct\n%sK\x00\x85U\x01b\x87R.",
        b"c_codecs\nencode\nU\x01a%s\x86R.",
        b"%s)\x81.",
        b"cscipy.sparse.coo\ncoo_matrix\n)\x81}(U\x06_shape%sU\x04dataNU\x03rowNU\x03colNub.",
        b"cchumpy.reordering\nReshape\n)\x81}(U\x01aK\x00U\x08newshape%sub.",
        b"cnumpy.core.numeric\n_frombuffer\n(U\x00cnumpy\ndtype\n(U\x02f8K\x00K\x01tR%sU\x01CtR.",
    ],
    ids=["order", "class", "codec", "new object", "sparse shape", "new shape", "array shape"],
)
def test_doubled_tuples_in_the_wrong_place_are_refused_at_once(data: bytes) -> None:
    assert parse(b"\x80\x02" + DOUBLED + b".") is not None
    with pytest.raises(ContractError, match=r"file\.pkl"):
        parse(b"\x80\x02" + data.replace(b"%s", DOUBLED))


def test_sizes_of_many_digits_are_refused_at_once() -> None:
    number = b"\x8b" + struct.pack("<i", 500_000) + b"\x7f" * 500_000 + b"q\x00"
    for count in (2, 30):
        shape = b"(" + number + b"h\x00" * (count - 1) + b"t"
        with pytest.raises(ContractError, match=r"file\.pkl"):
            parse(
                b"\x80\x02cnumpy.core.numeric\n_frombuffer\n(U\x00cnumpy\ndtype\n(U\x02f8K\x00K\x01tR"
                + shape
                + b"U\x01CtR."
            )
        with pytest.raises(ContractError, match=r"file\.pkl"):
            parse(b"\x80\x02cscipy.sparse.coo\ncoo_matrix\n)\x81}(U\x06_shape" + shape + b"ub.")


# --- damage -----------------------------------------------------------------------------------------------------------

SOUND = pickle.dumps({"a": np.arange(4.0), "b": ["text", 3, (1.5, None)], "c": np.float32(2)}, protocol=2)


@pytest.mark.parametrize("cut", range(0, len(SOUND), 7))
def test_a_truncated_file_is_refused_by_name(cut: int, tmp_path: Path) -> None:
    file = tmp_path / "0000.pkl"
    file.write_bytes(SOUND[:cut])
    with pytest.raises(ContractError, match=r"0000\.pkl.*expected.*found"):
        read_pickle(file)


@pytest.mark.parametrize("content", [b"", b"\0", b"PK\x03\x04", b"\x89PNG\r\n", b"hello world\n", b"(lp0\n"])
def test_other_files_are_refused_by_name(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "other.pkl"
    file.write_bytes(content)
    with pytest.raises(ContractError, match=r"other\.pkl"):
        read_pickle(file)


@given(st.integers(0, len(SOUND) - 1), st.integers(0, 255))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_changed_byte_gives_data_or_a_refusal(position: int, byte: int) -> None:
    changed = SOUND[:position] + bytes([byte]) + SOUND[position + 1 :]
    with contextlib.suppress(ContractError):
        parse(changed)


@given(st.binary(max_size=60))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_noise_gives_data_or_a_refusal(noise: bytes) -> None:
    with contextlib.suppress(ContractError):
        parse(noise)


def test_a_missing_file_and_a_too_large_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="nothing there"):
        read_pickle(tmp_path / "absent.pkl")
    file = tmp_path / "large.pkl"
    file.write_bytes(SOUND)
    read_pickle(file, max_bytes=len(SOUND))
    with pytest.raises(ContractError, match=f"{len(SOUND)} bytes"):
        read_pickle(file, max_bytes=len(SOUND) - 1)


def test_nesting_has_a_limit_and_does_not_exhaust_the_stack() -> None:
    parse(b"]" * (MAX_DEPTH - 1) + b"a" * (MAX_DEPTH - 2) + b".")
    for bomb in (b"]" * 5000 + b"a" * 4999 + b".", b")" + b"\x85" * 200_000 + b"."):
        with pytest.raises(ContractError, match="nested deeper"):
            parse(bomb)
    with pytest.raises(ContractError, match="dictionary key"):
        parse(b"}" + b")" + b"\x85" * 200_000 + b"Ns.")


def test_a_list_that_contains_itself_is_refused() -> None:
    endless = []
    endless.append(endless)
    with pytest.raises(ContractError, match="contains itself"):
        parse(pickle.dumps(endless))


def test_doubling_references_cost_no_more_than_they_share() -> None:
    doubled = b"]q\x00" + b"".join(b"](h%ch%ceq%c" % (i, i, i + 1) for i in range(50)) + b"."
    outer = parse(doubled)
    assert outer[0] is outer[1]


def test_a_quoted_megabyte_does_not_end_up_in_the_message() -> None:
    with pytest.raises(ContractError) as refusal:
        parse(b"c" + b"x" * 1_000_000 + b"\nname\n.")
    assert len(str(refusal.value)) < 1000


@pytest.mark.parametrize("protocol", [0, 1, 2])
@given(st.binary(max_size=40))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_any_text_of_python_2_keeps_every_byte(protocol: int, value: bytes) -> None:
    assert parse(dumps_like_python_2(value, protocol)).encode("latin-1") == value


def test_an_escape_python_2_never_wrote_is_refused() -> None:
    for text in (rb"'\u0041'", rb"'\x4'", b"'\\'", b"'abc", b"abc"):
        with pytest.raises(ContractError, match="damaged"):
            parse(b"S" + text + b"\n.")
