"""Write a policy for other programs: `python tools/export.py runs/cartpole`."""

from paddle_ac.commands import run_command

if __name__ == "__main__":
    run_command("export")
