import shutil

import pytest

from adventure.destinations.common.build import target_dir
from tests.snowflake.pair import Pair

pytestmark = pytest.mark.slow


def test_dump(pair: Pair) -> None:
    shutil.copytree(target_dir(pair.snowflake), "/tmp/prof/typed", dirs_exist_ok=True)
