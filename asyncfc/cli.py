"""The command `asyncfc`. Each command loads what it needs only when it runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

try:
    import typer
except ImportError:  # an extra; the message names it
    sys.exit("the command asyncfc needs typer: pip install 'asyncfc[cli]'")

from asyncfc.errors import AsyncFCError

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def asyncfc() -> None:
    """Tool calls that are answered at once, and run in the background."""


@app.command()
def trace(
    file: Annotated[Path, typer.Argument(help='A trace, as Session(..., trace="run.jsonl") writes it.')],
    *,
    why: Annotated[bool, typer.Option("--why", help="Say of each call what it waited for.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The figures as JSON.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write the timeline, one HTML file.")] = None,
    svg: Annotated[Path | None, typer.Option(help="Write a picture of a short run.")] = None,
    perfetto: Annotated[Path | None, typer.Option(help="Write JSON for ui.perfetto.dev.")] = None,
    mermaid: Annotated[Path | None, typer.Option(help="Write the graph of the calls for Mermaid.")] = None,
    dot: Annotated[Path | None, typer.Option(help="Write the graph of the calls for Graphviz.")] = None,
) -> None:
    """Show what a run took, what overlapped, and what each call waited for."""
    from asyncfc.trace.trace import Trace
    from asyncfc.trace.view import numbers

    try:
        found = Trace.load(file)
        for write, path in (
            (found.timeline, html),
            (found.picture, svg),
            (found.perfetto, perfetto),
            (found.mermaid, mermaid),
            (found.dot, dot),
        ):
            if path is not None:
                write(path)
    except (AsyncFCError, OSError, UnicodeError) as error:
        typer.echo(f"asyncfc trace: {error}", err=True)
        raise typer.Exit(1) from None
    report = found.report
    lines = [json.dumps(numbers(report)) if as_json else str(report)]
    lines += [report.why(order) for order in report.calls] if why else []
    for line in lines:
        typer.echo(line.encode("utf-8", "backslashreplace").decode())


@app.command("mcp-proxy")
def mcp_proxy(
    command: Annotated[list[str] | None, typer.Argument(help="One server, behind --: COMMAND ARGS.")] = None,
    *,
    config: Annotated[Path | None, typer.Option(help="The servers, as hosts write them.")] = None,
    http: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Serve many hosts there.")] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Believe the annotations of COMMAND's server.")
    ] = False,
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A name that may be asked for over HTTP.")
    ] = None,
) -> None:
    """Stand between an MCP host and its servers, and answer their tool calls with futures."""
    try:
        from asyncfc.adapters.mcp_proxy.command import run
    except ImportError as error:
        typer.echo(f"asyncfc mcp-proxy needs the MCP SDK: pip install 'asyncfc[mcp]' ({error})", err=True)
        raise typer.Exit(1) from None
    raise typer.Exit(run(config, command or [], http, trust=trust, allow_hosts=allow_host or ()))


def main() -> None:
    """Run the command."""
    app()


if __name__ == "__main__":
    main()
