-- name: insert_user(public_id, email, password_hash, now)^
insert into users (public_id, email, password_hash, created_at, updated_at)
values (:public_id, :email, :password_hash, :now, :now)
returning public_id, email, created_at, updated_at;

-- name: user_by_public_id(public_id)^
select public_id, email, created_at, updated_at
from users
where public_id = :public_id;

-- name: find_user(email, public_id)^
select public_id, email, created_at, updated_at
from users
where email = :email or public_id = :public_id;

-- name: disable_user(public_id, now)^
update users
set disabled_at = :now, updated_at = :now
where public_id = :public_id and disabled_at is null
returning public_id;

-- name: enable_user(public_id, now)^
update users
set disabled_at = null, updated_at = :now
where public_id = :public_id and disabled_at is not null
returning public_id;

-- name: hold_user(public_id)^
-- Until the transaction ends nobody deletes it; waits for who does, and for nobody who changes it.
select public_id
from users
where public_id = :public_id
for key share;

-- name: delete_user(public_id)^
delete from users
where public_id = :public_id
returning public_id;

-- name: insert_imported(public_ids, emails, password_hashes, now)
-- Rows of addresses that exist already are left as they are. In one order: of two imports at once each would else wait for
-- an address that the other has just inserted.
insert into users (public_id, email, password_hash, created_at, updated_at)
select imported.public_id, imported.email, imported.password_hash, :now::timestamptz, :now::timestamptz
from unnest(:public_ids::uuid[], :emails::text[], :password_hashes::text[])
  as imported (public_id, email, password_hash)
order by imported.email
on conflict on constraint users_email_key do nothing
returning public_id;
