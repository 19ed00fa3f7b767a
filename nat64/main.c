/* main.c - nemo-nat64: stateless translator between IPv6 and IPv4 (RFC 7915). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/os/daemon.h"
#include "common/os/log.h"
#include "common/os/privileges.h"
#include "nat64/edge.h"
#include "nat64/import.h"

#define IMPORT_MAX (64 << 20) /* octets of a foreign configuration */

static struct {
	sd_event *event;
	struct nat64_edge *edge;
} self; /* what the signals are for */

static void on_stop(void *arg)
{
	(void)arg;
	sd_event_exit(self.event, 0);
}

static void on_reload(void *arg)
{
	char why[WHY_SIZE];

	(void)arg;
	nat64_edge_reload(self.edge, why); /* and says so */
}

static int serve(const char *path, struct nat64_file *file, struct nat64_kept *kept)
{
	int r = daemon_loop(&self.event, on_stop, on_reload, NULL);

	if (r < 0) {
		nat64_edge_give_up(kept);
		nat64_conf_free(file);
		free(file);
	} else {
		r = nat64_edge_open(&self.edge, self.event, path, file, kept);
	}
	if (r >= 0)
		r = nat64_edge_start(self.edge);
	if (r >= 0) {
		nat64_edge_ready(self.edge);
		r = sd_event_loop(self.event);
	}
	nat64_edge_close(self.edge, r == 0 && daemon_hands_over());
	sd_event_unref(self.event);
	return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE; /* not 0: an error, or a second signal */
}

/* A whole file, "-": standard input; NULL after a line on standard error.  To be freed. */
static char *slurp(const char *path, size_t *size)
{
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	char *text = f ? malloc(IMPORT_MAX) : NULL;

	*size = text ? fread(text, 1, IMPORT_MAX, f) : 0;
	if (!text || ferror(f)) {
		fprintf(stderr, "nemo-nat64: %s: %s\n", path, strerror(errno));
		free(text);
		text = NULL;
	}
	if (f && f != stdin)
		fclose(f);
	return text;
}

/* --import FILE: prints a foreign configuration as one of ours. */
static int import(const char *conf, const char *path)
{
	char why[256] = "", *ours = NULL;
	size_t size;
	char *text = slurp(path, &size);

	(void)conf;
	if (!text)
		return EXIT_FAILURE;
	ours = nat64_import(text, size, path, why);
	if (ours)
		fputs(ours, stdout);
	else
		fprintf(stderr, "nemo-nat64: %s: %s\n", path, why);
	free(text);
	free(ours);
	return ours ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	static const struct daemon_info info = {
		.name = "nemo-nat64",
		.summary = "Stateless translator between IPv6 and IPv4 (RFC 7915), by explicit "
			   "mappings and RFC 6052 prefixes.",
		.keys = nat64_conf_keys,
		.task = {.name = "import",
			.arg = "FILE",
			.help = "print the map646, TAYGA or Jool configuration in FILE as ours",
			.run = import},
	};
	struct daemon_opts opts;
	struct nat64_kept kept;
	struct nat64_file *file;
	int code = daemon_args(argc, argv, &info, &opts);

	if (code >= 0)
		return code;
	log_init(info.name, opts.debug ? LOG_DEBUG : LOG_INFO);
	file = calloc(1, sizeof(*file));
	if (!file)
		return EXIT_FAILURE;
	nat64_keep_take(&kept);
	if (kept.again) {
		log_warn("the last run ended before it had proved itself: this one begins in a "
			 "second");
		sleep(1);
	}
	code = nat64_conf_read(opts.conf, file) > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	if (code == EXIT_SUCCESS && !opts.check && !privileges_suffice())
		code = EXIT_FAILURE;
	else if (code == EXIT_SUCCESS && !opts.check)
		return serve(opts.conf, file, &kept);
	nat64_edge_give_up(&kept);
	nat64_conf_free(file);
	free(file);
	return code;
}
