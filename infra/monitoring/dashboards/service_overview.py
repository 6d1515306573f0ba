"""Traffic, errors, latency and saturation: the first place to look."""

from infra.monitoring.dashboards.parts import Dashboard, Panel, Query, Row, figure, graph, states
from infra.monitoring.dashboards.promql import quantile, quotient, rate, series
from infra.monitoring.objectives import Objective

REQUESTS = "authsvc_http_requests_total"
DURATIONS = "authsvc_http_request_duration_seconds"
SERVED = 'status=~"2xx|3xx"'
STATUSES = {"2xx": "green", "3xx": "blue", "4xx": "yellow", "5xx": "red"}
ALMOST = ((0.8, "orange"), (0.95, "red"))


def make(objectives: dict[str, Objective]) -> Dashboard:
    """Return the dashboard; limits of errors and latency are those of the objectives."""
    return Dashboard(
        "service-overview",
        "authsvc: service overview",
        "Is it there, what is asked of it, what fails, how long does it take, and what is nearly full.",
        (
            Row("Now", _now(objectives)),
            Row("Traffic and errors", _traffic(objectives)),
            Row("Latency", _latency(objectives)),
            Row("Saturation", _saturation()),
            Row("The event loop and the process", _process()),
            Row("Around it", _around()),
        ),
    )


def _now(objectives: dict[str, Objective]) -> list[Panel]:
    budget = float(objectives["login_availability"].budget)
    seconds = objectives["login_latency"].what["seconds"]
    logins = ('method="POST"', 'route=~"/api/auth/login|/login"', SERVED)
    return [
        figure(
            "Instances up",
            "How many let themselves be scraped.",
            Query(f"sum({series('up')}) or vector(0)"),
            unit="short",
            base="red",
            limits=[(1, "green")],
        ),
        figure("Requests", "Requests answered, of all kinds.", Query(rate(REQUESTS)), unit="reqps", base="blue"),
        figure(
            "Errors",
            "Share of the requests that were answered 5xx. Red: the error budget of logins burns 14.4 times too fast.",
            Query(quotient(rate(REQUESTS, 'status="5xx"'), rate(REQUESTS))),
            unit="percentunit",
            decimals=2,
            limits=[(budget, "orange"), (14.4 * budget, "red")],
        ),
        figure(
            "Login, 99 %",
            "99 of 100 who logged in with the right password waited no longer. Red: longer than is promised.",
            Query(quantile(0.99, DURATIONS, *logins)),
            unit="s",
            limits=[(seconds, "red")],
        ),
        figure(
            "Event loop, 99 %",
            "99 of 100 timers of the slowest event loop were no later. Whatever it is late, each request waits.",
            Query(f"max({quantile(0.99, 'authsvc_event_loop_lag_seconds', by='instance')})"),
            unit="s",
            limits=[(0.025, "orange"), (0.1, "red")],
        ),
        figure(
            "Version",
            "What runs. Two of them while one replaces the other.",
            Query(f"count by (version, python) ({series('authsvc_build_info')})", "{{version}} on {{python}}"),
            unit="short",
            base="blue",
            text="name",
        ),
    ]


def _traffic(objectives: dict[str, Objective]) -> list[Panel]:
    budget = float(objectives["login_availability"].budget)
    return [
        graph(
            "Requests by status",
            "4xx are answers: a wrong password, a spent token, a limit. 5xx are the service's own fault.",
            Query(rate(REQUESTS, by="status"), "{{status}}"),
            unit="reqps",
            colours=STATUSES,
            stacked=True,
        ),
        graph(
            "Requests by route",
            "By the template of the route. What fits none is unmatched: scanners, mostly.",
            Query(rate(REQUESTS, by="method, route"), "{{method}} {{route}}"),
            unit="reqps",
        ),
        graph(
            "Errors by route",
            "Share of each route's requests that was answered 5xx. The lines are those of the promise to logins: what"
            " may fail over 30 days, and 14.4 times that.",
            Query(quotient(rate(REQUESTS, 'status="5xx"', by="route"), rate(REQUESTS, by="route")), "{{route}}"),
            unit="percentunit",
            limits=[(budget, "orange"), (14.4 * budget, "red")],
        ),
    ]


def _latency(objectives: dict[str, Objective]) -> list[Panel]:
    return [
        _promised(
            objectives["login_latency"],
            "Logins",
            "A hash takes most of it. Wrong passwords are not among these: they are told so after a fixed time.",
        ),
        _promised(objectives["refresh_latency"], "Refresh tokens", "One transaction takes most of it."),
        _promised(
            objectives["me_latency"],
            "Own account",
            "GET /api/auth/me: a check of the token and one query. When only this is slow, see the database.",
        ),
        graph(
            "Latency by route, 99 %",
            "99 of 100 requests that were served took no longer, by route.",
            Query(quantile(0.99, DURATIONS, SERVED, by="route"), "{{route}}"),
            unit="s",
            width=24,
        ),
    ]


def _promised(objective: Objective, what: str, description: str) -> Panel:
    methods = (f'method="{objective.what["method"]}"', f'route=~"{"|".join(objective.what["routes"])}"', SERVED)
    return graph(
        f"{what}: time to answer",
        f"{objective.promise} That is the line. {description}",
        *(Query(quantile(share, DURATIONS, *methods), f"{share * 100:g} %") for share in (0.5, 0.95, 0.99)),
        unit="s",
        limits=[(objective.what["seconds"], "red")],
    )


def _saturation() -> list[Panel]:
    hashes = f"sum({series('authsvc_password_hashes_running')})", f"sum({series('authsvc_password_hash_threads')})"
    pool = f"sum({series('authsvc_database_pool_in_use')})", f"sum({series('authsvc_database_pool_size')})"
    files = f"max({series('process_open_fds')} / {series('process_max_fds')})"
    return [
        graph(
            "What is full",
            "What is in use of all that there is. Hash threads may be full: passwords then queue. The"
            " pool should not be.",
            Query(" / ".join(hashes), "hash threads"),
            Query(" / ".join(pool), "database pool"),
            Query(files, "file descriptors"),
            unit="percentunit",
            most=1,
            limits=ALMOST,
        ),
        graph(
            "CPU",
            "Processor time of each instance. Hashes run beside the event loop, on as many threads as there are CPUs.",
            Query(rate("process_cpu_seconds_total", by="instance"), "{{instance}}"),
            unit="percentunit",
        ),
        graph(
            "Memory",
            "Resident memory of each instance, and what of it remembers access tokens that were verified.",
            Query(series("process_resident_memory_bytes"), "{{instance}}"),
            Query(series("authsvc_access_token_cache_bytes"), "token cache of {{instance}}"),
            unit="bytes",
        ),
    ]


def _process() -> list[Panel]:
    lag = "authsvc_event_loop_lag_seconds"
    late = rate(f"{lag}_bucket", 'le="0.1"', by="instance")
    return [
        graph(
            "Event loop lag",
            "Share of the time in which the event loop was more than 100 ms late, and everybody with it.",
            Query(f"1 - {late} / ({rate(f'{lag}_count', by='instance')} > 0)", "{{instance}}"),
            unit="percentunit",
            limits=[(0.05, "red")],
        ),
        graph(
            "Garbage collection",
            "Share of the time that the collector takes from the event loop.",
            Query(rate("python_gc_pause_seconds_sum", by="instance"), "{{instance}}"),
            unit="percentunit",
        ),
        graph(
            "Connections",
            "Open connections of the public port, and the file descriptors that they are part of. At either limit the"
            " longest idle connection makes room.",
            Query(series("authsvc_http_connections"), "connections of {{instance}}"),
            Query(series("process_open_fds"), "file descriptors of {{instance}}"),
            Query(f"min({series('authsvc_http_connections_max')})", "limit"),
            Query(f"min({series('process_max_fds')})", "limit of file descriptors"),
            unit="short",
            bounds=["limit", "limit of file descriptors"],
        ),
        graph(
            "Token cache",
            "Share of the access tokens that were not verified anew, since they had been already.",
            Query(
                quotient(
                    rate("authsvc_access_token_cache_lookups_total", 'outcome="hit"'),
                    rate("authsvc_access_token_cache_lookups_total"),
                ),
                "known already",
            ),
            unit="percentunit",
            most=1,
        ),
        graph(
            "Log lines lost",
            "Lines that standard output did not take, or not in time, in five minutes. The journal in the database"
            " is whole.",
            Query(f"sum by (instance) (increase({series('authsvc_log_lines_lost_total')}[5m]))", "{{instance}}"),
            unit="short",
            limits=[(1, "orange")],
        ),
        graph(
            "Age",
            "Time since each instance was started. A saw is one that starts again and again.",
            Query(f"time() - {series('process_start_time_seconds')}", "{{instance}}"),
            unit="s",
        ),
    ]


def _around() -> list[Panel]:
    starts = f"changes({series('process_start_time_seconds')}[30m])"
    return [
        states(
            "Instances",
            "Whether each lets itself be scraped on its admin port, and whether it was started anew three times in"
            " half an hour. Short bars one after another are instances that start again and again under new names.",
            Query(f"{series('up')} * (1 + ({starts} >= bool 3))\nor {series('up')}", "{{instance}}"),
            {"0": ("down", "red"), "1": ("up", "green"), "2": ("starts again and again", "orange")},
            width=16,
        ),
        graph(
            "Certificate",
            "How long the certificate of each public address is still good, as the blackbox exporter sees it from"
            " outside. Empty where there is none.",
            Query("probe_ssl_earliest_cert_expiry - time()", "{{instance}}"),
            unit="s",
            limits=[(0, "red"), (3 * 86400, "orange"), (14 * 86400, "green")],
        ),
    ]
