"""What a ledger is: kinds, genesis, transactions and their signatures, the client library."""
