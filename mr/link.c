/* link.c - movement detection on one uplink (RFC 6275 s11.5, RFC 6059, RFC 7559): from hints and
 * advertisements to a router and a care-of address.  The states are drawn in core.h.
 *
 * A hint never changes anything by itself.  It starts solicitations and, at the same moment,
 * unicast probes of the routers of known links; traffic goes on meanwhile.  Then the first of these
 * decides:
 *   - the current router answers (probe), or advertises the current prefix: false alarm;
 *   - another known router answers its probe: its link is taken, without waiting for an RA;
 *   - an RA shows another link: taken at once after a strong hint, else only if the current router
 *     keeps silent for LINK_PROBE_MS, because one link may have several routers.
 * The RA is definitive: a router that looks the same (link-local and MAC) but advertises other
 * prefixes is another link.  What an advertisement says is judged in link_adv.c. */
#include "mr/link.h"

#define LINK_SUSPECT_MS  500  /* nobody answered: the uplink is not usable */
#define LINK_HINT_MS     200  /* hints closer than this are merged (a migration sends five) */
#define LINK_OLD_MS      3000 /* packets to the care-of address left behind are still taken */
#define LINK_VERIFIED_MS 2000 /* an address this old has passed duplicate address detection */
#define LINK_CHECK_MS    250  /* wait for the answer to a check of the router */
#define LINK_CHECKS      2    /* unanswered ones that make a hint */
#define LINK_PROBES      6    /* RFC 6059 s5.5.3 */
#define LINK_INTERVALS   3    /* of a router's advertisements: that many missing make a hint */
#define LINK_INTERVAL_MS 70   /* the shortest there is (RFC 6275 s7.5) */
#define LINK_MAX_MISSED  6    /* the wait for them doubles so often */
#define RS_MRT_MS        3600000

static const unsigned rs_burst_ms[] = {20, 50, 100, 250, 500}; /* after the hint; then RFC 7559 */
#define N_BURST (sizeof(rs_burst_ms) / sizeof(rs_burst_ms[0]))

const char *link_state_str(enum link_state s)
{
	switch (s) {
	case LINK_DOWN: return "down";
	case LINK_SEARCH: return "searching";
	case LINK_READY: return "ready";
	case LINK_SUSPECT: return "checking";
	}
	return "?";
}

bool link_usable(const struct link *l)
{
	return (l->state == LINK_READY || l->state == LINK_SUSPECT) && !l->leaving;
}

/* --- known links --- */

bool link_same_router(const struct attachment *a, const struct attachment *b)
{
	return addr6_eq(&a->router, &b->router) && memcmp(a->mac, b->mac, 6) == 0;
}

bool link_same(const struct attachment *a, const struct attachment *b)
{
	return link_same_router(a, b) && prefix6_eq(&a->prefix, &b->prefix);
}

struct attachment *link_known_find(struct link *l, const struct attachment *a)
{
	for (unsigned i = 0; i < l->n_known; i++)
		if (link_same(&l->known[i], a))
			return &l->known[i];
	return NULL;
}

/* Moves 'a' to the front of the known links; the oldest falls out. */
static void known_put(struct link *l, const struct attachment *a)
{
	struct attachment copy = *a, *k = link_known_find(l, a);
	unsigned i = k ? (unsigned)(k - l->known)
		       : (l->n_known < LINK_MAX_KNOWN ? l->n_known++ : LINK_MAX_KNOWN - 1);

	memmove(&l->known[1], &l->known[0], i * sizeof(l->known[0]));
	l->known[0] = copy;
}

bool link_can_return(const struct mr *mr, const struct attachment *k)
{
	return k->prefix_until > mr->now && (!addr6_is_any(&k->coa) || k->seen == 0);
}

static void make_coa(struct mr *mr, struct link *l, struct attachment *a)
{
	uint8_t iid[8];

	if (a->home) {
		a->coa = mr->conf->hoa;
		return;
	}
	addr6_eui64(l->mac, iid);
	if (l->dad_failures) { /* someone has our address: a random identifier, RFC 4941 style */
		uint64_t r = mr_random(mr);

		memcpy(iid, &r, sizeof(iid));
		iid[0] &= 0xfd;
	}
	a->coa = addr6_join(&a->prefix, iid);
}

static void know_configured(const struct mr *mr, struct link *l)
{
	const struct mr_conf *c = mr->conf;

	for (unsigned i = 0; i < c->n_known && l->n_known < LINK_MAX_KNOWN; i++) {
		struct attachment a = {.router = c->known[i].router, .prefix = c->known[i].prefix};

		if (strcmp(c->known[i].uplink, c->uplinks[l->index].interface) != 0)
			continue;
		memcpy(a.mac, c->known[i].mac, 6);
		a.home = c->return_home && prefix6_eq(&a.prefix, &c->home_prefix);
		a.router_until = a.prefix_until = a.preferred_until = UINT64_MAX;
		if (!link_known_find(l, &a))
			l->known[l->n_known++] = a;
	}
}

static void forget_configured(struct link *l)
{
	unsigned n = 0;

	for (unsigned i = 0; i < l->n_known; i++)
		if (l->known[i].seen || l->known[i].router_until != UINT64_MAX)
			l->known[n++] = l->known[i];
	l->n_known = n;
}

void link_init(struct mr *mr, struct link *l, unsigned index)
{
	l->index = index;
	l->cause = "start";
	l->hint_at = l->rs_at = l->check_at = l->ra_due = UINT64_MAX;
	know_configured(mr, l);
}

/* --- solicitations and probes --- */

/* 'ms' and up to a tenth more or less (RFC 7559 s2). */
static uint64_t spread(struct mr *mr, uint64_t ms)
{
	return ms - ms / 10 + mr_random(mr) % (ms / 5 + 1);
}

static void send_rs(struct mr *mr, struct link *l)
{
	mr_action(mr, MR_DO_SEND_RS)->uplink = l->index;
	mr->counters[MR_C_rs_tx]++;
	if (l->n_rs < N_BURST) {
		l->rs_at = l->hinted + rs_burst_ms[l->n_rs];
		if (l->rs_at <= mr->now)
			l->rs_at = mr->now + 1;
		l->rs_wait = 0;
	} else {
		if (!l->rs_wait)
			l->rs_wait = spread(mr, RS_IRT_MS);
		else
			l->rs_wait += spread(mr, l->rs_wait);
		if (l->rs_wait > RS_MRT_MS)
			l->rs_wait = spread(mr, RS_MRT_MS);
		l->rs_at = mr->now + l->rs_wait;
	}
	l->n_rs++;
}

void link_solicit(struct mr *mr, struct link *l)
{
	l->n_rs = N_BURST;
	l->rs_wait = 0;
	send_rs(mr, l);
}

static void send_probe(struct mr *mr, const struct link *l, const struct attachment *a)
{
	struct mr_action *act = mr_action(mr, MR_DO_SEND_PROBE);

	act->uplink = l->index;
	act->router = a->router;
	memcpy(act->mac, a->mac, 6);
	mr->counters[MR_C_probes_tx]++;
}

static bool probed_before(const struct mr *mr, const struct link *l, unsigned i)
{
	for (unsigned k = 0; k < i; k++)
		if (link_can_return(mr, &l->known[k]) &&
			link_same_router(&l->known[k], &l->known[i]))
			return true;
	return false;
}

/* One solicitation and, in parallel, a probe for each known router (RFC 6059 s5.5). */
static void ask_around(struct mr *mr, struct link *l)
{
	unsigned n = 0;

	l->n_rs = 0;
	send_rs(mr, l);
	for (unsigned i = 0; i < l->n_known && n < LINK_PROBES; i++) {
		if (!link_can_return(mr, &l->known[i]) || probed_before(mr, l, i))
			continue;
		send_probe(mr, l, &l->known[i]);
		n++;
	}
}

/* --- transitions --- */

static void link_enter(struct mr *mr, struct link *l, enum link_state to)
{
	enum link_state from = l->state;

	l->state = to;
	l->has_candidate = false;
	l->check_missed = 0;
	l->check_at = UINT64_MAX;
	switch (to) {
	case LINK_DOWN: l->rs_at = l->hint_at = UINT64_MAX; break;
	case LINK_SEARCH: break;
	case LINK_READY:
		if (mr->conf->check_ms)
			l->check_at = mr->now + mr->conf->check_ms;
		break;
	case LINK_SUSPECT: l->suspect_until = mr->now + LINK_SUSPECT_MS; break;
	}
	if (from != to && (from == LINK_DOWN || to == LINK_DOWN || to == LINK_SEARCH))
		mr_note(mr, NOTE_MR_LINK, "%s: %s -> %s", mr->conf->uplinks[l->index].interface,
			link_state_str(from), link_state_str(to));
}

/* Of the default route through the uplink: the kernel prefers the lowest, and equal ones would
 * replace each other. */
static unsigned metric(const struct mr_conf *c, unsigned index)
{
	return (1000 - c->uplinks[index].preference) * MR_MAX_UPLINKS + index + 1;
}

static void drop_router_at(struct mr *mr, const struct link *l, unsigned at)
{
	struct mr_action *a = mr_action(mr, MR_DO_ROUTER_DROP);

	a->uplink = l->index;
	a->router = l->current.router;
	a->metric = at;
}

static void drop_router(struct mr *mr, const struct link *l)
{
	drop_router_at(mr, l, metric(mr->conf, l->index));
}

static void drop_coa(struct mr *mr, const struct link *l, const struct in6_addr *coa)
{
	struct mr_action *a = mr_action(mr, MR_DO_COA_DROP);

	a->uplink = l->index;
	a->addr = *coa;
}

/* The current attachment becomes the old one, whose address lingers. */
static void leave(struct mr *mr, struct link *l)
{
	if (!l->has_current)
		return;
	if (l->current.home) { /* its address must not linger where it is no neighbour's */
		l->has_current = false;
		if (mr->home.uplink == l->index)
			athome_leave(mr);
		return;
	}
	struct attachment *k = link_known_find(l, &l->current);

	if (mr->now - l->current.seen >= LINK_VERIFIED_MS)
		l->current.verified = true;
	if (k)
		k->verified = l->current.verified;
	if (l->has_old && !addr6_eq(&l->old.coa, &l->current.coa))
		drop_coa(mr, l, &l->old.coa);
	l->old = l->current;
	l->has_old = true;
	l->old_until = mr->now + LINK_OLD_MS;
	l->has_current = false;
}

/* The uplink has no router any more; what was current stays among the known links. */
static void give_up(struct mr *mr, struct link *l, enum link_state to)
{
	if (l->has_current)
		drop_router(mr, l);
	leave(mr, l);
	link_enter(mr, l, to);
	mr_select(mr);
}

void link_close(struct mr *mr, struct link *l)
{
	if (l->has_current) {
		drop_router(mr, l);
		if (!l->current.home)
			drop_coa(mr, l, &l->current.coa);
		else if (mr->home.uplink == l->index)
			athome_leave(mr);
	}
	if (l->has_old)
		drop_coa(mr, l, &l->old.coa);
}

void link_leave(struct mr *mr, struct link *l)
{
	link_close(mr, l);
	l->has_current = l->has_old = false;
	link_enter(mr, l, LINK_DOWN);
}

void link_reload(struct mr *mr, struct link *l, const struct mr_conf *was, unsigned index)
{
	unsigned before = metric(was, l->index), now = metric(mr->conf, index);

	l->index = index;
	forget_configured(l);
	know_configured(mr, l);
	if (l->has_current && now != before) {
		link_put_router(mr, l); /* the new one first: traffic goes on */
		drop_router_at(mr, l, before);
	}
	if (l->state == LINK_READY && mr->conf->check_ms != was->check_ms)
		l->check_at = mr->conf->check_ms ? mr->now + mr->conf->check_ms : UINT64_MAX;
}

void link_put_router(struct mr *mr, const struct link *l)
{
	struct mr_action *act = mr_action(mr, MR_DO_ROUTER_PUT);

	act->uplink = l->index;
	act->router = l->current.router;
	memcpy(act->mac, l->current.mac, 6);
	if (!l->current.home) /* else it is not on the interface yet */
		act->addr = l->current.coa;
	act->metric = metric(mr->conf, l->index);
	act->mtu = l->current.mtu;
}

static void put_coa(struct mr *mr, const struct link *l)
{
	struct mr_action *act = mr_action(mr, MR_DO_COA_PUT);

	act->uplink = l->index;
	act->addr = l->current.coa;
	act->verified = l->current.verified;
}

void link_undone(struct mr *mr, struct link *l, const struct in6_addr *addr)
{
	bool route = addr6_is_any(addr);

	if ((l->state != LINK_READY && l->state != LINK_SUSPECT) || l->current.home ||
		(!route && !addr6_eq(addr, &l->current.coa)))
		return;
	if (!route)
		put_coa(mr, l);
	link_put_router(mr, l); /* it may have gone with the address */
}

void link_adopt(struct mr *mr, struct link *l, const struct attachment *to)
{
	struct attachment a = *to;
	struct attachment *k = link_known_find(l, &a);

	l->from_known = k && (!addr6_is_any(&k->coa) || k->router_until == UINT64_MAX);
	a.outdone = k ? k->outdone : 0;
	if (k && !addr6_is_any(&k->coa) && !l->dad_failures) {
		a.coa = k->coa;
		a.verified = k->verified;
	} else {
		make_coa(mr, l, &a);
		a.verified = mr->conf->dad == MR_DAD_OFF;
	}
	if (l->has_current && !l->strong && link_same_router(&l->current, &a) &&
		(k = link_known_find(l, &l->current)))
		k->outdone++;
	if (l->has_old && addr6_eq(&l->old.coa, &a.coa)) {
		l->has_old = false; /* before leave() drops it: still configured */
		a.verified |= l->old_until != UINT64_MAX; /* by this run; else it stays as it is */
	}
	if (l->has_current && addr6_eq(&l->current.coa, &a.coa))
		a.verified = true; /* configured already */
	else
		leave(mr, l);
	if (l->has_old) /* of an earlier run: left only now */
		l->old_until = mr_min(l->old_until, mr->now + LINK_OLD_MS);
	a.seen = mr->now;
	l->current = a;
	l->has_current = true;
	l->ra_missed = l->turns = 0;
	link_expect_ra(mr, l);
	known_put(l, &a);

	if (!a.home)
		put_coa(mr, l);
	link_put_router(mr, l);
	l->strong = false;
	link_enter(mr, l, LINK_READY);
	mr_select(mr);
	if (a.home && mr->active == (int)l->index)
		athome_router(mr);
}

void link_confirm(struct mr *mr, struct link *l, bool by_ra)
{
	if (by_ra)
		l->rs_at = UINT64_MAX;
	if (l->state == LINK_READY) {
		l->check_missed = 0;
		if (mr->conf->check_ms)
			l->check_at = mr->now + mr->conf->check_ms;
		return;
	}
	struct attachment *k = l->has_candidate ? link_known_find(l, &l->candidate) : NULL;

	if (k)
		k->passed_over = mr->now;
	mr->counters[MR_C_false_alarms]++;
	mr_note(mr, NOTE_MR_CONFIRMED, "%s: by %s", mr->conf->uplinks[l->index].interface,
		by_ra ? "advertisement" : "probe");
	link_enter(mr, l, LINK_READY);
}

/* --- hints --- */

static void take_hint(struct mr *mr, struct link *l, bool strong, const char *cause)
{
	mr->counters[MR_C_hints]++;
	mr_note(mr, NOTE_MR_HINT, "%s: %s", mr->conf->uplinks[l->index].interface, cause);
	l->strong = strong || (l->strong && l->state != LINK_READY);
	l->cause = cause;
	l->hinted = mr->now;
	if (l->state == LINK_READY)
		link_enter(mr, l, LINK_SUSPECT);
	ask_around(mr, l);
}

void link_hint(struct mr *mr, struct link *l, bool strong, const char *cause)
{
	if (l->state == LINK_DOWN)
		return;
	if (l->hinted && mr->now < l->hinted + LINK_HINT_MS && (l->strong || !strong)) {
		/* Merged, not lost: looked at again when the first has had its time. */
		if (l->hint_at == UINT64_MAX || strong || !l->hint_strong) {
			l->hint_cause = cause;
			l->hint_strong = strong;
		}
		l->hint_at = l->hinted + LINK_HINT_MS;
		return;
	}
	take_hint(mr, l, strong, cause);
}

void link_carrier(struct mr *mr, struct link *l, bool running, const uint8_t mac[6])
{
	memcpy(l->mac, mac, 6);
	if (running == l->running)
		return;
	l->running = running;
	if (!running) {
		give_up(mr, l, LINK_DOWN);
		return;
	}
	link_enter(mr, l, LINK_SEARCH);
	l->strong = true;
	take_hint(mr, l, true, "carrier");
}

void link_source(struct mr *mr, struct link *l)
{
	if (l->state == LINK_SEARCH || l->state == LINK_SUSPECT) {
		l->hinted = mr->now;
		ask_around(mr, l);
	}
}

void link_neigh_failed(struct mr *mr, struct link *l, const struct in6_addr *addr)
{
	if (l->state == LINK_READY && addr6_eq(addr, &l->current.router))
		link_hint(mr, l, true, "unreachable router");
}

void link_left(struct mr *mr, struct link *l, const struct in6_addr *addr)
{
	if ((l->has_current && addr6_eq(addr, &l->current.coa)) ||
		(l->has_old && addr6_eq(addr, &l->old.coa)))
		return;
	if (l->has_current || l->has_old) {
		drop_coa(mr, l, addr);
		return;
	}
	l->old = (struct attachment){.coa = *addr};
	l->has_old = true;
	l->old_until = UINT64_MAX;
}

void link_dad_failed(struct mr *mr, struct link *l, const struct in6_addr *addr)
{
	if (!l->has_current || !addr6_eq(addr, &l->current.coa))
		return;
	if (l->current.home) {
		if (mr->home.uplink == l->index && mr->home.state != ATHOME_AWAY)
			athome_dad_failed(mr);
		return;
	}
	struct attachment a = l->current;
	struct attachment *k = link_known_find(l, &a);

	mr->counters[MR_C_dad_failed]++;
	l->dad_failures++;
	drop_coa(mr, l, &a.coa);
	if (k)
		memset(&k->coa, 0, sizeof(k->coa));
	l->has_current = false;
	mr_note(mr, NOTE_MR_DAD_FAILED, "%s: taking another address",
		mr->conf->uplinks[l->index].interface)
		->coa = *addr;
	l->cause = "duplicate address";
	link_adopt(mr, l, &a);
}

/* --- time --- */

void link_expect_ra(struct mr *mr, struct link *l)
{
	uint64_t wait = LINK_INTERVALS * (uint64_t)l->current.interval_ms;

	if (wait < LINK_INTERVALS * LINK_INTERVAL_MS)
		wait = LINK_INTERVALS * LINK_INTERVAL_MS;
	l->ra_due = l->current.interval_ms ? mr->now + (wait << l->ra_missed) : UINT64_MAX;
}

/* A router that answers probes but has ceased to advertise is asked ever more rarely. */
static void miss_ra(struct mr *mr, struct link *l)
{
	if (l->ra_missed < LINK_MAX_MISSED)
		l->ra_missed++;
	link_expect_ra(mr, l);
	link_hint(mr, l, false, "missing advertisements");
}

static void check_router(struct mr *mr, struct link *l)
{
	if (l->check_missed >= LINK_CHECKS) {
		l->check_at = UINT64_MAX;
		link_hint(mr, l, true, "silent router");
		return;
	}
	l->check_missed++;
	l->check_at = mr->now + LINK_CHECK_MS;
	send_probe(mr, l, &l->current);
}

void link_tick(struct mr *mr, struct link *l)
{
	if (l->has_old && l->old_until <= mr->now) {
		l->has_old = false;
		drop_coa(mr, l, &l->old.coa);
		if (mr->active == (int)l->index)
			bul_put_tunnel(mr);
	}
	if (l->hint_at <= mr->now) {
		l->hint_at = UINT64_MAX;
		take_hint(mr, l, l->hint_strong, l->hint_cause);
	}
	if (l->state == LINK_SUSPECT && l->has_candidate && l->candidate_at <= mr->now) {
		struct attachment a = l->candidate;

		link_adopt(mr, l, &a);
	}
	if (l->state == LINK_SUSPECT && l->suspect_until <= mr->now)
		give_up(mr, l, LINK_SEARCH);
	if (l->state == LINK_READY && l->current.prefix_until <= mr->now) {
		give_up(mr, l, LINK_SEARCH);
		take_hint(mr, l, true, "prefix lifetime over");
	}
	if (l->state == LINK_READY && l->current.preferred_until <= mr->now) {
		l->current.preferred_until = UINT64_MAX;
		link_solicit(mr, l); /* for another prefix */
	}
	if (l->state == LINK_READY && l->current.router_until <= mr->now &&
		l->hint_at == UINT64_MAX)
		link_hint(mr, l, false, "router lifetime over");
	if (l->state == LINK_READY && l->ra_due <= mr->now)
		miss_ra(mr, l);
	if (l->state == LINK_READY && l->check_at <= mr->now)
		check_router(mr, l);
	if (l->rs_at <= mr->now)
		send_rs(mr, l);
}

uint64_t link_deadline(const struct link *l)
{
	uint64_t at = mr_min(l->rs_at, l->hint_at);

	if (l->has_old)
		at = mr_min(at, l->old_until);
	if (l->state == LINK_SUSPECT) {
		at = mr_min(at, l->suspect_until);
		if (l->has_candidate)
			at = mr_min(at, l->candidate_at);
	}
	if (l->state == LINK_READY) {
		at = mr_min(at, mr_min(l->current.prefix_until, l->check_at));
		at = mr_min(at, l->current.preferred_until);
		at = mr_min(at, l->ra_due);
		if (l->hint_at == UINT64_MAX) /* else that comes first */
			at = mr_min(at, l->current.router_until);
	}
	return at;
}
