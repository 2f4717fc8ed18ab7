"""What the scenarios of wattml share: the program, and how its files are read."""
import csv
import gzip
import subprocess

from plant import BUILD

WATTML = BUILD / "wattml"


def wattml(*arguments, status=0) -> subprocess.CompletedProcess:
    done = subprocess.run([WATTML, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == status, f"{arguments} ended with {done.returncode}: {done.stderr}"
    return done


def rows_of(path) -> list:
    with (gzip.open(path, "rt") if str(path).endswith(".gz") else open(path)) as file:
        return list(csv.DictReader(file))
