/* test_control.c - what home agents say of their own accord, as a mobile router takes it:
 * revocation (RFC 5846 s10), Home Agent Switch (RFC 5142 s6), heartbeats (RFC 5847). */
#include "mr/t/drive.h"

static int setup_conf(void **state)
{
	(void)state;
	drive_conf();
	d.conf.n_has = 3;
	return 0;
}

static int setup(void **state)
{
	setup_conf(state);
	drive_new();
	mr_set_restart(d.mr, 77);
	return 0;
}

static int setup_heartbeat(void **state)
{
	setup_conf(state);
	d.conf.heartbeat_s = 30;
	d.conf.heartbeat_misses = 3;
	drive_new();
	mr_set_restart(d.mr, 77);
	return 0;
}

/* --- what goes in and comes out --- */

static struct mr_event message(unsigned ha, uint8_t type)
{
	struct mr_event ev = {.type = MR_EV_MH};

	memset(&ev.mh, 0, sizeof(ev.mh));
	ev.mh.src = d.has[ha];
	ev.mh.dst = d.mr->bul.coa;
	ev.mh.hoa = d.conf.hoa;
	ev.mh.rh2 = true;
	ev.mh.m.type = type;
	return ev;
}

static struct mr_event bri(unsigned ha, uint8_t trigger, uint16_t seq)
{
	struct mr_event ev = message(ha, MH_BR);

	ev.mh.m.br = (struct mh_br){.type = MH_BRI, .code = trigger, .seq = seq};
	return ev;
}

static struct mr_event heartbeat(unsigned ha, bool response, bool unsolicited, uint32_t seq)
{
	struct mr_event ev = message(ha, MH_HB);

	ev.mh.m.hb = (struct mh_hb){response, unsolicited, seq};
	return ev;
}

static const struct did *sent(uint8_t type, unsigned n) /* the n-th of a type, from 0; or NULL */
{
	for (unsigned i = 0; i < d.n; i++)
		if (d.did[i].a.type == MR_DO_SEND_MH && d.did[i].a.mh.m.type == type && n-- == 0)
			return &d.did[i];
	return NULL;
}

static unsigned n_sent(uint8_t type)
{
	unsigned n = 0;

	while (sent(type, n))
		n++;
	return n;
}

static const struct mh_env *last_sent(uint8_t type)
{
	assert_true(n_sent(type) > 0);
	return &sent(type, n_sent(type) - 1)->a.mh;
}

static void assert_to(const struct mh_env *e, unsigned ha)
{
	assert_memory_equal(&e->dst, &d.has[ha], 16);
	assert_memory_equal(&e->src, &d.mr->bul.coa, 16);
	assert_memory_equal(&e->hoa, &d.conf.hoa, 16);
	assert_false(e->rh2);
}

/* The next update has gone to 'ha', and is accepted there. */
static void accept_at(unsigned ha)
{
	assert_memory_equal(&last_sent(MH_BU)->dst, &d.has[ha], 16);
	ack(ha, 0, last_sent(MH_BU)->m.bu.seq, 600);
}

static void respond(uint32_t counter)
{
	struct mr_event ev = heartbeat(d.mr->bul.bound_ha, true, false, last_sent(MH_HB)->m.hb.seq);

	ev.mh.m.o.has_restart = true;
	ev.mh.m.o.restart = counter;
	step(&ev);
}

static void bind_here(void)
{
	carrier(0, true);
	ra(0, 1, 0xa1, LINK_A);
	forget();
	ack(0, 0, d.mr->bul.seq, 600);
}

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

/* --- heartbeats --- */

static void no_heartbeats_unless_configured_or_bound(void **state) /* RFC 5847 s3 */
{
	(void)state;
	bind_at_a();
	run(300000);
	assert_int_equal(n_sent(MH_HB), 0);
	drive_teardown(state);
	setup_heartbeat(state);
	carrier(0, true);
	ra(0, 1, 0xa1, LINK_A);
	run(60000);
	assert_int_equal(n_sent(MH_HB), 0);
}

static void the_home_agent_is_told_who_we_are_and_asked_at_once(void **state)
{ /* RFC 5847 s3.2: unsolicited after a restart; a request, to know its counter */
	(void)state;
	bind_here();
	assert_int_equal(n_sent(MH_HB), 2);
	assert_to(&sent(MH_HB, 0)->a.mh, 0);
	assert_true(sent(MH_HB, 0)->a.mh.m.hb.response && sent(MH_HB, 0)->a.mh.m.hb.unsolicited);
	assert_true(sent(MH_HB, 0)->a.mh.m.o.has_restart);
	assert_int_equal(sent(MH_HB, 0)->a.mh.m.o.restart, 77);
	assert_to(&sent(MH_HB, 1)->a.mh, 0);
	assert_false(sent(MH_HB, 1)->a.mh.m.hb.response);
	assert_false(sent(MH_HB, 1)->a.mh.m.o.has_restart);
}

static void requests_follow_at_the_interval_with_growing_numbers(void **state)
{ /* RFC 5847 s3 */
	uint64_t t0;
	uint32_t first;

	(void)state;
	bind_here();
	t0 = d.now;
	first = last_sent(MH_HB)->m.hb.seq;
	for (unsigned i = 1; i < 10; i++) {
		respond(5);
		run(30000);
		assert_int_equal(n_sent(MH_HB), 2 + i);
		assert_int_equal(sent(MH_HB, 1 + i)->at, t0 + 30000 * i);
		assert_int_equal(last_sent(MH_HB)->m.hb.seq, first + i);
	}
	assert_int_equal(mr_counter(d.mr, MR_C_hb_missed), 0);
	assert_int_equal(n_sent(MH_BU), 0);
}

static void another_restart_counter_leads_to_a_registration_at_once(void **state)
{ /* RFC 5847 s3.2; the binding is lost there */
	(void)state;
	bind_here();
	respond(5); /* the first one is none to compare with */
	assert_int_equal(n_sent(MH_BU), 0);
	run(30000);
	respond(6);
	assert_int_equal(notes(NOTE_PEER_RESTARTED), 1);
	assert_int_equal(n_sent(MH_BU), 1);
	accept_at(0);
	run(30000);
	respond(6);
	assert_int_equal(n_sent(MH_BU), 1);
	run(30000);
	respond(4); /* smaller is another, too */
	assert_int_equal(n_sent(MH_BU), 2);
	assert_int_equal(count(MR_DO_TUNNEL_DROP), 0);
}

static void an_unsolicited_counter_counts_now_and_then(void **state) /* RFC 5847 s3.2 */
{
	struct mr_event ev;

	(void)state;
	bind_here();
	respond(5);
	for (unsigned i = 0; i < 100; i++) {
		ev = heartbeat(0, true, true, 4711); /* its number says nothing */
		ev.mh.m.o.has_restart = true;
		ev.mh.m.o.restart = 6 + i;
		step(&ev);
		if (d.mr->bul.state == BUL_REGISTERING)
			accept_at(0);
		run(100);
	}
	assert_in_range(notes(NOTE_PEER_RESTARTED), 1, 3); /* in 10 s */
	assert_int_equal(n_sent(MH_BU), notes(NOTE_PEER_RESTARTED));
	assert_int_equal(n_sent(MH_HB), 2); /* no answer to it */
}

static void an_answer_to_nothing_or_from_elsewhere_does_not_count(void **state)
{ /* RFC 5847 s3, s3.1 */
	struct mr_event ev;

	(void)state;
	bind_here();
	respond(5);
	respond(6); /* once more */
	run(30000);
	ev = heartbeat(0, true, false, last_sent(MH_HB)->m.hb.seq - 1);
	ev.mh.m.o.has_restart = true;
	ev.mh.m.o.restart = 6;
	step(&ev); /* late */
	ev.mh.m.hb.seq++;
	ev.mh.src = d.has[1];
	step(&ev);
	assert_int_equal(mr_counter(d.mr, MR_C_hb_unmatched), 3);
	ev.mh.src = A("2001:db8:66::1");
	step(&ev);
	ev.mh.src = d.has[0];
	ev.mh.rh2 = false;
	step(&ev);
	assert_int_equal(mr_counter(d.mr, MR_C_mh_foreign), 2);
	assert_int_equal(n_sent(MH_BU), 0);
	assert_int_equal(notes(NOTE_PEER_RESTARTED), 0);
}

static void the_fourth_missing_answer_leads_to_the_next_home_agent(void **state)
{ /* RFC 5847 s3.1, s5 */
	(void)state;
	bind_here();
	respond(5);
	run(149999); /* requests at 30, 60, 90, 120 s: the fourth is missed at 150 s */
	assert_int_equal(n_sent(MH_BU), 0);
	assert_int_equal(notes(NOTE_PEER_SILENT), 0);
	run(1);
	assert_int_equal(mr_counter(d.mr, MR_C_hb_missed), 4);
	assert_int_equal(notes(NOTE_PEER_SILENT), 1);
	assert_int_equal(n_sent(MH_BU), 1);
	assert_int_equal(count(MR_DO_TUNNEL_DROP), 0);
	accept_at(1);
	assert_int_equal(d.mr->bul.bound_ha, 1);
	forget();
	run(30000); /* the new one is asked */
	assert_int_equal(n_sent(MH_HB), 1);
	assert_to(last_sent(MH_HB), 1);
}

static void as_many_as_configured_may_be_missed(void **state) /* RFC 5847 s5 */
{
	(void)state;
	d.conf.heartbeat_misses = 0;
	mr_free(d.mr);
	drive_new();
	bind_here();
	respond(5);
	run(59999);
	assert_int_equal(notes(NOTE_PEER_SILENT), 0);
	run(1);
	assert_int_equal(notes(NOTE_PEER_SILENT), 1);
}

static void a_home_agent_that_never_answered_one_is_not_called_silent(void **state)
{ /* it acknowledges updates, so it lives; that it knows heartbeats nobody has said */
	(void)state;
	bind_here();
	run(400000);
	assert_true(mr_counter(d.mr, MR_C_hb_missed) > 10);
	assert_int_equal(notes(NOTE_PEER_SILENT), 0);
	assert_int_equal(n_sent(MH_BU), 0);
	respond(5);
	run(150000); /* it does know them */
	assert_int_equal(notes(NOTE_PEER_SILENT), 1);
}

static void a_home_agent_silent_to_heartbeats_only_is_registered_with_once(void **state)
{
	(void)state;
	d.conf.n_has = 1;
	d.conf.heartbeat_s = 30;
	d.conf.heartbeat_misses = 3;
	drive_new();
	bind_here();
	respond(5);
	run(150000);
	assert_int_equal(n_sent(MH_BU), 1);
	accept_at(0);
	run(400000);
	assert_int_equal(n_sent(MH_BU), 1);
	assert_int_equal(notes(NOTE_PEER_SILENT), 1);
}

static void a_home_agent_that_is_gone_is_left_in_the_midst_of_a_registration(void **state)
{
	(void)state;
	d.conf.heartbeat_s = 1;
	mr_free(d.mr);
	drive_new();
	bind_here();
	respond(5);
	migrated(0);
	ra(0, 2, 0xb1, LINK_B);
	run(0);
	assert_int_equal(d.mr->bul.state, BUL_REGISTERING);
	run(5000);
	assert_int_equal(notes(NOTE_PEER_SILENT), 1);
	accept_at(1);
	assert_int_equal(d.mr->bul.bound_ha, 1);
}

static void heartbeats_wait_for_an_uplink(void **state)
{
	(void)state;
	bind_here();
	respond(5);
	carrier(0, false);
	run(300000);
	assert_int_equal(n_sent(MH_HB), 2);
	assert_int_equal(mr_counter(d.mr, MR_C_hb_missed), 0);
	ack(0, 0, d.mr->bul.seq, 600); /* late, or forged: there is no way out for a heartbeat */
	assert_int_equal(n_sent(MH_HB), 2);
	forget();
	carrier(0, true);
	ra(0, 1, 0xa1, LINK_A);
	run(30000);
	assert_int_equal(n_sent(MH_HB), 1);
}

static void a_single_silent_home_agent_gets_a_new_registration(void **state)
{
	(void)state;
	d.conf.n_has = 1;
	d.conf.heartbeat_s = 30;
	d.conf.heartbeat_misses = 3;
	drive_new();
	bind_here();
	respond(5);
	run(150000);
	assert_int_equal(notes(NOTE_PEER_SILENT), 1);
	assert_int_equal(n_sent(MH_BU), 1);
	run(10);
	accept_at(0);
	assert_int_equal(notes(NOTE_PEER_ANSWERS), 1);
	assert_true(mr_bound(d.mr, d.now));
}

static void an_answer_sets_the_missing_ones_to_zero(void **state) /* RFC 5847 s3.1 */
{
	(void)state;
	bind_here();
	respond(5);
	run(149999);
	respond(5); /* three were missed */
	run(100000);
	assert_int_equal(notes(NOTE_PEER_SILENT), 0);
	assert_int_equal(n_sent(MH_BU), 0);
}

static void a_home_agents_request_is_answered_bound_or_not(void **state) /* RFC 5847 s3 */
{
	struct mr_event ev;

	(void)state;
	carrier(0, true);
	ra(0, 1, 0xa1, LINK_A);
	ev = heartbeat(1, false, false, 0xabcdef01);
	step(&ev);
	assert_int_equal(n_sent(MH_HB), 1);
	assert_to(last_sent(MH_HB), 1);
	assert_int_equal(last_sent(MH_HB)->m.hb.seq, 0xabcdef01);
	assert_true(last_sent(MH_HB)->m.hb.response);
	assert_false(last_sent(MH_HB)->m.hb.unsolicited);
	assert_true(last_sent(MH_HB)->m.o.has_restart);
	assert_int_equal(last_sent(MH_HB)->m.o.restart, 77);
	ev.mh.src = A("2001:db8:66::1"); /* no home agent of ours */
	step(&ev);
	assert_int_equal(n_sent(MH_HB), 1);
	run(1000);
	forget();
	ev.mh.src = d.has[0];
	for (unsigned i = 0; i < 200; i++) {
		step(&ev);
		run(10);
	}
	assert_in_range(n_sent(MH_HB), 10, 15);
	assert_int_equal(mr_counter(d.mr, MR_C_control_limited), 200 - n_sent(MH_HB));
}

static void a_home_agent_that_does_not_know_heartbeats_is_spared(void **state) /* RFC 5847 s3 */
{
	struct mr_event ev;

	(void)state;
	bind_here();
	ev = message(0, MH_BE);
	ev.mh.hoa = in6addr_any;
	ev.mh.rh2 = false;
	ev.mh.m.be.status = 2;
	ev.mh.m.be.hoa = A("2001:db8:100::2");
	step(&ev); /* about another's home address */
	run(30000);
	assert_int_equal(n_sent(MH_HB), 3);
	ev.mh.m.be.hoa = d.conf.hoa;
	step(&ev);
	forget();
	run(400000);
	assert_int_equal(n_sent(MH_HB), 0);
	assert_int_equal(notes(NOTE_PEER_SILENT), 0);
	assert_true(mr_bound(d.mr, d.now));
}

static void heartbeats_end_with_the_binding(void **state) /* RFC 5847 s3 */
{
	struct mr_event ev;

	(void)state;
	bind_here();
	respond(5);
	ev = bri(0, 1, 1);
	step(&ev);
	forget();
	run(59000);
	assert_int_equal(n_sent(MH_HB), 0);
	assert_int_equal(notes(NOTE_PEER_SILENT), 0);
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
		T(no_heartbeats_unless_configured_or_bound),
		TH(the_home_agent_is_told_who_we_are_and_asked_at_once),
		TH(requests_follow_at_the_interval_with_growing_numbers),
		TH(another_restart_counter_leads_to_a_registration_at_once),
		TH(an_unsolicited_counter_counts_now_and_then),
		TH(an_answer_to_nothing_or_from_elsewhere_does_not_count),
		TH(the_fourth_missing_answer_leads_to_the_next_home_agent),
		TH(as_many_as_configured_may_be_missed),
		TH(a_home_agent_that_never_answered_one_is_not_called_silent),
		TC(a_home_agent_silent_to_heartbeats_only_is_registered_with_once),
		TH(a_home_agent_that_is_gone_is_left_in_the_midst_of_a_registration),
		TH(heartbeats_wait_for_an_uplink),
		TC(a_single_silent_home_agent_gets_a_new_registration),
		TH(an_answer_sets_the_missing_ones_to_zero),
		TH(a_home_agents_request_is_answered_bound_or_not),
		TH(a_home_agent_that_does_not_know_heartbeats_is_spared),
		TH(heartbeats_end_with_the_binding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
