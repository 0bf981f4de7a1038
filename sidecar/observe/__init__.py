"""Folds one exchange or outcome at a time and reports on demand. Pure; judges nothing (`decide` does)."""
