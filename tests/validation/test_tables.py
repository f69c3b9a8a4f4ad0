"""Bad count tables and recordings: each is refused with the file, the place and the remedy."""

import io
import json
import zipfile

import numpy as np
import pytest

import iapo_core as iapo
from iapo_core.environments.recorded import COLUMNS
from iapo_core.environments.table import MAX_TABLE_BYTES
from iapo_core.errors import RecordingError, TableError, TaskError
from tests.test_environments import recorded_task, recording

VOTES = {
    "counts": np.ones((2, 4, 3)),
    "answers": np.array([0, 1, 2, 0]),
    "cost_per_prompt": np.array([0.1, 0.2]),
    "cost_weights": np.array([0.0, 1.0]),
    "n_max": np.array(4),
}
OUTCOMES = {k: v for k, v in VOTES.items() if k != "answers"} | {"outcomes": np.ones((2, 4, 3, 2)), "weights": np.ones((2, 2))}


def poked(array, place, value):
    other = np.array(array, dtype=float)
    other[place] = value
    return other


BAD = {
    "counts missing": (VOTES, {"counts": None}, r"bad\.npz: the array 'counts' is missing; it has answers, cost_per_prompt"),
    "costs missing": (VOTES, {"cost_per_prompt": None}, r"the array 'cost_per_prompt' is missing"),
    "n_max missing": (VOTES, {"n_max": None}, r"the array 'n_max' is missing"),
    "neither answers nor outcomes": (VOTES, {"answers": None}, r"there is neither answers \(majority vote\) nor outcomes"),
    "counts flat": (VOTES, {"counts": np.ones((2, 4))}, r"counts must hold numbers with 3 dimensions, not float64 of shape \(2, 4\)"),
    "counts empty": (VOTES, {"counts": np.ones((2, 0, 3))}, r"counts has shape \(2, 0, 3\); it needs at least one"),
    "counts texts": (VOTES, {"counts": np.full((2, 4, 3), "a")}, r"counts must hold numbers"),
    "counts complex": (VOTES, {"counts": np.ones((2, 4, 3)) + 1j}, r"counts must hold numbers"),
    "counts negative": (VOTES, {"counts": poked(VOTES["counts"], (1, 2, 0), -1)}, r"counts\[1, 2, 0\] is negative; counts are at least 0"),
    "counts NaN": (VOTES, {"counts": poked(VOTES["counts"], (0, 3, 1), np.nan)}, r"counts\[0, 3, 1\] is not a finite number; replace it"),
    "counts infinite": (VOTES, {"counts": poked(VOTES["counts"], (0, 3, 1), np.inf)}, r"counts\[0, 3, 1\] is not a finite number"),
    "row of zeros": (VOTES, {"counts": poked(VOTES["counts"], (1, 3), 0)}, r"counts\[1, 3\] sums to 0, so there is nothing to draw"),
    "answer out of range": (VOTES, {"answers": np.array([0, 3, 1, 1])}, r"answers\[1\] is 3; right answers are codes from 0 to 2"),
    "answer negative": (VOTES, {"answers": np.array([0, 1, -1, 1])}, r"answers\[2\] is -1"),
    "answer a fraction": (VOTES, {"answers": np.array([0, 1, 0.5, 1])}, r"answers\[2\] is 0\.5"),
    "answers too few": (VOTES, {"answers": np.array([0, 1])}, r"answers must hold numbers with shape \(4,\)"),
    "costs too many": (VOTES, {"cost_per_prompt": np.ones(3)}, r"cost_per_prompt must hold numbers with shape \(2,\)"),
    "cost negative": (VOTES, {"cost_per_prompt": np.array([1, -1])}, r"cost_per_prompt\[1\] is negative"),
    "cost NaN": (VOTES, {"cost_per_prompt": np.array([1, np.nan])}, r"cost_per_prompt\[1\] is not a finite number"),
    "n_max zero": (VOTES, {"n_max": np.array(0)}, r"n_max is 0; it is a whole number from 1 to 256"),
    "n_max huge": (VOTES, {"n_max": np.array(257)}, r"n_max is 257"),
    "n_max a fraction": (VOTES, {"n_max": np.array(2.5)}, r"n_max is 2\.5"),
    "n_max a list": (VOTES, {"n_max": np.array([4])}, r"n_max must hold numbers with 0 dimensions"),
    "heldout all": (VOTES, {"heldout": np.ones(4, bool)}, r"heldout marks 4 of 4 queries; it must leave some on both sides"),
    "heldout none": (VOTES, {"heldout": np.zeros(4, bool)}, r"heldout marks 0 of 4 queries"),
    "heldout too short": (VOTES, {"heldout": np.ones(3, bool)}, r"heldout must hold numbers with shape \(4,\)"),
    "pickled objects": (VOTES, {"counts": np.array([{}], dtype=object)}, r"is not a \.npz of plain arrays .*write it with numpy"),
    "outcomes of other shape": (OUTCOMES, {"outcomes": np.ones((2, 4, 2, 2))}, r"outcomes has shape \(2, 4, 2, 2\), but counts"),
    "outcome NaN": (OUTCOMES, {"outcomes": poked(OUTCOMES["outcomes"], (0, 0, 0, 1), np.nan)}, r"outcomes\[0, 0, 0, 1\] is not a finite"),
    "weights of other shape": (OUTCOMES, {"weights": np.ones((2, 3))}, r"weights must hold numbers with shape \(2, 2\)"),
}  # fmt: skip


@pytest.mark.parametrize(("good", "changes", "words"), BAD.values(), ids=BAD.keys())
def test_a_bad_table_is_refused(tmp_path, good, changes, words):
    path = tmp_path / "bad.npz"
    np.savez(path, **{k: v for k, v in (good | changes).items() if v is not None})
    with pytest.raises(TableError, match=words):
        iapo.load_environment(path)


@pytest.mark.parametrize("good", [VOTES, OUTCOMES], ids=["votes", "outcomes"])
def test_the_good_ones_are_good(tmp_path, good):
    np.savez(tmp_path / "good.npz", **good)
    assert iapo.load_environment(tmp_path / "good.npz").n_max == 4


@pytest.mark.parametrize(
    "content", [b"", b"PK", b"counts,answers\n", b"PK\x03\x04" + b"\0" * 40], ids=["empty", "cut", "csv", "torn"]
)
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(TableError, match=r"bad\.npz: is not a \.npz of plain arrays"):
        iapo.load_environment(tmp_path / "bad.npz")


def test_a_table_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(TableError, match=r"no\.npz: cannot be read \(No such file or directory\); give a \.npz file"):
        iapo.load_environment(tmp_path / "no.npz")


def test_a_size_bomb_is_refused_before_it_unpacks(tmp_path):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("counts.npy", "w") as member:
        for _ in range(MAX_TABLE_BYTES // 2**24 + 1):
            member.write(bytes(2**24))
    assert path.stat().st_size < 2 * 2**20
    with pytest.raises(TableError, match=r"unpacks to 553,648,128 bytes, more than the 536,870,912 allowed; split the table"):
        iapo.load_environment(path)


def test_a_header_that_declares_more_than_there_is_is_refused(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**7, 10**4, 10**2)})
    with zipfile.ZipFile(tmp_path / "bad.npz", "w") as archive:
        archive.writestr("counts.npy", header.getvalue())
    with pytest.raises(TableError, match=r"bad\.npz: is not a \.npz of plain arrays"):
        iapo.load_environment(tmp_path / "bad.npz")


def stored(folder, task, data):
    import pyarrow as pa
    import pyarrow.parquet as pq

    (folder / "task.json").write_text(json.dumps(task.model_dump(mode="json", by_alias=True)))
    pq.write_table(pa.table(data), folder / "completions.parquet")
    return folder


def first(data, column, value):
    return {**data, column: [value, *data[column][1:]]}


RECORDINGS = {
    "columns missing": (lambda d: {c: d[c] for c in COLUMNS[:-2]}, r"parquet: the columns latency_s, error are missing; it has prompt"),
    "unknown prompt": (lambda d: first(d, "prompt", "zz"), r"row 1 is for prompt 'zz', .*record the task as it is now"),
    "unknown query": (lambda d: first(d, "query", "zz"), r"row 1 is for .* query 'zz', which the task does not have"),
    "unknown decoding": (lambda d: first(d, "decoding", "zz"), r"row 1 is for .* decoding 'zz'"),
    "sample twice": (lambda d: first(d, "sample", 1), r"rows 1 and 2 are both sample 1 of 'p1' on 'q0'; keep one"),
    "a pair is missing": (
        lambda d: {c: v[6:] for c, v in d.items()}, r"'p1' on 'q0' has 0 completions, fewer than N_max 4; record more or lower n_max"),
    "tokens negative": (lambda d: first(d, "completion_tokens", -1000), r"row 1, has impossible token counts; record it again"),
    "nothing": (lambda d: {c: v[:0] for c, v in d.items()}, r"has 0 completions, fewer than N_max 4"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "words"), RECORDINGS.values(), ids=RECORDINGS.keys())
def test_a_recording_that_does_not_fit_is_refused(tmp_path, change, words):
    task = recorded_task()
    with pytest.raises(RecordingError, match=words):
        iapo.load_environment(stored(tmp_path, task, change(recording(task))))


def test_a_recording_that_is_no_parquet_or_not_there_is_refused(tmp_path):
    task = recorded_task()
    stored(tmp_path, task, recording(task))
    (tmp_path / "completions.parquet").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(RecordingError, match=r"completions\.parquet: cannot be read as parquet .*; record it again"):
        iapo.load_environment(tmp_path)
    (tmp_path / "completions.parquet").unlink()
    with pytest.raises(
        RecordingError, match=r"completions\.parquet: there is no recording; make it with sample_tasks/record\.py"
    ):
        iapo.load_environment(tmp_path)


def test_a_recording_elsewhere_is_refused(tmp_path):
    task = recorded_task().model_copy(update={"recording": "../other.parquet"})
    (tmp_path / "task.json").write_text(json.dumps(task.model_dump(mode="json", by_alias=True)))
    with pytest.raises(RecordingError, match=r"a recording lies beside its task\.json; give a plain file name"):
        iapo.load_environment(tmp_path)


@pytest.mark.parametrize("seed", [-1, True, 1.5, "1"])
def test_a_bad_seed_is_refused(tmp_path, seed):
    with pytest.raises(TaskError, match=r"The seed is a whole number of at least 0, not "):
        iapo.load_environment(tmp_path, seed=seed)
