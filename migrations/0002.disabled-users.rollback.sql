set local lock_timeout = '5s';
set local statement_timeout = '60s';

-- squawk-ignore ban-drop-column
alter table users drop column if exists disabled_at;
