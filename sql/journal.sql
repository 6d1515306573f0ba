-- name: append_journal(recorded_at, events, subjects, session_ids, address, agent)
insert into journal (recorded_at, event, subject, session_id, address, agent)
select
  :recorded_at::timestamptz, recorded.event, recorded.subject, recorded.session_id, :address::text, :agent::text
from unnest(:events::text[], :subjects::uuid[], :session_ids::uuid[]) with ordinality
  as recorded (event, subject, session_id, number)
order by recorded.number
returning id;

-- name: journal_of(subject, before, most)
-- The newest first; the next page begins `before` the last id of this one.
select id, recorded_at, event, subject, session_id, address, agent
from journal
where subject = :subject and (:before::bigint is null or id < :before::bigint)
order by id desc
limit :most;

-- name: forget_journal_of(subject)^
with forgotten as (
  delete from journal
  where subject = :subject
  returning id
)
select count(*) as forgotten from forgotten;
