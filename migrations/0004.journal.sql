-- Who did what, when, and from where.

set local lock_timeout = '5s';
set local statement_timeout = '60s';

create table if not exists journal (
  id bigint generated always as identity,
  recorded_at timestamptz not null,
  event text not null,
  -- Without a foreign key: what was done outlives the account it was done to.
  subject uuid,
  session_id uuid,
  address text,
  agent text,
  constraint journal_pkey primary key (id)
);

-- squawk-ignore require-concurrent-index-creation
create index if not exists journal_subject_idx on journal (subject, id);
-- squawk-ignore require-concurrent-index-creation
create index if not exists journal_recorded_at_idx on journal (recorded_at);

comment on table journal is 'Who did what, when, and from where: written in the transaction of the act.';
comment on column journal.id is 'Grows with time; the order of one transaction''s rows.';
comment on column journal.recorded_at is 'When it happened.';
comment on column journal.event is 'What happened, as subject:action:outcome.';
comment on column journal.subject is 'Whose account it was about; null where there is none.';
comment on column journal.session_id is 'The session it was about; null where there is none.';
comment on column journal.address is 'Network address that it came from; null for the command line.';
comment on column journal.agent is 'User-Agent that it came from, shortened.';
