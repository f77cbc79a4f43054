"""Train an agent, or resume a run: `python tools/train.py --algo a2c`."""

from paddle_ac.commands import run_command

if __name__ == "__main__":
    run_command("train")
