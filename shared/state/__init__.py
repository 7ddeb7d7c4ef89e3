"""State shared by the fleet's parts: the lock, the ledger, the last tick, and which instances are whose."""
