"""Reproduce tables as a job of Ray: `ray job submit --working-dir . -- python -m jobs.reproduce all --parallel 4 ...`.

The arguments are those of `hoiray reproduce`. So many arms train at once on the cluster of the job; `--out` must be a
folder that all its machines reach.
"""

import os
import sys

from hoiray.cli.main import main

if __name__ == "__main__":
    sys.argv[1:] = ["reproduce", "--ray-address", os.environ.get("RAY_ADDRESS", "auto"), *sys.argv[1:]]
    main()
