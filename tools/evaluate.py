"""Evaluate a trained policy, or watch it: `python tools/evaluate.py runs/cartpole`."""

from paddle_ac.commands import run_command

if __name__ == "__main__":
    run_command("evaluate")
