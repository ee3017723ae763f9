-- Pipeline page: how late rows landed in the last hours.
-- What the dashboard asks for it, of the last 30 days and all countries and channels. Made by `make worksheet`, not by
-- hand. Run all of it, as a role that may read what was published (ADVENTURE_READER).
use schema ADVENTURE.DASHBOARD;

select stream, late, "ROWS" from lateness order by number, stream;
