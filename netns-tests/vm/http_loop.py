"""http_loop.py HOST [COUNT]: GETs http://HOST/ every 20 ms, each on a connection of its own, until
SIGTERM (or COUNT times).  Prints {"requests", "lost", "slowest_ms", "errors"}."""

import http.client
import json
import signal
import sys
import time

# After a gap of seven seconds TCP's own next try is 15 s after its first.
INTERVAL_S, TIMEOUT_S = 0.02, 30
stopped = False


def get(host):
    connection = http.client.HTTPConnection(host, 80, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/")
        answer = connection.getresponse()
        if answer.status != 200 or not answer.read():
            raise OSError(f"status {answer.status}")
    finally:
        connection.close()


def stop(*_):
    global stopped
    stopped = True


def main():
    host, count = sys.argv[1], int((sys.argv + ["0"])[2])
    requests, slowest, errors = 0, 0.0, []
    signal.signal(signal.SIGTERM, stop)
    while not stopped and (not count or requests < count):
        start = time.monotonic()
        requests += 1
        try:
            get(host)
        except OSError as e:
            errors.append(f"{type(e).__name__}: {e}")
        took = time.monotonic() - start
        slowest = max(slowest, took)
        time.sleep(max(0, INTERVAL_S - took))
    print(json.dumps({"requests": requests, "lost": len(errors), "slowest_ms": round(slowest * 1e3, 1),
                      "errors": errors[:5]}))  # fmt: skip


if __name__ == "__main__":
    main()
