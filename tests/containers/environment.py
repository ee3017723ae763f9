"""Run the environment of compose.yml under podman: build images, start services, run commands in them."""

import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from adventure.demo.sandbox.process import free_port

ROOT = Path(__file__).parent.parent.parent
STANDINS = ROOT / "tests" / "containers" / "standins"
PREFIX = "localhost/adventure-standins"
PYTHON_SERVICES = ("generator", "api", "processor", "tasks", "dashboard")
SERVICES = ("postgres", "mongo", *PYTHON_SERVICES)

# A build may need this machine's network and certificates to reach a package index.
_BUILD = ["build", "--format", "docker", "--network", "host"]
_WITH_CERTIFICATES = ["--volume", "/etc/ssl/certs:/etc/ssl/certs:ro"]


def log_step(text: str) -> None:
    """Print the current step."""
    print(f"{time.strftime('%H:%M:%S')} ▸ {text}", flush=True)


def podman(*arguments: str, check: bool = True, timeout: float = 600) -> str:
    """Run podman and return its output; show its stderr only if it fails."""
    done = subprocess.run(["podman", *arguments], capture_output=True, text=True, timeout=timeout, check=False)
    if check and done.returncode:
        raise AssertionError(f"podman {' '.join(arguments)} ended with {done.returncode}: {done.stderr}{done.stdout}")
    return done.stdout


def use_working_configuration() -> None:
    """Use the configuration beside this file if podman cannot run a container with its own."""
    image = f"{PREFIX}/python"
    probe = ["podman", "run", "--rm", "--network", "none", image, "true"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        os.environ["CONTAINERS_CONF"] = str(ROOT / "tests" / "containers" / "containers.conf")
        podman(*probe[1:])


def build_images(*, official: bool) -> None:
    """Build the product's images on the official base images, or on stand-ins, which are built first."""
    base: list[str] = []
    if not official:
        if subprocess.run(["podman", "image", "exists", f"{PREFIX}/python"], check=False).returncode:
            log_step("making a stand-in of the Python image")
            subprocess.run([STANDINS / "base", f"{PREFIX}/python"], check=True, stderr=subprocess.DEVNULL)
        use_working_configuration()
        base = ["--build-arg", f"PYTHON={PREFIX}/python"]
        lock = (ROOT / "requirements" / "demo.lock").read_text()
        server = next(line.split()[0] for line in lock.splitlines() if line.startswith("secantusdb=="))
        for name in ("postgres", "mongo"):
            log_step(f"building a stand-in of the {name} image")
            file = str(STANDINS / f"{name}.Dockerfile")
            pinned = ["--build-arg", f"SECANTUSDB={server}", *_WITH_CERTIFICATES] if name == "mongo" else []
            podman(*_BUILD, *base, *pinned, "--file", file, "--tag", f"{PREFIX}/{name}", str(STANDINS))
    for target in ("processor", "processor-snowflake", "generator", "tasks"):
        log_step(f"building the {target} image")
        file = str(ROOT / "docker" / "Dockerfile")
        podman(
            *_BUILD,
            *_WITH_CERTIFICATES,
            *base,
            "--target",
            target,
            "--file",
            file,
            "--tag",
            f"{PREFIX}/adventure-{target}",
            str(ROOT),
        )


@dataclass
class Environment:
    """A project of compose.yml, with its own passwords and ports."""

    folder: Path
    official: bool
    project: str = field(default_factory=lambda: f"adventure-test-{secrets.token_hex(3)}")
    passwords: dict[str, str] = field(
        default_factory=lambda: {name: secrets.token_hex(12) for name in ("ADMIN", "SALES", "READER", "STATE")}
    )
    port: int = field(default_factory=lambda: free_port(None))
    _checking: threading.Event = field(default_factory=threading.Event)

    @property
    def variables(self) -> dict[str, str]:
        """Return the environment variables for compose.yml, docker/backup and docker/restore."""
        images = (
            {} if self.official else {f"{name.upper()}_IMAGE": f"{PREFIX}/{name}" for name in ("postgres", "mongo")}
        )
        key = self.folder / "snowflake_private_key.p8"
        return images | {
            "COMPOSE_PROJECT_NAME": self.project,
            "COMPOSE_PROFILES": "duckdb",
            "PROCESSOR_IMAGE": f"{PREFIX}/adventure-processor",
            "PROCESSOR_SNOWFLAKE_IMAGE": f"{PREFIX}/adventure-processor-snowflake",
            "GENERATOR_IMAGE": f"{PREFIX}/adventure-generator",
            "TASKS_IMAGE": f"{PREFIX}/adventure-tasks",
            "DASHBOARD_PORT": str(self.port),
            "GENERATION_INTERVAL_SEC": "2",
            "PROCESS_EVERY_SEC": "2",
            "TASKS_EVERY_SEC": "5",
            "STUCK_AFTER_SEC": "40",
            "SNOWFLAKE_PRIVATE_KEY": str(key),
            **{f"{name}_PASSWORD": password for name, password in self.passwords.items()},
        }

    @property
    def compose_command(self) -> str:
        """Return the podman-compose command for this project's compose.yml, for any working directory."""
        return f"{Path(sys.executable).with_name('podman-compose')} --in-pod false"

    def compose(self, *arguments: str, check: bool = True) -> str:
        """Run podman-compose and return its output."""
        return self.run(*self.compose_command.split(), *arguments, check=check)

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command with this project's variables and return its output."""
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ | self.variables, capture_output=True, text=True, timeout=600, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def container(self, service: str) -> str:
        """Return the name of the service's container."""
        labels = (f"io.podman.compose.project={self.project}", f"com.docker.compose.service={service}")
        filters = [part for label in labels for part in ("--filter", f"label={label}")]
        found = podman("ps", "--all", "--format", "{{.Names}}", *filters).split()
        assert len(found) == 1, f"{service}: {found}"
        return found[0]

    def inspect(self, service: str) -> dict[str, object]:
        """Return the service's state according to podman."""
        state: dict[str, object] = json.loads(podman("inspect", self.container(service)))[0]["State"]
        return state

    def healthy(self, service: str) -> bool:
        """Return whether the service's health check passes."""
        command = ["podman", "healthcheck", "run", self.container(service)]
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0

    def logs(self, service: str) -> str:
        """Return the service's log."""
        done = subprocess.run(
            ["podman", "logs", self.container(service)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True
        )
        return done.stdout.decode(errors="replace")

    def exec(self, service: str, *command: str, check: bool = True) -> str:
        """Run a command in the service's container."""
        return podman("exec", self.container(service), *command, check=check)

    def leftovers(self) -> list[str]:
        """Return the project's containers, volumes and networks."""
        names = podman("ps", "--all", "--format", "{{.Names}}").split()
        names += podman("volume", "ls", "--format", "{{.Name}}").split()
        names += podman("network", "ls", "--format", "{{.Name}}").split()
        return [name for name in names if name.startswith(self.project)]

    def down(self) -> None:
        """Remove the project's containers, volumes and networks."""
        self.compose("--profile", "*", "down", "--volumes", "--timeout", "10", check=False)
        for name in self.leftovers():
            for kind in ("container", "volume", "network"):
                podman(kind, "rm", "--force", name, check=False)


def wait_for(what: str, holds: Callable[[], bool], seconds: float = 120) -> None:
    """Wait until the condition is true."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"Waited {seconds:.0f} s for: {what}"
        time.sleep(0.5)
