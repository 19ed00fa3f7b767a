/* fake.c - the tunnel engine without a kernel: remembers what it was told, for unit tests and the
 * simulator. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include "common/tunnel/tunnel.h"

struct entry {
	struct tunnel tunnel;
	UT_hash_handle hh; /* by tunnel.id */
};

struct tunnel_set {
	struct entry *entries;
};

static struct entry *entry_find(struct tunnel_set *set, const struct in6_addr *id)
{
	struct entry *e;

	HASH_FIND(hh, set->entries, id, sizeof(*id), e);
	return e;
}

static int fake_open(struct tunnel_set **set, const struct tunnel_conf *conf, char *why)
{
	(void)conf;
	*set = calloc(1, sizeof(**set));
	if (*set)
		return 0;
	strcpy(why, "out of memory");
	return -ENOMEM;
}

static int fake_attach(struct tunnel_set *set, unsigned ifindex)
{
	(void)set, (void)ifindex;
	return 0;
}

static void fake_detach(struct tunnel_set *set, unsigned ifindex)
{
	(void)set, (void)ifindex;
}

static unsigned fake_inside(struct tunnel_set *set)
{
	(void)set;
	return 0;
}

static int fake_put(struct tunnel_set *set, const struct tunnel *t)
{
	struct entry *e = entry_find(set, &t->id);

	if (e) {
		e->tunnel = *t;
		return 0;
	}
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->tunnel = *t;
	HASH_ADD(hh, set->entries, tunnel.id, sizeof(t->id), e);
	return 0;
}

static int fake_drop(struct tunnel_set *set, const struct in6_addr *id)
{
	struct entry *e = entry_find(set, id);

	if (e) {
		HASH_DEL(set->entries, e);
		free(e);
	}
	return 0;
}

static int fake_stats(struct tunnel_set *set, const struct in6_addr *id, struct tunnel_stats *out)
{
	memset(out, 0, sizeof(*out));
	return entry_find(set, id) ? 0 : -ENOENT;
}

static int fake_refused(struct tunnel_set *set, tunnel_refused_fn *fn, void *arg)
{
	(void)set, (void)fn, (void)arg;
	return 0;
}

static int fake_counters(struct tunnel_set *set, struct tunnel_counters *out)
{
	(void)set;
	memset(out, 0, sizeof(*out));
	return 0;
}

static unsigned fake_audit(struct tunnel_set *set, tunnel_seen_fn *seen, void *arg)
{
	struct entry *e, *next;

	HASH_ITER (hh, set->entries, e, next)
		if (seen)
			seen(arg, &e->tunnel.id);
	return HASH_COUNT(set->entries);
}

static void fake_close(struct tunnel_set *set, bool keep)
{
	struct entry *e, *next;

	(void)keep;
	if (!set)
		return;
	HASH_ITER (hh, set->entries, e, next) {
		HASH_DEL(set->entries, e);
		free(e);
	}
	free(set);
}

const struct tunnel_engine tunnel_fake = {
	.name = "fake",
	.open = fake_open,
	.attach = fake_attach,
	.detach = fake_detach,
	.inside = fake_inside,
	.put = fake_put,
	.drop = fake_drop,
	.stats = fake_stats,
	.refused = fake_refused,
	.counters = fake_counters,
	.audit = fake_audit,
	.close = fake_close,
};
