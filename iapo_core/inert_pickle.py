"""Read a pickle without running anything in it: plain containers, arrays of numbers, and inert records.

A pickle is a program. Arrays are built by our own code from their raw bytes, classes that are not installed here become
records of attributes whose code never runs, and every other global is refused.
"""

from __future__ import annotations

import pickle  # noqa: TID251 - the one place, behind a reader that calls nothing of the file's choosing
import sys
from _compat_pickle import IMPORT_MAPPING  # what the standard library was called in Python 2
from collections import OrderedDict, deque
from collections.abc import Callable
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import numpy as np

from iapo_core.errors import PickleError

MAX_BYTES = 1024 * 1024 * 1024
_KINDS = "biufSU"  # no objects, no records: their state could hold pointers or code


class Record:
    """An object of the authors', reduced to its attributes; constructors and state setters of theirs never run."""

    def __new__(cls, *_args: Any, **_keywords: Any) -> Record:
        """Ignore whatever the file would pass to a constructor."""
        return object.__new__(cls)

    def __init__(self, *_args: Any, **_keywords: Any) -> None:
        self.fields: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        fields: dict[str, Any] = {}
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(part, dict):
                fields.update({key: value for key, value in part.items() if isinstance(key, str)})
        object.__setattr__(self, "fields", fields)

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "fields":
            raise PickleError("The pickle sets attributes in an unusual way; this is not an environment of the paper.")
        object.__setattr__(self, name, value)


class _Dtype:
    """A dtype by its name; of its state only the byte order counts."""

    def __init__(self, name: Any = None, *_flags: Any) -> None:
        try:
            self.dtype = np.dtype(name) if isinstance(name, str) else None
        except TypeError as error:
            raise PickleError(
                f"The pickle names the array type {name!r}, which is not known; export the environment again."
            ) from error
        self.is_object = self.dtype is not None and self.dtype.kind == "O"
        if self.dtype is None or (self.dtype.kind not in _KINDS and not self.is_object):
            raise PickleError(f"The pickle holds an array of type {name!r}; only numbers, text and lists are read.")

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if self.dtype is not None and order in ("<", ">", "=", "|") and not self.is_object:
            self.dtype = self.dtype.newbyteorder(order)

    def read(self, raw: Any) -> Any:
        """Return the bytes as a flat array."""
        if self.is_object or not isinstance(raw, bytes | bytearray | str):
            raise PickleError("The pickle holds an array whose content is not raw numbers; export the environment again.")
        content = raw.encode("latin-1") if isinstance(raw, str) else bytes(raw)
        try:
            return np.frombuffer(content, dtype=self.dtype)
        except ValueError as error:
            raise PickleError(f"The pickle holds an array of impossible size ({error}); the file is damaged.") from error


class RawArray:
    """An array under construction; its state is shape, type and raw bytes."""

    def __init__(self, *_args: Any) -> None:
        self.value: Any = None

    def __setstate__(self, state: Any) -> None:
        if not (isinstance(state, tuple) and len(state) == 5 and isinstance(state[2], _Dtype)):
            raise PickleError("The pickle holds an array in an unknown form; export the environment with a current numpy.")
        _, shape, dtype, is_fortran, raw = state
        if dtype.is_object:  # an array of arrays or lists: its items are other values of this file
            self.value = list(raw) if isinstance(raw, list) else []
        else:
            self.value = _shaped(dtype.read(raw), shape, "F" if is_fortran else "C")


def _shaped(flat: Any, shape: Any, order: Any) -> Any:
    try:
        return flat.reshape(shape, order=order)
    except (ValueError, TypeError) as error:
        raise PickleError(f"The pickle holds an array that does not fit its shape ({error}); the file is damaged.") from error


def _from_buffer(raw: Any, dtype: Any, shape: Any, order: Any = "C") -> Any:
    return _shaped(_Dtype.read(_checked(dtype), raw), shape, order)


def _scalar(dtype: Any, raw: Any = b"") -> Any:
    return _checked(dtype).read(raw)[0]


def _checked(dtype: Any) -> _Dtype:
    if not isinstance(dtype, _Dtype):
        raise PickleError("The pickle holds a number of unknown type; export the environment again.")
    return dtype


def _rebuilt(kind: Any, *_base_and_state: Any) -> Record:
    if not (isinstance(kind, type) and issubclass(kind, Record)):
        raise PickleError("The pickle rebuilds an object that is not one of the authors' environments.")
    return kind()


def _latin1(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise PickleError("The pickle encodes text in an unusual way; export the environment again.")
    return text.encode("latin1")


def _refuse_factory(*_args: Any) -> dict[Any, Any]:
    return {}


_NUMPY: dict[str, Callable[..., Any]] = {"_reconstruct": RawArray, "scalar": _scalar, "_frombuffer": _from_buffer}
_PLAIN: dict[tuple[str, str], Any] = {
    **{(module, name): kind for module in ("builtins", "__builtin__") for name, kind in
       {"list": list, "dict": dict, "set": set, "frozenset": frozenset, "tuple": tuple, "int": int, "float": float,
        "bool": bool, "str": str, "bytes": bytes, "object": object}.items()},
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "deque"): deque,
    ("collections", "defaultdict"): _refuse_factory,  # its factory would be called later; a dict holds the same values
    ("_codecs", "encode"): _latin1,  # how protocol 2 writes bytes
    ("copyreg", "_reconstructor"): _rebuilt,
    ("copy_reg", "_reconstructor"): _rebuilt,
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): RawArray,
}  # fmt: skip


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _PLAIN:
            return _PLAIN[module, name]
        if (
            module in ("numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric")
            and name in _NUMPY
        ):
            return _NUMPY[name]
        if module.partition(".")[0] in _installed():
            raise PickleError(
                f"The pickle asks for {module}.{name}, which is not part of an environment of the paper; nothing was run. "
                "Only arrays, plain containers and the authors' own classes are read."
            )
        return type(name.rpartition(".")[2] or "Record", (Record,), {"__module__": "inert"})


@cache
def _installed() -> frozenset[str]:
    """Top-level names of the standard library and of installed packages: what a class of the authors' cannot be."""
    return frozenset(sys.stdlib_module_names).union(sys.builtin_module_names, packages_distributions(), IMPORT_MAPPING)


def read_pickle(path: Path) -> Any:
    """Return what the file holds.

    Raises:
        PickleError: If the file is too large, damaged, or asks for anything but arrays, containers and inert records.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise PickleError(f"{path}: {size:,} bytes are more than the {MAX_BYTES:,} that are read.")
        with path.open("rb") as file:
            return _Reader(file, encoding="latin1").load()
    except OSError as error:
        raise PickleError(f"{path}: cannot be read ({error.strerror}).") from error
    except PickleError as error:
        raise PickleError(f"{path}: {error}") from error
    except Exception as error:  # a damaged pickle can raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".rstrip(".").split())
        raise PickleError(f"{path}: is not a pickle that can be read ({reason}); export the environment again.") from error
