"""Show runs in VisualDL: `python tools/dashboard.py runs`."""

from paddle_ac.commands import run_command

if __name__ == "__main__":
    run_command("dashboard")
