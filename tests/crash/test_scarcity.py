"""A command that runs out of open files or of memory, wherever that is, damages nothing: the next one goes on."""

import pytest

from tests.crash.conftest import World

pytestmark = pytest.mark.slow

LIMITS = {
    "open files": [f"-n {files}" for files in (5, 8, 11, 14, 18)],
    "memory": [f"-v {megabytes << 10}" for megabytes in (150, 300, 500, 800, 1200)],
}
"""Options of the shell's ulimit, from one with which hardly anything begins."""


@pytest.mark.parametrize("command", ["process", "load"])
@pytest.mark.parametrize("scarce", LIMITS)
def test_a_command_that_runs_out_damages_nothing(world: World, command: str, scarce: str) -> None:
    world.converge()
    codes = []
    for limit in LIMITS[scarce]:
        world.write()
        if command == "load":
            world.process()
        codes.append(world.run(command, limit=limit).returncode)
    assert codes[0] != 0, "the smallest limit was not felt"
    world.converge()
