set local lock_timeout = '5s';
set local statement_timeout = '60s';

-- squawk-ignore ban-drop-table
drop table if exists attempts;
