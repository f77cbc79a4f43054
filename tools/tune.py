"""Search hyper-parameters: `python tools/tune.py --algo a2c --trials 20`."""

from paddle_ac.commands import run_command

if __name__ == "__main__":
    run_command("tune")
