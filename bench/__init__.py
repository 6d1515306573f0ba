"""The measuring harness: this service beside the physical limit, in one run."""
