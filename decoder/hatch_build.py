"""Compile the decoder into the wheel, with the compiler and the flags that Python was built with.

One wheel serves every Python from 3.11 on, since the decoder uses the limited C API only.
"""

import shlex
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FLAGS = ["-O2", "-std=c11", "-fPIC", "-Wall", "-Wextra", "-Wno-missing-field-initializers", "-fvisibility=hidden"]


class Hook(BuildHookInterface):  # type: ignore[type-arg]
    """hatchling calls `initialize` before it builds a wheel, and `finalize` after it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile `native.c`, and name the file and the platform."""
        source = Path(self.root) / "adventure_decoder" / "native.c"
        target = Path(self.directory) / "native.abi3.so"
        target.parent.mkdir(parents=True, exist_ok=True)
        # LDSHARED is the compiler with the options that make a module on this platform.
        command = shlex.split(sysconfig.get_config_var("LDSHARED") or "cc -shared")
        command += [*FLAGS, f"-I{sysconfig.get_path('include')}", str(source), "-o", str(target)]
        subprocess.run(command, check=True)
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["force_include"][str(target)] = "adventure_decoder/native.abi3.so"
        build_data |= {"pure_python": False, "tag": f"cp311-abi3-{platform}"}

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the compiled file, which the wheel holds now."""
        (Path(self.directory) / "native.abi3.so").unlink()
