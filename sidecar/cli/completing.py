"""What a shell offers after Tab: names of a running sidecar, and what makes the shell ask: `completion`.

Keeps: a sidecar that does not answer at once offers nothing and says nothing, for Tab is no question.
Called by the shell, through click; `connection` has the arguments that ask.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import click
from click.shell_completion import CompletionItem, get_completion_class

from sidecar.cli.failure import CommandFailed

_TIMEOUT_S = 1.0
_VARIABLE = "_SIDECAR_COMPLETE"
_LONGEST_HELP = 80


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(context: click.Context, shell: str) -> None:
    r"""Print what makes a shell complete this program's commands, options, deployments and versions.

    \b
    bash: eval "$(sidecar completion bash)"     in ~/.bashrc
    zsh:  eval "$(sidecar completion zsh)"      in ~/.zshrc, after compinit
    fish: sidecar completion fish > ~/.config/fish/completions/sidecar.fish
    """
    found = get_completion_class(shell)
    if found is None:
        raise CommandFailed(f"there is no completion for {shell}; there is one for bash, zsh and fish")
    click.echo(found(context.find_root().command, {}, "sidecar", _VARIABLE).source())


def deployments(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The names of deployments, each with its champion."""
    return [
        CompletionItem(name, help=f"champion {champion}")
        for name, champion, _ in _standing(context)
        if name.startswith(incomplete)
    ]


def versions(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The challengers of the deployment that was named, or of all."""
    wanted = context.params.get("deployment")
    found = {
        version: f"challenger of {name}"
        for name, _, challengers in _standing(context)
        if wanted in (None, name)
        for version in challengers
    }
    return [CompletionItem(version, help=says) for version, says in found.items() if version.startswith(incomplete)]


def alarms(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The ids of open alarms, each with what it says."""
    found = _asked(context, "/v1/alarms")
    return [
        CompletionItem(identity, help=str(alarm.get("says", ""))[:_LONGEST_HELP])
        for alarm in found
        if alarm.get("ended") is None and (identity := str(alarm.get("id", ""))).startswith(incomplete)
    ]


def _standing(context: click.Context) -> Iterator[tuple[str, str, list[str]]]:
    """Each deployment's name, champion and challengers."""
    for item in _asked(context, "/v1/deployments"):
        champion, challengers = item.get("champion"), item.get("challengers")
        yield (
            str(item.get("name", "")),
            str(champion.get("version", "")) if isinstance(champion, dict) else "",
            [str(each.get("version", "")) for each in challengers if isinstance(each, dict)]
            if isinstance(challengers, list)
            else [],
        )


def _asked(context: click.Context, path: str) -> list[dict[str, object]]:
    """The items that the sidecar lists there; none where it does not answer."""
    from sidecar.cli.client import AdminClient  # noqa: PLC0415
    from sidecar.cli.connection import DEFAULT_URL  # noqa: PLC0415

    url = context.params.get("url") or os.environ.get("SIDECAR_URL") or DEFAULT_URL
    token = context.params.get("token") or os.environ.get("SIDECAR_TOKEN")
    try:
        document = AdminClient(url, token, _TIMEOUT_S).get(path).document
    except CommandFailed:
        return []
    items = document.get("items") if isinstance(document, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
