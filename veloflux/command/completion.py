"""`veloflux completion`: what makes a shell complete the verbs and their options."""

import click
from click.shell_completion import get_completion_class


@click.command(
    help="""Print what makes a shell complete the verbs and their options.

\b
examples:
  veloflux completion bash > ~/.local/share/bash-completion/completions/veloflux
  veloflux completion zsh > "${fpath[1]}/_veloflux"
  veloflux completion fish > ~/.config/fish/completions/veloflux.fish"""
)
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a shell's completion."""
    kind = get_completion_class(shell)
    assert kind is not None  # it is one of click's own
    print(kind(ctx.find_root().command, {}, "veloflux", "_VELOFLUX_COMPLETE").source())
