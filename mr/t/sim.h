/* sim.h - the nodes of the simulator's world (sim_net.h) and its time.  What must hold at every
 * step is in check_mr() and check_ha(), what in the end in settled(). */
#pragma once
#include "mr/t/sim_net.h"

/* --- mobile routers --- */

/* Number of the home agent that a router believes to be bound with: its list may have come by
 * discovery.  N_HAS: it does not know. */
static inline unsigned bound_with(const struct sim_mr *m)
{
	const struct in6_addr *a = &m->mr->has[m->mr->bul.bound_ha];

	return addr6_is_any(a) ? N_HAS : a->s6_addr[5] - 1u;
}

static inline void check_mr(unsigned i)
{
	const struct sim_mr *m = &s.mrs[i];
	const struct bul *b = &m->mr->bul;

	/* An answer to an update of the life before a reboot may have a number of this life's. */
	uint64_t slack = s.now - m->born < 100000 && m->lives > 1 ? 2 * s.delay_chaos_ms : 0;

	if (b->live && !m->adopted) { /* granted time counts from the sending (s11.7.3) */
		CHECK(bound_with(m) < N_HAS);
		CHECK(b->ends <= m->granted_until[bound_with(m)] + slack ||
			b->ends <= local(&m->clock));
	}
}

static inline void mr_did(unsigned i, const struct mr_action *a)
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
		event("mr%u: BU %u from %s to %s, %u s", i, a->mh.m.bu.seq, text(&a->mh.src),
			text(&a->mh.dst), a->mh.m.bu.lifetime_s);
		send_mh(TO_HA, i, &a->mh);
		break;
	case MR_DO_SEND_ICMP6:
		event("mr%u: ICMPv6 %u to %s", i, a->icmp6.type, text(&a->icmp6.dst));
		if (a->icmp6.type == ICMP6_DHAAD_REQUEST)
			check_second(&m->request_at, local(&m->clock));
		send_icmp6(ICMP6_TO_HA, i, &a->icmp6);
		break;
	case MR_DO_SEND_RS: answer_nd(i, NDP_RA, a); break;
	case MR_DO_SEND_PROBE: answer_nd(i, NDP_NA, a); break;
	case MR_DO_TUNNEL_PUT:
		m->tunnel = true;
		m->put = a->tunnel;
		event("mr%u: tunnel from %s to %s", i, text(&a->tunnel.local),
			text(&a->tunnel.remote));
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
	case MR_DO_HOME: /* the home link is virtual */
	case MR_DO_PREFIXES:
	case MR_DO_EXIT: break;
	}
}

static inline void mr_event(unsigned i, const struct mr_event *ev)
{
	struct sim_mr *m = &s.mrs[i];
	static struct mr_out out;

	if (m->clock.sleep) /* it passes by */
		return;
	mr_step(m->mr, ev, local(&m->clock), &out);
	for (unsigned k = 0; k < out.n; k++)
		mr_did(i, &out.v[k]);
	mr_keep(m->mr, &m->kept);
	m->kept.wall = (int64_t)(s.now - local(&m->clock));
	if (m->mr->bul.acked)
		m->adopted = false;
	check_mr(i);
}

static inline void mr_link(unsigned i, bool running, bool notify)
{
	struct mr_event ev = {
		.type = MR_EV_LINK, .link = {running, notify, {2, 0, 0, 0, 9, (uint8_t)i}}};

	mr_event(i, &ev);
}

/* Ends and starts again; 'keep': the tunnel of the life before stays; 'reboots': the host, and its
 * clock begins anew. */
static inline void mr_boot(unsigned i, bool keep, bool reboots)
{
	struct sim_mr *m = &s.mrs[i];
	uint64_t lag = m->clock.lag;
	bool remembers = m->mr && chance(s.remembers);

	event("mr%u: starts%s%s%s", i, keep ? ", keeps its tunnel" : "",
		reboots ? ", new clock" : "", remembers ? ", remembers" : "");
	wake(&m->clock);
	if (reboots)
		m->clock.lag = s.now - 1;
	for (unsigned h = 0; h < N_HAS; h++)
		m->granted_until[h] = m->granted_until[h] + lag > m->clock.lag
					      ? m->granted_until[h] + lag - m->clock.lag
					      : 0;
	mr_free(m->mr);
	m->mr = mr_new(&m->conf, rnd(UINT64_MAX));
	assert_non_null(m->mr);
	mr_set_restart(m->mr, (uint32_t)rnd(UINT32_MAX)); /* the wall clock may have been set */
	m->adopted = keep && m->tunnel;
	if (m->adopted)
		mr_adopt(m->mr, local(&m->clock));
	else
		m->tunnel = false;
	if (remembers) {
		mr_restore(m->mr, &m->kept, !reboots, (int64_t)(s.now - local(&m->clock)),
			local(&m->clock));
		mr_set_restart(m->mr, m->kept.restart);
		m->adopted |= m->mr->bul.live;
	}
	m->request_at = 0;
	m->n_bu = 0; /* a new life has its own rate */
	m->born = s.now;
	m->lives++;
	mr_link(i, true, false);
}

static inline void mr_move(unsigned i, unsigned link)
{
	s.mrs[i].link = link;
	s.n_moves++;
	event("mr%u: moves to link %u", i, link);
}

/* --- home agents --- */

static inline unsigned mr_of(const struct in6_addr *hoa)
{
	return hoa->s6_addr[15] - 1u;
}

static inline struct in6_addr ha_address(unsigned h)
{
	struct in6_addr a = A("2001:db8:1::1");

	a.s6_addr[5] = (uint8_t)(h + 1);
	return a;
}

static inline void ha_answered(unsigned h, unsigned i, const struct mh_env *e)
{
	struct sim_ha *ha = &s.has[h];
	struct sim_mr *m = &s.mrs[i];
	uint64_t lifetime_ms = e->m.ba.lifetime_s * 1000ull, until;

	if (e->m.type != MH_BA) {
		if (e->m.type != MH_HB)
			event("ha%u: message %u to mr%u", h, e->m.type, i);
		send_mh(TO_MR, i, e);
		return;
	}
	event("ha%u: BA %u to mr%u: %u, %u s", h, e->m.ba.seq, i, e->m.ba.status,
		e->m.ba.lifetime_s);
	if (e->m.ba.status < 128 && lifetime_ms) {
		CHECK(!ha->has_number[i] || seq16_newer(e->m.ba.seq, ha->number[i]));
		ha->has_number[i] = true;
		until = local(&ha->clock) + lifetime_ms;
		/* While it drains: what is left, rounded down in the answer. */
		if (!ha_draining(ha->ha) || until > ha->granted_until[i])
			ha->granted_until[i] = until;
		until = local(&m->clock) + lifetime_ms;
		if (!ha_draining(ha->ha) || until > m->granted_until[h])
			m->granted_until[h] = until;
	}
	if (e->m.ba.status != MH_ST_SEQ_WINDOW) /* kept of rejected ones too (s9.5.1) */
		ha->number[i] = e->m.ba.seq;
	send_mh(TO_MR, i, e);
}

static inline void ha_told(unsigned h, const struct icmp6_msg *m)
{
	struct sim_ha *ha = &s.has[h];
	/* A reply goes to a care-of address, whose last octet is the router's number. */
	unsigned i = addr6_is_any(&m->hoa) ? m->dst.s6_addr[15] : mr_of(&m->hoa);

	event("ha%u: ICMPv6 %u to mr%u", h, m->type, i);
	if (m->type == ICMP6_MPA)
		check_second(&ha->mpa_at[i], local(&ha->clock));
	send_icmp6(ICMP6_TO_MR, i, m);
}

static inline void ha_event(unsigned h, const struct ha_event *ev);

/* Writes and does what a step asks for. */
static inline void ha_did(unsigned h, const struct ha_out *out)
{
	struct sim_ha *ha = &s.has[h];
	struct in6_addr hoa;
	struct ha_kept kept;

	while (ha_next_changed(ha->ha, &hoa, &kept)) {
		kept.wall = (int64_t)(s.now - local(&ha->clock));
		ha->kept[mr_of(&hoa)] = kept;
	}
	for (unsigned k = 0; k < out->n; k++) {
		const struct ha_action *a = &out->v[k];
		unsigned i = mr_of(a->type != HA_DO_SEND   ? &a->tunnel.id
				   : a->mh.m.type == MH_BE ? &a->mh.m.be.hoa
							   : &a->mh.hoa);

		switch (a->type) {
		case HA_DO_SEND: ha_answered(h, i, &a->mh); break;
		case HA_DO_TUNNEL_PUT:
			if (s.now < s.ends_chaos && chance(2)) {
				struct ha_event failed = {HA_EV_TUNNEL_FAILED, .error = -ENOMEM};

				event("ha%u: tunnel of mr%u fails", h, i);
				ha_event(h, &failed);
				return;
			}
			ha->tunnel[i] = true;
			ha->put[i] = a->tunnel;
			break;
		case HA_DO_TUNNEL_DROP:
			ha->tunnel[i] = ha->has_number[i] = false;
			event("ha%u: tunnel of mr%u dropped", h, i);
			break;
		case HA_DO_NOTE: ha->n_restarted += a->note.type == NOTE_PEER_RESTARTED; break;
		case HA_DO_SEND_ICMP6: ha_told(h, &a->icmp6); break;
		case HA_DO_HOME: break; /* the home link is virtual */
		}
	}
}

static inline void ha_event(unsigned h, const struct ha_event *ev)
{
	struct sim_ha *ha = &s.has[h];
	struct ha_out out;

	if (ha->clock.sleep)
		return;
	ha_step(ha->ha, ev, local(&ha->clock), &out);
	ha_did(h, &out);
}

/* The edge drops what is installed and not wanted. */
static inline void ha_sweep(struct sim_ha *ha)
{
	for (unsigned i = 0; i < N_MRS; i++) {
		if (!ha_is_bound(ha->ha, &s.routers[i].hoa))
			ha->tunnel[i] = ha->has_number[i] = false;
		ha->mpa_at[i] = 0;
	}
}

static inline void ha_boot(unsigned h, bool reboots)
{
	struct sim_ha *ha = &s.has[h];
	bool remembers = ha->ha && chance(s.remembers);
	uint64_t lag = ha->clock.lag;
	struct ha_out out;

	event("ha%u: starts%s%s", h, reboots ? ", new clock" : "", remembers ? ", remembers" : "");
	wake(&ha->clock);
	if (reboots)
		ha->clock.lag = s.now - 1;
	ha_free(ha->ha);
	ha->ha = ha_new(&ha->conf);
	assert_non_null(ha->ha);
	if (!remembers)
		ha->restart = (uint32_t)rnd(UINT32_MAX);
	ha_set_restart(ha->ha, ha->restart);
	for (unsigned i = 0; i < N_MRS; i++) {
		struct ha_kept kept = ha->kept[i];
		uint64_t until = ha->granted_until[i] + lag;

		memset(&ha->kept[i], 0, sizeof(ha->kept[i]));
		ha->granted_until[i] = remembers && until > ha->clock.lag ? until - ha->clock.lag
									  : 0;
		if (!remembers)
			continue;
		ha->kept[i] = kept;
		ha_restore(ha->ha, &s.routers[i].hoa, &kept, !reboots,
			(int64_t)(s.now - local(&ha->clock)), local(&ha->clock), &out);
		ha_did(h, &out);
	}
	ha_sweep(ha);
}

/* REVOKE, ALLOW of router 'mr'; DRAIN towards the other one; UNDRAIN. */
static inline void operator(unsigned h, enum ha_event_type type, unsigned mr)
{
	static const char *const names[] = {[HA_EV_REVOKE] = "revoke",
		[HA_EV_ALLOW] = "allow",
		[HA_EV_DRAIN] = "drain",
		[HA_EV_UNDRAIN] = "undrain"};
	struct ha_event ev = {.type = type};

	if (type == HA_EV_DRAIN) {
		ev.has.n = 1;
		ev.has.ha[0] = ha_address(1 - h);
	} else {
		ev.router = mr;
	}
	event("ha%u: operator: %s mr%u", h, names[type], mr);
	ha_event(h, &ev);
}

/* --- invariants --- */

static inline void check_ha(const struct sim_ha *ha)
{
	for (unsigned i = 0; i < N_MRS; i++) {
		if (!ha->tunnel[i])
			continue;
		/* No binding outlives its grant; while it sleeps nobody can end it. */
		CHECK(ha->clock.sleep || local(&ha->clock) < ha->granted_until[i]);
		for (unsigned k = 0; k < i; k++)
			for (unsigned x = 0; ha->tunnel[k] && x < ha->put[i].n_routes; x++)
				for (unsigned y = 0; y < ha->put[k].n_routes; y++)
					CHECK(!prefix6_overlaps(
						&ha->put[i].routes[x], &ha->put[k].routes[y]));
	}
}

/* Bound where it is, with a home agent that says the same, and the other one has let go. */
static inline bool settled(unsigned i)
{
	const struct sim_mr *m = &s.mrs[i];
	unsigned uplink, h = bound_with(m);
	bool known;
	const char *cause;
	struct in6_addr coa = mr_care_of(m->mr, &uplink, &known, &cause);
	struct prefix6 here = site(m->link);
	const struct sim_ha *ha = &s.has[h % N_HAS];
	struct in6_addr address = ha_address(h);

	return h < N_HAS && mr_bound(m->mr, local(&m->clock)) && prefix6_has(&here, &coa) &&
	       m->tunnel && addr6_eq(&m->put.local, &coa) && addr6_eq(&m->put.remote, &address) &&
	       ha->tunnel[i] && addr6_eq(&ha->put[i].remote, &coa) && !s.has[1 - h].tunnel[i];
}

/* --- time --- */

static inline void deliver_icmp6(const struct flight *f)
{
	struct prefix6 here = site(s.mrs[f->mr].link);
	struct ha_event to_ha = {.type = HA_EV_ICMP6};
	struct mr_event to_mr = {.type = MR_EV_ICMP6};
	struct icmp6_msg m;

	CHECK(icmp6_decode(f->pkt, f->size, &m) == ICMP6_OK);
	to_ha.icmp6 = to_mr.icmp6 = m;
	if (f->type == ICMP6_TO_HA) /* of an anycast address any will do */
		ha_event(m.type == ICMP6_DHAAD_REQUEST ? (unsigned)rnd(N_HAS)
						       : m.dst.s6_addr[5] - 1u,
			&to_ha);
	else if (prefix6_has(&here, &m.dst))
		mr_event(f->mr, &to_mr);
}

static inline void deliver(unsigned n)
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
	if (f.type == ICMP6_TO_HA || f.type == ICMP6_TO_MR) {
		deliver_icmp6(&f);
		return;
	}
	CHECK(mh_decode_packet(f.pkt, f.size, &e, &chain, &where) == MH_OK);
	if (f.type == TO_HA) {
		struct ha_event ev = {.type = HA_EV_MH, .mh = e};

		ha_event(e.dst.s6_addr[5] - 1u, &ev);
	} else if (prefix6_has(&here, &e.dst)) { /* or it has left */
		struct mr_event ev = {.type = MR_EV_MH, .mh = e};

		mr_event(f.mr, &ev);
	}
}

static inline void ticks(void)
{
	struct ha_event ha_tick = {.type = HA_EV_TICK};
	struct mr_event mr_tick = {.type = MR_EV_TICK};

	for (unsigned h = 0; h < N_HAS; h++) {
		struct sim_ha *ha = &s.has[h];

		if (ha->clock.sleep == s.now)
			wake(&ha->clock);
		for (unsigned n = 0; due(&ha->clock, ha_deadline(ha->ha)) <= s.now; n++) {
			ha_event(h, &ha_tick);
			CHECK(n < 10);
		}
	}
	for (unsigned i = 0; i < s.n_mrs; i++) {
		struct sim_mr *m = &s.mrs[i];

		if (m->clock.sleep == s.now)
			wake(&m->clock);
		for (unsigned n = 0; due(&m->clock, mr_deadline(m->mr)) <= s.now; n++) {
			mr_event(i, &mr_tick);
			CHECK(n < 2);
		}
	}
}

/* Everything that is due up to and at 'until'. */
static inline void advance(uint64_t until)
{
	for (;;) {
		unsigned first = N_FLIGHT;
		uint64_t at = UINT64_MAX;

		for (unsigned h = 0; h < N_HAS; h++)
			at = mr_min(at, due(&s.has[h].clock, ha_deadline(s.has[h].ha)));
		for (unsigned i = 0; i < s.n_mrs; i++)
			at = mr_min(at, due(&s.mrs[i].clock, mr_deadline(s.mrs[i].mr)));
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
		if (s.meddle && s.meddle(first))
			continue;
		if (first < N_FLIGHT)
			deliver(first);
		else
			ticks();
		for (unsigned h = 0; h < N_HAS; h++)
			check_ha(&s.has[h]);
	}
	s.now = until;
}

/* --- a run --- */

/* A perfect network, short lifetimes by 'seed', nobody started. */
static inline void sim_setup(uint64_t seed)
{
	s.seed = seed;
	s.rng = seed * 0x9e3779b97f4a7c15u + 1;
	s.now = 1;
	s.n_flight = 0;
	s.log_size = 0;
	s.loss = s.duplicate = 0;
	s.delay_ms = s.delay_chaos_ms = 1;
	s.n_mrs = N_MRS;
	s.home = P("2001:db8:100::/64");
	for (unsigned h = 0; h < N_HAS; h++) {
		memset(&s.has[h], 0, sizeof(s.has[h]));
		s.has[h].conf = (struct ha_conf){.address = ha_address(h),
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
	}
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
			.home_prefix = s.home,
			.n_has = 1 + (unsigned)rnd(N_HAS),
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
		for (unsigned h = 0; h < N_HAS; h++)
			m->has[h] = ha_address(h);
		snprintf(m->uplinks[0].interface, IFNAMSIZ, "eth0");
		m->networks[0].prefix = s.prefixes[i];
		m->link = (unsigned)rnd(N_LINKS);
	}
}

static inline void sim_start(void)
{
	for (unsigned h = 0; h < N_HAS; h++)
		ha_boot(h, false);
	for (unsigned i = 0; i < s.n_mrs; i++)
		mr_boot(i, false, false);
}

/* The network is perfect and everybody awake and allowed from now on: all have to settle. */
static inline void sim_settle(void)
{
	bool done = false;

	event("the network is perfect from now on");
	s.loss = s.duplicate = 0;
	s.delay_ms = 1;
	s.meddle = NULL;
	for (unsigned h = 0; h < N_HAS; h++) {
		wake(&s.has[h].clock);
		operator(h, HA_EV_UNDRAIN, 0);
	}
	for (unsigned i = 0; i < s.n_mrs; i++) {
		struct mr_event rehome = {.type = MR_EV_REHOME};

		wake(&s.mrs[i].clock);
		answer_nd(i, NDP_RA, NULL); /* routers advertise now and then */
		for (unsigned h = 0; h < N_HAS; h++)
			operator(h, HA_EV_ALLOW, i);
		mr_event(i, &rehome); /* else a revoked one waits for minutes */
	}
	for (uint64_t end = s.now + SETTLE_MS; s.now < end && !done;) {
		advance(s.now + 1000);
		done = true;
		for (unsigned i = 0; i < s.n_mrs; i++)
			done &= settled(i);
	}
	for (unsigned i = 0; i < s.n_mrs; i++)
		CHECK(settled(i));
}

static inline void sim_free(void)
{
	for (unsigned i = 0; i < N_MRS; i++) {
		mr_free(s.mrs[i].mr);
		s.mrs[i].mr = NULL;
	}
	for (unsigned h = 0; h < N_HAS; h++) {
		ha_free(s.has[h].ha);
		s.has[h].ha = NULL;
	}
}
