/* main.c - nemo-mr: mobile router (RFC 3963). */
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/os/daemon.h"
#include "common/os/log.h"
#include "common/os/privileges.h"
#include "mr/edge.h"
#include "mr/networkd.h"

struct app {
	struct mr_edge *edge;
	sd_event *event;
	bool keep;
};

static void on_stop(void *arg)
{
	struct app *app = arg;

	if (app->edge)
		mr_edge_stop(app->edge, app->keep || daemon_hands_over());
	else
		sd_event_exit(app->event, 0);
}

static void on_reload(void *arg)
{
	struct app *app = arg;
	char why[WHY_SIZE];

	if (app->edge)
		mr_edge_reload(app->edge, why); /* and says so */
}

/* Netlink, and packet sockets of interfaces that come later. */
static const int rights[] = {CAP_NET_ADMIN, CAP_NET_RAW, -1};

static int serve(struct mr_file *file, bool keep)
{
	struct app app = {.keep = keep};
	int r = daemon_loop(&app.event, on_stop, on_reload, &app);

	if (r >= 0)
		r = mr_edge_open(&app.edge, app.event, file);
	if (r >= 0)
		r = privileges_drop(file->user, rights);
	if (r >= 0) {
		if (file->protection == SEC_NONE)
			log_warn("protection = \"none\": signalling is in clear, anyone on the "
				 "path can "
				 "move "
				 "or end this router's binding");
		daemon_ready(file->core.name);
		r = sd_event_loop(app.event);
	}
	mr_edge_close(app.edge);
	sd_event_unref(app.event);
	return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE; /* not 0: an error, or a second signal */
}

int main(int argc, char **argv)
{
	static const struct daemon_info info = {
		.name = "nemo-mr",
		.summary =
			"Mobile router (RFC 3963): keeps the networks behind it reachable at their "
			"addresses wherever its uplinks are.",
		.keep_help = "at SIGTERM leave binding and tunnel in place, for a restart",
		.task = {.name = "networkd",
			.arg = "DIR",
			.help = "write what systemd-networkd is to do on the inside interfaces",
			.run = mr_networkd},
		.keys = mr_conf_keys,
	};
	struct daemon_opts opts;
	struct mr_file file;
	int code = daemon_args(argc, argv, &info, &opts);

	if (code >= 0)
		return code;
	log_init(info.name, opts.debug ? LOG_DEBUG : LOG_INFO);
	if (mr_conf_read(opts.conf, &file) > 0)
		code = EXIT_FAILURE;
	else if (opts.check)
		code = EXIT_SUCCESS;
	else
		code = privileges_suffice() ? serve(&file, opts.keep) : EXIT_FAILURE;
	mr_conf_free(&file);
	return code;
}
