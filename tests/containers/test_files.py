"""Static checks of the container files; tests/containers/run tests that they work."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
INSTRUCTIONS = [
    line for line in re.sub(r"^\s*#.*\n", "", DOCKERFILE, flags=re.M).replace("\\\n", " ").splitlines() if line.strip()
]
COMPOSE_TEXT = (ROOT / "compose.yml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PYTHON_SERVICES = ("generator", "api", "processor", "processor-snowflake", "tasks", "dashboard")
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")


def instructions(name: str) -> list[str]:
    return [line.removeprefix(name).strip() for line in INSTRUCTIONS if line.startswith(f"{name} ")]


# --- The Dockerfile


def test_every_image_begins_with_the_pinned_base_or_a_stage() -> None:
    assert any(re.fullmatch(r"PYTHON=\S+:\d+\.\d+\.\d+-\S+@sha256:[0-9a-f]{64}", each) for each in instructions("ARG"))
    stages = {each.split(" AS ")[1] for each in instructions("FROM")}
    for source in (each.split(" AS ")[0] for each in instructions("FROM")):
        assert source in stages | {"${PYTHON}", "scratch"}


def test_every_installed_package_is_locked() -> None:
    installs = [
        part for line in instructions("RUN") for part in line.split("&&") if " install " in part and "pip" in part
    ]
    assert installs
    for each in installs:
        assert "--no-cache-dir" in each
        assert "--require-hashes" in each or "--no-deps" in each


def test_the_user_has_its_own_id_until_the_end() -> None:
    assert instructions("USER") == ["10001:10001"]
    after = INSTRUCTIONS[INSTRUCTIONS.index("USER 10001:10001") :]
    assert not [line for line in after if line.startswith("RUN")]


def test_commands_are_lists_so_that_signals_arrive() -> None:
    for name in ("ENTRYPOINT", "CMD"):
        assert all(each.startswith("[") for each in instructions(name))
    assert "CMD [" in instructions("HEALTHCHECK")[0]


@pytest.mark.parametrize(
    "pattern", [r"^ADD ", r":latest", r"\bsudo\b", r"curl|wget", r"^(ARG|ENV) .*(PASSWORD|SECRET|TOKEN|KEY)"]
)
def test_known_lint_errors_are_absent(pattern: str) -> None:
    assert not [line for line in INSTRUCTIONS if re.search(pattern, line)]


def test_the_build_context_contains_only_needed_files() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    copied = {part for line in instructions("COPY") if "--from" not in line for part in line.split()[:-1]}
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    assert {path for path in copied if path not in allowed and path.split("/")[0] not in allowed} == set()
    assert allowed.isdisjoint({".env", ".git", "secrets", "tests"})


@pytest.mark.parametrize("script", sorted(path for path in (ROOT / "docker").rglob("*") if path.is_file()), ids=str)
def test_scripts_parse_and_stop_at_errors(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    if not text.startswith("#!"):
        return
    assert os.access(script, os.X_OK)
    assert re.search(r"^set -eu", text, re.M)
    shell = text.splitlines()[0].split("/")[-1].split()[-1]
    subprocess.run([shell, "-n", str(script)], check=True)


# --- What is in the images


def test_all_locks_hold_the_same_versions() -> None:
    versions: dict[str, set[str]] = {}
    # Snowflake's command line, the newest and the oldest versions run in environments of their own, beside the project.
    own = {ROOT / "requirements" / f"{name}.lock" for name in ("snow-cli", "newest", "floor")}
    for lock in {*(ROOT / "requirements").glob("*.lock")} - own:
        for line in lock.read_text(encoding="utf-8").splitlines():
            if match := re.match(r"([a-z0-9][\w.-]*)(?:\[\S+\])?==(\S+)(?: ; (.*?))? ?\\?$", line):
                versions.setdefault(f"{lock.name} {match[1]}", set()).add(match[2])
    developers = {key.split()[1]: found for key, found in versions.items() if key.startswith("dev.lock")}
    for key, found in versions.items():
        assert found <= developers[key.split()[1]], key


def test_the_processor_image_holds_no_package_that_it_does_not_use() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {re.split(r"[\[=<>]", each)[0].replace("-", "_") for each in project["dependencies"]}
    wanted = {_MODULES.get(name, name) for name in wanted}
    modules = [
        path
        for name in ("cli", "core", "monitoring", "processor", "sources")
        for path in (ROOT / "adventure" / name).rglob("*.py")
    ]
    imported = set().union(*map(imports, modules))
    assert wanted - imported - _SHARED == set()


_MODULES = {"python_dotenv": "dotenv"}
"""Packages whose module has another name."""

_SHARED = {"filelock", "prometheus_client"}
"""Packages for the task server's lock and for the metrics."""


def imports(path: Path) -> set[str]:
    """Return the top-level modules that a file imports anywhere."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


# --- compose.yml


def test_ports_are_published_on_loopback_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(re.match(r"127\.0\.0\.1:", port) for port in ports)


def test_profiles_contain_their_services() -> None:
    by_profile = {
        profile: {name for name, service in SERVICES.items() if profile in service.get("profiles", [profile])}
        for profile in ("duckdb", "snowflake")
    }
    databases = {"postgres", "mongo"}
    assert by_profile["duckdb"] == databases | {"generator", "api", "processor", "tasks", "dashboard"}
    assert by_profile["snowflake"] == databases | {"generator", "api", "processor-snowflake"}
    tools = {name for name, service in SERVICES.items() if service.get("profiles") == ["tools"]}
    assert tools == {"adminer", "mongo-express"}
    assert "COMPOSE_PROFILES=duckdb\n" in EXAMPLE


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_has_limits_a_restart_policy_and_bounded_logs(name: str) -> None:
    service = SERVICES[name]
    assert {"cpus", "memory"} <= service["deploy"]["resources"]["limits"].keys()
    assert service["restart"]
    assert service["logging"]["options"]["max-size"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", PYTHON_SERVICES)
def test_our_services_write_to_their_volumes_alone(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["tmpfs"] == ["/tmp"]
    assert "user" not in service


def test_volumes_are_shared_only_by_services_that_exchange_files() -> None:
    users = {
        volume: {
            name
            for name, service in SERVICES.items()
            for each in service.get("volumes", [])
            if each.startswith(f"{volume}:")
        }
        for volume in COMPOSE["volumes"]
    }
    assert users == {
        "postgres": {"postgres"},
        "mongo": {"mongo"},
        "stages": {"processor", "processor-snowflake", "tasks"},
        "warehouse": {"tasks", "dashboard"},
        "heartbeats": {"processor", "processor-snowflake", "tasks", "dashboard"},
    }
    assert SERVICES["dashboard"]["volumes"] == ["warehouse:/var/lib/adventure:ro", "heartbeats:/var/lib/heartbeats:ro"]
    assert set(SERVICES["dashboard"]["networks"]).isdisjoint(SERVICES["tasks"]["networks"])


def test_every_file_that_is_mounted_is_there() -> None:
    mounted = [each.split(":")[0] for service in SERVICES.values() for each in service.get("volumes", [])]
    files = [path for path in mounted if path.startswith("./")]
    assert files
    assert [path for path in files if not (ROOT / path).is_file()] == []


def test_services_that_need_the_databases_start_when_those_are_healthy() -> None:
    for name in ("generator", "api", "processor", "processor-snowflake"):
        wanted = SERVICES[name]["depends_on"]
        assert {service: each["condition"] for service, each in wanted.items()} == {
            "postgres": "service_healthy",
            "mongo": "service_healthy",
        }
    assert all("healthcheck" in SERVICES[name] for name in ("postgres", "mongo"))


def test_the_file_contains_no_password() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|DSN", name):
                assert re.search(r"\$\{[A-Z]+_PASSWORD:\?", str(value)), name


def test_the_example_names_every_variable_and_no_other() -> None:
    used = set(re.findall(r"\$\{([A-Z_]+)", COMPOSE_TEXT))
    settings, _, containers = EXAMPLE.partition("# --- Containers")
    listed = set(re.findall(r"^#?([A-Z_]+)=", containers, re.M))
    assert listed - {"COMPOSE_PROFILES"} <= used
    assert used <= listed | set(re.findall(r"^#?([A-Z_]+)=", settings, re.M))


@pytest.mark.skipif(shutil.which("podman") is None, reason="podman-compose asks podman for its version")
@pytest.mark.parametrize("profile", ["duckdb", "snowflake", "tools"])
def test_compose_accepts_the_file_with_the_unchanged_example(profile: str, tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("podman-compose")), "--env-file", str(ROOT / ".env.example")]
    clean = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "CONTAINERS_CONF")}
    done = subprocess.run(
        [*command, "--file", str(ROOT / "compose.yml"), "--profile", profile, "config"],
        env=clean | {"COMPOSE_PROFILES": profile},
        capture_output=True,
        text=True,
        check=True,
    )
    resolved = yaml.safe_load(done.stdout)
    assert "${" not in done.stdout
    assert resolved["services"]["postgres"]["environment"]["POSTGRES_PASSWORD"] == "adventure"
