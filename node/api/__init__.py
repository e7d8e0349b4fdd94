"""The gRPC API: mutual TLS, standing on each call, refusals as data."""
