"""The neighbours the gateway is measured beside: each installable, startable and asked in its own protocol.

Needs tests/benchmarks on the path. `peers.contract` says what a neighbour is, `peers.every` names them all,
`peers.workloads` makes the models, and `python tests/benchmarks/peers` installs them.
"""
