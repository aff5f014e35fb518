"""A process that takes over and appends until all decisions are written; killed at any point by the test."""

import random
import sys
import time

from registry_hooks.ledger import Draft, open_ledger
from stagedoor.errors import LeaseLost


def main(place: str, name: str, decisions: int) -> None:
    ledger = open_ledger(place)
    generation = ledger.begin_generation(name)
    for number in random.sample(range(decisions), decisions):
        decision = Draft(f"d{number}", time.time(), f"m{number % 3}", "held", name, None, "1", number, "", {}, {"stable": "1"})
        while True:
            try:
                entry = ledger.append(decision, generation)
            except LeaseLost:
                generation, _ = ledger.generation()  # as no controller would: here all are to write at once
            else:
                sys.stdout.write(f"{entry.key} {entry.seq} {entry.hash}\n")
                sys.stdout.flush()
                break


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
