-- An index that revocations are read by page by page.

set local lock_timeout = '5s';
set local statement_timeout = '60s';

-- Not concurrently, which would wait for the processes that wait for this one's lock. The table holds what ended in the
-- last quarter of an hour: a million rows take a second or two, in which who ends a session waits.
-- squawk-ignore require-concurrent-index-creation
create index if not exists revocations_transaction_id_session_id_idx on revocations (transaction_id, session_id);
-- It serves who looks for the transaction alone, too.
-- squawk-ignore require-concurrent-index-deletion
drop index if exists revocations_transaction_id_idx;
