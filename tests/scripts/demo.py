"""Runs `serve --demo` and every call that it prints, exactly as printed.

    python3 tests/scripts/demo.py target/release/selfsame
"""

import signal
import subprocess
import sys


def main(program: str) -> int:
    server = subprocess.Popen([program, "serve", "--demo"], stdout=subprocess.PIPE, text=True)
    try:
        calls = []
        for line in server.stdout:
            print("  |", line, end="")
            if line.startswith("  "):
                calls.append(line.strip())
            if "Ctrl-C" in line:
                break
        if len(calls) < 5:
            print(f"demo.py: only {len(calls)} calls were printed", file=sys.stderr)
            return 1
        for call in calls:
            # curl would take an error answer for success.
            checked = call.replace("curl -sS", "curl -sS --fail-with-body", 1)
            done = subprocess.run(checked, shell=True, capture_output=True, text=True, timeout=60)
            if done.returncode != 0 or not done.stdout.strip():
                print(f"demo.py: failed: {call}\n{done.stdout}\n{done.stderr}", file=sys.stderr)
                return 1
            print(f"ok: {call}")
    finally:
        server.send_signal(signal.SIGINT)
        code = server.wait(timeout=60)
    if code != 0:
        print(f"demo.py: the server ended with {code} after Ctrl-C", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
