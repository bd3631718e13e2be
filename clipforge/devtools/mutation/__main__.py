"""`python -m clipforge.devtools.mutation`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

import pytest

from clipforge.devtools.mutation.explained import explained, fault_of, unexplained
from clipforge.devtools.mutation.scope import GROUPS, ROOT
from clipforge.devtools.mutation.session import Result, Session, recorded


def run(
    name: str,
    *,
    share: float,
    seed: int,
    folder: Path,
    minutes: float,
    only: str = "",
    like: Path | None = None,
) -> list[Result]:
    """Try a share of the mutants of a group. What was tried before, with `folder`, is not repeated.

    Records in the folder `like` say only which test meets a mutant first.
    """
    group, known = GROUPS[name], explained()
    folder.mkdir(parents=True, exist_ok=True)
    session = Session(
        group,
        share=share,
        seed=seed,
        record=folder / f"{name}.jsonl",
        minutes=minutes,
        only=only,
        earlier=recorded(like / f"{name}.jsonl") if like else (),
        is_explained=lambda mutant: fault_of(mutant) in known,
    )
    tests = [str(ROOT / path) for path in group.tests]
    options = ["-p", "no:randomly", "-p", "no:cacheprovider", "-q", "--no-header", "--no-summary"]
    pytest.main([*tests, *options, f"--rootdir={ROOT}"], plugins=[session])
    return session.results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("group", choices=GROUPS)
    parser.add_argument(
        "--share", type=float, default=1.0, help="of all mutants, drawn by the seed"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=60, help="then it stops; run it again")
    parser.add_argument("--only", default="", help="files whose path has this")
    parser.add_argument("--folder", type=Path, default=ROOT / "build/mutation")
    parser.add_argument(
        "--like",
        type=Path,
        help="the folder of an earlier run: the test that noticed then is first",
    )
    options = parser.parse_args()
    results = run(
        options.group,
        share=options.share,
        seed=options.seed,
        folder=options.folder,
        minutes=options.minutes,
        only=options.only,
        like=options.like,
    )
    lines = []
    for result in unexplained(results):
        _, before, after = fault_of(result)
        lines.append(f"{result.outcome}: {result.path}:{result.line}\n  `{before}` → `{after}`")
    lines.append(str(dict(Counter(result.outcome for result in results))))
    sys.stdout.write("\n".join(lines) + "\n")
    sys.exit(bool(lines[1:]))


if __name__ == "__main__":
    main()
