"""Plan how each stream of a cycle is read, and find the streams that cannot be read."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg

from adventure.core.connect import postgres_error
from adventure.core.errors import SourceError, SourceRefused, SourceShapeError, SourceUnavailable
from adventure.core.ids import Position, Sample
from adventure.core.streams import Stream
from adventure.core.watermark import Watermark
from adventure.sources.postgres.access import no_table, refusal, with_remedy
from adventure.sources.postgres.growing import Growing, begin
from adventure.sources.postgres.plan import Plan, check_reference, plan_stream
from adventure.sources.postgres.reader import Reader
from adventure.sources.postgres.relations import Relation
from adventure.sources.postgres.sampling import read_growing


@dataclass
class Planner:
    """The plans of one cycle."""

    reader: Reader
    marks: Mapping[str, Watermark]
    relations: Mapping[str, Relation]
    unreadable: dict[str, SourceError] = field(default_factory=dict)
    """Streams, by name, that cannot be read, and why. The methods add to it."""

    def readable(self, streams: Sequence[Stream]) -> list[Stream]:
        """Return the streams whose relation exists, is of a kind that can be read, and is not hidden from the role."""
        for stream in streams:
            relation = self.relations.get(stream.name)
            with self._alone(stream):
                refused = (
                    no_table(self.reader.asking, stream)
                    if relation is None
                    else relation.refused
                    or refusal(self.reader.asking, stream, relation, self.reader.settings.postgres_user)
                )
                if refused:
                    raise refused
        return [stream for stream in streams if stream.name not in self.unreadable]

    def plan(self, streams: Sequence[Stream]) -> dict[str, Plan]:
        """Return how to read each stream. A stream that refers to an unreadable one waits for it."""
        plans: dict[str, Plan] = {}
        for stream in streams:
            with self._alone(stream):
                for parent in stream.references:
                    if parent in self.unreadable:
                        raise SourceShapeError(f"stream {stream.name} waits for {parent}, to which it refers")
                if stream.name not in self.unreadable:
                    plans[stream.name] = self._plan(stream, plans)
        return plans

    def sample(self, plans: Mapping[str, Plan], earlier: Mapping[str, tuple[Sample, ...]]) -> dict[str, Growing]:
        """Sample how far the ids of streams in append mode were handed out.

        Args:
            earlier: the samples of earlier cycles.
        """
        found: dict[str, Growing] = {}
        for name, plan in plans.items():
            if plan.stream.is_append and name not in self.unreadable:
                relation = self.relations[name]
                with self._alone(plan.stream):
                    position = begin(self.marks.get(name), plan, relation)
                    # Samples of a table that was created again since say nothing.
                    is_new = name in self.marks and position == Position()
                    samples = () if is_new else earlier.get(name, position.samples)
                    found[name] = read_growing(self.reader.asking, plan, relation, position, samples)
        return found

    def _plan(self, stream: Stream, plans: Mapping[str, Plan]) -> Plan:
        asking, zones, warnings = self.reader.asking, self.reader.zones, self.reader.warnings
        plan = plan_stream(asking, stream, utf8=self.reader.utf8)
        for parent in filter(plans.get, stream.references):
            check_reference(plan, plans[parent])
        mark = self.marks.get(stream.name)
        warnings.of_zone(plan, zones.check(asking, plan, mark.value if mark else None))
        if not stream.has_read_at:
            warnings.of_plan(plan, self.relations[stream.name], asking)
        warnings.of_left_out(plan)
        return plan

    @contextmanager
    def _alone(self, stream: Stream) -> Iterator[None]:
        """Store an error that concerns one stream only, such as that of its view's query, in `unreadable`."""
        try:
            yield
        except (SourceShapeError, SourceRefused) as error:
            self.unreadable.setdefault(stream.name, error)
        except psycopg.errors.LockNotAvailable:
            raise
        except psycopg.Error as error:
            failed = postgres_error(error, self.reader.conninfo, self.reader.name)
            if isinstance(failed, SourceUnavailable):
                raise
            self.unreadable.setdefault(stream.name, with_remedy(failed, error))
