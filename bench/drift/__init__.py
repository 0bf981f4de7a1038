"""The statistics measured: false alarms, delay, real drift, naming, speed, beside peers. `python -m bench.drift`.

Every experiment is a file that returns a `bench.result.Result`; nothing here is imported by the product.
"""
