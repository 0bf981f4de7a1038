"""Late flights out of New York: the sidecar on a year of real input, sped up.

Two models learn from January to June 2013; July to December then passes through a running sidecar in time order,
each flight's outcome is posted when its plane has landed, and every month says what the sidecar saw.
Run it with `make example-flights`, or `python -m examples.flights` where the extra `examples` is installed.
"""
