"""The resolver: one process per machine that follows the registry and publishes what the gateway workers serve.

    registry --reading--> intent --follow--> snapshot file --> workers
                            |                    ^
                            +--wanted--> preparing (fetch, verify, probe)

The loop (`Resolver.tick`) never blocks: registry reads, preparations and compilations run in threads, and it collects their
results. A version is published as soon as it is ready as it is, and again when its compiled form is there.
"""
