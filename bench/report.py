"""The one line that a measurement prints."""
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]


def report(bench: str, value: float, unit: str, **more):
    print(json.dumps({"bench": bench, "value": round(value, 4), "unit": unit, **more}), flush=True)


def median(values: list) -> float:
    return statistics.median(values)


class Directory:
    """A directory on the checkout's disk, not in a memory file system."""

    def __enter__(self) -> pathlib.Path:
        (ROOT / "build").mkdir(exist_ok=True)
        self.path = pathlib.Path(tempfile.mkdtemp(dir=ROOT / "build", prefix="bench-"))
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


def file_system(path) -> str:
    return subprocess.run(["stat", "-f", "-c", "%T", str(path)], capture_output=True, text=True).stdout.strip()


def processor_seconds(pid: int) -> float:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
