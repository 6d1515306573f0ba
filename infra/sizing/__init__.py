"""How many instances, how large a database, and what it costs a month: what `python -m infra.capacity` prints."""
