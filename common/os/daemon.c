/* daemon.c - command line, event loop and readiness of the daemons. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>
#include "common/os/daemon.h"
#include "common/os/log.h"

#define EXIT_USAGE 2

static void usage(FILE *f, const struct daemon_info *info)
{
	fprintf(f,
		"usage: %s [-c FILE] [-t] [-v]%s\n"
		"%s\n\n"
		"  -c, --config FILE   configuration (default /etc/nemo/%s.conf)\n"
		"  -t, --check         check the configuration and exit: 0 if it is right, else 1\n"
		"  -v, --verbose       log every message\n",
		info->name, info->keep_help ? " [-k]" : "", info->summary, info->name);
	if (info->keep_help)
		fprintf(f, "  -k, --keep          %s\n", info->keep_help);
	if (info->flush_help)
		fprintf(f, "      --flush         %s\n", info->flush_help);
	if (info->task.name) {
		char option[32];

		snprintf(option, sizeof(option), "%s %s", info->task.name, info->task.arg);
		fprintf(f, "      --%-13s %s\n", option, info->task.help);
	}
	fputs("  -h, --help          this text\n"
	      "      --config-help   every configuration key, with its type, default and range\n"
	      "      --version       version\n",
		f);
}

/* What was not written is no success. */
static int written(const struct daemon_info *info, int code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	fprintf(stderr, "%s: standard output can't be written\n", info->name);
	return EXIT_FAILURE;
}

/* Reading a configuration of 100,000 routers takes a second; a reload asked for meanwhile must not
 * be the end, and is done once the loop runs. */
static void hold_reloads(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

int daemon_args(int argc, char **argv, const struct daemon_info *info, struct daemon_opts *opts)
{
	enum { OPT_VERSION = 256, OPT_CONFIG_HELP, OPT_TASK, OPT_FLUSH };
	struct option longs[] = {
		{"config", required_argument, NULL, 'c'},
		{"check", no_argument, NULL, 't'},
		{"verbose", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, OPT_VERSION},
		{"config-help", no_argument, NULL, OPT_CONFIG_HELP},
		{0}, /* --keep, --flush, if the daemon has them; its task */
		{0},
		{0},
		{0},
	};
	static char conf[64]; /* one daemon per process; opts borrows it */
	struct option *optional = &longs[sizeof(longs) / sizeof(*longs) - 4];
	const char *task = NULL;
	int o;

	hold_reloads();
	if (info->keep_help)
		*optional++ = (struct option){"keep", no_argument, NULL, 'k'};
	if (info->flush_help)
		*optional++ = (struct option){"flush", no_argument, NULL, OPT_FLUSH};
	if (info->task.name)
		*optional = (struct option){info->task.name, required_argument, NULL, OPT_TASK};
	snprintf(conf, sizeof(conf), "/etc/nemo/%s.conf", info->name);
	*opts = (struct daemon_opts){.conf = conf};
	while ((o = getopt_long(argc, argv, info->keep_help ? "c:tvkh" : "c:tvh", longs, NULL)) !=
		-1) {
		switch (o) {
		case 'c': opts->conf = optarg; break;
		case 't': opts->check = true; break;
		case 'v': opts->debug = true; break;
		case 'k': opts->keep = true; break;
		case 'h': usage(stdout, info); return written(info, 0);
		case OPT_VERSION:
			printf("%s %s\n", info->name, NEMO_VERSION);
			return written(info, 0);
		case OPT_CONFIG_HELP: conf_help(info->keys); return written(info, 0);
		case OPT_FLUSH: opts->flush = true; break;
		case OPT_TASK: task = optarg; break;
		default: usage(stderr, info); return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "%s: unexpected argument '%s'\n", info->name, argv[optind]);
		usage(stderr, info);
		return EXIT_USAGE;
	}
	return task ? written(info, info->task.run(opts->conf, task)) : -1;
}

uint64_t daemon_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static struct { /* signals are the process's: there is one of it */
	void (*stop)(void *arg), (*reload)(void *arg);
	void *arg;
	bool stopping, hands_over;
} on;

static int on_stop(sd_event_source *s, const struct signalfd_siginfo *si, void *arg)
{
	(void)arg;
	if (on.stopping) {
		log_warn("second signal: ending at once");
		return sd_event_exit(sd_event_source_get_event(s), EXIT_FAILURE);
	}
	on.stopping = true;
	on.hands_over = si->ssi_signo == SIGUSR1;
	log_info("signal %s: stopping", strsignal((int)si->ssi_signo));
	sd_notify(0, "STOPPING=1");
	if (on.stop)
		on.stop(on.arg);
	else
		sd_event_exit(sd_event_source_get_event(s), 0);
	return 0;
}

static int on_reload(sd_event_source *s, const struct signalfd_siginfo *si, void *arg)
{
	(void)s, (void)si, (void)arg;
	if (on.reload)
		on.reload(on.arg);
	else
		log_info("SIGHUP ignored: a new configuration needs a restart");
	return 0;
}

int daemon_loop(sd_event **out, void (*stop)(void *), void (*reload)(void *), void *arg)
{
	sd_event *e = NULL;
	sigset_t set;
	int r = sd_event_new(&e);

	*out = NULL;
	if (r < 0)
		return r;
	on.stop = stop;
	on.reload = reload;
	on.arg = arg;
	on.stopping = on.hands_over = false;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGHUP);
	signal(SIGPIPE, SIG_IGN);
	/* sd-event reads them from a signalfd: unblocked, they would kill the process */
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		r = -errno;
	if (r >= 0)
		r = sd_event_add_signal(e, NULL, SIGTERM, on_stop, NULL);
	if (r >= 0)
		r = sd_event_add_signal(e, NULL, SIGINT, on_stop, NULL);
	if (r >= 0)
		r = sd_event_add_signal(e, NULL, SIGUSR1, on_stop, NULL);
	if (r >= 0)
		r = sd_event_add_signal(e, NULL, SIGHUP, on_reload, NULL);
	if (r >= 0)
		r = sd_event_set_watchdog(e, true);
	if (r < 0) {
		sd_event_unref(e);
		return r;
	}
	*out = e;
	return 0;
}

bool daemon_hands_over(void)
{
	return on.hands_over;
}

int daemon_lock(const char *dev)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int k;

	if (fd < 0)
		return -errno;
	/* Abstract names belong to the network namespace, as the device does. */
	k = snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "nemo-%s", dev);
	if (bind(fd, (struct sockaddr *)&a,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)k)) < 0) {
		int e = errno;

		log_err("%s: %s", dev,
			e == EADDRINUSE ? "another daemon of the suite runs on this host"
					: strerror(e));
		close(fd);
		return -e;
	}
	return 0; /* kept open on purpose */
}

void daemon_ready(const char *status)
{
	sd_notifyf(0, "READY=1\nSTATUS=%s", status);
	log_info("ready: %s", status);
}

struct reading { /* of a configuration */
	struct conf conf;
	char *why;
};

/* A mistake, or only a warning. */
static void on_line(void *arg, const char *line)
{
	struct reading *r = arg;

	log_msg(r->conf.n_errors ? LOG_ERR : LOG_WARNING, "reload: %s", line);
	if (r->conf.n_errors && !*r->why)
		snprintf(r->why, WHY_SIZE, "%s", line);
}

int daemon_reload(const struct daemon_reload *d, char why[WHY_SIZE])
{
	struct reading reading = {{.file = d->path, .report = on_line, .arg = &reading}, why};
	char status[DAEMON_STATUS_SIZE];
	struct timespec ts;
	int r;

	*why = '\0';
	clock_gettime(CLOCK_MONOTONIC, &ts);
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld",
		(long long)ts.tv_sec * 1000000 + ts.tv_nsec / 1000);
	r = d->change(d->arg, &reading.conf);
	if (r < 0 && !*why)
		conf_error(&reading.conf, 0, NULL, "%s", strerror(-r));
	d->status(d->arg, status);
	if (r < 0)
		log_err("reload: the running configuration stays");
	else
		log_info("reload: %s", status);
	sd_notifyf(0, "READY=1\nSTATUS=%s%s%s", status, r < 0 ? "; the last reload failed: " : "",
		why);
	return r;
}

int64_t daemon_wall(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000 - (int64_t)daemon_now();
}

uint32_t daemon_restart_counter(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint32_t)((uint64_t)ts.tv_sec * 100 + (uint64_t)ts.tv_nsec / 10000000);
}
