"""Any number of organizations, ledgers and agents in one process on virtual time, all drawn from one seed. docs/simulation.md."""
