"""What Snowflake metered, by task.

Of queries alone, without the warehouse's idle time, from ACCOUNT_USAGE.QUERY_ATTRIBUTION_HISTORY: up to eight hours
late, and without queries of a tenth of a second.
"""

from datetime import UTC, datetime

from adventure.core.settings import Settings
from adventure.destinations.snowflake.budget import read_monitor
from adventure.destinations.snowflake.session import Ask
from adventure.destinations.warehouse import Costs, TaskCost

# A run is one CALL of a task with all that it calls, or what one command tagged with its run id.
_BY_TASK = """
with runs as (
    select
        split_part(query_tag, ':', 2) as task,
        coalesce(nullif(split_part(query_tag, ':', 3), ''), root_query_id, query_id) as run,
        min(start_time) as begun_at,
        sum(credits_attributed_compute) as credits
    from snowflake.account_usage.query_attribution_history
    where query_tag like 'adventure:%' and start_time >= date_trunc('month', current_timestamp())
    group by 1, 2
)

select task, begun_at, credits
from runs
order by task, begun_at
"""


def read_costs(settings: Settings, ask: Ask, role: str) -> Costs:
    """This month's.

    Raises:
        WarehouseError: the monitor or the metering cannot be read.
    """
    monitor = read_monitor(settings, ask, role)
    tasks: dict[str, TaskCost] = {}
    for name, begun_at, used in ask(_BY_TASK, (), "adventure:status"):
        before = tasks.get(name)
        tasks[name] = TaskCost(
            name,
            before.runs + 1 if before else 1,
            float(used) + (before.credits if before else 0.0),
            naive_utc(begun_at),
            float(used),
        )
    return Costs(monitor.used, settings.credit_budget, monitor.quota, list(tasks.values()))


def naive_utc(moment: datetime) -> datetime:
    """Of a timestamp with or without an offset; without, it is UTC."""
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
