"""What the service runs on and is watched with, as code."""
