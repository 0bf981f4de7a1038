"""A click group that imports a command's module only when the command is called, and ends without tracebacks.

Keeps: help costs no more than click itself; a wrong call is one sentence and exit code 2, an interrupt 130.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class CommandGroup(click.Group):
    """`homes` maps a command's name to ("module:attribute" in this package, short help)."""

    def __init__(self, *args: Any, homes: Mapping[str, tuple[str, str]], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._homes = homes

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """The names, in the order in which a newcomer needs them."""
        return list(self._homes)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Imports the command."""
        if cmd_name not in self._homes:
            return None
        module, attribute = self._homes[cmd_name][0].split(":")
        command = getattr(import_module(f"sidecar.cli.{module}"), attribute)
        return command if isinstance(command, click.Command) else None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The names with their short help, without importing a command; options as click does."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415  # only a shell that completes needs it

        named = [
            CompletionItem(name, help=short) for name, (_, short) in self._homes.items() if name.startswith(incomplete)
        ]
        return [*named, *click.Command.shell_complete(self, ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest name where there is no such command."""
        name = args[0]
        if name not in self._homes and not name.startswith("-"):
            near = difflib.get_close_matches(name, self._homes, n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            raise click.UsageError(f"there is no command {name}{meant}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Lists the commands from their short help, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, short) for name, (_, short) in self._homes.items()])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Runs the program; the one place where a failure becomes a sentence and an exit code."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="replace")  # a terminal without × or █ shows ?, not a traceback
        try:
            code = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except click.exceptions.NoArgsIsHelpError as shown:
            shown.show()
            code = shown.exit_code
        except click.UsageError as wrong:
            path = wrong.ctx.command_path if wrong.ctx else "sidecar"
            sentence = wrong.format_message().rstrip(".").replace("\n", " ")
            click.echo(f"{sentence[:1].lower()}{sentence[1:]} (see `{path} --help`)", err=True)
            code = wrong.exit_code
        except click.ClickException as failed:
            failed.show()
            code = failed.exit_code
        except UnicodeEncodeError:
            # Python keeps such bytes of the command line as half surrogates, which no request can carry.
            click.echo("an argument holds bytes that are not UTF-8 text; type it anew", err=True)
            code = 2
        except click.Abort:
            code = 130
        sys.exit(code if isinstance(code, int) else 0)
