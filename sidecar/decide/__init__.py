"""What to do about what is so: routing, evidence, gates, promotion. Pure; sees reports, never observers."""
