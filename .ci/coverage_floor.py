"""Fails when the statements or the branches of a room are covered less than asked.

`coverage_floor.py 95 trade users < coverage.json`
"""

import json
import sys


def main() -> int:
    floor, rooms = float(sys.argv[1]), sys.argv[2:]
    files = json.load(sys.stdin)["files"]
    missed = False
    for room in rooms:
        summaries = [file["summary"] for name, file in files.items() if name.startswith(f"{room}/")]
        for covered, total in (("covered_lines", "num_statements"), ("covered_branches", "num_branches")):
            all_of_them = sum(summary[total] for summary in summaries)
            share = 100 * sum(summary[covered] for summary in summaries) / max(all_of_them, 1)
            enough = share >= floor and all_of_them > 0
            missed = missed or not enough
            print(
                f"{room}: {share:.1f} % of {all_of_them} {total[4:]}{'' if enough else f': below {floor} %'}"
            )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
