"""Calibrations as Parquet files that say what they are and whether they are whole."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from infalign_theory.errors import InputError
from infalign_theory.output import write_atomically
from infalign_theory.training.samples import BaseSamples

VERSION = 1
_KIND = "infalign calibration"


@dataclass(frozen=True)
class Stored:
    """What a file holds: the base samples, what was asked for and what was chosen."""

    samples: BaseSamples
    method: str
    tail: str
    chosen: str

    @property
    def checksum(self) -> str:
        """SHA-256 of everything the calibration depends on."""
        digest = hashlib.sha256(repr((VERSION, self.method, self.tail, self.chosen)).encode())
        for name in self.samples.prompts:
            text = name.encode("utf-8", "surrogatepass")
            digest.update(len(text).to_bytes(8, "little") + text)
        digest.update(self.samples.offsets.astype("<i8").tobytes())
        digest.update(self.samples.rewards.astype("<f8").tobytes())
        return digest.hexdigest()


def write(path: Path, stored: Stored) -> None:
    """One row a base sample, and the rest in the file's own metadata."""
    import duckdb
    import pandas as pd

    names = pd.Series(stored.samples.names(), dtype=object)
    frame = pd.DataFrame({"prompt": names, "reward": stored.samples.rewards})
    facts = {
        "kind": _KIND,
        "version": str(VERSION),
        "method": stored.method,
        "tail": stored.tail,
        "chosen": stored.chosen,
        "checksum": stored.checksum,
    }
    listed = ", ".join(f"{key}: '{value}'" for key, value in facts.items())
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        file = Path(folder) / "calibration.parquet"
        connection.register("samples", frame)
        target = str(file).replace("'", "''")
        try:
            connection.execute(
                f"COPY (SELECT prompt::VARCHAR AS prompt, reward FROM samples) TO '{target}' "
                f"(FORMAT parquet, KV_METADATA {{{listed}}})"
            )
            content = file.read_bytes()
        except (duckdb.IOException, OSError) as error:
            raise InputError(
                f"cannot prepare {path} in {tempfile.gettempdir()}, which is full or not to be "
                "written to; make room there, or set TMPDIR to another folder."
            ) from error
    write_atomically(path, content)


def read(path: Path) -> Stored:
    """The calibration in a file, or one clear message."""
    import duckdb

    if not path.is_file():
        raise InputError(f"{path}: no such file; give one that Calibrator.save wrote.")
    try:
        with duckdb.connect() as connection:
            pairs = connection.execute(
                "SELECT key, value FROM parquet_kv_metadata(?)", [str(path)]
            ).fetchall()
            facts = {bytes(k).decode(): bytes(v).decode() for k, v in pairs}
            if facts.get("kind") != _KIND:
                raise InputError(
                    f"{path} is Parquet but not a calibration; make one with infalign calibrate."
                )
            if facts.get("version") != str(VERSION):
                raise InputError(
                    f"{path} is of version {facts.get('version')!r:.20}, this package reads "
                    f"{VERSION}; fit it anew from the base samples."
                )
            rows = connection.execute("SELECT prompt, reward FROM read_parquet(?)", [str(path)])
            columns = rows.fetchnumpy()
    except (duckdb.Error, UnicodeDecodeError):
        raise InputError(
            f"{path} is not a readable Parquet file; give one that Calibrator.save wrote."
        ) from None
    samples = BaseSamples.collect(
        np.asarray(columns["prompt"], dtype=object).tolist(), np.asarray(columns["reward"])
    )
    stored = Stored(samples, facts["method"], facts["tail"], facts["chosen"])
    if stored.checksum != facts.get("checksum"):
        raise InputError(
            f"{path} is damaged: its checksum does not fit; fit it anew from the base samples."
        )
    return stored
