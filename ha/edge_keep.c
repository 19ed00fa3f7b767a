/* edge_keep.c - the state file: written after each step, read at the start, when the kernel's
 * tunnels are made to agree with it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "common/os/daemon.h"
#include "common/os/log.h"
#include "ha/edge_state.h"
#include "ha/keep.h"

static void wrote(struct ha_edge *e, int r)
{
	if (r < 0 && !e->keep_failed)
		log_err("state_file: %s: %s: a restart may find old bindings, or none",
			e->file->state_file, strerror(-r));
	e->keep_failed = r < 0;
}

void ha_keep_of(struct ha_edge *e, struct ha *ha, enum store_how how)
{
	struct store_key key = {.kind = KEPT_BINDING, .format = HA_KEPT_FORMAT};
	struct ha_kept k;

	while (ha_next_changed(ha, &key.a, &k)) {
		k.wall = daemon_wall();
		wrote(e, store_put(e->store, &key, &k, k.state || k.flags ? sizeof(k) : 0, how));
	}
}

void ha_keep_changed(struct ha_edge *e, enum store_how how)
{
	ha_keep_of(e, e->ha, how);
}

static struct store_key own_key(const struct ha_edge *e)
{
	return (struct store_key){
		.kind = KEPT_AGENT, .format = HA_KEPT_AGENT_FORMAT, .a = e->file->core.address};
}

void ha_keep_own(struct ha_edge *e)
{
	const struct store_key key = own_key(e);
	struct ha_kept_agent own;

	ha_keep_agent(e->ha, &own);
	wrote(e, store_put(e->store, &key, &own, sizeof(own), STORE_SYNC));
}

/* Or what another version wrote. */
static bool is_ours(const struct store_key *key, size_t size)
{
	return key->format == HA_KEPT_FORMAT && size == sizeof(struct ha_kept);
}

static void forget_one(void *arg, const struct store_key *key, const void *value, size_t size)
{
	struct ha_kept k = {0};
	bool order = false;

	if (is_ours(key, size)) {
		memcpy(&k, value, size);
		order = ha_keep_order(&k);
	}
	store_put(arg, key, &k, order ? sizeof(k) : 0, STORE_FAST);
}

int ha_keep_open(struct ha_edge *e, bool forget)
{
	const char *path = e->file->state_file;
	int r = store_open(&e->store, path, false, &e->kept);

	if (r < 0)
		log_err("state_file: %s: %s", path,
			r == -EAGAIN ? "in use by another process" : strerror(-r));
	else if (forget)
		r = store_each(e->store, KEPT_BINDING, forget_one, e->store);
	return r;
}

/* --- at the start --- */

struct restoring {
	struct ha_edge *e;
	int64_t wall;
	unsigned n[HA_RESTORED_REFUSED + 1];
};

static void on_kept(void *arg, const struct store_key *key, const void *value, size_t size)
{
	struct restoring *re = arg;
	struct ha_edge *e = re->e;
	enum ha_restored r = HA_RESTORED_REFUSED;
	struct ha_kept k;

	if (is_ours(key, size)) {
		memcpy(&k, value, size);
		r = ha_restore(e->ha, &key->a, &k, store_same_boot(e->store), re->wall,
			daemon_now(), &e->out);
	}
	re->n[r]++;
	if (!is_ours(key, size) || r == HA_RESTORED_UNKNOWN)
		store_put(e->store, key, NULL, 0, STORE_FAST);
	else
		ha_edge_do(e);
}

static bool is_bound(void *arg, const struct in6_addr *id)
{
	const struct ha_edge *e = arg;

	return ha_is_bound(e->ha, id);
}

/* What the kernel has besides has no lifetime any more that someone watches.  Each binding has its
 * tunnel by now: if there are no more, there is nothing to look for. */
static int sweep(struct ha_edge *e)
{
	if (e->engine->audit(e->tunnels, NULL, NULL) == ha_n_bound(e->ha))
		return 0;
	return tunnel_sweep(e->engine, e->tunnels, is_bound, e);
}

/* Routers are told that a restart lost nothing by telling them of none (RFC 5847 s3.2). */
static void set_restart(struct ha_edge *e, bool lost, const struct ha_kept_agent *own)
{
	ha_set_restart(e->ha, lost || !own->restart ? daemon_restart_counter() : own->restart);
}

static void tell(struct ha_edge *e, const struct restoring *re, bool lost)
{
	static const char *const why[] = {
		[STORE_WHOLE] = "the state file is whole",
		[STORE_NEW] = "there was no state file",
		[STORE_OLD] = "the state file may be old: host down, a failed write, or a copy",
		[STORE_TORN] = "parts of the state file were torn",
		[STORE_ASIDE] = "the state file was none and is set aside as *.bad",
	};
	struct note n = {
		.type = lost ? NOTE_HA_FORGOT : NOTE_HA_RESTORED,
		.name = "home-agent",
		.status = -1,
	};

	snprintf(n.text, sizeof(n.text),
		"%s; bindings: %u taken over, %u expired meanwhile, %u of routers no longer in "
		"the configuration, %u no longer acceptable",
		why[e->kept], re->n[HA_RESTORED], re->n[HA_RESTORED_EXPIRED],
		re->n[HA_RESTORED_UNKNOWN], re->n[HA_RESTORED_REFUSED]);
	tell_note(e->ctl, "nemo-ha", &n);
}

static void drain_again(struct ha_edge *e, const struct ha_kept_agent *own)
{
	struct ha_event ev = {.type = HA_EV_DRAIN};

	if (!own->draining)
		return;
	ev.has.n = own->n_others < MH_MAX_HAS ? own->n_others : MH_MAX_HAS;
	memcpy(ev.has.ha, own->others, ev.has.n * sizeof(ev.has.ha[0]));
	ha_edge_run(e, &ev);
}

int ha_keep_restore(struct ha_edge *e)
{
	const struct store_key key = own_key(e);
	struct restoring re = {.e = e, .wall = daemon_wall()};
	struct ha_kept_agent own = {0};
	bool lost;
	int r;

	store_get(e->store, &key, &own, sizeof(own));
	r = store_each(e->store, KEPT_BINDING, on_kept, &re);
	if (r < 0)
		wrote(e, r);
	lost = r < 0 || re.n[HA_RESTORED_REFUSED] ||
	       (e->kept != STORE_WHOLE && e->kept != STORE_NEW);
	set_restart(e, lost || e->kept != STORE_WHOLE, &own);
	drain_again(e, &own);
	if (lost || re.n[HA_RESTORED] || re.n[HA_RESTORED_EXPIRED] || re.n[HA_RESTORED_UNKNOWN])
		tell(e, &re, lost);
	ha_keep_own(e);
	r = sweep(e);
	return r < 0 ? r : 0;
}
