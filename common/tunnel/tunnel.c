/* tunnel.c - choice of the engine, names of the drop reasons. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "common/os/log.h"
#include "common/tunnel/tunnel.h"

static const struct tunnel_engine *const engines[] = {&tunnel_ebpf, &tunnel_ip6tnl, &tunnel_fake};

int tunnel_open(const char *name, const struct tunnel_conf *conf,
	const struct tunnel_engine **engine, struct tunnel_set **set, char *why)
{
	bool any = !strcmp(name, "auto");
	char first[WHY_SIZE] = "", reason[WHY_SIZE] = "";
	int rc = -ENOENT;

	for (size_t i = 0; i < sizeof(engines) / sizeof(engines[0]); i++) {
		if (any ? engines[i] == &tunnel_fake : strcmp(name, engines[i]->name) != 0)
			continue;
		/* Its packets leave by bpf_redirect, which IPsec of the kernel never sees. */
		if (conf->esp && engines[i] == &tunnel_ebpf) {
			rc = -EOPNOTSUPP;
			snprintf(reason, sizeof(reason), "can't do payload = \"esp\"");
		} else {
			rc = engines[i]->open(set, conf, reason);
		}
		if (rc >= 0) {
			*engine = engines[i];
			return 0;
		}
		snprintf(why, WHY_SIZE, "%.80s%s%s: %.150s", first, *first ? "; " : "",
			engines[i]->name, reason);
		snprintf(first, sizeof(first), "%s", why);
	}
	if (rc == -ENOENT && !*first)
		snprintf(why, WHY_SIZE, "there is no engine \"%.32s\"", name);
	return rc;
}

#define X(name, text) {#name, text},
static const struct word {
	const char *name, *text;
} drops[] = {TUNNEL_DROPS(X)}, counts[] = {TUNNEL_COUNTS(X)};
#undef X

const char *tunnel_drop_name(enum tunnel_drop drop)
{
	return drops[drop].name;
}

const char *tunnel_drop_text(enum tunnel_drop drop)
{
	return drops[drop].text;
}

const char *tunnel_count_name(enum tunnel_count count)
{
	return counts[count].name;
}

const char *tunnel_count_text(enum tunnel_count count)
{
	return counts[count].text;
}

#define SWEEP_BATCH 256 /* a tunnel can't be dropped while the audit walks over it */

struct sweep {
	tunnel_wanted_fn *wanted;
	void *arg;
	unsigned n;
	struct in6_addr drop[SWEEP_BATCH];
};

static void sweep_seen(void *arg, const struct in6_addr *id)
{
	struct sweep *s = arg;

	if (s->n < SWEEP_BATCH && !s->wanted(s->arg, id))
		s->drop[s->n++] = *id;
}

int tunnel_sweep(const struct tunnel_engine *engine, struct tunnel_set *set,
	tunnel_wanted_fn *wanted, void *arg)
{
	struct sweep s = {.wanted = wanted, .arg = arg};
	int r = 0;

	do {
		s.n = 0;
		engine->audit(set, sweep_seen, &s);
		for (unsigned i = 0; i < s.n && r == 0; i++)
			r = engine->drop(set, &s.drop[i]);
	} while (r == 0 && s.n == SWEEP_BATCH);
	return r;
}
