/* metrics.h - the daemons' state and counters for Prometheus: its text format, version 0.0.4.  HELP
 * of a counter is the sentence of its daemon's table. */
#pragma once
#include <stdbool.h>
#include <stdio.h>
#include "common/ctl/peers.h"

/* Asks every daemon and writes all it can tell; one that does not answer is nemo_up 0.  'summary':
 * no series for each router of a home agent.  0, or EXIT_NO_DAEMON: there is none. */
int metrics_write(struct peers *, bool summary, FILE *);

/* Serves them by HTTP at /metrics until a signal ends the process: at "ADDRESS:PORT" (loopback,
 * "[::1]:9639"; any other only if 'anywhere') or at a path, a unix socket.  An exit code. */
int metrics_serve(struct peers *, bool summary, const char *where, bool anywhere);
