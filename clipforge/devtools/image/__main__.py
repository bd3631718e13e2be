"""`python -m clipforge.devtools.image lock` and `… digests`."""

from __future__ import annotations

import argparse
import subprocess
import sys

from clipforge.devtools.image import digests, locking


def lock() -> str:
    try:
        number = locking.write_lock()
        locking.write_sbom()
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error.stderr or ''}The packages could not be locked: see above.")
    files = " and ".join(
        str(path.relative_to(locking.ROOT)) for path in (locking.LOCK, locking.SBOM)
    )
    return f"{number} packages are locked in {files}. Next: build the image, and commit both."


def pin_digests() -> str:
    found: dict[str, str] = {}
    try:
        for path in digests.FILES:
            found |= digests.pin(path, digests.ask_registry)
    except digests.NoDigestError as error:
        sys.exit(
            f"{error} Pinned so far: {len(found)}. Run it again where docker reaches the registries."
        )
    lines = [f"{name}  {digest}" for name, digest in sorted(found.items())]
    return "\n".join(
        [*lines, "Next: build the image, and commit the Dockerfile and docker-compose.yml."]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m clipforge.devtools.image", description=digests.__doc__
    )
    commands = parser.add_subparsers(required=True, metavar="lock|digests")
    for name, act, text in (
        ("lock", lock, "resolve the packages of the image, and write them with their digests"),
        (
            "digests",
            pin_digests,
            "write the digests of the base images into the Dockerfile and compose",
        ),
    ):
        commands.add_parser(name, help=text).set_defaults(act=act)
    sys.stdout.write(f"{parser.parse_args().act()}\n")


if __name__ == "__main__":
    main()
