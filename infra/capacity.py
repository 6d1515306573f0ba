"""`python -m infra.capacity`: from people to instances, connections, disk and money."""

from dataclasses import fields
from typing import Any

import click

from infra.settings import SettingsError
from infra.sizing import document, prices, stack_file
from infra.sizing.demand import Behaviour, demand
from infra.sizing.plan import CapacityError, ServiceTimes, plan

_RATE = click.FloatRange(min=0)


def _assumptions(command: Any) -> Any:  # noqa: ANN401 - a click decorator
    for each in reversed(fields(Behaviour)):
        name = f"--{each.name.replace('_', '-')}"
        taken = click.FloatRange(each.metadata["least"], each.metadata["most"])
        said = f"Assumed: {each.metadata['help']}."
        command = click.option(name, type=taken, default=each.default, show_default=True, help=said)(command)
    return command


@click.command(context_settings={"max_content_width": 100})
@click.option(
    "--users",
    type=click.FloatRange(min=1),
    multiple=True,
    help="Accounts; may be said several times. Default: ten thousand to a billion.",
)
@click.option("--logins-per-second", "logins", type=_RATE, help="At the peak, in place of what is assumed.")
@click.option("--refreshes-per-second", "refreshes", type=_RATE, help="The same.")
@click.option("--verifications-per-second", "verifications", type=_RATE, help="The same.")
@click.option("--vcpu", "cpu", type=click.Choice(["1", "2", "4", "8"]), default="2", show_default=True,
              help="Of an instance.")  # fmt: skip
@_assumptions
@click.option("--stack", help="Print what infra/Pulumi.STACK.yaml costs a month, by part, and by use.")
@click.option("--prices", "show_prices", is_flag=True, help="Print the prices, with the day and place of each.")
@click.option("--write", is_flag=True, help="Write all tables anew (`make capacity`).")
def main(
    users: tuple[float, ...],
    cpu: str,
    stack: str | None,
    *,
    show_prices: bool,
    write: bool,
    **options: Any,  # noqa: ANN401
) -> None:
    """What so many accounts take and cost, by what `make bench` measured.

    Each line is a stack that `pulumi up` would accept: its connections and its memory add up by the same sums. Of one
    --users the costs are shown by part. Rates are those of the busiest minute.
    """
    times = ServiceTimes.read()
    if show_prices:
        click.echo(prices.markdown())
        return
    if write:
        for each in (document.SCALING, document.README):
            each.write_text(document.written(each, each.read_text("utf-8"), times), "utf-8")
        return
    if stack is not None:
        click.echo(_stack(stack, alone=not users))
        return
    rates = {name: options.pop(name) for name in ("logins", "refreshes", "verifications")}
    behaviour = Behaviour(**options)
    try:
        plans = [plan(demand(each, behaviour, **rates), times, cpu=int(cpu)) for each in users or document.USERS]
    except CapacityError as error:
        raise click.ClickException(str(error)) from None
    click.echo(document.table(plans))
    if len(plans) == 1:
        click.echo(document.details(plans[0]))


def _stack(name: str, *, alone: bool) -> str:
    if not alone:
        raise click.UsageError("--stack asks what a stack file costs, and --users what people take: give one of them.")
    try:
        return document.side_by_side([stack_file.read(name)])
    except SettingsError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main(prog_name="python -m infra.capacity")
