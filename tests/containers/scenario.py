"""Test the environment end to end: stop, kill and freeze services during sales, then compare source and warehouse."""

import argparse
import os
import signal
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.containers.environment import (
    PREFIX,
    PYTHON_SERVICES,
    ROOT,
    SERVICES,
    Environment,
    build_images,
    log_step,
    podman,
    use_working_configuration,
    wait_for,
)
from tests.containers.images import check_images

STREAMS = 3


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/containers/run", description=__doc__)
    parser.add_argument("--short", action="store_true", help="let sales flow for seconds, not for minutes")
    parser.add_argument("--official", action="store_true", help="official images from a registry, no stand-ins")
    options = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="adventure-containers-") as folder:
        environment = Environment(Path(folder), official=options.official)
        with beside_the_build(environment) as canaries:
            build_images(official=options.official)
            use_working_configuration()
            check_images(canaries)
        try:
            run_through(environment, seconds=15 if options.short else 120)
        except BaseException:
            show_logs(environment)
            raise
        finally:
            log_step("removing the environment")
            environment.down()
        assert environment.leftovers() == []
    log_step(f"source and warehouse are equal after all interruptions ({time.monotonic() - begun:.0f} s)")
    return 0


@contextmanager
def beside_the_build(environment: Environment) -> Iterator[list[bytes]]:
    """Place secrets where a careless build would copy them into the image."""
    canaries = [password.encode() for password in environment.passwords.values()]
    files = [ROOT / ".env", ROOT / "secrets" / "snowflake_private_key.p8"]
    made = [file for file in files if not file.exists()]
    for file in made:
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"\n".join(canaries))
    try:
        yield canaries
    finally:
        for file in made:
            file.unlink()
        if files[1] in made and not any(files[1].parent.iterdir()):
            files[1].parent.rmdir()


def run_through(environment: Environment, *, seconds: float) -> None:
    """Run the steps of the scenario in order."""
    with health_checks(environment):
        log_step("starting everything but the databases: who needs them must wait")
        environment.compose("up", "--detach", "--no-build", "--no-deps", *PYTHON_SERVICES)
        wait_for("the processor waits", lambda: "Trying again" in environment.logs("processor"))
        wait_for("the generator waits", lambda: "Trying again" in environment.logs("generator"))
        log_step("starting the databases")
        environment.compose("up", "--detach", "--no-build", "--no-deps", "postgres", "mongo")
        wait_for("all services are healthy", lambda: all(map(environment.healthy, SERVICES)))
        wait_for("the first build", lambda: "models and seeds" in environment.logs("tasks"), 240)
        assert_never_restarted(environment)
        assert_least_privilege(environment)
        wait_for("the dashboard answers", lambda: answers(environment))

        log_step(f"letting sales flow for {seconds:.0f} s")
        time.sleep(seconds)
        a_stuck_loop_is_told_from_a_quiet_one(environment)
        outages(environment)
        log_step(f"letting sales flow for {seconds:.0f} s")
        time.sleep(seconds)
        drain(environment)
        assert_equal(environment)
        clean_ends(environment)
        back_up_and_restore(environment)


def assert_never_restarted(environment: Environment) -> None:
    """Check that services waited for the databases without restarting."""
    for service in PYTHON_SERVICES:
        assert environment.inspect(service)["Running"]
        assert podman("inspect", "--format", "{{.RestartCount}}", environment.container(service)).strip() == "0"


def assert_least_privilege(environment: Environment) -> None:
    """Check that services run as a plain user and write only to volumes and /tmp; the dashboard writes to no volume."""
    for service in PYTHON_SERVICES:
        assert environment.exec(service, "id", "-u").strip() == "10001"
        for folder in ("/srv/adventure", "/opt/adventure", "/"):
            assert environment.exec(service, "sh", "-c", f"touch {folder}/x 2>/dev/null || echo no").strip() == "no"
    assert environment.exec("dashboard", "sh", "-c", "touch $DATA_DIR/x 2>/dev/null || echo no").strip() == "no"


def answers(environment: Environment) -> bool:
    """Return whether the dashboard serves its page on loopback."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{environment.port}/_stcore/health", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def a_stuck_loop_is_told_from_a_quiet_one(environment: Environment) -> None:
    """Check that health reports a stuck loop: SIGSTOP the processor to simulate it."""
    log_step("stopping the processor's process: its health check must notice")
    process = int(podman("inspect", "--format", "{{.State.Pid}}", environment.container("processor")))
    os.kill(process, signal.SIGSTOP)
    try:
        wait_for("the health check says stuck", lambda: not environment.healthy("processor"), 120)
        assert "Stuck: " in environment.exec("processor", "adventure", "health", check=False)
    finally:
        os.kill(process, signal.SIGCONT)
    wait_for("the health check says alive", lambda: environment.healthy("processor"), 60)


def outages(environment: Environment) -> None:
    """Stop and kill services while everything runs."""
    log_step("stopping PostgreSQL for a while")
    podman("stop", "--time", "30", environment.container("postgres"))
    time.sleep(8)
    assert environment.inspect("processor")["Running"]
    assert environment.inspect("generator")["Running"]
    podman("start", environment.container("postgres"))
    for service in ("mongo", "processor", "tasks", "generator", "postgres"):
        log_step(f"killing {service}")
        podman("kill", "--signal", "KILL", environment.container(service))
        time.sleep(3)
        # Do what `restart: unless-stopped` does under an engine's daemon or systemd.
        podman("start", environment.container(service))
    wait_for("all services are healthy again", lambda: all(map(environment.healthy, SERVICES)), 180)


def drain(environment: Environment) -> None:
    """Stop the sales, and wait until all of them are loaded, built and published."""
    log_step("stopping the sales; waiting for everything to arrive")
    podman("stop", "--time", "10", environment.container("generator"))
    wait_for("adventure check holds", lambda: checks_hold(environment), 240)


def checks_hold(environment: Environment) -> bool:
    """Run `adventure check` in the task server's container."""
    output = environment.exec("tasks", "sh", "-c", "adventure check >/tmp/check 2>&1 && echo holds", check=False)
    return "holds" in output.split()


def assert_equal(environment: Environment) -> None:
    """Compare every row with compare.py, which shares nothing with the product; retry while rows are in flight."""
    deadline = time.monotonic() + 180
    while (output := compare(environment)).count(" 0 differ") < STREAMS:
        assert time.monotonic() < deadline, output
        time.sleep(10)
    print(output, end="", flush=True)


def compare(environment: Environment) -> str:
    """Run compare.py on a warehouse without a concurrent writer and return its output."""
    container = environment.container("tasks")
    podman("stop", "--time", "10", container)
    file = environment.folder / "tasks.env"
    file.write_text(podman("inspect", "--format", "{{range .Config.Env}}{{println .}}{{end}}", container))
    output = podman(
        "run", "--rm", "--env-file", str(file), "--network", f"{environment.project}_sources", "--entrypoint", "python",
        "--volume", f"{environment.project}_warehouse:/var/lib/adventure",
        "--volume", f"{ROOT / 'tests' / 'containers' / 'compare.py'}:/compare.py:ro",
        f"{PREFIX}/adventure-tasks", "/compare.py",
    )  # fmt: skip
    podman("start", container)
    return output


def clean_ends(environment: Environment) -> None:
    """Check that every service exits at SIGTERM; exit code 137 would mean podman's kill after ten seconds."""
    podman("start", environment.container("generator"))
    time.sleep(6)
    for service in PYTHON_SERVICES:
        podman("stop", "--time", "10", environment.container(service))
        code = environment.inspect(service)["ExitCode"]
        log_step(f"{service} ended on SIGTERM with exit code {code}")
        assert code == 0
    for service in PYTHON_SERVICES:
        podman("start", environment.container(service))


def back_up_and_restore(environment: Environment) -> None:
    """Run docker/backup during sales, delete everything, run docker/restore: nothing is missing, and it continues."""
    log_step("backing up")
    folder = environment.folder / "backup"
    scripts = {"ENGINE": "podman", "COMPOSE": environment.compose_command}
    command = ["env", *(f"{name}={value}" for name, value in scripts.items())]
    print(environment.run(*command, "docker/backup", str(folder)), end="", flush=True)
    wait_for("all services are healthy again", lambda: all(map(environment.healthy, SERVICES)), 180)
    log_step("removing everything, volumes included, and restoring")
    environment.down()
    print(environment.run(*command, "docker/restore", str(folder)), end="", flush=True)
    environment.compose("up", "--detach", "--no-build", "--no-deps", *SERVICES)
    wait_for("all services are healthy", lambda: all(map(environment.healthy, SERVICES)), 180)
    wait_for("sales flow on", lambda: environment.logs("generator").count(" orders, ") > 2)
    drain(environment)
    assert_equal(environment)


@contextmanager
def health_checks(environment: Environment) -> Iterator[None]:
    """Run the databases' health checks every few seconds; an engine's daemon does this, podman leaves it to systemd."""
    ended = threading.Event()

    def check() -> None:
        while not ended.wait(5):
            for service in ("postgres", "mongo"):
                try:
                    environment.healthy(service)
                except (AssertionError, OSError):
                    # The container does not exist yet, or no longer.
                    continue

    thread = threading.Thread(target=check)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def show_logs(environment: Environment) -> None:
    """Print the end of each service's log."""
    for service in SERVICES:
        try:
            lines = environment.logs(service).splitlines()[-25:]
        except (AssertionError, OSError) as error:
            lines = [f"no log: {error}"]
        print(f"--- {service}", *lines, sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
