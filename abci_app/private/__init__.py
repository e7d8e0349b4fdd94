"""The private socket: how this process answers its own node. Messages: `syngraph/v1/application.proto`."""
