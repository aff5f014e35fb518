"""The resolver: one process per machine that follows the registry and publishes what the gateway workers serve.

    registry --reading--> intent --follow--> snapshot file --> workers
                            |                    ^
                            +--wanted--> preparing (fetch, verify, probe)

The loop (`Resolver.tick`) never blocks: registry reads and preparations run in threads, and it collects their results.
"""
