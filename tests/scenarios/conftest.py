import datetime
import importlib
import os
import pathlib
import random
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from plant import Broker, Plant, VictoriaMetrics  # noqa: E402
from upstream import KINDS  # noqa: E402


@pytest.fixture
def plant(tmp_path):
    plant = Plant(tmp_path)
    yield plant
    plant.close()


@pytest.fixture
def broker(plant):
    return Broker(plant)


@pytest.fixture
def upstream(plant):
    return VictoriaMetrics(plant)


@pytest.fixture
def store(request, plant):
    """A store of one of the KINDS, which a test names as its parameter."""
    one = KINDS[request.param](plant)
    yield one
    one.close()


@pytest.fixture(scope="session")
def shared():
    """The folder of measurements and register maps that the project does not carry."""
    folder = os.environ.get("WATTD_DATA")
    if not folder or not (pathlib.Path(folder) / "ml").is_dir():
        if os.environ.get("CI") and folder:
            pytest.fail(f"WATTD_DATA is {folder}, but there is no data in it")
        pytest.skip("WATTD_DATA names no folder with recorded measurements")
    return pathlib.Path(folder)


@pytest.fixture(scope="session")
def data(shared):
    """The folder of recorded measurements."""
    return shared / "ml" / "data"


@pytest.fixture(scope="session")
def scorer(shared):
    """The scorers that lie beside the data, by name."""
    folder = str(shared / "ml" / "scorers")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module


@pytest.fixture
def series(tmp_path):
    """Twelve weeks of a building, an hour a row, with an hour that is four times too high."""
    chance = random.Random(1)
    path = tmp_path / "series.csv"
    with open(path, "w") as out:
        print("timestamp,value,filled", file=out)
        for hour in range(24 * 84):
            day, at = hour // 24, hour % 24
            load = (100 if day % 7 < 5 and 7 <= at < 18 else 40) * (1 + chance.gauss(0, .03)) * (4 if hour == 1500 else 1)
            print(f"{datetime.datetime(2026, 2, 9) + datetime.timedelta(hours=hour)},{load:.3f},0", file=out)
    return path
