"""Topology files and the tool that turns one into running nodes on one machine."""
