//! What must last: tenants, keys, channels, policies, the ledger
