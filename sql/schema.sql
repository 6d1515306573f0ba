-- name: applied_migrations()
select migration_id
from _yoyo_migration;

-- name: database_size()
-- Looks at the files of the relations, and at none of their rows.
select pg_database_size(current_database()) as bytes;
