"""Queries as they recur: of the instances that are chosen on top of the dashboard."""

CHOSEN = 'job=~"$job",instance=~"$instance"'


def series(metric: str, *matchers: str) -> str:
    """Return the selector of a metric of the chosen instances; `matchers` are more, such as `outcome="miss"`."""
    return f"{metric}{{{','.join((CHOSEN, *matchers))}}}"


def rate(counter: str, *matchers: str, by: str = "") -> str:
    """Return how often a second, over all chosen instances or by a label."""
    return f"{_sum(by)} (rate({series(counter, *matchers)}[$__rate_interval]))"


def count(counter: str, *matchers: str, by: str = "") -> str:
    """Return how many in the time that the dashboard shows."""
    return f"{_sum(by)} (increase({series(counter, *matchers)}[$__range]))"


def quantile(share: float, histogram: str, *matchers: str, by: str = "") -> str:
    """Return what `share` of the observations stayed below."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', *matchers, by=labels)})"


def quotient(part: str, whole: str) -> str:
    """Return a share; nothing where there is no whole, and 0 where there is no part."""
    return f"({part} or {whole} * 0)\n/ ({whole} > 0)"


def _sum(by: str) -> str:
    return f"sum by ({by})" if by else "sum"
