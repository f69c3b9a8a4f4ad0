"""Pickles of the authors' environments become tables; hostile ones run nothing."""

import io
import os
import pickle
import pickletools
import struct
import subprocess
import sys
import types

import numpy as np
import pytest

import iapo_core as iapo
from iapo_core.errors import PickleError
from iapo_core.import_paper import import_paper
from iapo_core.inert_pickle import Record, read_pickle


class Fake:
    """Builds instances of a class in a module that exists only while they are pickled."""

    def __init__(self, module="bandit_envs.voting", name="MajorityVoteEnv"):
        self.module, self.name = module, name

    def dump(self, path, *attributes, protocol=4, single=False):
        module = types.ModuleType(self.module)
        kind = type(self.name, (), {"__module__": self.module, "__qualname__": self.name})
        setattr(module, self.name, kind)
        names = [self.module.rsplit(".", i)[0] for i in range(self.module.count("."), -1, -1)]
        for name in names:
            sys.modules.setdefault(name, types.ModuleType(name))
        sys.modules[self.module] = module
        try:
            items = []
            for fields in attributes:
                item = kind()
                item.__dict__.update(fields)
                items.append(item)
            path.write_bytes(pickle.dumps(items[0] if single else items, protocol=protocol))
        finally:
            for name in names:
                sys.modules.pop(name, None)
        return path


def voting(seed=0, n_train=6, n_test=3):
    rng = np.random.default_rng(seed)
    return {
        "cat_probs": rng.dirichlet(np.ones(4), (5, n_train)),
        "answers": rng.integers(0, 4, n_train),
        "cat_probs_te": rng.dirichlet(np.ones(4), (5, n_test)),
        "answers_te": rng.integers(0, 4, n_test),
        "cost_per_prompt": rng.uniform(0.005, 0.01, 5),
        "cost_coeffs": [0.0, 0.2, 1.0],
        "N_max": 8,
        "name": "whatever",
    }


def best_of(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "outcome_vectors_train": rng.random((4, 6, 5, 2)),
        "outcome_probs_train": rng.dirichlet(np.ones(5), (4, 6)),
        "outcome_vectors_test": rng.random((4, 2, 5, 2)),
        "outcome_probs_test": rng.dirichlet(np.ones(5), (4, 2)),
        "_contexts": [(0.1, 0.9), (0.5, 0.5)],
        "cost_coeffs": np.array([0.0, 1.0, 2.0]),
        "cost_per_prompt": [0.01] * 4,
        "N_max": 4,
    }


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_voting_environment_keeps_its_numbers(tmp_path, protocol):
    fields = voting()
    source = Fake().dump(tmp_path / "env.pkl", fields, protocol=protocol)
    said = import_paper(source, tmp_path / "env.npz")
    assert "5 prompts, 9 queries (3 held out), 4 answers each, 3 contexts, N_max 8" in said
    environment = iapo.load_environment(tmp_path / "env.npz", seed=5)
    assert environment.split.heldout.tolist() == [6, 7, 8]
    q = environment.q_values(np.array([0]))
    assert q[0, 2, 0] == pytest.approx(fields["cat_probs"][2, 0, fields["answers"][0]], abs=1e-12)
    assert q[2, 1, 0] == pytest.approx(fields["cat_probs"][1, 0, fields["answers"][0]] - fields["cost_per_prompt"][1], abs=1e-12)
    assert iapo.optimize(environment, budget=200).spent <= 200


def test_lists_tuples_and_ragged_rows_are_read_too(tmp_path):
    fields = voting()
    fields["cat_probs"] = [
        [list(cell[:3]) if x == 0 else list(cell) for x, cell in enumerate(row)] for row in fields["cat_probs"]
    ]
    fields["answers"] = tuple(int(a) % 3 for a in fields["answers"])
    import_paper(Fake("__main__").dump(tmp_path / "e.pkl", fields, single=True), tmp_path / "e.npz")
    environment = iapo.load_environment(tmp_path / "e.npz")
    assert environment._probabilities.shape == (5, 9, 4)


def test_a_best_of_n_environment_crosses_weights_with_costs(tmp_path):
    fields = best_of()
    import_paper(Fake().dump(tmp_path / "b.pkl", fields), tmp_path / "b.npz")
    environment = iapo.load_environment(tmp_path / "b.npz")
    assert environment.strategy == "best_of_n"
    assert len(environment.contexts) == 6
    expected = (fields["outcome_probs_train"][0, 0] * (fields["outcome_vectors_train"][0, 0] @ [0.1, 0.9])).sum()
    assert environment.q_values(np.array([0]))[0, 0, 0] == pytest.approx(expected)
    np.testing.assert_allclose(environment.contexts.cost_weights, [0, 1, 2, 0, 1, 2])


def test_contexts_may_carry_the_cost_weight(tmp_path):
    fields = best_of() | {"_contexts": [[0.1, 0.9, -0.5], [0.5, 0.5, 0.0]]}
    import_paper(Fake().dump(tmp_path / "b.pkl", fields), tmp_path / "b.npz")
    np.testing.assert_allclose(iapo.load_environment(tmp_path / "b.npz").contexts.cost_weights, [0.5, 0.0])


def test_several_environments_need_an_index(tmp_path):
    source = Fake().dump(tmp_path / "many.pkl", voting(0), voting(1))
    with pytest.raises(PickleError, match="holds 2 environments; choose one with --index 0 to 1"):
        import_paper(source, tmp_path / "x.npz")
    import_paper(source, tmp_path / "x.npz", index=1)
    with pytest.raises(PickleError, match="has no environment 2"):
        import_paper(source, tmp_path / "x.npz", index=2)


@pytest.mark.parametrize("missing", ["answers_te", "cost_per_prompt", "N_max", "cost_coeffs"])
def test_a_missing_attribute_is_named(tmp_path, missing):
    fields = voting()
    del fields[missing]
    with pytest.raises(PickleError, match=missing):
        import_paper(Fake().dump(tmp_path / "e.pkl", fields), tmp_path / "e.npz")


class Calls:
    """Pickles to a call of any function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def text_call(module, name, argument):
    return f"c{module}\n{name}\n(S'{argument}'\ntR.".encode()


@pytest.fixture
def canary(tmp_path):
    path = tmp_path / "canary"
    yield path
    assert not path.exists(), "something in a pickle ran"


HOSTILE = {
    "os.system": lambda c: pickle.dumps(Calls(os.system, f"touch {c}")),
    "posix": lambda c: text_call("posix", "system", f"touch {c}"),
    "nt": lambda c: text_call("nt", "system", f"touch {c}"),
    "eval": lambda c: pickle.dumps(Calls(eval, f"open({str(c)!r}, 'w')")),
    "exec, protocol 0": lambda c: text_call("__builtin__", "exec", f"open({str(c)!r},chr(119))".replace("'", '"')),
    "subprocess": lambda c: pickle.dumps(Calls(subprocess.run, ["touch", str(c)])),
    "open": lambda c: pickle.dumps(Calls(io.open, str(c), "w")),
    "getattr": lambda c: text_call("builtins", "getattr", "x"),
    "nested in an attribute": lambda c: pickle.dumps([{"cat_probs": Calls(os.system, f"touch {c}")}]),
    "inside a tuple of arguments": lambda c: pickle.dumps(Calls(print, Calls(os.system, f"touch {c}"))),
    "numpy.load": lambda c: text_call("numpy", "load", str(c)),
    "numpy.f2py": lambda c: text_call("numpy.f2py.diagnose", "run_command", f"touch {c}"),
    "codecs": lambda c: text_call("codecs", "open", str(c)),
    "commands of Python 2": lambda c: text_call("commands", "getoutput", f"touch {c}"),
    "functools": lambda c: text_call("functools", "partial", "x"),
    "copyreg": lambda c: text_call("copyreg", "__newobj__", "x"),
    "torch": lambda c: text_call("streamlit.runtime", "exists", "x"),
    "dotted name": lambda c: b"\x80\x04\x8c\x08builtins\x8c\x0dlist.__class__\x93.",
    "our own module": lambda c: text_call("iapo_core.cli", "main", "worker"),
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_globals_are_refused_and_nothing_runs(tmp_path, canary, make):
    path = tmp_path / "hostile.pkl"
    path.write_bytes(make(canary))
    with pytest.raises(PickleError, match=r"hostile\.pkl: .*(asks for|not a pickle)"):
        import_paper(path, tmp_path / "x.npz")


def test_unknown_classes_are_inert_whatever_their_pickle_says(tmp_path, canary):
    calls = f"cevil.env\nsystem\n(S'touch {canary}'\ntR.".encode()
    path = tmp_path / "inert.pkl"
    path.write_bytes(calls)
    record = read_pickle(path)
    assert isinstance(record, Record)
    assert record.fields == {}
    state = b"cevil.env\nThing\n(tR}(S'__class__'\nS'x'\nS'__reduce__'\nS'y'\nS'fields'\nS'z'\nub."
    path.write_bytes(state)
    record = read_pickle(path)
    assert isinstance(record, Record)
    assert record.fields == {"__class__": "x", "__reduce__": "y", "fields": "z"}


@pytest.mark.parametrize(
    ("array", "what"),
    [
        (np.array([{"a": 1}, [2]], dtype=object), None),
        (np.zeros(2, dtype=[("a", float)]), "only numbers, text and lists|not a pickle|unknown"),
        (np.array(["2020-01-01"], dtype="M8[D]"), "only numbers, text and lists"),
    ],
    ids=["objects", "records", "dates"],
)
def test_arrays_of_other_things_never_reach_numpy(tmp_path, array, what):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"cat_probs": array}))
    with pytest.raises(PickleError, match=what or "no answers|not an array|finite numbers|expected|must be|is not"):
        import_paper(path, tmp_path / "x.npz")


def test_an_object_array_cannot_be_built_from_raw_pointers(tmp_path):
    raw = struct.pack("Q", 0xDEADBEEF)
    state = pickle.dumps((1, (1,), np.dtype("O"), False, raw), protocol=2)
    body = pickletools.optimize(state)[2:-1]
    path = tmp_path / "p.pkl"
    path.write_bytes(b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n(tR" + body + b"b.")
    assert read_pickle(path).value == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a pickle",
        pickle.dumps([1, 2])[:-3],
        pickle.dumps(5),
        pickle.dumps({}),
        b"(" * 10**6,
        b"]" * 10**5 + b"a" * 10**5,
    ],
    ids=["empty", "text", "truncated", "number", "empty dict", "deep marks", "deep lists"],
)
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "other.pkl"
    path.write_bytes(content)
    with pytest.raises(PickleError, match=r"other\.pkl: "):
        import_paper(path, tmp_path / "x.npz")


def test_a_bomb_of_shared_lists_is_counted_not_copied(tmp_path):
    level = [0.0] * 10_000
    fields = voting() | {"cat_probs": [[level] * 5_000] * 5_000}
    with pytest.raises(PickleError, match="more than 200,000,000 numbers"):
        import_paper(Fake().dump(tmp_path / "bomb.pkl", fields), tmp_path / "x.npz")


def test_places_that_cannot_be_written_or_read(tmp_path):
    with pytest.raises(PickleError, match="cannot be read"):
        import_paper(tmp_path / "none.pkl", tmp_path / "x.npz")
    source = Fake().dump(tmp_path / "e.pkl", voting())
    with pytest.raises(PickleError, match=r"ends with \.npz"):
        import_paper(source, tmp_path / "x.pkl")
    with pytest.raises(PickleError, match="cannot be written"):
        import_paper(source, tmp_path / "nowhere" / "x.npz")
