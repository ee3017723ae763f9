"""The replication slot of a source: choose, create, lock and drop it, and remember it from cycle to cycle."""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from adventure.core.errors import SourceError
from adventure.core.log import get_logger
from adventure.core.settings import Settings
from adventure.core.watermark import Watermark
from adventure.sources.postgres.log.access import Connection
from adventure.sources.postgres.log.position import slots_of
from adventure.sources.postgres.log.slot import Slot, create_slot, drop_slot, find_slots, own_slots, slot_prefix
from adventure.sources.postgres.session import source_name

_AGAIN_SECONDS = 10.0
"""The time after which to try again to create a slot."""

log = get_logger()


@dataclass
class LogReader:
    """What the source keeps of its log from cycle to cycle."""

    settings: Settings
    folder: Path
    """Where the keys of large transactions are put."""
    unusable: set[str] = field(default_factory=set)
    """Slots that cannot be read any more."""
    no_slot: SourceError | None = None
    """Why there is no slot."""
    again_at: float = 0.0
    idle: tuple[str, int] = ("", 0)
    """The slot, and how far it was read without a change for any stream that follows it."""
    boundary: int = 0
    """A position at which a record of the log ends."""
    is_locked: bool = False
    """Whether no other processor of the pipeline reads the log."""
    was_cleared: bool = False
    """Whether slots were dropped that no stream uses."""
    warned: set[str] = field(default_factory=set)

    @property
    def label(self) -> str:
        """How messages name the source."""
        return source_name(self.settings).label

    def warn_once(self, sentence: str) -> None:
        """Log a warning the first time."""
        if sentence not in self.warned:
            self.warned.add(sentence)
            log.warning(sentence)

    def lock(self, asking: Connection) -> bool:
        """Lock the pipeline's slot: another processor would advance it over changes that this one has not staged."""
        if not self.is_locked:
            name = [f"adventure:{slot_prefix(self.settings)}"]
            taken = asking.execute("select pg_try_advisory_lock(hashtextextended(%s, 0))", name).fetchone()
            self.is_locked = taken == (True,)
        return self.is_locked

    def choose_slot(self, asking: Connection, marks: Mapping[str, Watermark]) -> Slot | None:
        """Return the slot that the watermarks name, else another one of ours, else a new one."""
        prefix = slot_prefix(self.settings)
        named = own_slots(self.settings, slots_of(marks))
        slots = find_slots(asking, prefix, named)
        usable = [slot for slot in slots if not slot.is_lost and slot.name not in self.unusable]
        for slot in slots:
            if slot not in usable:
                self.warn_once(
                    f"{self.label}: the replication slot {slot.name} is lost"
                    f" ({slot.status or 'it cannot be read'}): its tables are read whole once, and then from a new slot"
                )
        chosen = next((slot for slot in usable if slot.name in named), next(iter(usable), None))
        self.drop(asking, {chosen.name} if chosen else set())
        if chosen is None and time.monotonic() >= self.again_at:
            chosen = self._create(asking, prefix)
        return chosen

    def _create(self, asking: Connection, prefix: str) -> Slot | None:
        try:
            created = create_slot(asking, prefix)
        except psycopg.Error as error:
            if asking.closed:
                raise
            said, remedy = error.diag.message_primary or str(error), "Fix that; the next cycle tries again"
            if isinstance(error, psycopg.errors.QueryCanceled):
                said = "a transaction that was open before it has not ended"
                remedy = "No action is needed; end that transaction if it stays open"
            elif isinstance(error, psycopg.errors.ConfigurationLimitExceeded):
                remedy = "Raise max_replication_slots, or drop a slot that nobody reads: see pg_replication_slots"
            self.no_slot = SourceError(f"{self.label}: no replication slot can be created: {said}", remedy)
            self.again_at = time.monotonic() + _AGAIN_SECONDS
            return None
        log.info(f"{self.label}: created the replication slot {created.name}")
        return created

    def drop(self, asking: Connection, needed: Collection[str]) -> list[str]:
        """Drop our other slots, for which the server would keep its log; return a sentence about each."""
        said = []
        for slot in find_slots(asking, slot_prefix(self.settings)):
            unusable = slot.is_lost or slot.name in self.unusable
            if slot.active_pid is not None or (slot.name in needed and not unusable):
                continue
            try:
                drop_slot(asking, slot.name)
            except psycopg.Error as error:
                if asking.closed:
                    raise
                why = error.diag.message_primary or str(error)
                said.append(
                    f"the replication slot {slot.name} is not used, keeps the server's log, and cannot be dropped:"
                    f" {why}. Run as a superuser: select pg_drop_replication_slot('{slot.name}')"
                )
                self.warn_once(f"{self.label}: {said[-1]}")
            else:
                said.append(f"dropped the replication slot {slot.name}")
                log.info(f"{self.label}: {said[-1]}")
        return said
