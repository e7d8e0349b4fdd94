"""Agents: what moves an organization's work between the ledgers it sees. DESIGN section 8."""
