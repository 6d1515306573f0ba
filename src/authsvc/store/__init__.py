"""The door to PostgreSQL: frozen dataclasses, and functions that return them. All its SQL lies in sql/."""
