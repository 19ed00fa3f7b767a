/* test_control.c - what home agents say of their own accord, as a mobile router takes it:
 * revocation (RFC 5846 s10) and Home Agent Switch (RFC 5142 s6). */
#include "mr/t/control.h"

/* --- revocation --- */

static void a_revocation_is_acknowledged_and_ends_the_tunnel(void **state)
{ /* RFC 5846 s10, s6.1.2 */
	struct mr_event ev;

	(void)state;
	bind_at_a();
	ev = bri(0, 1, 0xfffe);
	step(&ev);
	assert_int_equal(n_sent(MH_BR), 1);
	assert_to(last_sent(MH_BR), 0);
	assert_int_equal(last_sent(MH_BR)->m.br.type, MH_BRA);
	assert_int_equal(last_sent(MH_BR)->m.br.code, 0);
	assert_int_equal(last_sent(MH_BR)->m.br.seq, 0xfffe);
	assert_int_equal(last_sent(MH_BR)->m.br.flags, 0);
	assert_int_equal(count(MR_DO_TUNNEL_DROP), 1);
	assert_false(mr_bound(d.mr, d.now));
	assert_int_equal(d.mr->bul.state, BUL_REVOKED);
	assert_int_equal(notes(NOTE_MR_REVOKED), 1);
	assert_int_equal(n_sent(MH_BU), 0); /* no de-registration either */
}

static void what_a_revocation_asks_for_decides_the_status(void **state)
{ /* RFC 5846 s10, s6.2.1, s5.1 */
	static const struct {
		uint8_t trigger;
		uint16_t flags;
		bool ipv4;
		uint8_t status;
	} cases[] = {
		{0, 0, false, 0},
		{1, 0, false, 0},
		{5, 0, false, 0},
		{6, 0, false, 0},
		{7, 0, false, 0},
		{1, 0, true, 0},               /* without V the option is of no account */
		{2, 0, false, MH_BRA_TRIGGER}, /* handovers between proxies */
		{4, 0, false, MH_BRA_TRIGGER},
		{8, 0, false, MH_BRA_TRIGGER}, /* unknown */
		{127, 0, false, MH_BRA_TRIGGER},
		{128, 0, false, MH_BRA_FUNCTION}, /* global ones: for proxies */
		{128, MH_BR_G, false, MH_BRA_FUNCTION},
		{1, MH_BR_G, false, MH_BRA_FUNCTION},
		{1, MH_BR_P, false, MH_BRA_PROXY},
		{1, MH_BR_P | MH_BR_G, false, MH_BRA_PROXY},
		{1, MH_BR_V, false, MH_BRA_IPV4_HOA},
		{1, MH_BR_V, true, MH_BRA_NO_BINDING},
	};

	for (unsigned i = 0; i < N_OF(cases); i++) {
		struct mr_event ev;

		drive_teardown(state);
		setup(state);
		bind_at_a();
		ev = bri(0, cases[i].trigger, (uint16_t)i);
		ev.mh.m.br.flags = cases[i].flags;
		ev.mh.m.o.has_ipv4_hoa = cases[i].ipv4;
		step(&ev);
		assert_int_equal(n_sent(MH_BR), 1);
		assert_int_equal(last_sent(MH_BR)->m.br.code, cases[i].status);
		assert_int_equal(last_sent(MH_BR)->m.br.flags, cases[i].flags);
		assert_int_equal(mr_bound(d.mr, d.now), cases[i].status != 0);
		assert_int_equal(count(MR_DO_TUNNEL_DROP), cases[i].status == 0);
	}
}

static void a_revocation_from_elsewhere_or_for_another_meets_silence(void **state)
{ /* RFC 5846 s10: no such binding; s6.1.2: source not unicast */
	struct mr_event ev;

	(void)state;
	bind_at_a();
	ev = bri(1, 1, 1); /* a home agent, but not the binding's */
	step(&ev);
	ev.mh.src = A("2001:db8:66::1");
	step(&ev);
	ev.mh.src = A("ff02::1");
	step(&ev);
	ev = bri(0, 1, 1);
	ev.mh.hoa = A("2001:db8:100::2");
	step(&ev);
	ev.mh.hoa = in6addr_any;
	step(&ev);
	ev = bri(0, 1, 1);
	ev.mh.rh2 = false; /* our address, but as the sender's */
	step(&ev);
	assert_int_equal(mr_counter(d.mr, MR_C_mh_foreign), 6);
	ev = bri(0, 1, 1);
	ev.mh.m.br.type = MH_BRA; /* nothing was asked */
	step(&ev);
	ev.mh.m.br.type = 0;
	step(&ev);
	assert_int_equal(mr_counter(d.mr, MR_C_mh_unexpected), 2);
	assert_int_equal(d.n, 0);
	assert_true(mr_bound(d.mr, d.now));
}

static void a_revocation_without_a_binding_meets_silence(void **state) /* RFC 5846 s10 */
{
	struct mr_event ev;

	(void)state;
	carrier(0, true);
	ra(0, 1, 0xa1, LINK_A);
	ev = bri(0, 1, 1);
	step(&ev);
	assert_int_equal(n_sent(MH_BR), 0);
	assert_int_equal(d.mr->bul.state, BUL_REGISTERING);
	assert_int_equal(mr_counter(d.mr, MR_C_mh_foreign), 1);
}

static void a_repeated_revocation_is_acknowledged_again(void **state)
{ /* RFC 5846 s6.3: the acknowledgement was lost */
	struct mr_event ev;

	(void)state;
	bind_at_a();
	ev = bri(0, 1, 9);
	step(&ev);
	run(1000);
	step(&ev);
	assert_int_equal(n_sent(MH_BR), 2);
	assert_int_equal(last_sent(MH_BR)->m.br.code, 0);
	assert_int_equal(notes(NOTE_MR_REVOKED), 1);
	ev.mh.m.br.seq++; /* another one */
	step(&ev);
	run(10000);
	ev.mh.m.br.seq--; /* too late */
	step(&ev);
	assert_int_equal(n_sent(MH_BR), 2);
}

static void a_revoked_router_asks_again_after_a_minute_only(void **state)
{
	struct mr_event ev;

	(void)state;
	bind_at_a();
	ev = bri(0, 1, 9);
	step(&ev);
	migrated(0); /* a move is no reason */
	ra(0, 2, 0xb1, LINK_B);
	run(59999);
	assert_int_equal(n_sent(MH_BU), 0);
	run(1);
	assert_int_equal(n_sent(MH_BU), 1);
	ack(0, MH_ST_PROHIBITED, last_sent(MH_BU)->m.bu.seq, 0); /* and so the others */
	run(5000);
	ack(1, MH_ST_PROHIBITED, last_sent(MH_BU)->m.bu.seq, 0);
	run(5000);
	ack(2, MH_ST_PROHIBITED, last_sent(MH_BU)->m.bu.seq, 0);
	forget();
	run(240000); /* five minutes, less a bit */
	assert_int_equal(n_sent(MH_BU), 0);
	run(160000);
	assert_true(n_sent(MH_BU) > 0);
	assert_int_equal(count(MR_DO_TUNNEL_PUT), 0);
}

static void a_revoked_router_registers_when_the_operator_says_so(void **state)
{
	struct mr_event ev, rehome = {.type = MR_EV_REHOME};

	(void)state;
	bind_at_a();
	ev = bri(0, 1, 9);
	step(&ev);
	step(&rehome);
	run(0);
	accept_at(0);
	assert_true(mr_bound(d.mr, d.now));
	assert_int_equal(last(MR_DO_TUNNEL_PUT)->at, d.now);
	step(&ev); /* the old number again: this is a new binding, and it ends, too */
	assert_false(mr_bound(d.mr, d.now));
}

static void an_out_of_sync_home_agent_gets_a_new_registration(void **state) /* RFC 5846 s5.1 */
{
	struct mr_event ev;

	(void)state;
	bind_at_a();
	ev = bri(0, 7, 9);
	step(&ev);
	run(1999);
	assert_int_equal(n_sent(MH_BU), 0);
	run(1);
	accept_at(0);
	assert_true(mr_bound(d.mr, d.now));
}

static void a_revocation_while_closing_is_acknowledged_and_the_end_comes(void **state)
{
	struct mr_event ev, end = {.type = MR_EV_STOP};

	(void)state;
	bind_at_a();
	step(&end);
	ev = bri(0, 1, 9);
	step(&ev);
	assert_int_equal(n_sent(MH_BR), 1);
	ack(0, MH_ST_NOT_HA, last_sent(MH_BU)->m.bu.seq, 0);
	assert_int_equal(count(MR_DO_EXIT), 1);
}

/* --- home agent switch --- */

static void switch_to(unsigned from, const char *first, const char *second)
{
	struct mr_event ev = message(from, MH_HAS);

	if (first)
		ev.mh.m.has.ha[ev.mh.m.has.n++] = A(first);
	if (second)
		ev.mh.m.has.ha[ev.mh.m.has.n++] = A(second);
	step(&ev);
}

static void a_switch_leads_to_the_first_of_the_list_and_then_deletes_the_old(void **state)
{ /* RFC 5142 s6.1, s6.2 */
	const struct mh_env *e;
	uint64_t t0;

	(void)state;
	bind_at_a();
	switch_to(0, "2001:db8:1::3", "2001:db8:1::2");
	assert_int_equal(notes(NOTE_MR_SWITCH), 1);
	assert_memory_equal(&last_sent(MH_BU)->dst, &d.has[2], 16);
	assert_int_equal(last_sent(MH_BU)->m.bu.lifetime_s, 600);
	assert_true(mr_bound(d.mr, d.now)); /* the old tunnel carries until then */
	assert_int_equal(count(MR_DO_TUNNEL_DROP), 0);
	forget();
	run(50);
	t0 = d.now;
	ack(2, 0, d.mr->bul.seq, 600);
	assert_memory_equal(&last(MR_DO_TUNNEL_PUT)->a.tunnel.remote, &d.has[2], 16);
	e = last_sent(MH_BU);
	assert_to(e, 0);
	assert_int_equal(e->m.bu.lifetime_s, 0);
	assert_true(e->m.bu.flags & MH_BU_A && e->m.bu.flags & MH_BU_H);
	assert_int_equal(e->m.o.n_mnp, 0);
	run(10000); /* s6.1: repeated as any update (RFC 6275 s11.8) */
	assert_int_equal(n_sent(MH_BU), 4);
	assert_int_equal(sent(MH_BU, 1)->at, t0 + 1000);
	assert_int_equal(sent(MH_BU, 2)->at, t0 + 3000);
	assert_int_equal(sent(MH_BU, 3)->at, t0 + 7000);
	ack(0, 0, sent(MH_BU, 1)->a.mh.m.bu.seq, 0); /* any of them */
	assert_int_equal(notes(NOTE_MR_LEFT), 1);
	forget();
	run(300000);
	assert_int_equal(n_sent(MH_BU), 0);
	assert_true(mr_bound(d.mr, d.now));
	assert_int_equal(d.mr->bul.bound_ha, 2);
}

static void a_switch_never_leads_to_a_home_agent_that_is_not_configured(void **state)
{
	(void)state;
	bind_at_a();
	switch_to(0, "2001:db8:66::1", "2001:db8:1::1"); /* a stranger; itself */
	assert_memory_equal(&last_sent(MH_BU)->dst, &d.has[1], 16);
}

static void a_switch_without_addresses_leads_to_the_next_one_known(void **state) /* RFC 5142 s4 */
{
	(void)state;
	bind_at_a();
	switch_to(0, NULL, NULL);
	assert_memory_equal(&last_sent(MH_BU)->dst, &d.has[1], 16);
}

static void with_a_single_home_agent_a_switch_changes_nothing(void **state)
{
	(void)state;
	d.conf.n_has = 1;
	drive_new();
	bind_at_a();
	for (unsigned i = 0; i < 10; i++) {
		switch_to(0, "2001:db8:1::2", NULL);
		run(20000);
	}
	assert_int_equal(n_sent(MH_BU), 0);
	assert_int_equal(notes(NOTE_MR_SWITCH), 1); /* not at each repetition */
	assert_true(mr_bound(d.mr, d.now));
}

static void a_repeated_switch_is_taken_calmly(void **state) /* RFC 5142 s5.2 */
{
	(void)state;
	bind_at_a();
	switch_to(0, "2001:db8:1::2", NULL);
	run(10);
	switch_to(0, "2001:db8:1::2", NULL);
	switch_to(0, "2001:db8:1::3", NULL);
	assert_int_equal(n_sent(MH_BU), 1);
	assert_int_equal(notes(NOTE_MR_SWITCH), 1);
	accept_at(1);
	forget();
	switch_to(0, "2001:db8:1::3", NULL); /* from the former one */
	assert_int_equal(d.n, 0);
	assert_int_equal(mr_counter(d.mr, MR_C_mh_foreign), 1);
}

static void a_switch_from_another_or_without_a_binding_is_ignored(void **state)
{ /* RFC 5142 s6.1 */
	struct mr_event ev;

	(void)state;
	carrier(0, true);
	ra(0, 1, 0xa1, LINK_A);
	switch_to(0, "2001:db8:1::2", NULL); /* not bound yet */
	accept_at(0);
	run(5000);
	forget();
	switch_to(1, "2001:db8:1::2", NULL);
	ev = message(0, MH_HAS);
	ev.mh.hoa = A("2001:db8:100::2");
	step(&ev);
	ev = message(0, MH_HAS);
	ev.mh.rh2 = false;
	step(&ev);
	assert_int_equal(d.n, 0);
	assert_int_equal(mr_counter(d.mr, MR_C_mh_foreign), 4);
}

static void a_refused_switch_leaves_the_old_binding_in_use(void **state)
{ /* RFC 5142 s5.3: it is served until its lifetime ends */
	(void)state;
	bind_at_a();
	switch_to(0, "2001:db8:1::2", NULL);
	ack(1, MH_ST_PROHIBITED, last_sent(MH_BU)->m.bu.seq, 0);
	run(5000);
	accept_at(2); /* the next one */
	assert_int_equal(count(MR_DO_TUNNEL_DROP), 0);
	assert_int_equal(d.mr->bul.bound_ha, 2);
}

/* Both are on the home link, where the old one defends the home address until it is left. */
static void a_new_home_agent_that_finds_the_address_in_use_comes_after_the_old_one(void **state)
{ /* RFC 5142 s6.1, RFC 6275 s10.3.1 */
	(void)state;
	bind_at_a();
	switch_to(0, "2001:db8:1::2", NULL);
	assert_memory_equal(&last_sent(MH_BU)->dst, &d.has[1], 16);
	ack(1, 134, last_sent(MH_BU)->m.bu.seq, 0);
	assert_memory_equal(&last_sent(MH_BU)->dst, &d.has[0], 16);
	assert_int_equal(last_sent(MH_BU)->m.bu.lifetime_s, 0);
	assert_int_equal(notes(NOTE_MR_REFUSED), 0);
	ack(0, 0, last_sent(MH_BU)->m.bu.seq, 0);
	run(2000); /* one home agent has its time before the next one's turn */
	assert_int_equal(last_sent(MH_BU)->m.bu.lifetime_s, 600);
	accept_at(1);
	assert_true(mr_bound(d.mr, d.now));
	assert_int_equal(d.mr->bul.bound_ha, 1);
	run(60000);
	assert_int_equal(notes(NOTE_MR_LEFT), 0);   /* nothing is left there */
	ack(1, 134, last_sent(MH_BU)->m.bu.seq, 0); /* an old answer */
	assert_true(mr_bound(d.mr, d.now));
}

/* Its host still defends the address, so the new one finds it in use: no duplicate before the old
 * binding has ended there, too. */
static void an_old_home_agent_that_is_gone_keeps_the_address_for_its_lifetime(void **state)
{ /* RFC 6275 s11.7.1 */
	uint64_t ends;

	(void)state;
	d.conf.n_has = 2;
	drive_new();
	bind_at_a();
	ends = d.mr->bul.ends;
	switch_to(0, "2001:db8:1::2", NULL);
	while (d.now < ends) {
		const struct mh_env *bu = last_sent(MH_BU);

		if (addr6_eq(&bu->dst, &d.has[1]) && d.mr->bul.state == BUL_REGISTERING)
			ack(1, 134, bu->m.bu.seq, 0);
		assert_int_equal(notes(NOTE_MR_REFUSED), 0);
		run(1000);
	}
	for (unsigned i = 0; i < 600 && !notes(NOTE_MR_REFUSED); i++) {
		const struct mh_env *bu = last_sent(MH_BU);

		if (addr6_eq(&bu->dst, &d.has[1]) && d.mr->bul.state == BUL_REGISTERING)
			ack(1, 134, bu->m.bu.seq, 0);
		run(1000);
	}
	assert_int_equal(notes(NOTE_MR_REFUSED), 1); /* somebody else's, then */
}

static void a_move_during_a_switch_is_told_to_the_old_home_agent_first(void **state)
{ /* it holds the binding, and serves the router as long as it was granted; it asks again */
	(void)state;
	bind_here();
	respond(5);
	switch_to(0, "2001:db8:1::2", NULL);
	assert_memory_equal(&last_sent(MH_BU)->dst, &d.has[1], 16);
	run(2000); /* no answer from there */
	forget();
	migrated(0);
	ra(0, 2, 0xb1, LINK_B);
	run(0);
	accept_at(0);
	assert_memory_equal(&last(MR_DO_TUNNEL_PUT)->a.tunnel.remote, &d.has[0], 16);
	switch_to(0, "2001:db8:1::2", NULL);
	run(1100);
	accept_at(1);
	assert_int_equal(d.mr->bul.bound_ha, 1);
}

static void the_old_binding_is_deleted_no_longer_than_it_lives(void **state)
{
	uint64_t ends;

	(void)state;
	bind_at_a();
	ends = d.mr->bul.ends;
	switch_to(0, "2001:db8:1::2", NULL);
	accept_at(1);
	while (d.now < ends + 600000) { /* the new one is refreshed, the old one silent */
		run(10000);
		if (d.mr->bul.state == BUL_REGISTERING)
			ack(1, 0, d.mr->bul.sent[d.mr->bul.n_sent - 1].seq, 600);
	}
	for (unsigned i = 0; i < n_sent(MH_BU); i++)
		if (sent(MH_BU, i)->a.mh.m.bu.lifetime_s == 0)
			assert_true(sent(MH_BU, i)->at < ends);
	assert_true(mr_bound(d.mr, d.now));
}

int main(void)
{
#define T(f)  cmocka_unit_test_setup_teardown(f, setup, drive_teardown)
#define TC(f) cmocka_unit_test_setup_teardown(f, setup_conf, drive_teardown)
#define TH(f) cmocka_unit_test_setup_teardown(f, setup_heartbeat, drive_teardown)
	const struct CMUnitTest tests[] = {
		T(a_revocation_is_acknowledged_and_ends_the_tunnel),
		T(what_a_revocation_asks_for_decides_the_status),
		T(a_revocation_from_elsewhere_or_for_another_meets_silence),
		T(a_revocation_without_a_binding_meets_silence),
		T(a_repeated_revocation_is_acknowledged_again),
		T(a_revoked_router_asks_again_after_a_minute_only),
		T(a_revoked_router_registers_when_the_operator_says_so),
		T(an_out_of_sync_home_agent_gets_a_new_registration),
		T(a_revocation_while_closing_is_acknowledged_and_the_end_comes),
		T(a_switch_leads_to_the_first_of_the_list_and_then_deletes_the_old),
		T(a_switch_never_leads_to_a_home_agent_that_is_not_configured),
		T(a_switch_without_addresses_leads_to_the_next_one_known),
		TC(with_a_single_home_agent_a_switch_changes_nothing),
		T(a_repeated_switch_is_taken_calmly),
		T(a_switch_from_another_or_without_a_binding_is_ignored),
		T(a_refused_switch_leaves_the_old_binding_in_use),
		TH(a_move_during_a_switch_is_told_to_the_old_home_agent_first),
		T(the_old_binding_is_deleted_no_longer_than_it_lives),
		T(a_new_home_agent_that_finds_the_address_in_use_comes_after_the_old_one),
		TC(an_old_home_agent_that_is_gone_keeps_the_address_for_its_lifetime),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
