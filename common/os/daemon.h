/* daemon.h - what the daemons have in common at start and stop: options, event loop, signals,
 * readiness.  -c FILE, -t (check the configuration and exit), -v (debug log), -h, --version,
 * --config-help. */
#pragma once
#include <stdbool.h>
#include <systemd/sd-event.h>
#include "common/os/conf.h"

#define NEMO_VERSION "0.1.0"

struct daemon_opts {
	const char *conf; /* file; "/etc/nemo/NAME.conf" by default */
	bool check;       /* -t */
	bool keep;  /* -k (if the daemon has it): leave binding and tunnel in place at the end */
	bool flush; /* --flush (if the daemon has it): take away what a run left, and end */
	bool debug;
};
struct daemon_info {
	const char *name;       /* "nemo-ha" */
	const char *summary;    /* one line for --help */
	const char *keep_help;  /* text of -k, NULL: no such option */
	const char *flush_help; /* text of --flush, likewise */
	struct { /* an option of its own that does something and exits; name NULL: none */
		const char *name, *arg, *help;               /* "import", "FILE" */
		int (*run)(const char *conf, const char *v); /* -c, its argument; the exit code */
	} task;
	const struct conf_key *keys; /* for --config-help */
};

/* Reads the command line.  -1: go on; else exit with this code (help: 0, usage error: 2). */
int daemon_args(int argc, char **argv, const struct daemon_info *, struct daemon_opts *);
uint64_t daemon_now(void); /* ms of CLOCK_BOOTTIME */
/* The wall clock less CLOCK_BOOTTIME, ms: it changes only when somebody sets the clock. */
int64_t daemon_wall(void);
/* A number that grows from one run to the next: the wall clock, which outlives a reboot, in
 * hundredths of a second, less than a start takes (RFC 5847 s3.2).  It wraps after 497 days; that
 * it differs is what counts. */
uint32_t daemon_restart_counter(void);
/* New loop with SIGTERM, SIGINT, SIGUSR1 (calls 'stop' once; the second ends the loop at once) and
 * SIGHUP
 * ('reload', may be NULL) as sources.  0 or -errno. */
int daemon_loop(sd_event **, void (*stop)(void *arg), void (*reload)(void *arg), void *arg);
/* The end was asked for by SIGUSR1, as -k: another run follows at once. */
bool daemon_hands_over(void);
/* One daemon a network namespace for device 'dev': holds an abstract socket of that name until the
 * process ends.  0, or -errno after a line in the log. */
int daemon_lock(const char *dev);
void daemon_ready(const char *status); /* sd_notify READY=1, and the log line "ready: STATUS" */
