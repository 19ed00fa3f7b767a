/* test_sim.c - mobile routers against a home agent over a network that delays, loses, reorders and
 * duplicates, in virtual time.
 *
 *   MR 0..2 ---(one of LINKS sites, router each)--- bad network --- HA
 *
 * The routers move, reboot and are hinted at at random; the home agent reboots, its tunnels fail,
 * and its operator revokes, drains and takes it back. What must hold at every step is in
 * check_step(); after CHAOS_MS the network is perfect, and within SETTLE_MS every router is bound
 * where it is.  Each run is made of its seed alone: on failure the seed and the run's events are
 * printed.  `test_sim SEED` runs one. */
#include <errno.h>
#include "common/core/seq16.h"
#include "common/wire/t/packet.h"
#include "ha/binding.h"
#include "mr/core.h"

#define N_RUNS    6000
#define N_MRS     3
#define N_LINKS   4
#define N_FLIGHT  4096
#define CHAOS_MS  40000
#define SETTLE_MS 70000
#define LOG_SIZE  (1 << 20)

enum flight_type { TO_HA, TO_MR, ND_TO_MR };
struct flight { /* something on its way */
	uint64_t at;
	enum flight_type type;
	unsigned mr, link; /* whom it is for, and where it was when that was sent */
	unsigned size;
	uint8_t pkt[512];
	struct mr_event nd;
};

struct sim_mr {
	struct mr_conf conf;
	struct in6_addr has[1];
	struct mr_uplink_conf uplinks[1];
	struct mr_network_conf networks[1];
	struct mr *mr;
	unsigned link; /* site it is at */
	bool tunnel;
	struct tunnel put; /* as last put */
	uint64_t bu_at[3];
	unsigned n_bu, lives;
	uint64_t born;
	uint64_t granted_until; /* by the home agent that runs now; 0: it knows nothing of us */
	bool ha_forgot;         /* the home agent rebooted since the last grant */
	bool has_number;        /* of the last accepted update within a binding */
	uint16_t number;
};

static struct {
	uint64_t seed, rng, now, ends_chaos;
	struct ha_conf ha_conf;
	struct ha_router routers[N_MRS];
	struct prefix6 prefixes[N_MRS], home;
	struct ha *ha;
	unsigned ha_lives;
	bool ha_tunnel[N_MRS]; /* what an engine would hold */
	struct tunnel ha_put[N_MRS];
	struct sim_mr mrs[N_MRS];
	unsigned loss, delay_ms, duplicate; /* per cent, ms, per cent */
	unsigned delay_chaos_ms;            /* delay_ms before the network became perfect */
	struct flight flight[N_FLIGHT];
	unsigned n_flight;
	char log[LOG_SIZE];
	size_t log_size;
	uint64_t n_packets, n_moves, n_lost;
} s;

static uint64_t rnd(uint64_t below)
{
	s.rng ^= s.rng << 13;
	s.rng ^= s.rng >> 7;
	s.rng ^= s.rng << 17;
	return (s.rng * 0x2545f4914f6cdd1du >> 16) % below;
}

static bool chance(unsigned per_cent)
{
	return rnd(100) < per_cent;
}

__attribute__((format(printf, 1, 2))) static void event(const char *fmt, ...)
{
	va_list ap;

	if (s.log_size + 300 > LOG_SIZE)
		return;
	s.log_size += (size_t)snprintf(s.log + s.log_size, 32, "%8.3f ", (double)s.now / 1000);
	va_start(ap, fmt);
	s.log_size += (size_t)vsnprintf(s.log + s.log_size, 200, fmt, ap);
	va_end(ap);
	s.log[s.log_size++] = '\n';
	s.log[s.log_size] = '\0';
}

#define CHECK(cond) \
	do { \
		if (!(cond)) { \
			fprintf(stderr, "%s\nseed %lu: not true: %s (line %d)\n", s.log, s.seed, \
				#cond, __LINE__); \
			fail(); \
		} \
	} while (0)

static const char *text(const struct in6_addr *a)
{
	static char buf[4][INET6_ADDRSTRLEN];
	static unsigned i;

	return addr6_str(a, buf[i++ % 4]);
}

static struct prefix6 site(unsigned link)
{
	struct prefix6 p = P("2001:db8:a00::/64");

	p.addr.s6_addr[5] = (uint8_t)link;
	return p;
}

/* --- the network --- */

static struct flight *send_off(enum flight_type type, unsigned mr, uint64_t at)
{
	CHECK(s.n_flight < N_FLIGHT);
	struct flight *f = &s.flight[s.n_flight++];

	f->type = type;
	f->mr = mr;
	f->link = s.mrs[mr].link;
	f->at = at;
	return f;
}

static uint64_t arrival(void)
{
	return s.now + 1 + rnd(s.delay_ms);
}

/* Through encoder and decoder: what arrives is what the wire can carry. */
static void send_mh(enum flight_type type, unsigned mr, const struct mh_env *e)
{
	unsigned copies = chance(s.loss) ? 0 : 1 + chance(s.duplicate);

	s.n_packets++;
	s.n_lost += copies == 0;
	while (copies-- > 0) {
		struct flight *f = send_off(type, mr, arrival());
		int n = mh_encode_packet(e, f->pkt, sizeof(f->pkt));

		CHECK(n > 0);
		f->size = (unsigned)n;
	}
}

/* The site's router answers; now and then it is slow. */
static void answer_nd(unsigned mr, uint8_t type, const struct mr_action *a)
{
	unsigned link = s.mrs[mr].link;
	struct flight *f;
	struct ndp_msg *m;

	if (chance(s.loss / 2))
		return;
	if (type == NDP_NA && a->mac[5] != link + 1)
		return; /* that router is not here */
	f = send_off(ND_TO_MR, mr, s.now + 1 + (chance(90) ? 0 : rnd(100)));
	memset(&f->nd, 0, sizeof(f->nd));
	f->nd.type = MR_EV_ND;
	f->nd.nd.mac[0] = 2;
	f->nd.nd.mac[5] = (uint8_t)(link + 1);
	m = &f->nd.nd.msg;
	m->type = type;
	m->src = m->target = A("fe80::1"); /* the same everywhere */
	if (type == NDP_NA) {
		m->na = (struct ndp_na){true, true, true};
		return;
	}
	m->ra.lifetime_s = 1800;
	m->ra.n_prefix = 1;
	m->ra.prefix[0] = (struct ndp_prefix){.prefix = site(link),
		.on_link = true,
		.autonomous = true,
		.valid_s = 86400,
		.preferred_s = 14400};
}

/* --- mobile routers --- */

static void check_mr(unsigned i)
{
	const struct sim_mr *m = &s.mrs[i];
	const struct bul *b = &m->mr->bul;

	/* An answer to an update of the life before a reboot may have a number of this life's. */
	uint64_t slack = s.now - m->born < 100000 && m->lives > 1 ? 2 * s.delay_chaos_ms : 0;

	if (b->live && !m->ha_forgot) /* granted time counts from the sending (s11.7.3) */
		CHECK(b->ends <= m->granted_until + slack || b->ends <= s.now);
}

static void mr_did(unsigned i, const struct mr_action *a)
{
	struct sim_mr *m = &s.mrs[i];

	switch (a->type) {
	case MR_DO_SEND_MH:
		if (a->mh.m.type != MH_BU) {
			send_mh(TO_HA, i, &a->mh);
			break;
		}
		CHECK(m->n_bu < 3 || s.now >= m->bu_at[0] + 1000); /* s11.8 */
		memmove(&m->bu_at[0], &m->bu_at[1], 2 * sizeof(m->bu_at[0]));
		m->bu_at[2] = s.now;
		m->n_bu++;
		event("mr%u: BU %u from %s, %u s", i, a->mh.m.bu.seq, text(&a->mh.src),
			a->mh.m.bu.lifetime_s);
		send_mh(TO_HA, i, &a->mh);
		break;
	case MR_DO_SEND_RS: answer_nd(i, NDP_RA, a); break;
	case MR_DO_SEND_PROBE: answer_nd(i, NDP_NA, a); break;
	case MR_DO_TUNNEL_PUT:
		m->tunnel = true;
		m->put = a->tunnel;
		event("mr%u: tunnel from %s", i, text(&a->tunnel.local));
		break;
	case MR_DO_TUNNEL_DROP:
		m->tunnel = false;
		event("mr%u: tunnel dropped", i);
		break;
	case MR_DO_NOTE: event("mr%u: %s %s", i, note_event(a->note.type), a->note.text); break;
	case MR_DO_COA_PUT:
	case MR_DO_COA_DROP:
	case MR_DO_ROUTER_PUT:
	case MR_DO_ROUTER_DROP:
	case MR_DO_SEND_ICMP6:
	case MR_DO_EXIT: break;
	}
}

static void mr_event(unsigned i, const struct mr_event *ev)
{
	static struct mr_out out;

	mr_step(s.mrs[i].mr, ev, s.now, &out);
	for (unsigned k = 0; k < out.n; k++)
		mr_did(i, &out.v[k]);
	check_mr(i);
}

static void mr_link(unsigned i, bool running, bool notify)
{
	struct mr_event ev = {
		.type = MR_EV_LINK, .link = {running, notify, {2, 0, 0, 0, 9, (uint8_t)i}}};

	mr_event(i, &ev);
}

static void mr_boot(unsigned i)
{
	struct sim_mr *m = &s.mrs[i];

	mr_free(m->mr);
	m->mr = mr_new(&m->conf, rnd(UINT64_MAX));
	assert_non_null(m->mr);
	mr_set_restart(m->mr, m->lives);
	m->tunnel = false;
	m->n_bu = 0; /* a new life has its own rate */
	m->born = s.now;
	m->lives++;
	mr_link(i, true, false);
}

/* --- home agent --- */

static unsigned mr_of(const struct in6_addr *hoa)
{
	return hoa->s6_addr[15] - 1u;
}

static void ha_answered(unsigned i, const struct mh_env *e)
{
	struct sim_mr *m = &s.mrs[i];

	if (e->m.type != MH_BA) {
		if (e->m.type == MH_BR)
			event("ha: revokes mr%u", i);
		send_mh(TO_MR, i, e);
		return;
	}
	event("ha: BA %u to mr%u: %u, %u s", e->m.ba.seq, i, e->m.ba.status, e->m.ba.lifetime_s);
	if (e->m.ba.status == 0 && e->m.ba.lifetime_s) {
		CHECK(!m->has_number || seq16_newer(e->m.ba.seq, m->number));
		m->has_number = true;
		m->number = e->m.ba.seq;
		uint64_t until = s.now + e->m.ba.lifetime_s * 1000ull;

		if (!ha_draining(s.ha) || until > m->granted_until) /* else what is left, rounded */
			m->granted_until = until;
		m->ha_forgot = false;
	}
	if (e->m.ba.status != MH_ST_SEQ_WINDOW) /* kept of rejected ones too (s9.5.1) */
		m->number = e->m.ba.seq;
	send_mh(TO_MR, i, e);
}

static void ha_event(const struct ha_event *ev);

static void ha_did(const struct ha_out *out)
{
	for (unsigned k = 0; k < out->n; k++) {
		const struct ha_action *a = &out->v[k];
		unsigned i = a->type == HA_DO_SEND ? mr_of(&a->mh.hoa) : mr_of(&a->tunnel.id);

		switch (a->type) {
		case HA_DO_SEND: ha_answered(i, &a->mh); break;
		case HA_DO_TUNNEL_PUT:
			if (s.now < s.ends_chaos && chance(2)) {
				struct ha_event failed = {HA_EV_TUNNEL_FAILED, .error = -ENOMEM};

				event("ha: tunnel of mr%u fails", i);
				ha_event(&failed);
				return;
			}
			s.ha_tunnel[i] = true;
			s.ha_put[i] = a->tunnel;
			break;
		case HA_DO_TUNNEL_DROP:
			s.ha_tunnel[i] = false;
			s.mrs[i].has_number = false;
			event("ha: tunnel of mr%u dropped", i);
			break;
		case HA_DO_HOME: /* the home link is virtual */
		case HA_DO_SEND_ICMP6:
		case HA_DO_NOTE: break;
		}
	}
}

static void ha_event(const struct ha_event *ev)
{
	struct ha_out out;

	ha_step(s.ha, ev, s.now, &out);
	ha_did(&out);
}

static void ha_boot(void)
{
	ha_free(s.ha);
	s.ha = ha_new(&s.ha_conf);
	assert_non_null(s.ha);
	ha_set_restart(s.ha, ++s.ha_lives);
	for (unsigned i = 0; i < N_MRS; i++) { /* the edge drops what is installed, not wanted */
		s.ha_tunnel[i] = s.mrs[i].has_number = false;
		s.mrs[i].granted_until = 0;
		s.mrs[i].ha_forgot = true;
	}
}

/* --- invariants --- */

static void check_step(void)
{
	for (unsigned i = 0; i < N_MRS; i++) {
		if (!s.ha_tunnel[i])
			continue;
		CHECK(s.now < s.mrs[i].granted_until); /* no binding outlives its grant */
		for (unsigned k = 0; k < i; k++)
			for (unsigned x = 0; s.ha_tunnel[k] && x < s.ha_put[i].n_routes; x++)
				for (unsigned y = 0; y < s.ha_put[k].n_routes; y++)
					CHECK(!prefix6_overlaps(
						&s.ha_put[i].routes[x], &s.ha_put[k].routes[y]));
	}
}

static bool settled(unsigned i)
{
	const struct sim_mr *m = &s.mrs[i];
	unsigned uplink;
	bool known;
	const char *cause;
	struct in6_addr coa = mr_care_of(m->mr, &uplink, &known, &cause);
	struct prefix6 here = site(m->link);

	return mr_bound(m->mr, s.now) && prefix6_has(&here, &coa) && m->tunnel &&
	       addr6_eq(&m->put.local, &coa) && s.ha_tunnel[i] &&
	       addr6_eq(&s.ha_put[i].remote, &coa);
}

/* --- time --- */

static void deliver(unsigned n)
{
	struct flight f = s.flight[n];
	struct mh_env e;
	enum ip6_verdict chain;
	unsigned where;
	struct prefix6 here = site(s.mrs[f.mr].link);

	s.flight[n] = s.flight[--s.n_flight];
	if (f.type == ND_TO_MR) {
		if (f.link == s.mrs[f.mr].link)
			mr_event(f.mr, &f.nd);
		return;
	}
	CHECK(mh_decode_packet(f.pkt, f.size, &e, &chain, &where) == MH_OK);
	if (f.type == TO_HA) {
		struct ha_event ev = {.type = HA_EV_MH, .mh = e};

		ha_event(&ev);
	} else if (prefix6_has(&here, &e.dst)) { /* or it has left */
		struct mr_event ev = {.type = MR_EV_MH, .mh = e};

		mr_event(f.mr, &ev);
	}
}

static void ticks(void)
{
	struct ha_event ha_tick = {.type = HA_EV_TICK};
	struct mr_event mr_tick = {.type = MR_EV_TICK};

	for (unsigned n = 0; ha_deadline(s.ha) <= s.now; n++) {
		ha_event(&ha_tick);
		CHECK(n < 10);
	}
	for (unsigned i = 0; i < N_MRS; i++) {
		for (unsigned n = 0; mr_deadline(s.mrs[i].mr) <= s.now; n++) {
			mr_event(i, &mr_tick);
			CHECK(n < 2);
		}
	}
}

/* Everything that is due up to and at 'until'. */
static void advance(uint64_t until)
{
	for (;;) {
		uint64_t at = ha_deadline(s.ha);
		unsigned first = N_FLIGHT;

		for (unsigned i = 0; i < N_MRS; i++)
			at = mr_min(at, mr_deadline(s.mrs[i].mr));
		for (unsigned k = 0; k < s.n_flight; k++) {
			if (s.flight[k].at < at) {
				at = s.flight[k].at;
				first = k;
			}
		}
		if (at > until)
			break;
		if (at > s.now)
			s.now = at;
		if (first < N_FLIGHT)
			deliver(first);
		else
			ticks();
		check_step();
	}
	s.now = until;
}

/* --- a run --- */

static void move(unsigned i)
{
	struct sim_mr *m = &s.mrs[i];

	m->link = (unsigned)rnd(N_LINKS);
	s.n_moves++;
	event("mr%u: moves to link %u", i, m->link);
	switch (rnd(4)) {
	case 0: /* nobody says so: the next advertisement does */ answer_nd(i, NDP_RA, NULL); break;
	case 1: /* carrier */
		mr_link(i, false, false);
		mr_link(i, true, false);
		break;
	case 2: /* told, but too early */
		m->link = (m->link + 1) % N_LINKS;
		mr_link(i, true, true);
		m->link = (m->link + N_LINKS - 1) % N_LINKS;
		break;
	default: mr_link(i, true, true); break;
	}
}

static void operator(enum ha_event_type type, unsigned mr)
{
	static const char *const names[] = {[HA_EV_REVOKE] = "revoke",
		[HA_EV_ALLOW] = "allow",
		[HA_EV_DRAIN] = "drain",
		[HA_EV_UNDRAIN] = "undrain"};
	struct ha_event ev = {.type = type, .router = mr};

	event("operator: %s mr%u", names[type], mr);
	ha_event(&ev);
}

static void mischief(void)
{
	unsigned i = (unsigned)rnd(N_MRS);
	struct mr_event rehome = {.type = MR_EV_REHOME};

	switch (rnd(24)) {
	case 0:
		event("mr%u: reboots", i);
		mr_boot(i);
		break;
	case 1:
		event("ha: reboots");
		ha_boot();
		break;
	case 2: mr_event(i, &rehome); break;
	case 3: mr_link(i, true, true); break;
	case 4: answer_nd(i, NDP_RA, NULL); break;
	case 5: operator(HA_EV_REVOKE, i); break;
	case 6: operator(HA_EV_ALLOW, i); break;
	case 7: operator(HA_EV_DRAIN, i); break;
	case 8: operator(HA_EV_UNDRAIN, i); break;
	default: move(i); break;
	}
}

static void sim_setup(uint64_t seed)
{
	s.seed = seed;
	s.rng = seed * 0x9e3779b97f4a7c15u + 1;
	s.now = 1;
	s.n_flight = 0;
	s.log_size = 0;
	s.home = P("2001:db8:100::/64");
	s.ha_conf = (struct ha_conf){.address = A("2001:db8:1::1"),
		.n_home = 1,
		.home = &s.home,
		.n_routers = N_MRS,
		.routers = s.routers,
		.max_lifetime_s = 8 + 4 * (unsigned)rnd(10),
		.heartbeat_s = (unsigned)rnd(3),
		.heartbeat_misses = (unsigned)rnd(4),
		.revoke_ms = 1000,
		.revoke_max_ms = 2000,
		.revoke_retries = 1,
		.switch_rate = 1};
	s.loss = (unsigned)rnd(61);
	s.delay_ms = 1 + (unsigned)rnd(chance(50) ? 50 : 2000);
	s.delay_chaos_ms = s.delay_ms;
	s.duplicate = (unsigned)rnd(30);
	for (unsigned i = 0; i < N_MRS; i++) {
		struct sim_mr *m = &s.mrs[i];
		struct in6_addr hoa = A("2001:db8:100::");

		hoa.s6_addr[15] = (uint8_t)(i + 1);
		s.prefixes[i] = P("2001:db8:100::/64");
		s.prefixes[i].addr.s6_addr[7] = (uint8_t)(i + 1);
		s.routers[i] = (struct ha_router){.hoa = hoa,
			.n_prefixes = 1,
			.prefixes = &s.prefixes[i],
			.mobile_router = true,
			.tenant_id = 1};
		memset(m, 0, sizeof(*m));
		m->conf = (struct mr_conf){.hoa = hoa,
			.n_has = 1,
			.has = m->has,
			.n_uplinks = 1,
			.uplinks = m->uplinks,
			.n_networks = 1,
			.networks = m->networks,
			.lifetime_s = 8 + 4 * (unsigned)rnd(10),
			.retransmit_ms = 150,
			.next_ha_ms = 1500,
			.check_ms = chance(50) ? 1000 : 0,
			.heartbeat_s = (unsigned)rnd(3),
			.heartbeat_misses = (unsigned)rnd(4),
			.mode = (int)rnd(3)};
		m->has[0] = s.ha_conf.address;
		snprintf(m->uplinks[0].interface, IFNAMSIZ, "eth0");
		m->networks[0].prefix = s.prefixes[i];
		m->link = (unsigned)rnd(N_LINKS);
	}
}

static void one_run(uint64_t seed)
{
	bool done = false;

	sim_setup(seed);
	s.ends_chaos = s.now + CHAOS_MS;
	event("loss %u %%, delay %u ms, duplicates %u %%", s.loss, s.delay_ms, s.duplicate);
	ha_boot();
	for (unsigned i = 0; i < N_MRS; i++)
		mr_boot(i);
	while (s.now < s.ends_chaos) {
		advance(s.now + 1 + rnd(chance(20) ? 10 : 4000));
		mischief();
	}
	event("the network is perfect from now on");
	s.loss = s.duplicate = 0;
	s.delay_ms = 1;
	operator(HA_EV_UNDRAIN, 0);
	for (unsigned i = 0; i < N_MRS; i++) {
		struct mr_event rehome = {.type = MR_EV_REHOME};

		answer_nd(i, NDP_RA, NULL); /* routers advertise now and then */
		operator(HA_EV_ALLOW, i);
		mr_event(i, &rehome); /* else a revoked one waits for minutes */
	}
	for (uint64_t end = s.now + SETTLE_MS; s.now < end && !done;) {
		advance(s.now + 1000);
		done = true;
		for (unsigned i = 0; i < N_MRS; i++)
			done &= settled(i);
	}
	for (unsigned i = 0; i < N_MRS; i++)
		CHECK(settled(i));
	for (unsigned i = 0; i < N_MRS; i++) {
		mr_free(s.mrs[i].mr);
		s.mrs[i].mr = NULL;
	}
	ha_free(s.ha);
	s.ha = NULL;
}

static void routers_and_home_agent_agree_in_the_end_whatever_the_network_does(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= N_RUNS; seed++) {
		one_run(seed);
		if (seed % 500 == 0)
			print_message("%lu runs, %lu moves, %lu messages, %lu lost\n", seed,
				s.n_moves, s.n_packets, s.n_lost);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(routers_and_home_agent_agree_in_the_end_whatever_the_network_does),
	};

	if (argc > 1) {
		one_run(strtoull(argv[1], NULL, 10));
		puts(s.log);
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
