"""The application that CometBFT talks to: protocol server, ledger time, authenticated store, history."""
