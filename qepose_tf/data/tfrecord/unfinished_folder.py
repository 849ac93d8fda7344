"""A folder of TFRecord data while it is being written."""

import contextlib
import json
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any

from qepose_tf.data.tfrecord.manifest import (
    ANNOTATIONS,
    FORMAT,
    INDEX,
    MANIFEST,
)
from qepose_tf.files.folder_lock import FolderLock
from qepose_tf.files.whole_files import publish

_WORK = ".preparing"
_REQUEST = "request.json"
_TEMPORARY = ".tmp"


class UnfinishedFolder:
    """A folder in which shards are written, under temporary names until complete.

    A folder inside it holds the files that are being written and the facts about each
    finished shard. That inner folder is removed when the manifest is written.

    Args:
        path: Of the folder, which exists.

    Attributes:
        path: Of the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._work = path / _WORK

    def begun(self) -> dict[str, Any] | None:
        """The manifest or, in an unfinished folder, what was asked for; else None.

        Raises:
            ValueError: The folder holds something else than prepared data.
        """
        for path in (self.path / MANIFEST, self._work / _REQUEST):
            try:
                found = json.loads(path.read_bytes())
            except FileNotFoundError:
                continue
            except ValueError as error:
                raise ValueError(f"{path}: expected JSON, {error}") from None
            if not isinstance(found, dict) or found.get("format") != FORMAT:
                raise ValueError(f"{path}: expected what 'qepose prepare' writes")
            return found
        others = sorted(p.name for p in self.path.iterdir() if p.name != _WORK)
        if others:
            raise ValueError(
                f"{self.path}: expected a new folder or one that 'qepose prepare' "
                f"began, found {others[0]}"
            )
        return None

    def refuse_others(self, begun: dict[str, Any], asked: dict[str, Any]) -> None:
        """Raises `ValueError` where other data were begun than are asked for."""
        changes = [
            _change(key, begun.get(key), value)
            for key, value in asked.items()
            if begun.get(key) != value
        ]
        if changes:
            raise ValueError(
                f"{self.path}: was prepared differently: {', '.join(changes)}; "
                "repeat the same, name another folder, or give --overwrite"
            )

    @contextlib.contextmanager
    def claimed(self) -> Generator[None]:
        """Keeps other processes out, and removes what a killed one was writing.

        Raises:
            OSError: Another process is at work here.
        """
        try:
            lock = FolderLock(self.path)
        except BlockingIOError:
            raise OSError(
                f"{self.path}: another process is preparing this folder"
            ) from None
        with contextlib.closing(lock):
            self._work.mkdir(exist_ok=True)
            for leftover in self._work.glob(f"*{_TEMPORARY}"):
                leftover.unlink()
            yield

    def begin(self, asked: dict[str, Any], annotations: bytes, overwrite: bool) -> None:
        """Notes what is asked for and copies the annotation file.

        Args:
            asked: What every later call must ask for, too.
            annotations: Content of the file.
            overwrite: Remove what was prepared here, finished or not.
        """
        # A kill in between leaves the old data, or nothing that counts as finished.
        if overwrite:
            for facts in self._work.glob("images-*.json"):
                facts.unlink()
        self._write(self._work / _REQUEST, _json(asked))
        if overwrite:
            shards = sorted(self.path.glob("images-*-of-*.tfrecord"))
            files = [self.path / name for name in (MANIFEST, INDEX, ANNOTATIONS)]
            for path in (*files, *shards):
                path.unlink(missing_ok=True)
        self.write(ANNOTATIONS, annotations)

    def write(self, name: str, content: bytes) -> None:
        """Writes a file of the folder."""
        self._write(self.path / name, content)

    def temporary(self, name: str) -> Path:
        """Where a file is written before it has its name."""
        return self._work / f"{name}{_TEMPORARY}"

    def finished_shard(self, name: str) -> dict[str, Any] | None:
        """What is known of a shard that is whole, else None."""
        shard, facts = self.path / name, self._work / f"{name}.json"
        if not shard.is_file() or not facts.is_file():
            return None
        known = json.loads(facts.read_bytes())
        return known if shard.stat().st_size == known["bytes"] else None

    def finish_shard(self, name: str, facts: dict[str, Any]) -> None:
        """Gives a shard its name; it stands at `temporary(name)`."""
        # The facts first: a shard without them would have to be written again.
        self._write(self._work / f"{name}.json", _json(facts))
        publish(self.temporary(name), self.path / name)

    def finish(self, manifest: dict[str, Any]) -> None:
        """Writes the manifest, which makes the folder a data set."""
        self.write(MANIFEST, _json(manifest))
        self.tidy()

    def tidy(self) -> None:
        """Removes what only an unfinished folder needs."""
        shutil.rmtree(self._work, ignore_errors=True)

    def _write(self, path: Path, content: bytes) -> None:
        temporary = self.temporary(path.name)
        temporary.write_bytes(content)
        publish(temporary, path)


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=1) + "\n").encode()


def _change(key: str, then: Any, now: Any) -> str:
    if key == "annotations_sha256":
        return f"the annotation file has changed (sha256 {then} then, {now} now)"
    return f"{key} was {then!r}, now {now!r}"
