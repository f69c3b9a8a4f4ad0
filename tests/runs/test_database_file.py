"""The SQLite file: what is damaged, locked or not ours is refused in words and left as it was."""

import sqlite3
from contextlib import closing

import pytest

from iapo_core.errors import StoreError
from iapo_core.runs import engine
from iapo_core.runs.store import Store


def test_a_file_that_is_no_database_is_refused_and_left_alone(home):
    home.mkdir(parents=True, exist_ok=True)
    path = home / "iapo.db"
    path.write_bytes(b"this is not a database, but somebody's notes" * 100)
    with pytest.raises(StoreError, match=r"cannot be used \(.*not a database"):
        Store.open()
    assert path.read_bytes().startswith(b"this is not a database")


def test_a_locked_database_is_a_sentence(home, config, monkeypatch):
    store = Store.open()
    monkeypatch.setattr(engine, "BUSY_S", 0)
    hasty = Store.open()
    blocker = sqlite3.connect(home / "iapo.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(StoreError, match=r"refuses \(database is locked\); nothing was changed"):
            hasty.create_run(config)
    finally:
        blocker.execute("ROLLBACK")
        blocker.close()
        hasty.close()
    assert store.runs() == []
    store.close()


@pytest.mark.parametrize("damage", ["cut in half", "bits flipped"])
def test_a_damaged_file_is_refused_in_words(home, config, damage):
    store = Store.open()
    for _ in range(200):
        store.create_run(config)
    store.close()
    path = home / "iapo.db"
    whole = path.read_bytes()
    assert len(whole) > 50_000
    damaged = whole[: len(whole) // 2] if damage == "cut in half" else whole[:4096] + b"\xff" * (len(whole) - 4096)
    path.write_bytes(damaged)
    refusal = pytest.raises(StoreError, match=r"(cannot be used|refuses) \(.*(malformed|not a database|disk I/O)")
    with refusal, closing(Store.open()) as opened:
        opened.runs(1000)
    assert path.read_bytes() == damaged


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path):
    with pytest.raises(StoreError, match=r"cannot be used \(unable to open database file\)"):
        Store.open(f"sqlite:///{tmp_path / 'nowhere' / 'iapo.db'}")


@pytest.mark.parametrize("url", ["nonsense", "://", "postgresql://", "mongodb://localhost/x"])
def test_an_address_that_is_none_is_a_sentence(url):
    with pytest.raises(StoreError, match=r"is not an address|cannot be used"):
        Store.open(url)


def test_every_commit_waits_for_the_disk_and_writers_do_not_block_readers(home):
    store = Store.open()
    with store._read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == engine.BUSY_S * 1000
    with store._write() as connection:  # a writer holds the lock from its first statement on
        rival = sqlite3.connect(home / "iapo.db", isolation_level=None, timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            rival.execute("BEGIN IMMEDIATE")
        rival.close()
        assert store.runs() == []
    store.close()
