"""Write the published schemas: `python scripts/write_schemas.py` (or `--check`, which only compares)."""

import argparse
import sys
from pathlib import Path

from hoiray.schema.publish import published_schemas

SCHEMAS = Path(__file__).parents[1] / "schemas"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a file is not up to date")
    parser.add_argument("--out", type=Path, default=SCHEMAS, help="folder to write to")
    arguments = parser.parse_args()
    wanted = published_schemas()
    found = {path.name: path.read_text(encoding="utf-8") for path in arguments.out.glob("*.json")}
    differing = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if arguments.check:
        if differing:
            print(f"not up to date: {', '.join(differing)}; run scripts/write_schemas.py", file=sys.stderr)
        return 1 if differing else 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in differing:
        path = arguments.out / name
        if name in wanted:
            path.write_text(wanted[name], encoding="utf-8")
        else:
            path.unlink()
        print(f"{'wrote' if name in wanted else 'removed'} {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
