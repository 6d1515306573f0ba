"""How many instances, how large a database, and what it costs a month: `python -m infra.capacity --help`."""
