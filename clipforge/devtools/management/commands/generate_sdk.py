"""`manage.py generate_sdk`."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

from clipforge.common.commands import OperatorCommand
from clipforge.devtools.sdk import generating, typescript
from clipforge.devtools.sdk.reading import published_schema

INSTALL = ("ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix")


class Command(OperatorCommand):
    help = (
        "Write the generated part of the SDKs anew, from the schema of the API, after a change of the "
        "API. Writes files under clipforge/sdk. Needs the packages of development; npm, where it is "
        "there, installs those that the TypeScript SDK needs."
    )

    def run(self, **options: Any) -> dict[str, Any]:
        schema = published_schema()
        files = generating.python_files(schema)
        if npm := shutil.which("npm"):
            if not typescript.is_installed():
                self.say("Installing the packages of the TypeScript SDK …")
                subprocess.run([npm, *INSTALL, str(typescript.FOLDER)], check=True)
            files |= generating.typescript_files(schema)
        else:
            self.failure = "The TypeScript SDK is as it was: that needs Node and npm."
        written = generating.write(files)
        names = [str(path.relative_to(generating.SDKS)) for path in written]
        for name in names:
            self.say(f"written: {name}")
        self.say(f"{len(names)} files were older than the schema.")
        return {"ok": not self.failure, "written": names}
