set local lock_timeout = '5s';
set local statement_timeout = '60s';

-- squawk-ignore require-concurrent-index-creation
create index if not exists revocations_transaction_id_idx on revocations (transaction_id);
-- squawk-ignore require-concurrent-index-deletion
drop index if exists revocations_transaction_id_session_id_idx;
