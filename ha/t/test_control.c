/* test_control.c - what the home agent says of its own accord: revocation (RFC 5846), Home Agent
 * Switch (RFC 5142), heartbeats (RFC 5847).
 *
 *   home agent 2001:db8:1::1; routers 0..2: home address 2001:db8:100::1..3, prefix
 *   2001:db8:100:1..3::/64, care-of address 2001:db8:a::1..3 */
#include "common/wire/t/packet.h"
#include "ha/binding.h"

#define N_ROUTERS 3
#define DID_MAX   512

static struct prefix6 home, prefixes[N_ROUTERS];
static struct ha_router routers[N_ROUTERS];
static struct ha_conf conf;
static struct ha *ha;
static uint64_t now;
static uint16_t seq;
static struct {
	uint64_t at;
	struct ha_action a;
} did[DID_MAX];
static unsigned n_did;

static struct in6_addr coa(unsigned i)
{
	struct in6_addr a = A("2001:db8:a::");

	a.s6_addr[15] = (uint8_t)(i + 1);
	return a;
}

static int setup_conf(void **state)
{
	(void)state;
	home = P("2001:db8:100::/64");
	for (unsigned i = 0; i < N_ROUTERS; i++) {
		struct ha_router *r = &routers[i];

		memset(r, 0, sizeof(*r));
		snprintf(r->name, sizeof(r->name), "r%u", i);
		prefixes[i] = P("2001:db8:100::/64");
		prefixes[i].addr.s6_addr[7] = (uint8_t)(i + 1);
		r->hoa = A("2001:db8:100::");
		r->hoa.s6_addr[15] = (uint8_t)(i + 1);
		r->prefixes = &prefixes[i];
		r->n_prefixes = 1;
		r->mobile_router = true;
		r->tenant_id = 1;
	}
	conf = (struct ha_conf){.address = A("2001:db8:1::1"),
		.n_home = 1,
		.home = &home,
		.n_routers = N_ROUTERS,
		.routers = routers,
		.max_lifetime_s = 600,
		.heartbeat_misses = 3, /* RFC 5847 s5 */
		.revoke_ms = 1000,     /* RFC 5846 s11 */
		.revoke_max_ms = 2000,
		.revoke_retries = 1,
		.switch_rate = 1}; /* RFC 5142 s8 */
	now = 1000000;
	seq = 100;
	n_did = 0;
	return 0;
}

static void begin(void)
{
	ha = ha_new(&conf);
	assert_non_null(ha);
	ha_set_restart(ha, 77);
}

static int setup(void **state)
{
	setup_conf(state);
	begin();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ha_free(ha);
	ha = NULL;
	return 0;
}

static void step(const struct ha_event *ev)
{
	struct ha_out out;

	ha_step(ha, ev, now, &out);
	for (unsigned i = 0; i < out.n; i++) {
		assert_true(n_did < DID_MAX);
		did[n_did].at = now;
		did[n_did++].a = out.v[i];
	}
}

static void run(uint64_t ms)
{
	struct ha_event tick = {.type = HA_EV_TICK};
	uint64_t end = now + ms;

	while (ha_deadline(ha) <= end) {
		if (ha_deadline(ha) > now)
			now = ha_deadline(ha);
		step(&tick);
	}
	now = end;
}

static void operator(enum ha_event_type type, unsigned router)
{
	struct ha_event ev = {.type = type, .router = router};

	step(&ev);
}

static struct mh_env from(unsigned i, uint8_t type)
{
	struct mh_env e;

	memset(&e, 0, sizeof(e));
	e.src = coa(i);
	e.dst = conf.address;
	e.hoa = routers[i].hoa;
	e.m.type = type;
	return e;
}

static void receive(const struct mh_env *e)
{
	struct ha_event ev = {.type = HA_EV_MH, .mh = *e};

	step(&ev);
}

static void assert_addr(const struct in6_addr *a, struct in6_addr want)
{
	assert_memory_equal(a, &want, sizeof(want));
}

static const struct mh_env *sent(uint8_t type, unsigned n) /* the n-th of a type, from 0 */
{
	for (unsigned i = 0; i < n_did; i++)
		if (did[i].a.type == HA_DO_SEND && did[i].a.mh.m.type == type && n-- == 0)
			return &did[i].a.mh;
	return NULL;
}

static uint64_t sent_at(uint8_t type, unsigned n)
{
	for (unsigned i = 0; i < n_did; i++)
		if (did[i].a.type == HA_DO_SEND && did[i].a.mh.m.type == type && n-- == 0)
			return did[i].at;
	fail_msg("not so many sent");
	return 0;
}

static unsigned n_sent(uint8_t type)
{
	unsigned n = 0;

	while (sent(type, n))
		n++;
	return n;
}

static unsigned notes(enum note_type type)
{
	unsigned n = 0;

	for (unsigned i = 0; i < n_did; i++)
		n += did[i].a.type == HA_DO_NOTE && did[i].a.note.type == type;
	return n;
}

static unsigned dropped_tunnels(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < n_did; i++)
		n += did[i].a.type == HA_DO_TUNNEL_DROP;
	return n;
}

static int register_at(unsigned i, struct in6_addr where, uint32_t lifetime_s)
{
	struct mh_env e = from(i, MH_BU);

	e.src = where;
	e.m.bu = (struct mh_bu){++seq, MH_BU_A | MH_BU_H | MH_BU_R, lifetime_s};
	n_did = 0;
	receive(&e);
	assert_non_null(sent(MH_BA, 0));
	return sent(MH_BA, 0)->m.ba.status;
}

static void bind_router(unsigned i)
{
	assert_int_equal(register_at(i, coa(i), 600), 0);
	n_did = 0;
}

static void answer_bri(unsigned i, uint8_t status)
{
	struct mh_env e = from(i, MH_BR);

	e.m.br = (struct mh_br){.type = MH_BRA, .code = status, .seq = sent(MH_BR, 0)->m.br.seq};
	receive(&e);
}

/* --- revocation --- */

static void an_indication_goes_to_the_care_of_address_with_the_home_address(void **state)
{ /* RFC 5846 s7, s6.1.1 */
	const struct mh_env *e;

	(void)state;
	bind_router(1);
	operator(HA_EV_REVOKE, 1);
	assert_int_equal(n_sent(MH_BR), 1);
	e = sent(MH_BR, 0);
	assert_memory_equal(&e->src, &conf.address, 16);
	assert_addr(&e->dst, coa(1));
	assert_memory_equal(&e->hoa, &routers[1].hoa, 16);
	assert_true(e->rh2);
	assert_int_equal(e->m.br.type, MH_BRI);
	assert_int_equal(e->m.br.code, 1); /* administrative reason */
	assert_int_equal(e->m.br.flags, 0);
	assert_int_equal(ha_n_bound(ha), 1); /* it stays until the answer */
	assert_int_equal(dropped_tunnels(), 0);
	assert_int_equal(notes(NOTE_HA_BARRED), 1);
}

static void the_binding_ends_with_the_acknowledgement(void **state)
{ /* RFC 5846 s6.2.2; a failure is left to policy: the operator wanted it gone */
	static const uint8_t statuses[] = {0, 1, 128, 133, 134};

	for (unsigned i = 0; i < N_OF(statuses); i++) {
		teardown(state);
		setup(state);
		bind_router(0);
		operator(HA_EV_REVOKE, 0);
		run(20);
		answer_bri(0, statuses[i]);
		assert_int_equal(ha_n_bound(ha), 0);
		assert_int_equal(dropped_tunnels(), 1);
		assert_int_equal(notes(NOTE_BINDING_REVOKED), 1);
		run(60000);
		assert_int_equal(n_sent(MH_BR), 1); /* the timer is gone, too */
		assert_int_equal(ha_counter(ha, HA_C_revoked), 1);
		assert_int_equal(ha_deadline(ha), UINT64_MAX);
	}
}

static void an_unanswered_indication_is_repeated_once_and_then_the_binding_ends(void **state)
{ /* RFC 5846 s6.3: again after 1 s, clean-up after 2 s more, the same number */
	uint64_t t0 = now;

	(void)state;
	bind_router(0);
	operator(HA_EV_REVOKE, 0);
	run(2999);
	assert_int_equal(n_sent(MH_BR), 2);
	assert_int_equal(sent_at(MH_BR, 0), t0);
	assert_int_equal(sent_at(MH_BR, 1), t0 + 1000);
	assert_int_equal(sent(MH_BR, 0)->m.br.seq, sent(MH_BR, 1)->m.br.seq);
	assert_int_equal(ha_n_bound(ha), 1);
	run(1);
	assert_int_equal(ha_n_bound(ha), 0);
	assert_int_equal(dropped_tunnels(), 1);
	run(60000);
	assert_int_equal(n_sent(MH_BR), 2);
}

static void retransmissions_are_as_configured(void **state) /* RFC 5846 s6.3, s11 */
{
	static const unsigned at[] = {0, 500, 1500, 3500, 6500, 9500};
	uint64_t t0 = now;

	(void)state;
	conf.revoke_ms = 500;
	conf.revoke_max_ms = 3000;
	conf.revoke_retries = N_OF(at) - 1;
	begin();
	bind_router(0);
	operator(HA_EV_REVOKE, 0);
	run(60000);
	assert_int_equal(n_sent(MH_BR), N_OF(at));
	for (unsigned i = 0; i < N_OF(at); i++)
		assert_int_equal(sent_at(MH_BR, i) - t0, at[i]);
	assert_int_equal(ha_n_bound(ha), 0);
}

static void outstanding_indications_have_different_numbers(void **state) /* RFC 5846 s5.1 */
{
	(void)state;
	for (unsigned i = 0; i < N_ROUTERS; i++)
		bind_router(i);
	for (unsigned i = 0; i < N_ROUTERS; i++)
		operator(HA_EV_REVOKE, i);
	assert_int_equal(n_sent(MH_BR), 3);
	assert_int_not_equal(sent(MH_BR, 0)->m.br.seq, sent(MH_BR, 1)->m.br.seq);
	assert_int_not_equal(sent(MH_BR, 0)->m.br.seq, sent(MH_BR, 2)->m.br.seq);
	assert_int_not_equal(sent(MH_BR, 1)->m.br.seq, sent(MH_BR, 2)->m.br.seq);
}

static void an_acknowledgement_from_elsewhere_or_of_nothing_changes_nothing(void **state)
{ /* RFC 5846 s6.2.2 */
	struct mh_env e;
	unsigned n = 0;

	(void)state;
	bind_router(0);
	bind_router(1);
	e = from(0, MH_BR);
	e.m.br = (struct mh_br){.type = MH_BRA};
	for (unsigned k = 0; k < 65536; k += 257) { /* none is outstanding */
		e.m.br.seq = (uint16_t)k;
		receive(&e);
		n++;
	}
	operator(HA_EV_REVOKE, 0);
	e.m.br.seq = sent(MH_BR, 0)->m.br.seq;
	e.m.br.seq++;
	receive(&e); /* another number */
	e.m.br.seq--;
	e.src = coa(1);
	receive(&e); /* another care-of address */
	e.src = coa(0);
	e.hoa = routers[1].hoa;
	receive(&e); /* another router */
	e.hoa = A("2001:db8:100::99");
	receive(&e); /* none of ours */
	e.hoa = routers[0].hoa;
	e.rh2 = true;
	receive(&e); /* its home address is not the sender's */
	e.rh2 = false;
	e.m.br.type = MH_BRI;
	receive(&e); /* nobody revokes at a home agent */
	e.m.br.type = 3;
	receive(&e);
	assert_int_equal(ha_n_bound(ha), 2);
	assert_int_equal(dropped_tunnels(), 0);
	assert_int_equal(ha_counter(ha, HA_C_control_foreign), n + 7);
	assert_int_equal(n_sent(MH_BR), 1);
}

static void a_barred_router_gets_129_until_it_is_allowed(void **state) /* RFC 5846 s7 */
{
	(void)state;
	operator(HA_EV_REVOKE, 0); /* not even bound */
	assert_int_equal(n_sent(MH_BR), 0);
	assert_int_equal(register_at(0, coa(0), 600), MH_ST_PROHIBITED);
	assert_int_equal(ha_n_bound(ha), 0);
	bind_router(1); /* the others go on */
	operator(HA_EV_ALLOW, 0);
	assert_int_equal(notes(NOTE_HA_ALLOWED), 1);
	assert_int_equal(register_at(0, coa(0), 600), 0);
	operator(HA_EV_REVOKE, 0);
	assert_int_equal(register_at(0, coa(0), 600), MH_ST_PROHIBITED);
	assert_int_equal(ha_n_bound(ha), 2); /* a rejected update changes nothing */
	run(3000);
	assert_int_equal(ha_n_bound(ha), 1);
}

static void a_barred_router_may_de_register(void **state)
{
	(void)state;
	bind_router(0);
	operator(HA_EV_REVOKE, 0);
	assert_int_equal(register_at(0, coa(0), 0), 0);
	assert_int_equal(ha_n_bound(ha), 0);
	n_did = 0;
	run(60000);
	assert_int_equal(n_sent(MH_BR), 0);
}

static void an_update_accepted_meanwhile_ends_the_revocation(void **state) /* RFC 5846 s7 */
{
	(void)state;
	bind_router(0);
	operator(HA_EV_REVOKE, 0);
	operator(HA_EV_ALLOW, 0);
	assert_int_equal(register_at(0, coa(0), 600), 0);
	n_did = 0;
	run(60000);
	assert_int_equal(ha_n_bound(ha), 1);
	assert_int_equal(n_sent(MH_BR), 0);
}

static void a_router_that_does_not_know_revocation_loses_its_binding(void **state)
{ /* RFC 5846 s6.2: Binding Error 2 */
	struct mh_env e;

	(void)state;
	bind_router(0);
	operator(HA_EV_REVOKE, 0);
	e = from(0, MH_BE);
	e.hoa = in6addr_any;
	e.m.be.status = 2;
	e.m.be.hoa = routers[0].hoa;
	e.src = coa(1);
	receive(&e);
	assert_int_equal(ha_n_bound(ha), 1);
	e.src = coa(0);
	receive(&e);
	assert_int_equal(ha_n_bound(ha), 0);
	assert_int_equal(n_sent(MH_BR), 1);
}

static void revoking_twice_is_revoking_once(void **state)
{
	(void)state;
	bind_router(0);
	operator(HA_EV_REVOKE, 0);
	operator(HA_EV_REVOKE, 0);
	assert_int_equal(n_sent(MH_BR), 1);
	assert_int_equal(notes(NOTE_HA_BARRED), 1);
}

/* --- home agent switch --- */

static void drain(unsigned n)
{
	struct ha_event ev = {.type = HA_EV_DRAIN, .has = {.n = n}};

	ev.has.ha[0] = A("2001:db8:2::1");
	ev.has.ha[1] = A("2001:db8:3::1");
	step(&ev);
}

static void a_switch_names_the_others_in_their_order(void **state) /* RFC 5142 s5.1 */
{
	const struct mh_env *e;

	(void)state;
	bind_router(0);
	drain(2);
	run(0);
	assert_int_equal(n_sent(MH_HAS), 1);
	e = sent(MH_HAS, 0);
	assert_memory_equal(&e->src, &conf.address, 16);
	assert_addr(&e->dst, coa(0));
	assert_memory_equal(&e->hoa, &routers[0].hoa, 16);
	assert_true(e->rh2);
	assert_int_equal(e->m.has.n, 2);
	assert_addr(&e->m.has.ha[0], A("2001:db8:2::1"));
	assert_addr(&e->m.has.ha[1], A("2001:db8:3::1"));
	assert_int_equal(notes(NOTE_HA_DRAINING), 1);
	assert_true(ha_draining(ha));
}

static void without_others_a_switch_has_no_address(void **state) /* RFC 5142 s5.1 */
{
	(void)state;
	bind_router(0);
	drain(0);
	run(0);
	assert_int_equal(sent(MH_HAS, 0)->m.has.n, 0);
}

static void a_switch_is_repeated_after_5_10_and_then_every_20_seconds(void **state)
{ /* RFC 5142 s5.2, s8 */
	static const unsigned at[] = {0, 5000, 15000, 35000, 55000, 75000};
	uint64_t t0 = now;

	(void)state;
	bind_router(0);
	drain(1);
	run(80000);
	assert_int_equal(n_sent(MH_HAS), N_OF(at));
	for (unsigned i = 0; i < N_OF(at); i++)
		assert_int_equal(sent_at(MH_HAS, i) - t0, at[i]);
	assert_int_equal(ha_n_bound(ha), 1); /* s5.3: served all the while */
}

static void no_more_switches_a_second_than_configured(void **state) /* RFC 5142 s7 */
{
	(void)state;
	for (unsigned i = 0; i < N_ROUTERS; i++)
		bind_router(i);
	drain(1);
	run(100000);
	assert_true(n_sent(MH_HAS) >= 15);
	for (unsigned i = 1; i < n_sent(MH_HAS); i++) /* repetitions included */
		assert_true(sent_at(MH_HAS, i) >= sent_at(MH_HAS, i - 1) + 1000);
	for (unsigned i = 0; i < N_ROUTERS; i++) /* everybody once before anybody twice */
		assert_memory_equal(&sent(MH_HAS, i)->hoa, &routers[i].hoa, 16);
}

static void a_de_registration_or_the_lifetimes_end_answers_a_switch(void **state)
{ /* RFC 5142 s5.2, s5.3 */
	(void)state;
	bind_router(0);
	assert_int_equal(register_at(1, coa(1), 20), 0);
	drain(1);
	run(1500);
	assert_int_equal(register_at(0, coa(0), 0), 0);
	n_did = 0;
	run(18500);
	assert_int_equal(ha_n_bound(ha), 0); /* router 1 kept its time */
	n_did = 0;
	run(60000);
	assert_int_equal(n_sent(MH_HAS), 0);
}

static void while_draining_nothing_is_prolonged_and_nobody_new_taken(void **state)
{ /* RFC 5142 s5.3 */
	(void)state;
	bind_router(0);
	drain(1);
	run(100000);
	assert_int_equal(register_at(0, coa(0), 600), MH_ST_PROHIBITED);
	assert_int_equal(ha_n_bound(ha), 1);
	assert_int_equal(register_at(1, coa(1), 600), MH_ST_PROHIBITED);
	assert_int_equal(register_at(0, coa(2), 600), 0); /* a move, for what is left */
	assert_int_equal(sent(MH_BA, 0)->m.ba.lifetime_s, 500);
	run(499999);
	assert_int_equal(ha_n_bound(ha), 1);
	run(1);
	assert_int_equal(ha_n_bound(ha), 0);
}

static void a_move_while_draining_never_shortens_what_was_promised(void **state)
{
	(void)state;
	bind_router(0);
	drain(1);
	run(1001); /* 598.999 s are left: 596 s can be said */
	assert_int_equal(register_at(0, coa(2), 600), 0);
	assert_int_equal(sent(MH_BA, 0)->m.ba.lifetime_s, 596);
	run(598998);
	assert_int_equal(ha_n_bound(ha), 1);
	run(1);
	assert_int_equal(ha_n_bound(ha), 0);
}

static void undrain_takes_everything_back(void **state)
{
	(void)state;
	bind_router(0);
	drain(1);
	run(2000);
	n_did = 0;
	operator(HA_EV_UNDRAIN, 0);
	assert_int_equal(notes(NOTE_HA_SERVING), 1);
	assert_false(ha_draining(ha));
	run(60000);
	assert_int_equal(n_sent(MH_HAS), 0);
	assert_int_equal(register_at(0, coa(0), 600), 0);
	assert_int_equal(register_at(1, coa(1), 600), 0);
}

static void the_last_one_to_leave_is_told_once(void **state)
{
	(void)state;
	bind_router(0);
	assert_int_equal(register_at(1, coa(1), 20), 0);
	drain(1);
	assert_int_equal(register_at(0, coa(0), 0), 0);
	assert_int_equal(notes(NOTE_HA_DRAINED), 0);
	n_did = 0;
	run(20000);
	assert_int_equal(notes(NOTE_HA_DRAINED), 1);
	run(60000);
	assert_int_equal(notes(NOTE_HA_DRAINED), 1);
	operator(HA_EV_UNDRAIN, 0);
	n_did = 0;
	drain(1); /* nobody is there */
	assert_int_equal(notes(NOTE_HA_DRAINED), 1);
}

static void a_router_that_does_not_know_the_switch_is_served_on(void **state) /* RFC 5142 s5.3 */
{
	struct mh_env e;

	(void)state;
	bind_router(0);
	drain(1);
	run(0);
	e = from(0, MH_BE);
	e.hoa = in6addr_any;
	e.m.be.status = 2;
	e.m.be.hoa = routers[0].hoa;
	receive(&e);
	n_did = 0;
	run(60000);
	assert_int_equal(n_sent(MH_HAS), 0);
	assert_int_equal(ha_n_bound(ha), 1);
}

/* --- heartbeats --- */

static struct mh_env heartbeat(unsigned i, bool response, bool unsolicited, uint32_t number)
{
	struct mh_env e = from(i, MH_HB);

	e.m.hb = (struct mh_hb){response, unsolicited, number};
	return e;
}

static void a_request_is_answered_with_its_number_and_the_restart_counter(void **state)
{ /* RFC 5847 s3, s3.2 */
	struct mh_env e = heartbeat(0, false, false, 0xfffffffe);

	(void)state;
	bind_router(0);
	receive(&e);
	assert_int_equal(n_did, 1);
	assert_int_equal(sent(MH_HB, 0)->m.hb.seq, 0xfffffffe);
	assert_true(sent(MH_HB, 0)->m.hb.response);
	assert_false(sent(MH_HB, 0)->m.hb.unsolicited);
	assert_true(sent(MH_HB, 0)->m.o.has_restart);
	assert_int_equal(sent(MH_HB, 0)->m.o.restart, 77);
	assert_memory_equal(&sent(MH_HB, 0)->src, &e.dst, 16);
	assert_memory_equal(&sent(MH_HB, 0)->dst, &e.src, 16);
	assert_memory_equal(&sent(MH_HB, 0)->hoa, &e.hoa, 16);
	assert_true(sent(MH_HB, 0)->rh2);
}

static void a_router_of_the_table_is_answered_unbound_a_stranger_never(void **state)
{ /* RFC 5847 s3: active binding or not */
	struct mh_env e = heartbeat(0, false, false, 1);

	(void)state;
	receive(&e);
	assert_int_equal(n_sent(MH_HB), 1);
	assert_int_equal(
		n_sent(MH_BE), 1); /* and told that it is not bound: it seems to think so */
	assert_int_equal(sent(MH_BE, 0)->m.be.status, 1);
	assert_memory_equal(&sent(MH_BE, 0)->m.be.hoa, &routers[0].hoa, 16);
	assert_memory_equal(&sent(MH_BE, 0)->dst, &e.src, 16);
	assert_true(addr6_is_any(&sent(MH_BE, 0)->hoa));
	e.hoa = A("2001:db8:100::99");
	receive(&e);
	e.hoa = in6addr_any;
	receive(&e);
	e.hoa = routers[0].hoa;
	e.src = A("ff02::1");
	receive(&e);
	e.src = in6addr_any;
	receive(&e);
	e.src = coa(0);
	e.rh2 = true;
	receive(&e);
	bind_router(0);
	e.rh2 = false;
	e.src = coa(1); /* bound elsewhere */
	receive(&e);
	assert_int_equal(n_sent(MH_HB) + n_sent(MH_BE), 0);
	assert_int_equal(ha_counter(ha, HA_C_control_foreign), 6);
}

static void a_flood_of_requests_is_answered_slowly(void **state)
{
	struct mh_env e = heartbeat(0, false, false, 1);

	(void)state;
	bind_router(0);
	for (unsigned i = 0; i < 200; i++) {
		receive(&e);
		run(10);
	}
	assert_in_range(n_sent(MH_HB), 10, 15);
	assert_int_equal(ha_counter(ha, HA_C_hb_limited), 200 - n_sent(MH_HB));
	assert_int_equal(n_sent(MH_BE), 0);
	e = heartbeat(1, false, false, 1); /* the others don't suffer */
	n_did = 0;
	receive(&e);
	assert_int_equal(n_sent(MH_HB), 1);
}

static void no_requests_unless_configured_or_bound(void **state) /* RFC 5847 s3 */
{
	(void)state;
	bind_router(0);
	run(100000);
	assert_int_equal(n_sent(MH_HB), 0);
	teardown(state);
	conf.heartbeat_s = 30;
	begin();
	run(100000);
	assert_int_equal(n_sent(MH_HB), 0);
}

static void respond(unsigned i, uint32_t counter)
{
	struct mh_env e = heartbeat(i, true, false, sent(MH_HB, n_sent(MH_HB) - 1)->m.hb.seq);

	e.m.o.has_restart = true;
	e.m.o.restart = counter;
	receive(&e);
}

static void requests_go_on_as_long_as_the_binding(void **state) /* RFC 5847 s3, s3.1 */
{
	uint64_t t0 = now;

	(void)state;
	conf.heartbeat_s = 30;
	begin();
	assert_int_equal(register_at(0, coa(0), 100), 0);
	run(0);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(n_sent(MH_HB), i + 1);
		assert_int_equal(sent_at(MH_HB, i), t0 + 30000 * i);
		assert_int_equal(sent(MH_HB, i)->m.hb.seq, sent(MH_HB, 0)->m.hb.seq + i);
		assert_false(sent(MH_HB, i)->m.hb.response);
		assert_true(sent(MH_HB, i)->rh2);
		respond(0, 5);
		run(30000);
	}
	run(100000);
	assert_int_equal(n_sent(MH_HB), 4);
	assert_int_equal(ha_counter(ha, HA_C_hb_missed), 0);
	assert_int_equal(notes(NOTE_PEER_SILENT) + notes(NOTE_PEER_RESTARTED), 0);
}

static void a_restart_is_noted_once_and_the_first_counter_is_none(void **state)
{ /* RFC 5847 s3.2 */
	(void)state;
	conf.heartbeat_s = 1;
	begin();
	bind_router(0);
	run(0);
	respond(0, 5);
	assert_int_equal(notes(NOTE_PEER_RESTARTED), 0);
	run(1000);
	respond(0, 6);
	assert_int_equal(notes(NOTE_PEER_RESTARTED), 1);
	run(1000);
	respond(0, 6);
	run(1000);
	respond(0, 2); /* it lost even that: different is enough */
	assert_int_equal(notes(NOTE_PEER_RESTARTED), 2);
	assert_int_equal(ha_n_bound(ha), 1);
}

static void an_unsolicited_response_tells_of_a_restart(void **state) /* RFC 5847 s3.2 */
{
	struct mh_env e = heartbeat(0, true, true, 12345);

	(void)state;
	bind_router(0);
	e.m.o.has_restart = true;
	e.m.o.restart = 5;
	receive(&e);
	assert_int_equal(notes(NOTE_PEER_RESTARTED), 0);
	e.m.o.restart = 6;
	receive(&e);
	assert_int_equal(notes(NOTE_PEER_RESTARTED), 1);
	assert_int_equal(n_sent(MH_HB), 0); /* it is not answered */
	e.src = coa(1);
	e.m.o.restart = 7;
	receive(&e);
	assert_int_equal(notes(NOTE_PEER_RESTARTED), 1);
}

static void the_fourth_missing_answer_makes_a_router_silent(void **state) /* RFC 5847 s3.1 */
{
	(void)state;
	conf.heartbeat_s = 30;
	begin();
	bind_router(0);
	run(119999); /* 0, 30, 60, 90 s: three of them were missed by then */
	assert_int_equal(notes(NOTE_PEER_SILENT), 0);
	run(1);
	assert_int_equal(ha_counter(ha, HA_C_hb_missed), 4);
	assert_int_equal(notes(NOTE_PEER_SILENT), 1);
	run(60000);
	assert_int_equal(notes(NOTE_PEER_SILENT), 1); /* once */
	assert_int_equal(ha_n_bound(ha), 1);
	respond(0, 5);
	assert_int_equal(notes(NOTE_PEER_ANSWERS), 1);
	run(119999 - 60000);
	assert_int_equal(notes(NOTE_PEER_SILENT), 1); /* counted from 0 again */
}

static void as_many_as_configured_may_be_missed(void **state) /* RFC 5847 s5 */
{
	(void)state;
	conf.heartbeat_s = 1;
	conf.heartbeat_misses = 0;
	begin();
	bind_router(0);
	run(999);
	assert_int_equal(notes(NOTE_PEER_SILENT), 0);
	run(1);
	assert_int_equal(notes(NOTE_PEER_SILENT), 1);
}

static void a_late_or_repeated_answer_does_not_count(void **state) /* RFC 5847 s3 */
{
	(void)state;
	conf.heartbeat_s = 30;
	begin();
	bind_router(0);
	run(30000); /* a second request is out: an answer to the first is late */
	struct mh_env e = heartbeat(0, true, false, sent(MH_HB, 0)->m.hb.seq);
	receive(&e);
	assert_int_equal(ha_counter(ha, HA_C_control_foreign), 1);
	respond(0, 1);
	respond(0, 2);
	assert_int_equal(ha_counter(ha, HA_C_control_foreign), 2);
	assert_int_equal(notes(NOTE_PEER_RESTARTED), 0);
}

static void a_router_that_does_not_know_heartbeats_is_not_asked_again(void **state)
{ /* RFC 5847 s3: until it registers anew */
	struct mh_env e;

	(void)state;
	conf.heartbeat_s = 30;
	begin();
	bind_router(0);
	run(0);
	e = from(0, MH_BE);
	e.hoa = in6addr_any;
	e.m.be.status = 2;
	e.m.be.hoa = routers[0].hoa;
	receive(&e);
	n_did = 0;
	run(300000);
	assert_int_equal(n_sent(MH_HB), 0);
	assert_int_equal(notes(NOTE_PEER_SILENT), 0);
}

int main(void)
{
#define T(f)  cmocka_unit_test_setup_teardown(f, setup, teardown)
#define TC(f) cmocka_unit_test_setup_teardown(f, setup_conf, teardown)
	const struct CMUnitTest tests[] = {
		T(an_indication_goes_to_the_care_of_address_with_the_home_address),
		T(the_binding_ends_with_the_acknowledgement),
		T(an_unanswered_indication_is_repeated_once_and_then_the_binding_ends),
		TC(retransmissions_are_as_configured),
		T(outstanding_indications_have_different_numbers),
		T(an_acknowledgement_from_elsewhere_or_of_nothing_changes_nothing),
		T(a_barred_router_gets_129_until_it_is_allowed),
		T(a_barred_router_may_de_register),
		T(an_update_accepted_meanwhile_ends_the_revocation),
		T(a_router_that_does_not_know_revocation_loses_its_binding),
		T(revoking_twice_is_revoking_once),
		T(a_switch_names_the_others_in_their_order),
		T(without_others_a_switch_has_no_address),
		T(a_switch_is_repeated_after_5_10_and_then_every_20_seconds),
		T(no_more_switches_a_second_than_configured),
		T(a_de_registration_or_the_lifetimes_end_answers_a_switch),
		T(while_draining_nothing_is_prolonged_and_nobody_new_taken),
		T(a_move_while_draining_never_shortens_what_was_promised),
		T(undrain_takes_everything_back),
		T(the_last_one_to_leave_is_told_once),
		T(a_router_that_does_not_know_the_switch_is_served_on),
		T(a_request_is_answered_with_its_number_and_the_restart_counter),
		T(a_router_of_the_table_is_answered_unbound_a_stranger_never),
		T(a_flood_of_requests_is_answered_slowly),
		T(no_requests_unless_configured_or_bound),
		TC(requests_go_on_as_long_as_the_binding),
		TC(a_restart_is_noted_once_and_the_first_counter_is_none),
		T(an_unsolicited_response_tells_of_a_restart),
		TC(the_fourth_missing_answer_makes_a_router_silent),
		TC(as_many_as_configured_may_be_missed),
		TC(a_late_or_repeated_answer_does_not_count),
		TC(a_router_that_does_not_know_heartbeats_is_not_asked_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
