"""Label as a job of Ray: `ray job submit --working-dir . -- python -m jobs.label RUN.yaml --cluster cluster/gpu.yaml`.

The arguments are those of `hoiray label`; the cluster is that of the job.
"""

import os
import sys

from hoiray.cli.main import main

if __name__ == "__main__":
    os.environ.setdefault("RAY_ADDRESS", "auto")
    sys.argv[1:] = ["label", *sys.argv[1:]]
    main()
