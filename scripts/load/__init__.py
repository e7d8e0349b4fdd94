"""The bench: what `scripts/bench` measures once everything is installed. One module a thing measured; `__main__` runs them in turn."""
