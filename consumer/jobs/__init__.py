"""The life of one job: received, leased, prepared, published or given up, deleted."""
