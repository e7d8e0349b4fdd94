"""Contracts of an internal ledger (INT): what one organization decides, in the order in which it may. DESIGN section 8."""
