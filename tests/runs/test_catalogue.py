"""The catalogue: bundled and added tasks, pinned by their content; an upload is kept only if it can be run."""

import io
import os

import numpy as np
import pytest

from iapo_core.errors import StoreError, TableError, TaskError
from iapo_core.runs.catalogue import add_table, data_dir, open_environment, task_entry, task_fingerprint, tasks
from tests.runs.conftest import table_bytes


def test_the_bundled_tasks_come_first_and_say_what_they_are(home):
    entries = {entry.id: entry for entry in tasks()}
    assert list(entries)[:3] == ["topics", "animals", "explain"]
    assert entries["simulated-deceptive"].is_simulated
    assert [entries[name].origin for name in ("topics", "animals", "explain")] == ["recorded"] * 3


def test_an_added_table_is_in_the_catalogue_and_can_be_opened(home, tmp_path):
    content = table_bytes(tmp_path)
    task = add_table("My Table!.npz", content)
    assert task.startswith("my-table-")
    entry = task_entry(task)
    assert (entry.n_prompts, entry.n_queries, entry.n_max, entry.origin) == (5, 24, 8, "table")
    assert open_environment(task).name == task
    assert open_environment(task) is open_environment(task)
    assert open_environment(task, 1) is not open_environment(task)
    assert add_table("My Table!.npz", content) == task  # the same content is the same task
    assert add_table("My Table!.npz", table_bytes(tmp_path, seed=1)) != task
    assert sorted(path.suffix for path in (home / "tasks").iterdir()) == [".npz", ".npz"]


def test_the_fingerprint_is_of_the_content(home, tmp_path):
    task = add_table("t.npz", table_bytes(tmp_path))
    before = task_fingerprint(task)
    path = task_entry(task).path
    os.utime(path, (0, 0))
    assert task_fingerprint(task) == before
    path.write_bytes(table_bytes(tmp_path, seed=1))
    assert task_fingerprint(task) != before


def packed(**arrays):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("notes.npz", b"not a table", "is not a .npz of plain arrays"),
        ("empty.npz", b"", "is not a .npz of plain arrays"),
        ("half.npz", packed(counts=np.ones((2, 3, 2))), "is missing"),
        ("objects.npz", packed(counts=np.array([{}], dtype=object)), "is not a .npz of plain arrays"),
        ("???.npz", b"", "gives no usable name"),
    ],
)
def test_an_upload_that_cannot_be_run_is_refused_and_not_kept(home, name, content, words):
    with pytest.raises(TableError, match=words) as refusal:
        add_table(name, content)
    assert str(home) not in str(refusal.value)
    assert list((home / "tasks").glob("*")) == []


def test_a_name_cannot_lead_out_of_the_folder(home, tmp_path):
    task = add_table("../../etc/x.npz", table_bytes(tmp_path))
    assert task_entry(task).path.parent == home / "tasks"


def test_one_broken_task_does_not_hide_the_others(home, tmp_path, caplog):
    kept = add_table("t.npz", table_bytes(tmp_path))
    (home / "tasks" / "broken.npz").write_bytes(b"broken")
    assert kept in {entry.id for entry in tasks()}
    assert "broken" not in {entry.id for entry in tasks()}
    assert "left out of the catalogue" in caplog.text


def test_an_unknown_task_is_a_sentence(home):
    with pytest.raises(TaskError, match="There is no task 'nosuch'; there are topics"):
        open_environment("nosuch")


def test_a_data_folder_that_cannot_be_made_is_a_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("IAPO_DATA_DIR", str(tmp_path / "file" / "home"))
    with pytest.raises(StoreError, match=r"The data folder .* cannot be made \(Not a directory\); set IAPO_DATA_DIR"):
        data_dir()
