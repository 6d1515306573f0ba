-- name: insert_client(id, name, secret_hash, now)^
insert into clients (id, name, secret_hash, created_at)
values (:id, :name, :secret_hash, :now)
on conflict on constraint clients_name_key do nothing
returning id, name, created_at;

-- name: all_clients()
select id, name, created_at
from clients
order by name;

-- name: delete_client(name)^
delete from clients
where name = :name
returning id;

-- name: client_secret_hash(id)^
select secret_hash
from clients
where id = :id;
