"""`python tests/benchmarks/bench`: see bench.command."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # beside rig and the neighbours, not inside this package
    from bench.command import main

    sys.exit(main())
