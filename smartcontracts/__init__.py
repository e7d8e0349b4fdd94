"""The deterministic contracts, one module a business process."""
