/* hook.c - runs the operator's program about prefixes. */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include "common/os/log.h"
#include "mr/hook.h"

static int run(const char *program, char *const argv[])
{
	posix_spawnattr_t attr;
	sigset_t none, child;
	pid_t pid;
	int r;

	/* The daemon blocks what it reads from a descriptor, and never waits for children. */
	signal(SIGCHLD, SIG_IGN);
	sigemptyset(&none);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	r = posix_spawnattr_init(&attr);
	if (r != 0)
		return -r;
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &child);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	r = posix_spawn(&pid, program, NULL, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	return -r;
}

int hook_prefixes(const struct mr_file *f, bool withdraw)
{
	int first = 0;

	for (unsigned i = 0; i < f->core.n_networks && f->prefix_hook[0]; i++) {
		const struct mr_network_conf *n = &f->core.networks[i];
		char program[sizeof(f->prefix_hook)], prefix[PREFIX6_STRLEN], interface[IFNAMSIZ];
		char verb[] = "withdraw", back[] = "restore";
		char *argv[] = {program, withdraw ? verb : back, prefix, interface, NULL};

		memcpy(program, f->prefix_hook, sizeof(program));
		memcpy(interface, n->interface, sizeof(interface));
		prefix6_str(&n->prefix, prefix);
		int r = run(program, argv);

		log_info("prefix_hook: %s %s %s", argv[1], prefix, interface);
		if (r < 0 && first == 0)
			first = r;
	}
	return first;
}
