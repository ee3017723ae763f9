"""The commands that make sales: `demo`, `generate` and `api`."""

from typing import Annotated

import typer

from adventure.cli.job import importing_demo, level_options, settings_of
from adventure.cli.processing import run_long_lived

Seed = Annotated[int | None, typer.Option(help="Seed that makes the generated data repeatable.")]


def demo(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Stop after one full pass; serve nothing.")] = False,
    orders: Annotated[int, typer.Option(min=1, help="Orders in the first backfill.")] = 6000,
    seed: Seed = None,
) -> None:
    """Run everything on this machine: embedded servers, generated sales, the pipeline and the dashboard."""
    with importing_demo():
        from adventure.demo.run import run_demo

    run_demo(settings_of(context), once=once, orders=orders, seed=seed, options=level_options(context))


def generate(
    context: typer.Context,
    seed: Seed = None,
    batches: Annotated[int | None, typer.Option(min=1, help="Stop after this many batches.")] = None,
) -> None:
    """Write sales and reviews to PostgreSQL and chats to MongoDB, one batch every GENERATION_INTERVAL_SEC."""
    with importing_demo():
        from adventure.demo.generator.run import generate as run_generator

    settings = settings_of(context)
    run_long_lived(settings, lambda stop: run_generator(settings, seed=seed, batches=batches, stop=stop))


def api(context: typer.Context) -> None:
    """Serve the generated reviews as an HTTP API, at SHOP_API_HOST and SHOP_API_PORT."""
    with importing_demo():
        from adventure.demo.api.serve import serve

    settings = settings_of(context)
    run_long_lived(settings, lambda stop: serve(settings, stop))
