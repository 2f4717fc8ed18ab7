import os
import pathlib
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
