/* main.c - nemo-ha: home agent for mobile networks (RFC 3963). */
#include <linux/capability.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/os/daemon.h"
#include "common/os/log.h"
#include "common/os/privileges.h"
#include "ha/edge.h"

static struct { /* there is one of it, as of signals */
	sd_event *event;
	struct ha_edge *edge;
} self;

static void on_stop(void *arg)
{
	(void)arg;
	sd_event_exit(self.event, 0);
}

static void on_reload(void *arg)
{
	char why[WHY_SIZE];

	(void)arg;
	if (self.edge)
		ha_edge_reload(self.edge, why); /* and says so */
}

static void warn_of_clear(const struct ha_file *f)
{
	unsigned n = 0;

	for (unsigned i = 0; i < f->core.n_routers; i++)
		n += ha_conf_protection(f, &f->core.routers[i]) == SEC_NONE;
	if (n || f->protection == SEC_NONE)
		log_warn("protection = \"none\": signalling of %u routers is in clear, anyone who "
			 "reaches this host can register for them",
			n);
}

/* Netlink, and packet sockets of interfaces that come later. */
static const int rights[] = {CAP_NET_ADMIN, CAP_NET_RAW, -1};

static int run(sd_event *event, const struct ha_file *file)
{
	char status[DAEMON_STATUS_SIZE];
	int r = privileges_drop(file->user, rights);

	if (r < 0)
		return r;
	warn_of_clear(file);
	ha_edge_status(self.edge, status);
	daemon_ready(status);
	return sd_event_loop(event);
}

static int serve(struct ha_file *file, const struct daemon_opts *opts)
{
	int r = daemon_loop(&self.event, on_stop, on_reload, NULL);

	if (r >= 0)
		r = ha_edge_open(&self.edge, self.event, file, opts->flush);
	if (r >= 0 && !opts->flush)
		r = run(self.event, file);
	ha_edge_close(self.edge, !opts->flush && (opts->keep || daemon_hands_over()));
	sd_event_unref(self.event);
	return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE; /* not 0: an error, or a second signal */
}

int main(int argc, char **argv)
{
	static const struct daemon_info info = {
		.name = "nemo-ha",
		.summary =
			"Home agent for mobile networks (RFC 3963): keeps the bindings of mobile "
			"routers and tunnels their networks' traffic to where they are.",
		.keep_help =
			"at SIGTERM leave the tunnels in place and go on forwarding, for a restart",
		.flush_help = "take away tunnels, routes and bindings of a run that has ended",
		.keys = ha_conf_keys,
	};
	struct daemon_opts opts;
	struct ha_file file;
	int code = daemon_args(argc, argv, &info, &opts);

	if (code >= 0)
		return code;
	mallopt(M_ARENA_MAX, 1); /* what one thread has freed is there for another */
	log_init(info.name, opts.debug ? LOG_DEBUG : LOG_INFO);
	if (ha_conf_read(opts.conf, &file) > 0)
		code = EXIT_FAILURE;
	else if (opts.check)
		code = EXIT_SUCCESS;
	else
		code = privileges_suffice() ? serve(&file, &opts) : EXIT_FAILURE;
	ha_conf_free(&file);
	return code;
}
