"""A test of the models stores the rows that fail, and nothing while it passes."""

from pathlib import Path

from tests.dbt.conftest import chat, new_project

AUDIT = "dbt_prod_dbt_test__audit"


def test_only_a_failing_test_has_a_table_and_it_goes_when_the_test_passes(tmp_path: Path, dbt_folder: Path) -> None:
    project = new_project(tmp_path, dbt_folder)

    def tables() -> list[str]:
        """Build the chats, and return the tables of failed rows."""
        project.build("--select", "stg_real_time__chat_logs", "--indirect-selection", "cautious")
        found = project.query(f"select table_name from information_schema.tables where table_schema = '{AUDIT}'")
        return [name for (name,) in found]

    project.load(chats=[chat("a", ticket_channel="Fax"), chat("b", ticket_channel="Phone")])
    (table,) = tables()
    assert table == "chats_have_known_values"
    assert project.query(f"select * from {AUDIT}.{table}") == [("ticket_channel is Fax; ", 1, "a")]
    assert sorted(set(project.statuses.values())) == ["pass", "success", "warn"]
    project.load(chats=[chat("a", ticket_channel="Phone", last_modified="2100-01-01T00:00:00Z")])
    assert tables() == []
    assert sorted(set(project.statuses.values())) == ["pass", "success"]
