/* bu.c - a Binding Update from its checks to its answer.  The checks stand in checks[] in the order
 * of RFC 6275 s9.5.1, s10.3.1 and RFC 3963 s6.2; the first that has an answer decides. */
#include "common/core/seq16.h"
#include "ha/binding.h"

#define REFUSALS_PER_S 20  /* answered (per home address), or told, in the long run, */
#define REFUSALS_BURST 500 /* and at once after a quiet time */

/* What a check says: a status of 128 or more rejects; 0 goes on to the next check. */
enum { PASS = 0, SILENT = -1 };

struct bu { /* the update under test, and what the checks find out about it */
	struct ha *ha;
	const struct mh_env *e;
	struct ha_peer *peer; /* NULL: home address not in the table */
	uint64_t now;
	struct in6_addr hoa, coa; /* after HAO and Alternate Care-of Address */
	uint32_t mnps;            /* prefixes to forward: bits of the router's table line */
	bool r, h, l, dereg;
	bool resumed; /* it has passed once, and has waited for the home link since */
};

static int drop(struct bu *u, enum ha_counter c)
{
	u->ha->counters[c]++;
	return SILENT;
}

static int check_source(struct bu *u)
{
	return addr6_is_routable(&u->e->src) ? PASS : drop(u, HA_C_bu_source);
}

static int check_home_address(struct bu *u)
{
	return addr6_is_routable(&u->hoa) ? PASS : drop(u, HA_C_bu_home_address);
}

static int check_care_of(struct bu *u)
{
	return addr6_is_routable(&u->coa) ? PASS : drop(u, HA_C_bu_care_of);
}

/* What the protection of the message says about it (common/sec). */
static int check_protection(struct bu *u)
{
	return (int)u->e->refuse;
}

static int check_options(struct bu *u)
{
	if (u->h && u->e->m.o.has_nonce)
		return drop(u, HA_C_bu_nonce);
	return u->e->m.o.auth_misplaced ? drop(u, HA_C_bu_auth_place) : PASS;
}

/* A registration without HAO would make the care-of address its own home address (s10.3.1). */
static int check_hao(struct bu *u)
{
	bool has_hao = !addr6_is_any(&u->e->hoa);

	return has_hao || u->dereg ? PASS : drop(u, HA_C_bu_no_hao);
}

static bool has_entry(const struct bu *u)
{
	return u->peer && u->peer->b.state != BINDING_NONE;
}

static bool bound(const struct bu *u)
{
	return u->peer && u->peer->b.state == BINDING_BOUND;
}

static uint32_t remaining_s(const struct bu *u)
{
	uint64_t ends = u->peer->b.ends;

	return ends > u->now ? (uint32_t)((ends - u->now) / 1000) : 0;
}

/* H = 0 belongs to a correspondent node, a role we don't have; 139 and 140 are answered below. */
static int check_correspondent(struct bu *u)
{
	return u->h || u->r || bound(u) ? PASS : drop(u, HA_C_bu_correspondent);
}

/* The number is kept from here on, whatever a later check says (s9.5.1). */
static int check_sequence(struct bu *u)
{
	uint16_t seq = u->e->m.bu.seq;

	if (!has_entry(u) || u->resumed)
		return PASS;
	if (!seq16_newer(seq, u->peer->b.seq))
		return MH_ST_SEQ_WINDOW;
	u->peer->b.seq = seq;
	ha_changed(u->ha, u->peer);
	return PASS;
}

static int check_type_change(struct bu *u)
{
	if (!bound(u))
		return PASS;
	if (!u->h)
		return MH_ST_TYPE_CHANGE;
	return u->r != u->peer->b.r && !u->dereg ? MH_ST_TYPE_CHANGE : PASS;
}

static int check_r_needs_h(struct bu *u)
{
	return u->r && !u->h ? MH_ST_MR_NOT_PERMITTED : PASS;
}

static int check_deregistration(struct bu *u)
{
	return u->dereg && !has_entry(u) ? MH_ST_NOT_HA : PASS;
}

/* Home link, or a home address out of a mobile network prefix (RFC 3963 s6.2). */
static int check_home_subnet(struct bu *u)
{
	if (u->dereg || home_subnet(u->ha, &u->hoa, u->now))
		return PASS;
	return table_find(&u->ha->table, &u->hoa) ? PASS : MH_ST_NOT_HOME_SUBNET;
}

static int check_known(struct bu *u)
{
	return u->peer ? PASS : MH_ST_PROHIBITED;
}

/* The operator's word: `nemoctl ha revoke` (RFC 5846 s7) and `nemoctl ha drain` (RFC 5142 s5.3:
 * nothing is prolonged).  A bound router that moves is served on, for the time it was granted. */
static int check_operator(struct bu *u)
{
	if (u->dereg)
		return PASS;
	if (u->peer->c.barred)
		return MH_ST_PROHIBITED;
	if (!u->ha->draining)
		return PASS;
	return bound(u) && !addr6_eq(&u->coa, &u->peer->b.coa) && remaining_s(u) >= 4
		       ? PASS
		       : MH_ST_PROHIBITED;
}

/* A router behind a router: its care-of address lies in a network of another one of ours.  That is
 * fine to any depth (RFC 3963 s1) as long as the way from router to router does not lead back to
 * the one that registers: then each tunnel would lie in the next one, for ever (RFC 6275 s15.1).
 * One whose owner is away already has no way yet; the owner's update is tested in its turn. */
static int check_nesting(struct bu *u)
{
	const struct in6_addr *at = &u->coa;
	const struct table_entry *t;

	for (unsigned n = 0; (t = table_find(&u->ha->table, at)); n++) {
		const struct ha_peer *owner = &u->ha->peers[t->router];

		if (owner == u->peer || n > u->ha->n_bound)
			return MH_ST_INVALID_COA;
		if (owner->b.state != BINDING_BOUND)
			return PASS;
		at = &owner->b.coa;
	}
	return PASS;
}

static bool any_has(const struct prefix6 *v, unsigned n, const struct in6_addr *addr)
{
	for (unsigned i = 0; i < n; i++)
		if (prefix6_has(&v[i], addr))
			return true;
	return false;
}

/* The care-of address must not be the tunnel's other end, nor one that leads into it (s15.1). */
static int check_care_of_place(struct bu *u)
{
	const struct ha_conf *c = u->ha->conf;

	if (u->dereg)
		return PASS;
	if (addr6_eq(&u->coa, &c->address))
		return MH_ST_INVALID_COA;
	for (unsigned i = 0; i < u->ha->n_own; i++)
		if (addr6_eq(&u->ha->own[i], &u->coa))
			return MH_ST_INVALID_COA;
	/* Every home address is in a home prefix, or in a network of the table (conf_check.c). */
	if (table_find(&u->ha->table, &u->coa))
		return ha_peer_find(u->ha, &u->coa) ? MH_ST_INVALID_COA : check_nesting(u);
	return any_has(c->home, c->n_home, &u->coa) ||
			       any_has(c->aggregates, c->n_aggregates, &u->coa)
		       ? MH_ST_INVALID_COA
		       : PASS;
}

bool bu_misplaced(struct ha *ha, struct ha_peer *p, uint64_t now)
{
	const struct mh_env e = {.dst = p->b.local};
	struct bu u = {.ha = ha, .e = &e, .peer = p, .now = now, .coa = p->b.coa};

	return check_care_of_place(&u) != PASS;
}

static int find_mnp(struct bu *u, const struct prefix6 *p)
{
	const struct ha_router *r = u->peer->conf;

	if (p->len == 0 || !prefix6_is_masked(p) || !addr6_is_routable(&p->addr))
		return MH_ST_INVALID_PREFIX;
	for (unsigned i = 0; i < r->n_prefixes; i++) {
		if (prefix6_eq(p, &r->prefixes[i])) {
			u->mnps |= 1u << i;
			return PASS;
		}
	}
	return MH_ST_PREFIX_NOT_AUTHORIZED;
}

/* All or nothing; malformed ones (141) before those of others (142). */
static int check_prefixes(struct bu *u)
{
	const struct mh_opts *o = &u->e->m.o;
	int verdict = PASS;

	if (u->dereg || !u->r)
		return PASS;
	if (!u->peer->conf->mobile_router)
		return MH_ST_MR_NOT_PERMITTED;
	if (o->mnp_bad)
		return MH_ST_INVALID_PREFIX;
	if (o->n_mnp == 0) {
		unsigned n = u->peer->conf->n_prefixes;

		u->mnps = (uint32_t)((1ull << n) - 1);
		/* a routing protocol may tell of the rest, or of all (RFC 3963 s6.2, s8) */
		return n || u->peer->conf->n_learn ? PASS : MH_ST_FORWARDING_FAILED;
	}
	for (unsigned i = 0; i < o->n_mnp; i++) {
		int v = find_mnp(u, &o->mnp[i]);

		if (v == MH_ST_INVALID_PREFIX)
			return v;
		if (v != PASS)
			verdict = v;
	}
	return verdict;
}

static int (*const checks[])(struct bu *) = {
	check_source,         /* s9.5.4 */
	check_home_address,   /* s9.5.1 */
	check_care_of,        /* s6.1.7 */
	check_protection,     /* RFC 4285 s5, s6: 144-146 */
	check_options,        /* s9.5.1, s6.2 */
	check_hao,            /* s10.3.1 */
	check_correspondent,  /* s9.5.1 */
	check_sequence,       /* s9.5.1: 135 */
	check_type_change,    /* s9.5.1, RFC 3963 s6.2: 139 */
	check_r_needs_h,      /* RFC 3963 s6.2: 140 */
	check_deregistration, /* s10.3.2: 133 */
	check_home_subnet,    /* s10.3.1, RFC 3963 s6.2: 132 */
	check_known,          /* s10.3.1, default deny: 129 */
	check_operator,       /* RFC 5846 s7, RFC 5142 s5.3: 129 */
	check_care_of_place,  /* s15.1: 174 */
	check_prefixes,       /* RFC 3963 s6.2: 140-143 */
};

void bu_answer(struct ha *ha, const struct mh_env *bu, int status, uint16_t seq,
	uint32_t lifetime_s, uint64_t now, struct ha_out *out)
{
	struct ha_action *a = ha_action(out, HA_DO_SEND);
	struct mh_env *e = &a->mh;
	const struct in6_addr *hoa = addr6_is_any(&bu->hoa) ? &bu->src : &bu->hoa;
	struct ha_peer *peer = ha_peer_find(ha, hoa);

	/* To where the update came from, by type 2 routing header if it had an HAO (s9.5.4). */
	e->src = bu->dst;
	e->dst = bu->src;
	e->hoa = bu->hoa;
	/* A binding's tunnel must not get it if the node is at home (s10.3.2). */
	a->on_link = addr6_eq(hoa, &bu->src) && home_on_link(ha, hoa);
	e->m.type = MH_BA;
	e->m.o.mac.spi = bu->m.o.mac.spi; /* the keys that the router has */
	e->m.o.has_stamp = bu->m.o.has_stamp;
	e->m.o.stamp = bu->m.o.stamp; /* RFC 4285 s6 */
	e->m.ba = (struct mh_ba){
		.status = (uint8_t)status,
		.flags = (bu->m.bu.flags & MH_BU_R) && status != MH_ST_MR_NOT_PERMITTED ? MH_BA_R
											: 0,
		.seq = seq,
		.lifetime_s = lifetime_s,
	};
	if (peer) {
		peer->last_status = status;
		peer->last_seen = now;
	}
}

/* One refusal fewer to spend; false: none is left. */
static bool spend(struct ha_refusals *r, uint64_t now)
{
	uint64_t refill = (now - r->since) * REFUSALS_PER_S / 1000;

	if (refill) {
		r->since = now;
		r->n -= refill < r->n ? (unsigned)refill : r->n;
	}
	if (r->n >= REFUSALS_BURST)
		return false;
	r->n++;
	return true;
}

/* A flood of updates must become neither a flood of answers, which may go to someone who sent
 * nothing, nor one of log lines. */
static void reject(struct bu *u, int status, uint64_t now, struct ha_out *out)
{
	uint16_t seq = status == MH_ST_SEQ_WINDOW ? u->peer->b.seq : u->e->m.bu.seq;
	struct ha *ha = u->ha;

	ha->counters[HA_C_bu_rejected]++;
	ha->rejects[status & 0xff]++;
	if (status == MH_ST_SEQ_WINDOW)
		ha_twin_refused(u->peer, &u->coa);
	if (spend(u->peer ? &u->peer->answers : &ha->answers, now))
		bu_answer(ha, u->e, status, seq, 0, now, out);
	else
		ha->counters[HA_C_answers_limited]++;
	if (!spend(&ha->notes, now)) {
		ha->counters[HA_C_notes_limited]++;
		return;
	}
	ha_note(out, NOTE_BINDING_REJECTED, u->peer, &u->hoa, status,
		mh_status_str((unsigned)status));
	out->v[out->n - 1].note.coa = u->coa;
}

static void deregister(struct bu *u, uint64_t now, struct ha_out *out)
{
	u->ha->counters[HA_C_bu_accepted]++;
	if (bound(u)) {
		ha_unbind(u->ha, u->peer, BINDING_CLOSED, now, out);
		bu_answer(u->ha, u->e, MH_ST_ACCEPTED, u->e->m.bu.seq, 0, now, out);
		ha_note(out, NOTE_BINDING_CLOSED, u->peer, &u->hoa, MH_ST_ACCEPTED, "");
	} else { /* the answer to an earlier de-registration was lost */
		bu_answer(u->ha, u->e, MH_ST_ACCEPTED, u->e->m.bu.seq, 0, now, out);
	}
}

static void enter_binding(struct bu *u, uint64_t now, struct ha_out *out)
{
	struct ha *ha = u->ha;
	struct ha_peer *p = u->peer;
	struct binding before = p->b, *b = &p->b;
	bool was_bound = before.state == BINDING_BOUND;
	bool moved = was_bound && !addr6_eq(&before.coa, &u->coa);
	uint32_t max_s = p->conf->max_lifetime_s ? p->conf->max_lifetime_s
						 : ha->conf->max_lifetime_s;

	int status;

	if (ha->draining && remaining_s(u) < max_s)
		max_s = remaining_s(u);
	b->lifetime_s = u->e->m.bu.lifetime_s < max_s ? u->e->m.bu.lifetime_s : max_s & ~3u;
	status = home_grant(ha, &u->hoa, now, &b->lifetime_s);
	if (p->conf->no_mpd) /* "prefix discovery necessary" would be of no use */
		status = MH_ST_ACCEPTED;
	if (!b->lifetime_s) { /* less than 4 s are left of the home prefix */
		p->b = before;
		reject(u, MH_ST_NOT_HOME_SUBNET, now, out);
		return;
	}
	b->ends = now + b->lifetime_s * 1000ull;
	if (ha->draining && before.ends > b->ends && max_s < u->e->m.bu.lifetime_s)
		b->ends = before.ends; /* as promised: the answer is rounded down */
	b->coa = u->coa;
	b->local = u->e->dst;
	b->seq = u->e->m.bu.seq;
	b->mnps = u->mnps;
	b->r = u->r;
	b->l = was_bound ? before.l : u->l;
	b->explicit_ = u->e->m.o.n_mnp > 0;
	b->refreshed = now;
	b->registered = was_bound ? before.registered : now;
	b->moves = was_bound ? before.moves + moved : 0;
	if (binding_enter(p, &ha->timers, BINDING_BOUND, now) < 0) {
		p->b = before;
		reject(u, MH_ST_RESOURCES, now, out);
		return;
	}
	ha->n_bound += !was_bound;
	ha_changed(ha, p);
	ha->counters[HA_C_bu_accepted]++;
	ha_control_bound(ha, p, now);
	mpa_bound(ha, p, now);
	ha->undo.peer = p;
	ha->undo.before = before;
	ha->undo.bu = *u->e;

	binding_tunnel(p, &ha_action(out, HA_DO_TUNNEL_PUT)->tunnel);
	home_serve(ha, p, now, out);
	bu_answer(ha, u->e, status, b->seq, b->lifetime_s, now, out);
	ha_note(out,
		!was_bound ? NOTE_BINDING_ACCEPTED
			   : (moved ? NOTE_BINDING_MOVED : NOTE_BINDING_REFRESHED),
		p, &u->hoa, status, "");
	struct note *n = &out->v[out->n - 1].note;
	n->coa = b->coa;
	n->lifetime_s = b->lifetime_s;
	if (moved)
		n->old_coa = before.coa;
	ha_twin_accepted(ha, p, was_bound ? &before.coa : &b->coa, u->e->spi, now, out);
}

/* A newer update takes back the one that waits for the home link. */
static void give_up_probe(struct bu *u, struct ha_out *out)
{
	struct home *h = u->peer ? &u->peer->home : NULL;

	if (h && h->state == HOME_PROBE && seq16_newer(u->e->m.bu.seq, h->bu->m.bu.seq))
		home_stop(u->ha, u->peer, out);
}

static void accept_update(struct bu *u, uint64_t now, struct ha_out *out)
{
	int status;

	if (u->dereg) {
		give_up_probe(u, out);
		deregister(u, now, out);
	} else if (u->resumed || bound(u) || !u->ha->conf->dad_ms ||
		   !home_on_link(u->ha, &u->hoa)) {
		enter_binding(u, now, out);
	} else {
		status = home_probe(u->ha, u->peer, u->e, now, out);
		if (status)
			reject(u, status, now, out);
	}
}

static struct bu examine(struct ha *ha, const struct mh_env *e, uint64_t now)
{
	bool has_hao = !addr6_is_any(&e->hoa), has_alt = !addr6_is_any(&e->m.o.alt_coa);
	struct bu u = {
		.ha = ha,
		.e = e,
		.now = now,
		.hoa = has_hao ? e->hoa : e->src,
		.coa = has_alt ? e->m.o.alt_coa : e->src,
		.r = e->m.bu.flags & MH_BU_R,
		.h = e->m.bu.flags & MH_BU_H,
		.l = e->m.bu.flags & MH_BU_L,
	};

	u.peer = ha_peer_find(ha, &u.hoa);
	/* RFC 3963 s6.2 keeps the second trigger that RFC 6275 dropped. */
	u.dereg = e->m.bu.lifetime_s == 0 || (u.r && addr6_eq(&u.coa, &u.hoa));
	return u;
}

static void apply(struct bu *u, uint64_t now, struct ha_out *out)
{
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		int v = checks[i](u);

		if (v == SILENT)
			return;
		if (v != PASS) {
			if (v == MH_ST_NOT_HA && u->dereg)
				give_up_probe(u, out);
			reject(u, v, now, out);
			return;
		}
	}
	accept_update(u, now, out);
}

void bu_receive(struct ha *ha, const struct mh_env *e, uint64_t now, struct ha_out *out)
{
	struct bu u = examine(ha, e, now);

	ha->counters[HA_C_bu_rx]++;
	apply(&u, now, out);
}

void bu_resume(struct ha *ha, const struct mh_env *e, int status, uint64_t now, struct ha_out *out)
{
	struct bu u = examine(ha, e, now);

	u.resumed = true;
	ha->undo.peer = NULL;
	ha->undo.restoring = false;
	if (status)
		reject(&u, status, now, out);
	else
		apply(&u, now, out);
}
