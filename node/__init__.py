"""The operator's daemon, its command line and its gRPC API."""
