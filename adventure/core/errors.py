"""Every error that Adventure raises on purpose, sorted by what the operator can do about it.

AdventureError                what happened, to what, and the remedy
├── ConfigError               a setting, pipeline.toml or a command's argument: fix it and run again
├── SourceError               a source database
│   ├── SourceUnavailable     it does not answer; raised after retries with backoff
│   ├── SourceRefused         it refuses: password, role, privilege
│   └── SourceShapeError      a table, column or type differs from what the stream says
├── StageError                the place that holds the staged files
│   ├── StageUnwritable       no permission or no space; nothing is half staged, the watermark stays
│   └── StageDamaged          a file or window.json differs from what was staged
├── WarehouseError            the raw tables and what runs on them
│   ├── WarehouseUnavailable  Snowflake does not answer. Worth retrying
│   ├── WarehouseRefused      Snowflake refuses: user, key, role, privilege, quota
│   ├── CreditBudgetReached   CREDIT_BUDGET is used up; statements that need the warehouse do not run
│   ├── WarehouseBusy         another process holds the warehouse; raised after retries
│   ├── TaskFailed            one of Snowflake's tasks failed, or did not end in time
│   ├── SchemaDrift           a staged column no longer fits its raw table; that stream stops
│   └── BuildFailed           dbt ended with errors or failed tests
├── WatermarkMismatch         a watermark belongs to another source, table or stage; that stream stops
├── AlreadyRunning            another processor holds the same streams
├── CheckFailed               at least one data-flow check failed
└── SandboxError              an embedded server did not start or stop

The command line prints `str(error)` and exits with 1; a traceback is shown with --debug only.
"""


class AdventureError(Exception):
    """What happened, to which stream, file or setting, and what to do about it.

    Args:
        problem: one sentence without its full stop.
        remedy: what the reader can do, one sentence without its full stop.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{problem}. {remedy}." if remedy else f"{problem}.")


class ConfigError(AdventureError):
    """A setting, pipeline.toml or an argument is missing or malformed."""


class SourceError(AdventureError):
    """A source database could not be read."""


class SourceUnavailable(SourceError):
    """The source does not answer. Worth retrying."""


class SourceRefused(SourceError):
    """The source refuses: wrong password, missing privilege."""


class SourceShapeError(SourceError):
    """A table, column or type at the source differs from what the stream says."""


class StageError(AdventureError):
    """A staged file could not be written, read or removed."""


class StageUnwritable(StageError):
    """The stage accepts no file: no permission or no space."""


class StageDamaged(StageError):
    """A staged file or its window.json differs from what the processor staged.

    Args:
        window_id: the window's folder, if only one window is damaged.
    """

    def __init__(self, problem: str, remedy: str = "", *, window_id: str = "") -> None:
        super().__init__(problem, remedy)
        self.window_id = window_id


class WarehouseError(AdventureError):
    """An operation in the warehouse failed."""


class WarehouseUnavailable(WarehouseError):
    """Snowflake does not answer. Worth retrying."""


class WarehouseRefused(WarehouseError):
    """Snowflake refuses: user, key, role, privilege, quota."""


class CreditBudgetReached(WarehouseError):
    """The credits of CREDIT_BUDGET are used up; no statement that needs Snowflake's warehouse was run."""


class WarehouseBusy(WarehouseError):
    """Another process holds the warehouse. Worth retrying."""


class TaskFailed(WarehouseError):
    """One of Snowflake's own tasks failed, or did not end in time."""


class SchemaDrift(WarehouseError):
    """A staged column no longer fits its raw table; nothing of the window was loaded."""


class BuildFailed(WarehouseError):
    """dbt ended with errors or with failed tests."""


class WatermarkMismatch(AdventureError):
    """A watermark belongs to another source, table or stage; the stream stops, so that no row is skipped.

    Args:
        lasting: the evidence may vanish, so the stream stays stopped until it is reset.
    """

    def __init__(self, problem: str, remedy: str = "", *, lasting: bool = False) -> None:
        super().__init__(problem, remedy)
        self.lasting = lasting


class AlreadyRunning(AdventureError):
    """Another processor holds the lock on the same streams."""


class CheckFailed(AdventureError):
    """At least one data-flow check failed."""


class SandboxError(AdventureError):
    """An embedded server did not start or stop."""
