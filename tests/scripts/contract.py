"""Asks a server thousands of generated questions, good and bad, and holds each answer against the OpenAPI document.

    python3 tests/scripts/contract.py target/release/selfsame [EXAMPLES]

Installs Schemathesis (MIT licence) with pip into a virtual environment in a temporary folder that goes away afterwards.
Wanted: no status from 500 on, no status, content type or body that the document does not know, and nothing without a key.
Left out: the backup and the change of the master key, which write where the question says on this machine.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import venv

SCHEMATHESIS = "schemathesis==4.32.5"
KEY = "a-key-for-the-contract"
CHECKS = ",".join(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "ignored_auth",
        "unsupported_method",
    ]
)
LEFT_OUT = ["backup", "rotateKey"]
# Something to find, so that generated ids and cursors are not the only ones that are asked for.
PEOPLE = "id,name,email,phone\n1,Ada Lovelace,ada@example.org,+12125550123\n2,Alan Turing,alan@example.org,+12125550124\n"


def tool(folder: pathlib.Path) -> str:
    """The program, from SCHEMATHESIS in the environment or installed here."""
    if "SCHEMATHESIS" in os.environ:
        return os.environ["SCHEMATHESIS"]
    print(f"Installing {SCHEMATHESIS} with pip into a temporary folder...", flush=True)
    venv.create(folder / "venv", with_pip=True)
    if subprocess.run([folder / "venv/bin/pip", "install", "--quiet", SCHEMATHESIS]).returncode != 0:
        print(f"SKIPPED: {SCHEMATHESIS} could not be installed, so the API was not held against its document.")
        raise SystemExit(0)
    return str(folder / "venv/bin/schemathesis")


def started(program: str, folder: pathlib.Path) -> tuple[subprocess.Popen, str]:
    """A server on a free port and its address, once it is ready."""
    arguments = [program, "serve", "--listen", "127.0.0.1:0", "--data-dir", str(folder / "data")]
    environment = {**os.environ, "SELFSAME_KEYS": KEY, "SELFSAME_AUTH_FAILURES_MAX": "0"}
    server = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, env=environment, cwd=folder)
    url = ""
    for line in server.stderr:
        if "listening on " in line:
            url = line.split("listening on ")[1].strip()
        if "selfsame: ready" in line:
            return server, url
    raise SystemExit("contract.py: the server did not get ready")


def main(program: str, examples: str) -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        command = tool(folder)
        server, url = started(str(pathlib.Path(program).resolve()), folder)
        try:
            people = folder / "people.csv"
            people.write_text(PEOPLE)
            subprocess.run([program, "import", str(people), "--source", "s", "--url", url, "--key", KEY], check=True)
            asked = [command, "run", f"{url}/openapi.json", "--header", f"Authorization: Bearer {KEY}"]
            asked += ["--checks", CHECKS, "--max-examples", examples, "--phases", "examples,coverage,fuzzing"]
            asked += ["--seed", "1", "--workers", "1", "--continue-on-failure", "--request-timeout", "30", "--no-shrink"]
            asked += ["--suppress-health-check", "all", "--warnings", "off"]
            for operation in LEFT_OUT:
                asked += ["--exclude-operation-id", operation]
            code = subprocess.run(asked, cwd=folder).returncode
            alive = subprocess.run([program, "keys", "list", "--url", url, "--key", KEY], capture_output=True)
            if alive.returncode != 0:
                print("contract.py: the server does not serve any more", file=sys.stderr)
                return 1
            return code
        finally:
            server.terminate()
            server.stderr.close()
            server.wait(timeout=60)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "25"))
