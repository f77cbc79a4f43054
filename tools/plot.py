"""Draw the learning curves of runs in one picture: `python tools/plot.py runs/cartpole-*`."""

from paddle_ac.commands import run_command

if __name__ == "__main__":
    run_command("plot")
