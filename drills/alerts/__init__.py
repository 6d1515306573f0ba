"""The drill of alerts: something breaks for real, and somebody must hear of it, and nobody else."""
