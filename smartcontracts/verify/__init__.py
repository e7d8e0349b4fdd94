"""What anybody who was not there can check: state proofs, headers, commits and signatures.

The application proves; contracts, clients and offline tools verify; all hash with this code.
Pure functions over bytes and frozen records; every refusal is a class of `errors`.
"""
