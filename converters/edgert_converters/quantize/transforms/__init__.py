"""Changes of basis that leave the float graph's function as it was and make its values easier to quantize.

`y = W x = (W T^-1) (T x)`: a diagonal T scales channels (smooth.py), a dense one mixes them (hadamard.py, klt.py,
kronecker.py). region.py holds where T and its inverse go, growth.py finds that by what passing.py says of each
operator, change.py carries it out, probe.py and error.py measure what an operator gains by it.
"""
