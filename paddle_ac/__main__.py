"""The console command: ``paddle-ac COMMAND``, or ``python -m paddle_ac COMMAND``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from paddle_ac import __version__
from paddle_ac.commands import COMMANDS, run_command
from paddle_ac.process import start_command


def main() -> None:
    """Run the command that the first argument names."""
    arguments = sys.argv[1:]
    if arguments and arguments[0] in COMMANDS:
        run_command(arguments[0], arguments[1:])
        return
    start_command()
    from paddle_ac.commands.exit_codes import exit_codes

    with exit_codes():
        _answer(arguments)


def _answer(arguments: list[str]) -> None:
    """Print the help or the version, or raise what is wrong."""
    from paddle_ac.commands.calling import call_of
    from paddle_ac.config import nearest
    from paddle_ac.errors import ConfigError, quoted

    if arguments and arguments[0] in ("-h", "--help"):
        lines = [f"  {name:<11}{description}" for name, description in COMMANDS.items()]
        print(f"usage: {call_of('COMMAND')} [flags]\n\nActor-critic algorithms on PaddlePaddle.\n\ncommands:")
        print("\n".join(lines))
        print("\noptions:\n  -h, --help show this help message and exit\n  --version  print the version and exit")
        print(f"\nThe flags of a command: {call_of('COMMAND')} --help")
    elif arguments and arguments[0] == "--version":
        print(f"paddle-ac {__version__}")
    elif not arguments:
        raise ConfigError(f"which command? {', '.join(COMMANDS)}; {call_of('COMMAND')} --help describes one")
    elif arguments[0].startswith("-"):
        raise ConfigError(f"a command comes first, as in {call_of('train')} {quoted(arguments[0])[1:-1]}")
    else:
        hint = nearest(arguments[0], COMMANDS)
        raise ConfigError(f"unknown command {quoted(arguments[0])}{hint}; known: {', '.join(COMMANDS)}")


if __name__ == "__main__":
    # `python -m` searches the current folder first, where a run of somebody else may have put a module.
    if sys.path[0] == os.getcwd() != str(Path(__file__).parents[1]):
        del sys.path[0]
    main()
