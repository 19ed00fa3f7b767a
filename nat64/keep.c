/* keep.c - the service manager's file descriptor store (sd_notify(3): FDSTORE). */
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>
#include "common/os/log.h"
#include "nat64/keep.h"

#define QUEUE    "queue"
#define PROGRAM  "program"
#define COUNTERS "counters"
#define MARK     "unproved"
#define WAIT_US  2000000

static void take(struct nat64_kept *k, int fd, const char *name)
{
	k->again |= !strcmp(name, MARK);
	int *one = !strcmp(name, PROGRAM)    ? &k->program
		   : !strcmp(name, COUNTERS) ? &k->counters
		   : !strcmp(name, QUEUE) && k->n_queues < NAT64_MAX_QUEUES
			   ? &k->queues[k->n_queues++]
			   : NULL;

	if (one && *one < 0)
		*one = fd;
	else
		close(fd);
}

static int put(const char *state, const int *fds, unsigned n)
{
	return n && *fds >= 0 ? sd_pid_notify_with_fds(0, 0, state, fds, n) : 1;
}

static void put_mark(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	put("FDSTORE=1\nFDPOLL=0\nFDNAME=" MARK, &fd, 1);
	if (fd >= 0)
		close(fd);
}

void nat64_keep_take(struct nat64_kept *k)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names);

	*k = (struct nat64_kept){.program = -1, .counters = -1};
	memset(k->queues, 0xff, sizeof(k->queues)); /* -1 */
	for (int i = 0; i < n; i++) {
		take(k, SD_LISTEN_FDS_START + i, names[i]);
		free(names[i]);
	}
	free(names);
	if (n > 0) {
		sd_notify(0, "FDSTOREREMOVE=1\nFDNAME=" QUEUE);
		sd_notify(0, "FDSTOREREMOVE=1\nFDNAME=" PROGRAM);
		sd_notify(0, "FDSTOREREMOVE=1\nFDNAME=" COUNTERS);
	}
	if (!k->again)
		put_mark();
}

bool nat64_keep_put(const struct nat64_kept *k)
{
	/* A map answers poll() with an error, for which the manager would drop it. */
	int r = put("FDSTORE=1\nFDPOLL=0\nFDNAME=" PROGRAM, &k->program, 1);

	if (r > 0)
		r = put("FDSTORE=1\nFDPOLL=0\nFDNAME=" COUNTERS, &k->counters, 1);
	if (r > 0) /* last: without them the others are worth nothing */
		r = put("FDSTORE=1\nFDNAME=" QUEUE, k->queues, k->n_queues);
	if (r > 0)
		r = sd_notify(0, "FDSTOREREMOVE=1\nFDNAME=" MARK);
	if (r > 0)
		r = sd_notify_barrier(0, WAIT_US);
	if (r < 0)
		log_warn("the service manager could not be given what is to outlive this run: %s",
			strerror(-r));
	return r > 0;
}

void nat64_keep_release(struct nat64_kept *k)
{
	for (unsigned i = 0; i < k->n_queues; i++)
		close(k->queues[i]);
	if (k->program >= 0)
		close(k->program);
	if (k->counters >= 0)
		close(k->counters);
	k->n_queues = 0;
	k->program = k->counters = -1;
}
