"""Pictures of results, by matplotlib: see `pystack.experiments.plot`."""
