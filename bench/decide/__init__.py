"""What deciding is worth, measured: false promotions, power, quality numbers, storage under load.

One file an experiment; run by `python -m bench.decide`.
"""
