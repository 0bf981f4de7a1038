"""Statistics on counts: update, merge, read. Pure; numpy and scipy alone."""
