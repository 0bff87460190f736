"""Self-train as a job of Ray: `ray job submit --working-dir . -- python -m jobs.self_train RUN.yaml --cluster FILE`.

The arguments are those of `hoiray self-train`; every round labels and trains on the cluster of the job.
"""

import os
import sys

from hoiray.cli.main import main

if __name__ == "__main__":
    os.environ.setdefault("RAY_ADDRESS", "auto")
    sys.argv[1:] = ["self-train", "--ray-address", os.environ["RAY_ADDRESS"], *sys.argv[1:]]
    main()
