-- Pipeline page: the latest rejected rows.
-- What the dashboard asks for it, of the last 30 days and all countries and channels. Made by `make worksheet`, not by
-- hand. Run all of it, as a role that may read what was published (ADVENTURE_READER).
use schema ADVENTURE.DASHBOARD;

select stream, key, reason, "ROW", file, loaded_at from rejected_rows order by loaded_at desc, key;
