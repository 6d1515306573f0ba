"""HTTP: the doors to the flows, JSON and form side by side, and what stands around every request."""
