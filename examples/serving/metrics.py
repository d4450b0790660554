"""Counts and times of requests, as Prometheus reads them."""

import threading
import time
from bisect import bisect_left
from collections import Counter

# Upper ends of the classes of the histogram, in seconds.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Middleware of ASGI that counts requests and takes their times.

    Parameters
    ----------
    app : callable
        The application behind it.
    gauges : callable
        Returns a dict of names to numbers, as of now.
    """

    def __init__(self, app, gauges):
        self.app, self._gauges = app, gauges
        self._lock = threading.Lock()
        self._requests = Counter()
        self._buckets, self._seconds = {}, Counter()

    async def __call__(self, scope, receive, send):
        """Pass a request on, and note how it went."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["path"] == "/metrics" and scope["method"] == "GET":
            await self._answer(send)
            return
        start, status = time.perf_counter(), 500

        async def noted(message):
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            # Never what was asked for by strangers: names would have no end.
            route = getattr(scope.get("route"), "path", "other")
            self._note(route, scope["method"], status, time.perf_counter() - start)

    def _note(self, route, method, status, seconds):
        # Methods are free text too, and only these have a route.
        method = method if route != "other" else "any"
        with self._lock:
            self._requests[route, method, status] += 1
            counts = self._buckets.setdefault(route, [0] * (len(BUCKETS) + 1))
            counts[bisect_left(BUCKETS, seconds)] += 1
            self._seconds[route] += seconds

    def text(self):
        """Return all figures, in the text format of Prometheus."""
        with self._lock:
            requests, sums = dict(self._requests), dict(self._seconds)
            buckets = {route: list(counts) for route, counts in self._buckets.items()}
        lines = ["# TYPE skfsl_requests_total counter"]
        for (route, method, status), n in sorted(requests.items()):
            labels = f'route="{route}",method="{method}",status="{status}"'
            lines.append(f"skfsl_requests_total{{{labels}}} {n}")
        lines.append("# TYPE skfsl_request_seconds histogram")
        for route, counts in sorted(buckets.items()):
            n = 0
            for end, count in zip([*BUCKETS, "+Inf"], counts, strict=True):
                n += count
                labels = f'route="{route}",le="{end}"'
                lines.append(f"skfsl_request_seconds_bucket{{{labels}}} {n}")
            lines.append(
                f'skfsl_request_seconds_sum{{route="{route}"}} {sums[route]:.6f}'
            )
            lines.append(f'skfsl_request_seconds_count{{route="{route}"}} {n}')
        for name, value in self._gauges().items():
            kind = "counter" if name.endswith("_total") else "gauge"
            lines += [f"# TYPE skfsl_{name} {kind}", f"skfsl_{name} {value}"]
        return "\n".join(lines) + "\n"

    async def _answer(self, send):
        content_type = b"text/plain; version=0.0.4; charset=utf-8"
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", content_type)],
            }
        )
        await send({"type": "http.response.body", "body": self.text().encode()})
