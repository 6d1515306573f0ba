-- name: credential_by_email(email)^
select public_id as subject, password_hash
from users
where email = :email;

-- name: replace_password_hash(subject, old_hash, new_hash, now)^
-- Compare and set: a password changed since the hash was read is not overwritten.
update users
set password_hash = :new_hash, updated_at = :now
where public_id = :subject and password_hash = :old_hash
returning public_id as subject;
