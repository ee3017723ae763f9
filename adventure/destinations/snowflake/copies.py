"""What COPY says of itself: the files that it took up, by the account's own COPY_HISTORY.

The ledger says what is loaded; this says of a file that is not, what COPY stumbled over. The account remembers fourteen
days, and answers for a table that the role has any privilege on.
"""

from collections.abc import Sequence

from adventure.core.streams import Stream
from adventure.destinations.common.records import Query
from adventure.destinations.warehouse import Copied

HOURS = 24
_HISTORY = """
select
    '{table}' as table_name,
    count(case when status = 'Loaded' then 1 end) as files,
    coalesce(sum(case when status = 'Loaded' then row_count end), 0) as loaded_rows,
    count(case when first_error_message is not null then 1 end) as failed,
    max_by(file_name, case when first_error_message is not null then last_load_time end) as failed_file,
    max_by(first_error_message, case when first_error_message is not null then last_load_time end) as first_error
from table(information_schema.copy_history(
    table_name => '{table}', start_time => dateadd('hour', -{hours}, current_timestamp())
))
"""


def read_copied(query: Query, streams: Sequence[Stream]) -> list[Copied]:
    """By table: the raw tables of the streams, and where rows go that are set aside.

    Raises:
        WarehouseError: the account does not tell.
    """
    wanted = list(dict.fromkeys([*(stream.raw_table for stream in streams), "raw_ext.rejected_rows"]))
    # A raw table is made by its first load, and the account answers for those alone that are there.
    known = query("select lower(table_schema) || '.' || lower(table_name) from information_schema.tables", ())
    asked = [_HISTORY.format(table=table, hours=HOURS) for table in wanted if (table.lower(),) in known]
    rows = query(" union all ".join(asked), ()) if asked else []
    return [
        Copied(table, int(files), int(loaded), int(failed), file, error)
        for table, files, loaded, failed, file, error in rows
        if files or failed
    ]
