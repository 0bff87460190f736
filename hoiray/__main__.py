"""`python -m hoiray` is `hoiray`."""

from hoiray.cli.main import main

main()
