-- name: credential_by_email(email)^
select public_id as subject, password_hash, disabled_at, email
from users
where email = :email;

-- name: credential_by_subject(subject)^
select public_id as subject, password_hash, disabled_at, email
from users
where public_id = :subject;

-- name: lock_credential(subject)^
-- Until the transaction ends nobody else logs in, changes the password, or disables or deletes the account.
select public_id as subject, password_hash, disabled_at, email
from users
where public_id = :subject
for update;

-- name: replace_password_hash(subject, old_hash, new_hash, now)^
-- Compare and set: a password changed since the hash was read is not overwritten.
update users
set password_hash = :new_hash, updated_at = :now
where public_id = :subject and password_hash = :old_hash
returning public_id as subject;
