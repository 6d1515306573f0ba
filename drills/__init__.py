"""Drills: the service on a stage of its own, while faults fire, and the ledger of what its clients were promised."""
