"""Time an update, part by part: `python tools/benchmark.py --algo a2c`."""

from paddle_ac.commands import run_command

if __name__ == "__main__":
    run_command("benchmark")
