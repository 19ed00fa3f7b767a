/* daemon.h - what the daemons have in common at start and stop: options, event loop, signals,
 * readiness.  -c FILE, -t (check the configuration and exit), -v (debug log), -h, --version,
 * --config-help. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>
#include "common/os/conf.h"
#include "common/os/log.h"

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

/* The keys "control", "control_group", "control_readers" and "user" of a daemon's configuration,
 * for its key table; 'file' is its struct, with members of these names. */
#define DAEMON_KEYS(file, socket_) \
	{.name = "control", \
		.type = CONF_STRING, \
		.off = offsetof(file, control), \
		.size = sizeof(((file *)0)->control), \
		.def = socket_, \
		.help = "control socket for nemoctl"}, \
		{.name = "control_group", \
			.type = CONF_STRING, \
			.off = offsetof(file, control_group), \
			.size = sizeof(((file *)0)->control_group), \
			.help = "group whose members may use the control socket as root may"}, \
		{.name = "control_readers", \
			.type = CONF_STRING, \
			.off = offsetof(file, control_readers), \
			.size = sizeof(((file *)0)->control_readers), \
			.help = "group whose members may look only; the socket's file belongs to " \
				"it"}, \
	{ \
		.name = "user", .type = CONF_STRING, .off = offsetof(file, user), \
		.size = sizeof(((file *)0)->user), .def = "nemo", \
		.help = "the daemon becomes this user once all is open; if there is none it " \
			"stays" \
	}

/* Reads the command line.  -1: go on; else exit with this code (help: 0, usage error: 2).  From now
 * on SIGHUP waits for daemon_loop(). */
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

#define DAEMON_STATUS_SIZE 128
struct daemon_reload {
	const char *path; /* of the configuration */
	void *arg;
	/* Reads it with 'conf', checks all of it, and only then changes something.  What is wrong
	 * is reported to 'conf'.  0, or -errno: nothing has changed. */
	int (*change)(void *arg, struct conf *conf);
	void (*status)(void *arg, char out[DAEMON_STATUS_SIZE]); /* what the daemon does now */
};
/* SIGHUP or a command: systemd is told of the beginning and the end, the log of each mistake.  0,
 * or -errno and the first mistake in 'why'. */
int daemon_reload(const struct daemon_reload *, char why[WHY_SIZE]);
