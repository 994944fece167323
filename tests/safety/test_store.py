"""The folder of pictures on their way: one owner, an age, a quota, and nothing left of a process that is gone."""

import asyncio
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from starlette.exceptions import HTTPException

from tests.conftest import ROOT
from ui.server import folder, store


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "FOLDER", tmp_path)
    return tmp_path


def put(folder, name: str, size: int, age: float):
    path = folder / name / "a.png"
    path.parent.mkdir()
    path.write_bytes(bytes(size))
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def upload(size: int, client: str = "1.1.1.1") -> dict:
    """The request of one, as ASGI has it."""
    headers = [(b"content-length", str(size).encode())]
    return {"type": "http", "path": "/gradio_api/upload", "headers": headers, "client": (client, 1)}


def test_old_files_go_and_then_the_oldest_until_there_is_room(kept, monkeypatch):
    monkeypatch.setattr(store, "QUOTA", 1000)
    old, older, middle, young = (
        put(kept, *each)
        for each in (("old", 10, store.AGE + 1), ("older", 400, 60), ("middle", 400, 40), ("young", 400, 0))
    )
    assert store.sweep(300) == 400
    assert not old.exists() and not older.exists() and not middle.exists() and young.exists()
    assert store.sweep() == 400


def test_an_upload_that_finds_no_room_is_refused(kept, monkeypatch):
    monkeypatch.setattr(store, "QUOTA", 1000)
    young = put(kept, "young", 900, 0)
    with pytest.raises(HTTPException), store.tidied(upload(200)):
        pass
    assert young.exists()
    with store.tidied(upload(50)):
        # one that comes at the same time finds what is left
        with pytest.raises(HTTPException), store.tidied(upload(60)):
            pass
        with store.tidied(upload(50)):
            pass
    with store.tidied(upload(100)):
        pass


def test_one_client_cannot_hold_all_the_room_and_what_is_refused_deletes_nothing(kept, monkeypatch):
    monkeypatch.setattr(store, "QUOTA", 1000)
    old = put(kept, "old", 100, 60)
    with store.tidied(upload(700)):
        for more in (upload(100), upload(400, "2.2.2.2")):
            with pytest.raises(HTTPException), store.tidied(more):
                pass
        assert old.exists()
        with store.tidied(upload(250, "2.2.2.2")):
            assert not old.exists()


def test_what_has_come_of_an_upload_counts_once(kept, monkeypatch):
    monkeypatch.setattr(store, "QUOTA", 1000)
    with store.tidied(upload(600)):
        store._uploads[0].written.append(str(put(kept, "part", 500, 0)))
        with store.tidied(upload(400)):
            pass


def test_a_file_that_goes_during_a_sweep_does_not_end_it(kept, monkeypatch):
    paths = [put(kept, str(number), 10, store.AGE + 1) for number in range(3)]
    unlink = os.unlink

    def gone(path):
        unlink(path)
        if str(paths[0]) in path:
            raise FileNotFoundError

    monkeypatch.setattr(os, "unlink", gone)
    store.sweep()
    assert not any(path.exists() for path in paths)


def test_a_folder_that_another_sweep_removed_does_not_end_one(kept, monkeypatch):
    for name in ("one", "two"):
        (kept / name).mkdir()
        os.utime(kept / name, (0, 0))
    lstat = os.lstat

    def gone(path):
        if str(path).endswith("one"):
            raise FileNotFoundError
        return lstat(path)

    monkeypatch.setattr(os, "lstat", gone)
    assert store.sweep() == 0
    assert not (kept / "two").exists()


def test_the_app_sweeps_while_it_runs_and_forgets_the_names(kept, monkeypatch):
    monkeypatch.setattr(store, "EVERY", 0.01)
    old = put(kept, "old", 10, store.AGE + 1)
    names = {str(old)}
    app = SimpleNamespace(get_blocks=lambda: SimpleNamespace(temp_file_sets=[names]))

    async def run() -> None:
        async with store.swept(app):
            for _ in range(1000):
                if not names:
                    return
                await asyncio.sleep(0.01)

    asyncio.run(run())
    assert not old.exists() and not names


def test_folders_of_processes_that_are_gone_are_emptied_at_the_start(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for name in (f"facet-{gone.pid}", f"facet-{os.getpid()}", "facet-notes", "others"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(b"x")
    code = "from ui.server.folder import FOLDER; print(FOLDER)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "GRADIO_TEMP_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    left = sorted(path.name for path in tmp_path.iterdir())
    own = done.stdout.strip().rsplit("/", 1)[1]
    assert left == sorted([f"facet-{os.getpid()}", "facet-notes", "others", own])


def test_a_folder_that_cannot_be_emptied_does_not_end_the_start(tmp_path, monkeypatch):
    """As one of another user, whose process had the same number."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    (tmp_path / f"facet-{os.getpid()}").mkdir()
    monkeypatch.setattr(folder.shutil, "rmtree", lambda *_, **__: None)
    own = folder.own_folder()
    assert own.parent == tmp_path and own.name.startswith(f"facet-{os.getpid()}-") and own.is_dir()
    # what it starts has a folder beside it
    assert folder.own_folder().parent == tmp_path
