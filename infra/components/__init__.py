"""The parts of the cloud, one ComponentResource each, with typed Args. `infra/__main__.py` puts them together."""
