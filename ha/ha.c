/* ha.c - home agent core: events in, actions out; expiry; what is shown.  Updates are in bu.c. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "ha/binding.h"

#define TIMER_PEER(node) ((struct ha_peer *)((char *)(node)-offsetof(struct ha_peer, timer)))

struct ha_action *ha_action(struct ha_out *out, enum ha_action_type type)
{
	assert(out->n < HA_MAX_ACTIONS);
	struct ha_action *a = &out->v[out->n++];

	memset(a, 0, sizeof(*a));
	a->type = type;
	return a;
}

void ha_note(struct ha_out *out, enum note_type type, const struct ha_peer *p,
	const struct in6_addr *hoa, int status, const char *text)
{
	struct note *n = &ha_action(out, HA_DO_NOTE)->note;

	n->type = type;
	n->name = p ? p->conf->name : "(unknown)";
	n->hoa = *hoa;
	n->status = status;
	snprintf(n->text, sizeof(n->text), "%s", text);
}

struct ha_peer *ha_peer_find(const struct ha *ha, const struct in6_addr *hoa)
{
	struct ha_peer *p;

	HASH_FIND(hh, ha->by_hoa, hoa, sizeof(*hoa), p);
	return p;
}

struct ha *ha_new(const struct ha_conf *conf)
{
	struct ha *ha = calloc(1, sizeof(*ha));

	if (!ha)
		return NULL;
	ha->conf = conf;
	agents_init(&ha->agents, conf);
	ha->peers = calloc(conf->n_routers ? conf->n_routers : 1, sizeof(*ha->peers));
	if (!ha->peers || home_init(ha) < 0 || table_build(&ha->table, conf) < 0) {
		ha_free(ha);
		return NULL;
	}
	for (unsigned i = 0; i < conf->n_routers; i++) {
		struct ha_peer *p = &ha->peers[i];

		p->conf = &conf->routers[i];
		p->last_status = -1;
		ha_control_init(p);
		if (ha_learn_init(p) < 0) {
			ha_free(ha);
			return NULL;
		}
		p->hoa = p->conf->hoa;
		HASH_ADD(hh, ha->by_hoa, hoa, sizeof(p->hoa), p);
		/* All at once, and so many that one of them has hardly more than one router. */
		while (ha->by_hoa->hh.tbl->num_buckets < 2 * conf->n_routers)
			HASH_EXPAND_BUCKETS(hh, ha->by_hoa->hh.tbl, oomed);
	}
	mpa_init(ha);
	return ha;
}

void ha_set_restart(struct ha *ha, uint32_t counter)
{
	ha->restart = counter;
}

void ha_seed(struct ha *ha, uint64_t seed)
{
	ha->rng = seed;
	ha->bri_seq = (uint16_t)(seed >> 48); /* hardly what the run before used last */
}

int ha_set_own(struct ha *ha, const struct in6_addr *own, unsigned n)
{
	struct in6_addr *copy = malloc((n ? n : 1) * sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	memcpy(copy, own, n * sizeof(*copy));
	free(ha->own);
	ha->own = copy;
	ha->n_own = n;
	return 0;
}

/* Ends what a BOUND binding holds; the caller adds the note. */
void ha_unbind(
	struct ha *ha, struct ha_peer *p, enum binding_state to, uint64_t now, struct ha_out *out)
{
	ha_action(out, HA_DO_TUNNEL_DROP)->tunnel.id = p->conf->hoa;
	home_stop(ha, p, out);
	ha_control_end(ha, p);
	mpa_end(ha, p);
	ha_changed(ha, p);
	ha->n_bound--;
	int r = binding_enter(p, &ha->timers, to, now);

	assert(r == 0); /* the timer was queued already: moving it takes no memory */
	(void)r;
}

static void tick(struct ha *ha, uint64_t now, struct ha_out *out)
{
	struct heap_node *node;

	/* What does not fit stays due: the caller comes again at once.  One more than needed: see
	 * ha_control_drained(). */
	while (out->n + 3 + HOME_MAX_STOP <= HA_MAX_ACTIONS && (node = heap_first(&ha->timers)) &&
		node->at <= now) {
		struct ha_peer *p = TIMER_PEER(node);

		if (p->b.state == BINDING_BOUND) {
			ha->counters[HA_C_expired]++;
			ha_unbind(ha, p, BINDING_NONE, now, out);
			ha_note(out, NOTE_BINDING_EXPIRED, p, &p->conf->hoa, -1,
				"no refresh came in time");
			out->v[out->n - 1].note.coa = p->b.coa;
		} else {
			binding_enter(p, &ha->timers, BINDING_NONE, now);
			ha_changed(ha, p);
		}
	}
	ha_control_tick(ha, now, out);
	mpa_tick(ha, now, out);
	home_tick(ha, now, out); /* last: its tunnel may fail, and what follows is left out then */
}

static void tunnel_failed(struct ha *ha, int error, uint64_t now, struct ha_out *out)
{
	struct ha_peer *p = ha->undo.peer;

	if (ha->undo.learning)
		ha_learn_failed(ha, error, out);
	if (!p)
		return;
	if (ha->undo.restoring) { /* not even the old tunnel: better no binding than a false one */
		ha->undo.peer = NULL;
		ha_unbind(ha, p, BINDING_NONE, now, out);
		ha_note(out, NOTE_BINDING_EXPIRED, p, &p->conf->hoa, -1, strerror(-error));
		return;
	}
	uint16_t seq = p->b.seq;

	ha_changed(ha, p);
	ha->counters[HA_C_tunnel_failed]++;
	ha->counters[HA_C_bu_accepted]--;
	ha->counters[HA_C_bu_rejected]++;
	ha->rejects[MH_ST_RESOURCES]++;
	if (ha->undo.before.state != BINDING_BOUND) {
		ha->n_bound--;
		home_stop(ha, p, out);
		mpa_end(ha, p);
	}
	p->b = ha->undo.before;
	p->b.seq = seq;
	/* CLOSED ends with the old lifetime at the latest; its own ten seconds begin anew. */
	binding_enter(p, &ha->timers, p->b.state, now);
	/* The answer comes first: nothing after a put that fails again is carried out. */
	bu_answer(ha, &ha->undo.bu, MH_ST_RESOURCES, ha->undo.bu.m.bu.seq, 0, now, out);
	ha_note(out, NOTE_BINDING_REJECTED, p, &p->conf->hoa, MH_ST_RESOURCES, strerror(-error));
	ha->undo.restoring = p->b.state == BINDING_BOUND; /* the engine may have taken half of it */
	if (ha->undo.restoring)
		binding_tunnel(p, &ha_action(out, HA_DO_TUNNEL_PUT)->tunnel);
	else
		ha->undo.peer = NULL;
}

void ha_step(struct ha *ha, const struct ha_event *ev, uint64_t now, struct ha_out *out)
{
	out->n = 0;
	if (ev->type != HA_EV_TUNNEL_FAILED)
		ha->undo.learning = NULL;
	switch (ev->type) {
	case HA_EV_MH:
		ha->undo.peer = NULL;
		ha->undo.restoring = false;
		/* Keys are those of this address; the home network's anycast address, at which
		 * discovery listens, has none. */
		if (!addr6_eq(&ev->mh.dst, &ha->conf->address))
			ha->counters[HA_C_mh_unexpected]++;
		else if (ev->mh.m.type == MH_BU)
			bu_receive(ha, &ev->mh, now, out);
		else if (!ha_control_receive(ha, &ev->mh, now, out))
			ha->counters[HA_C_mh_unexpected]++;
		break;
	case HA_EV_ND:
		if (ev->nd.msg.type == NDP_RA && !ev->nd.own)
			agents_ra(&ha->agents, &ev->nd.msg, now);
		if (ev->nd.msg.type == NDP_RA)
			mpa_ra(ha, &ev->nd.msg, now);
		home_nd(ha, ev, now, out);
		break;
	case HA_EV_ICMP6:
		if (ev->icmp6.type == ICMP6_DHAAD_REQUEST)
			agents_request(ha, &ev->icmp6, now, out);
		else if (ev->icmp6.type == ICMP6_MPS)
			mpa_request(ha, &ev->icmp6, now, out);
		else
			ha->counters[HA_C_icmp6_unexpected]++;
		break;
	case HA_EV_TICK: tick(ha, now, out); break;
	case HA_EV_TUNNEL_FAILED: tunnel_failed(ha, ev->error, now, out); break;
	case HA_EV_REVOKE: ha_control_revoke(ha, &ha->peers[ev->router], now, out); break;
	case HA_EV_ALLOW: ha_control_allow(ha, &ha->peers[ev->router], out); break;
	case HA_EV_DRAIN: ha_control_drain(ha, &ev->has, now, out); break;
	case HA_EV_UNDRAIN: ha_control_undrain(ha, out); break;
	case HA_EV_ROUTES: ha_learn(ha, ev, out); break;
	}
	ha_control_drained(ha, out);
}

uint64_t ha_deadline(const struct ha *ha)
{
	const struct heap *const heaps[] = {&ha->timers, &ha->control_timers, &ha->mpa_timers};
	uint64_t at = home_deadline(ha);

	for (unsigned i = 0; i < sizeof(heaps) / sizeof(heaps[0]); i++)
		if (heap_first(heaps[i]))
			at = ha_min(at, heap_first(heaps[i])->at);
	return at;
}

int ha_find_router(const struct ha *ha, const char *name)
{
	for (unsigned i = 0; i < ha->conf->n_routers; i++)
		if (strcmp(ha->conf->routers[i].name, name) == 0)
			return (int)i;
	return -1;
}

bool ha_draining(const struct ha *ha)
{
	return ha->draining;
}

unsigned ha_n_bound(const struct ha *ha)
{
	return ha->n_bound;
}

bool ha_bound_at(const struct ha *ha, const struct in6_addr *hoa, const struct in6_addr *coa)
{
	const struct ha_peer *p = ha_peer_find(ha, hoa);

	return p && p->b.state == BINDING_BOUND && addr6_eq(&p->b.coa, coa);
}

const struct ha_router *ha_router_of(const struct ha *ha, const struct in6_addr *hoa)
{
	const struct ha_peer *p = ha_peer_find(ha, hoa);

	return p ? p->conf : NULL;
}

bool ha_is_bound(const struct ha *ha, const struct in6_addr *hoa)
{
	const struct ha_peer *p = ha_peer_find(ha, hoa);

	return p && p->b.state == BINDING_BOUND;
}

uint64_t ha_counter(const struct ha *ha, enum ha_counter c)
{
	return ha->counters[c];
}

const uint64_t *ha_rejects(const struct ha *ha)
{
	return ha->rejects;
}

bool ha_next_tunnel(const struct ha *ha, unsigned *i, struct tunnel *out)
{
	for (; *i < ha->conf->n_routers; (*i)++) {
		if (ha->peers[*i].b.state == BINDING_BOUND) {
			binding_tunnel(&ha->peers[(*i)++], out);
			return true;
		}
	}
	return false;
}

static json_t *json_addr(const struct in6_addr *a)
{
	char s[INET6_ADDRSTRLEN];

	return json_string(addr6_str(a, s));
}

static json_t *json_prefixes(const struct ha_router *r, uint32_t mask)
{
	json_t *a = json_array();
	char s[PREFIX6_STRLEN];

	for (unsigned i = 0; i < r->n_prefixes; i++)
		if (mask & (1u << i))
			json_array_append_new(a, json_string(prefix6_str(&r->prefixes[i], s)));
	return a;
}

/* Only what packets go to: with a binding. */
static json_t *json_learned(const struct ha_peer *p)
{
	struct tunnel t = {0};
	json_t *a = json_array();
	char s[PREFIX6_STRLEN];

	if (p->b.state == BINDING_BOUND)
		ha_learn_tunnel(p, &t);
	for (unsigned i = 0; i < t.n_routes; i++)
		json_array_append_new(a, json_string(prefix6_str(&t.routes[i], s)));
	return a;
}

static json_t *json_twin(const struct ha_peer *p, uint64_t now)
{
	const struct in6_addr *at = ha_twin_at(p, now);

	return at ? json_addr(at) : json_null();
}

json_t *ha_show_agents(struct ha *ha, uint64_t now)
{
	json_t *list = json_array();

	agents_expire(&ha->agents, now);
	for (unsigned i = 0; i < ha->agents.n; i++) {
		const struct agent *a = &ha->agents.v[i];
		bool heard = !addr6_is_any(&a->lladdr);
		json_t *addresses = json_array();

		for (unsigned k = 0; k < a->n_addr; k++)
			json_array_append_new(addresses, json_addr(&a->addr[k].addr));
		json_array_append_new(list,
			json_pack("{ss so sI sb so so}", "source",
				heard ? "advertisement" : (i ? "configuration" : "own"),
				"addresses", addresses, "preference", (json_int_t)a->preference,
				"mobile_routers", a->mobile_router, "link_local",
				heard ? json_addr(&a->lladdr) : json_null(), "remaining_s",
				heard ? json_integer((json_int_t)((a->until - now) / 1000))
				      : json_null()));
	}
	return list;
}

json_t *ha_show_bindings(const struct ha *ha, uint64_t now)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < ha->conf->n_routers; i++) {
		const struct ha_peer *p = &ha->peers[i];
		const struct binding *b = &p->b;
		bool bound = b->state == BINDING_BOUND;

		if (b->state == BINDING_NONE)
			continue;
		json_array_append_new(list,
			json_pack("{ss ss so so so ss so so ss sI sI sI sI sI}", "name",
				p->conf->name, "tenant", p->conf->tenant, "home_address",
				json_addr(&p->conf->hoa), "care_of", json_addr(&b->coa),
				"contested_by", json_twin(p, now), "state",
				!bound ? "closing" : (p->c.revoking ? "revoking" : "bound"),
				"prefixes", json_prefixes(p->conf, bound ? b->mnps : 0), "learned",
				json_learned(p), "mode",
				!b->r ? "host" : (b->explicit_ ? "explicit" : "implicit"),
				"lifetime_s", (json_int_t)b->lifetime_s, "remaining_s",
				(json_int_t)(bound && b->ends > now ? (b->ends - now) / 1000 : 0),
				"sequence", (json_int_t)b->seq, "registered_s",
				(json_int_t)((now - b->registered) / 1000), "moves",
				(json_int_t)b->moves));
	}
	return list;
}

json_t *ha_show_routers(const struct ha *ha, uint64_t now)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < ha->conf->n_routers; i++) {
		const struct ha_peer *p = &ha->peers[i];
		bool bound = p->b.state == BINDING_BOUND, seen = p->last_status >= 0;

		json_array_append_new(list,
			json_pack("{ss ss so so sb sb so so so so so}", "name", p->conf->name,
				"tenant", p->conf->tenant, "home_address", json_addr(&p->conf->hoa),
				"prefixes", json_prefixes(p->conf, UINT32_MAX), "bound", bound,
				"barred", p->c.barred, "care_of",
				bound ? json_addr(&p->b.coa) : json_null(), "contested_by",
				json_twin(p, now), "last_status",
				seen ? json_integer(p->last_status) : json_null(),
				"last_status_text",
				seen ? json_string(mh_status_str((unsigned)p->last_status))
				     : json_null(),
				"last_seen_s",
				seen ? json_integer((json_int_t)((now - p->last_seen) / 1000))
				     : json_null()));
	}
	return list;
}

void ha_free(struct ha *ha)
{
	if (!ha)
		return;
	for (struct ha_peer *p = ha->by_hoa; p; p = p->hh.next)
		free(p->learned);
	HASH_CLEAR(hh, ha->by_hoa);
	table_free(&ha->table);
	home_free(ha);
	heap_free(&ha->timers);
	heap_free(&ha->control_timers);
	heap_free(&ha->mpa_timers);
	free(ha->peers);
	free(ha->own);
	free(ha);
}
