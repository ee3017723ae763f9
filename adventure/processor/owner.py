"""Check that a watermark still belongs to what the stream reads and where it stages.

A watermark says "every row below was read". That holds for one table of one source, one cursor and one stage. With
another one it would skip rows, so the stream stops until the operator changes the settings back or resets the stream.
"""

from collections.abc import Mapping

from adventure.core.errors import WatermarkMismatch
from adventure.core.hashes import hash_of
from adventure.core.streams import Stream
from adventure.core.watermark import Origin, Watermark

DESTINATION = "destination"
_SHAPE = ("where", "hash", "start")
"""What else a watermark belongs to, where a stream has it: with another value, rows below it would have to be read."""


def owner_of(stream: Stream, destination: str) -> dict[str, str]:
    """Return what a watermark of the stream belongs to, except for its source.

    Args:
        destination: the stage's identity; empty if it has none yet.
    """
    return {
        "table": stream.location,
        "cursor": stream.append_by or stream.cursor,
        "key": ", ".join(stream.key),
        "stage": stream.stage,
        "raw_table": stream.raw_table,
        **_shape_of(stream),
        **({DESTINATION: destination} if destination else {}),
    }


def _shape_of(stream: Stream) -> dict[str, str]:
    values = {"where": stream.where, "start": stream.start and stream.start.isoformat(sep=" ")}
    if stream.hash:
        # Another key gives other hashes. This part of a hash shows that, and not the key.
        mark = hash_of("adventure", stream.hash_secret)[:8]
        values["hash"] = f"{', '.join(sorted(stream.hash))} (key {mark})"
    return {name: value for name, value in values.items() if value}


def owner_mismatch(mark: Watermark | None, stream: Stream, destination: str) -> WatermarkMismatch | None:
    """Return why the watermark does not belong to the stream in pipeline.toml or to this stage; None if it does.

    A lasting mismatch that was found earlier is returned again.
    """
    if mark is None:
        return None
    if mark.refused:
        return WatermarkMismatch(*mark.refused)
    now = owner_of(stream, destination)
    known = dict.fromkeys(_SHAPE, "") | dict(mark.owner) if mark.owner else {}
    changed = {name: (kept, now.get(name, "")) for name, kept in known.items() if now.get(name, "") != kept}
    if DESTINATION in changed:
        kept, found = changed[DESTINATION]
        return WatermarkMismatch(
            f"{stream.name}: the watermark {mark.value} belongs to the stage {kept!r}, and this is"
            f" {f'the stage {found!r}' if found else 'an empty one'}",
            "Set DATA_DIR (or WAREHOUSE) back, or restore the stage from its backup; to keep this one, stop the"
            f" processor and run `adventure stream reset {stream.name}`, which reads the stream again from its"
            f" beginning, or with `--from {mark.value.isoformat()}` if nothing staged was lost",
        )
    if changed:
        said = ", ".join(f"{name} = {kept!r}" for name, (kept, _) in changed.items())
        says = ", ".join(f"{name} = {found!r}" for name, (_, found) in changed.items())
        return WatermarkMismatch(
            f"{stream.name}: the watermark {mark.value} was reached with {said}, and pipeline.toml now says {says}",
            f"Change it back; or stop the processor and run `adventure stream reset {stream.name}`, which reads the"
            " stream again from its beginning",
        )
    return None


def origin_mismatch(mark: Watermark | None, stream: Stream, origin: Origin) -> WatermarkMismatch | None:
    """Return why the watermark does not belong to this source or to its current state; None if it does."""
    if mark is None:
        return None
    kept = mark.origin
    # A change stream with a position detects another collection itself, and reads all of it.
    found_by_source = origin.follows and mark.position is not None
    if None not in (kept.name, origin.name) and kept.name != origin.name and not found_by_source:
        return WatermarkMismatch(
            f"{stream.name}: the watermark {mark.value} was read from {kept.name}, and the source is now {origin.name}",
            "Set the source's host and database back; if the new one is right, stop the processor and run"
            f" `adventure stream reset {stream.name}`, which reads the stream again from its beginning, or with"
            f" `--from {mark.value.isoformat()}` if it holds the same rows",
        )
    if kept.position is not None and origin.position is not None and origin.position < kept.position:
        ends = f"its log ends at {origin.position:,}, and ended at {kept.position:,} at the watermark {mark.value}"
        if origin.is_standby:
            return WatermarkMismatch(
                f"{stream.name}: the standby lags: {ends}",
                "No action is needed: it is read again once the standby has caught up",
            )
        return WatermarkMismatch(
            f"{stream.name}: the source was restored to an older state: {ends}",
            f"Stop the processor, run `adventure stream reset {stream.name} --from TIME` with the time of the backup,"
            f" and after the next load `adventure reconcile {stream.name} --repair`",
            # The log will grow past the old position, but rows lost in the restore stay lost.
            lasting=True,
        )
    return None


def waiting_for(stream: Stream, refused: Mapping[str, object]) -> WatermarkMismatch | None:
    """Return the mismatch of a stream that refers to a refused one, because its rows would refer to nothing."""
    for parent in stream.references:
        if parent in refused:
            return WatermarkMismatch(f"{stream.name} waits for {parent}, to which it refers", f"Fix {parent} first")
    return None
