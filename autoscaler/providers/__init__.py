"""Where instances come from, behind one contract: `autoscaler.providers.contract.CapacityProvider`."""
