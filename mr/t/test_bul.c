/* test_bul.c - the mobile router's binding: what its updates say, when they are sent again, and
 * what each answer leads to (RFC 6275 s11.7, s11.8; RFC 3963 s5.2-5.4). */
#include "mr/t/drive.h"

static int setup(void **state)
{
	(void)state;
	drive_conf();
	drive_new();
	return 0;
}

/* As setup(), for tests that change the configuration first. */
static int setup_conf(void **state)
{
	(void)state;
	drive_conf();
	return 0;
}

static void arrive_at_a(void)
{
	carrier(0, true);
	ra(0, 1, 0xa1, LINK_A);
}

static void move_to_b(void)
{
	migrated(0);
	ra(0, 2, 0xb1, LINK_B);
}

static void move_to_a(void)
{
	migrated(0);
	ra(0, 1, 0xa1, LINK_A);
}

/* --- contents --- */

static void an_update_says_what_a_home_registration_has_to(void **state)
{ /* RFC 6275 s11.7.1, RFC 3963 s5.2 */
	const struct mh_env *e;
	struct prefix6 link = P(LINK_A);

	(void)state;
	d.conf.n_networks = 2;
	drive_new();
	arrive_at_a();
	e = last_bu();
	assert_int_equal(count(MR_DO_SEND_MH), 1);
	assert_int_equal(last(MR_DO_SEND_MH)->at, d.now); /* in the same turn */
	assert_true(prefix6_has(&link, &e->src));
	assert_memory_equal(&e->dst, &d.has[0], 16);
	assert_memory_equal(&e->hoa, &d.conf.hoa, 16);
	assert_int_equal(e->m.type, MH_BU);
	assert_int_equal(e->m.bu.flags, MH_BU_A | MH_BU_H | MH_BU_R);
	assert_int_equal(e->m.bu.lifetime_s, 600);
	assert_memory_equal(&e->m.o.alt_coa, &e->src, 16);
	assert_int_equal(e->m.o.n_mnp, 2);
	assert_true(prefix6_eq(&e->m.o.mnp[0], &d.networks[0].prefix));
	assert_true(prefix6_eq(&e->m.o.mnp[1], &d.networks[1].prefix));
}

static void an_implicit_update_names_no_prefix(void **state) /* RFC 3963 s5.2 */
{
	(void)state;
	d.conf.mode = MR_IMPLICIT;
	drive_new();
	arrive_at_a();
	assert_int_equal(last_bu()->m.o.n_mnp, 0);
	assert_int_equal(last_bu()->m.bu.flags, MH_BU_A | MH_BU_H | MH_BU_R);
}

static void the_tunnel_begins_with_the_answer_and_carries_everything(void **state)
{ /* RFC 3963 s5.3, s5.5 */
	const struct tunnel *t;

	(void)state;
	arrive_at_a();
	assert_int_equal(count(MR_DO_TUNNEL_PUT), 0);
	assert_false(mr_bound(d.mr, d.now));
	ack(0, 0, last_seq(), 600);
	assert_true(mr_bound(d.mr, d.now));
	t = &last(MR_DO_TUNNEL_PUT)->a.tunnel;
	assert_memory_equal(&t->local, &last_bu()->src, 16);
	assert_memory_equal(&t->remote, &d.has[0], 16);
	assert_int_equal(t->n_routes, 1);
	assert_int_equal(t->routes[0].len, 0);
	assert_int_equal(t->n_inner, 2); /* home address and network */
	assert_int_equal(notes(NOTE_MR_REGISTERED), 1);
}

/* --- retransmission --- */

static void updates_are_repeated_with_doubling_waits_up_to_32_seconds(void **state)
{ /* RFC 6275 s11.8 */
	static const unsigned at[] = {
		0, 150, 450, 1050, 2250, 4650, 9450, 19050, 38250, 70250, 102250, 134250};
	uint64_t t0 = d.now;
	uint16_t seq = 0;

	(void)state;
	arrive_at_a();
	run(140000);
	assert_int_equal(count(MR_DO_SEND_MH), N_OF(at));
	for (unsigned i = 0; i < N_OF(at); i++) {
		const struct did *x = nth(MR_DO_SEND_MH, i);

		assert_int_equal(x->at - t0, at[i]);
		if (i > 0) /* greater each time (s11.7.2) */
			assert_int_equal(x->a.mh.m.bu.seq, (uint16_t)(seq + 1));
		seq = x->a.mh.m.bu.seq;
	}
	assert_int_equal(mr_counter(d.mr, MR_C_bu_retransmitted), N_OF(at) - 1);
}

static void a_new_care_of_address_starts_the_back_off_afresh(void **state) /* RFC 6275 s11.8 */
{
	uint64_t t0;

	(void)state;
	arrive_at_a();
	run(20000);
	forget();
	t0 = d.now;
	move_to_b();
	run(2000);
	assert_int_equal(nth(MR_DO_SEND_MH, 0)->at, t0);
	assert_int_equal(nth(MR_DO_SEND_MH, 1)->at, t0 + 150);
	assert_int_equal(nth(MR_DO_SEND_MH, 2)->at, t0 + 450);
}

static void an_answer_to_any_outstanding_number_counts(void **state) /* RFC 6275 s11.7.3 */
{
	uint64_t t0 = d.now;
	uint16_t first;

	(void)state;
	arrive_at_a();
	first = last_seq();
	run(500);
	assert_int_not_equal(last_seq(), first);
	ack(0, 0, first, 600);
	assert_true(mr_bound(d.mr, t0 + 599999)); /* counted from the sending of that one */
	assert_false(mr_bound(d.mr, t0 + 600000));
	forget();
	run(400000);
	assert_int_equal(count(MR_DO_SEND_MH), 0);
}

static void an_answer_for_a_former_care_of_address_does_not_count(void **state)
{ /* RFC 6275 s11.7.3 */
	uint16_t seq;

	(void)state;
	arrive_at_a();
	seq = last_seq();
	run(50);
	move_to_b();
	ack(0, 0, seq, 600);
	assert_false(mr_bound(d.mr, d.now));
	assert_int_equal(mr_counter(d.mr, MR_C_ba_unmatched), 1);
	ack(0, 0, last_seq(), 600);
	assert_true(mr_bound(d.mr, d.now));
}

static void answers_that_nobody_asked_for_are_ignored(void **state) /* RFC 6275 s11.7.3 */
{
	struct mr_event ev;
	uint16_t seq;

	(void)state;
	ack(0, 0, 1, 600);
	ack(0, 135, 1, 0);
	arrive_at_a();
	seq = last_seq();
	ack(0, 0, (uint16_t)(seq + 1), 600);
	ack(0, 0, (uint16_t)(seq - 1), 600);
	ack(0, 129, (uint16_t)(seq - 1), 600);
	assert_int_equal(mr_counter(d.mr, MR_C_ba_unmatched), 5);
	ack(1, 0, seq, 600); /* another home agent */
	ev = ack_event(0, 0, seq, 600);
	ev.mh.hoa = A("2001:db8:100::2");
	step(&ev);
	ev.mh.hoa = in6addr_any;
	step(&ev);
	assert_int_equal(mr_counter(d.mr, MR_C_mh_foreign), 3);
	assert_false(mr_bound(d.mr, d.now));
	assert_int_equal(count(MR_DO_TUNNEL_PUT), 0);
	ack(0, 0, seq, 600);
	assert_true(mr_bound(d.mr, d.now));
	forget();
	ack(0, 129, seq, 0); /* answered already */
	ack(0, 135, (uint16_t)(seq + 100), 0);
	assert_int_equal(d.n, 0);
	assert_true(mr_bound(d.mr, d.now));
}

/* --- lifetime --- */

static void a_binding_is_refreshed_before_its_end(void **state) /* RFC 6275 s11.7.3 */
{
	uint64_t t0 = d.now, at;

	(void)state;
	arrive_at_a();
	run(100);
	ack(0, 0, last_seq(), 200);
	forget();
	run_until(t0 + 160000);
	at = nth(MR_DO_SEND_MH, 0)->at - t0;
	assert_in_range(at, 100000, 150000);
	assert_false(mr_bound(d.mr, t0 + 200000));
	ack(0, 0, last_seq(), 200);
	assert_true(mr_bound(d.mr, t0 + 200000));
	assert_int_equal(notes(NOTE_MR_REFRESHED), 1);
	assert_int_equal(notes(NOTE_MR_REGISTERED), 0);
}

static void the_home_agents_refresh_advice_is_taken(void **state) /* RFC 6275 s11.7.3, s6.2.4 */
{
	static const struct {
		unsigned advice, min_s, max_s;
	} v[] = {{40, 30, 40}, {0, 100, 150}, {200, 100, 150}, {9999, 100, 150}};

	(void)state;
	for (unsigned i = 0; i < N_OF(v); i++) {
		struct mr_event ev;

		setup(NULL);
		arrive_at_a();
		ev = ack_event(0, 0, last_seq(), 200);
		ev.mh.m.o.refresh_s = v[i].advice;
		step(&ev);
		forget();
		uint64_t t0 = d.now;

		run(180000);
		assert_in_range(
			nth(MR_DO_SEND_MH, 0)->at - t0, v[i].min_s * 1000, v[i].max_s * 1000);
		drive_teardown(NULL);
	}
}

static void more_than_was_asked_for_is_not_believed(void **state) /* RFC 6275 s11.7.3 */
{
	uint64_t t0 = d.now;

	(void)state;
	d.conf.lifetime_s = 42; /* 40 on the wire, in units of 4 s */
	drive_new();
	arrive_at_a();
	ack(0, 0, last_seq(), 4000);
	assert_true(mr_bound(d.mr, t0 + 39999));
	assert_false(mr_bound(d.mr, t0 + 40000));
}

static void a_granted_lifetime_of_zero_is_no_binding(void **state) /* HOSTILE input 13 */
{
	(void)state;
	arrive_at_a();
	ack(0, 0, last_seq(), 0);
	assert_false(mr_bound(d.mr, d.now));
	assert_int_equal(count(MR_DO_TUNNEL_PUT), 0);
	forget();
	run(5000);
	assert_in_range(count(MR_DO_SEND_MH), 1, 8); /* it goes on, not too fast */
}

static void without_answers_the_binding_ends_and_the_tunnel_with_it(void **state)
{ /* RFC 6275 s11.1 */
	uint64_t t0 = d.now;

	(void)state;
	arrive_at_a();
	ack(0, 0, last_seq(), 200);
	forget();
	run_until(t0 + 199999);
	assert_int_equal(count(MR_DO_TUNNEL_DROP), 0);
	run_until(t0 + 200000);
	assert_int_equal(count(MR_DO_TUNNEL_DROP), 1);
	assert_int_equal(notes(NOTE_MR_EXPIRED), 1);
	forget();
	run(100000);
	assert_in_range(count(MR_DO_SEND_MH), 3, 4); /* every 32 s, for ever */
	ack(0, 0, last_seq(), 200);
	assert_true(mr_bound(d.mr, d.now));
	assert_int_equal(count(MR_DO_TUNNEL_PUT), 1);
}

/* --- moves --- */

static void the_tunnel_follows_right_after_the_update(void **state) /* RFC 3963 s5.5 */
{
	unsigned bu = 0, put = 0;
	struct prefix6 a = P(LINK_A), b = P(LINK_B);

	(void)state;
	bind_at_a();
	move_to_b();
	for (unsigned i = 0; i < d.n; i++) {
		if (d.did[i].a.type == MR_DO_SEND_MH)
			bu = i + 1;
		if (d.did[i].a.type == MR_DO_TUNNEL_PUT)
			put = i + 1;
	}
	assert_true(bu > 0 && put > bu);
	assert_true(prefix6_has(&b, &last(MR_DO_TUNNEL_PUT)->a.tunnel.local));
	assert_true(prefix6_has(&a, &last(MR_DO_TUNNEL_PUT)->a.tunnel.old_local));
	assert_int_equal(last(MR_DO_SEND_MH)->at, d.now);
}

static void back_before_the_update_was_sent_nothing_needs_saying(void **state)
{ /* RFC 6275 s11.8 */
	(void)state;
	bind_at_a();
	move_to_b(); /* three updates, so that the next has to wait */
	run(450);
	ack(0, 0, last_seq(), 600);
	forget();
	move_to_a();
	assert_int_equal(count(MR_DO_SEND_MH), 0);
	run(100);
	move_to_b();
	run(10000);
	assert_int_equal(count(MR_DO_SEND_MH), 0);
	assert_true(mr_bound(d.mr, d.now));
	assert_at(LINK_B);
	assert_true(prefix6_has(
		&(struct prefix6){A("2001:db8:b::"), 64}, &last(MR_DO_TUNNEL_PUT)->a.tunnel.local));
}

static void back_after_the_update_was_sent_the_home_agent_is_told(void **state)
{ /* RFC 6275 s11.7.1 */
	(void)state;
	bind_at_a();
	move_to_b();
	assert_int_equal(count(MR_DO_SEND_MH), 1);
	run(50);
	move_to_a();
	assert_int_equal(count(MR_DO_SEND_MH), 2);
	assert_true(prefix6_has(&(struct prefix6){A("2001:db8:a::"), 64}, &last_bu()->src));
	ack(0, 0, last_seq(), 600);
	assert_true(mr_bound(d.mr, d.now));
}

/* --- statuses --- */

static void the_home_agents_number_is_taken_over(void **state) /* RFC 6275 s11.7.1, s11.7.3 */
{
	uint16_t far;

	(void)state;
	arrive_at_a();
	far = (uint16_t)(last_seq() + 1000);
	ack(0, 135, far, 0);
	assert_int_equal(count(MR_DO_SEND_MH), 2); /* at once */
	assert_int_equal(last_seq(), (uint16_t)(far + 1));
	ack(0, 135, 65535, 0);
	if (last_seq() != 0) /* 65535 looked older than ours: not an answer to it */
		assert_int_equal(last_seq(), (uint16_t)(far + 1));
	ack(0, 0, last_seq(), 600);
	assert_true(mr_bound(d.mr, d.now));
}

static void an_old_135_does_not_make_numbers_be_used_twice(void **state) /* RFC 6275 s11.7.2 */
{
	uint16_t first;

	(void)state;
	arrive_at_a();
	first = last_seq();
	run(500);              /* first, first + 1, first + 2 are out */
	ack(0, 135, first, 0); /* the network sent 'first' twice */
	ack(0, 135, (uint16_t)(first + 1), 0);
	run(3000);
	for (unsigned i = 1; i < count(MR_DO_SEND_MH); i++)
		assert_int_equal(nth(MR_DO_SEND_MH, i)->a.mh.m.bu.seq, (uint16_t)(first + i));
}

static void a_type_change_is_cured_by_a_deregistration(void **state) /* RFC 3963 s5.2, s6.2 */
{
	(void)state;
	arrive_at_a();
	ack(0, 139, last_seq(), 0);
	assert_int_equal(last_bu()->m.bu.lifetime_s, 0);
	assert_int_equal(last_bu()->m.o.n_mnp, 0);
	ack(0, 0, last_seq(), 0);
	assert_int_equal(last_bu()->m.bu.lifetime_s, 600);
	ack(0, 0, last_seq(), 600);
	assert_true(mr_bound(d.mr, d.now));
}

static void an_accepting_home_agent_without_r_is_left_properly(void **state) /* RFC 3963 s5.3 */
{
	struct mr_event ev;

	(void)state;
	d.conf.n_has = 2;
	drive_new();
	arrive_at_a();
	ev = ack_event(0, 0, last_seq(), 600);
	ev.mh.m.ba.flags = 0;
	step(&ev);
	assert_false(mr_bound(d.mr, d.now));
	assert_int_equal(count(MR_DO_TUNNEL_PUT), 0);
	assert_int_equal(last_bu()->m.bu.lifetime_s, 0); /* before trying another: MUST */
	assert_memory_equal(&last_bu()->dst, &d.has[0], 16);
	ack(0, 0, last_seq(), 0);
	run(62000);
	assert_memory_equal(&last_bu()->dst, &d.has[1], 16);
	assert_int_equal(last_bu()->m.bu.lifetime_s, 600);
}

/* Every status, one home agent: goes on later, or gives up until an operator acts. */
static void each_rejection_has_its_reaction(void **state) /* RFC 6275 s11.7.3, RFC 3963 s5.4 */
{
	static const struct {
		uint8_t status;
		bool refused;
	} v[] = {{128, false}, {129, false}, {130, false}, {131, false}, {132, false}, {133, false},
		{134, true}, {136, false}, {140, true}, {141, true}, {142, true}, {143, true},
		{174, false}, {200, false}, {255, false}};
	struct mr_event rehome = {.type = MR_EV_REHOME};

	(void)state;
	for (unsigned i = 0; i < N_OF(v); i++) {
		setup(NULL);
		arrive_at_a();
		ack(0, v[i].status, last_seq(), 600);
		forget();
		run(60000);
		assert_false(mr_bound(d.mr, d.now));
		assert_int_equal(mr_counter(d.mr, MR_C_ba_rejected), 1);
		if (!v[i].refused) {
			assert_true(count(MR_DO_SEND_MH) > 0);
			assert_in_range(nth(MR_DO_SEND_MH, 0)->at, 1001500, 1003000);
		} else {
			assert_int_equal(count(MR_DO_SEND_MH), 0);
			step(&rehome);
			assert_int_equal(count(MR_DO_SEND_MH), 1);
		}
		ack(0, 0, last_seq(), 600);
		assert_true(mr_bound(d.mr, d.now));
		drive_teardown(NULL);
	}
}

static void waits_double_with_each_rejection_and_success_resets_them(void **state)
{ /* RFC 6275 s11.7.3 */
	uint64_t wait = 0;

	(void)state;
	arrive_at_a();
	for (unsigned i = 0; i < 12; i++) {
		uint64_t t0 = d.now;

		ra(0, 1, 0xa1, LINK_A); /* or its lifetime would end */
		ack(0, 129, last_seq(), 0);
		forget();
		while (count(MR_DO_SEND_MH) == 0)
			run_until(mr_deadline(d.mr));
		assert_true(d.now - t0 >= wait || d.now - t0 >= 262000);
		assert_true(d.now - t0 <= 340000);
		wait = (d.now - t0) * 3 / 2;
	}
	ack(0, 0, last_seq(), 600);
	run(470000);
	ack(0, 129, last_seq(), 0);
	forget();
	run(1700);
	assert_int_equal(count(MR_DO_SEND_MH), 0);
	run(600);
	assert_true(count(MR_DO_SEND_MH) > 0);
}

static void refused_everywhere_it_stops_until_the_operator_acts(void **state)
{ /* RFC 3963 s5.4.2 */
	static const struct {
		uint8_t status;
		unsigned ha;
		bool implicit;
	} v[] = {{142, 0, false}, {141, 1, false}, {142, 2, false}, /* every home agent, then ... */
		{143, 0, true}, {143, 1, true}, {143, 2, true}};    /* ... the other mode */
	struct mr_event rehome = {.type = MR_EV_REHOME};

	(void)state;
	d.conf.n_has = 3;
	d.conf.mode = MR_AUTO;
	drive_new();
	arrive_at_a();
	for (unsigned i = 0, ha = 0; i < N_OF(v); i++) {
		if (i == 3) /* the second round may begin anywhere, but has to meet all */
			ha = (unsigned)(last_bu()->dst.s6_addr[15] - 1);
		if (i < 3)
			assert_memory_equal(&last_bu()->dst, &d.has[v[i].ha], 16);
		else
			assert_memory_equal(&last_bu()->dst, &d.has[(ha + i) % 3], 16);
		assert_int_equal(last_bu()->m.o.n_mnp == 0, v[i].implicit);
		assert_int_equal(notes(NOTE_MR_REFUSED), 0);
		ack((unsigned)(last_bu()->dst.s6_addr[15] - 1), v[i].status, last_seq(), 0);
		run(10000);
	}
	assert_int_equal(notes(NOTE_MR_REFUSED), 1);
	forget();
	move_to_b();
	run(100000);
	assert_int_equal(count(MR_DO_SEND_MH), 0);
	step(&rehome);
	assert_int_equal(count(MR_DO_SEND_MH), 1);
	assert_int_equal(last_bu()->m.o.n_mnp, 1);           /* from the first mode ... */
	assert_memory_equal(&last_bu()->dst, &d.has[0], 16); /* ... and home agent on */
}

static void a_fatal_answer_ends_the_tunnel(void **state) /* RFC 3963 s5.4.2: assume no binding */
{
	static const uint8_t v[] = {134, 140, 141, 142, 143};

	(void)state;
	for (unsigned i = 0; i < N_OF(v); i++) {
		for (d.conf.n_has = 1; d.conf.n_has <= 2; d.conf.n_has++) {
			unsigned n_has = d.conf.n_has;

			drive_conf();
			d.conf.n_has = n_has;
			drive_new();
			bind_at_a();
			move_to_b();
			ack(0, v[i], last_seq(), 0);
			assert_false(mr_bound(d.mr, d.now));
			assert_int_equal(last(MR_DO_TUNNEL_DROP)->at, d.now);
			drive_teardown(NULL);
		}
	}
	drive_conf();
	drive_new();
	bind_at_a();
	move_to_b();
	ack(0, 0, last_seq(), 0);
	assert_int_equal(last(MR_DO_TUNNEL_DROP)->at, d.now);
}

static void a_rejected_refresh_leaves_the_binding_its_time(void **state) /* RFC 6275 s9.5.1 */
{
	uint64_t t0 = d.now;

	(void)state;
	d.conf.n_has = 2;
	drive_new();
	arrive_at_a();
	ack(0, 0, last_seq(), 80);
	forget();
	run(61000);
	ack(0, 129, last_seq(), 0);
	run(5000); /* the next home agent is asked, and says nothing */
	assert_memory_equal(&last_bu()->dst, &d.has[1], 16);
	assert_true(mr_bound(d.mr, d.now));
	for (unsigned i = 0; i < d.n; i++) /* the binding is with the first one */
		if (d.did[i].a.type == MR_DO_TUNNEL_PUT)
			assert_memory_equal(&d.did[i].a.tunnel.remote, &d.has[0], 16);
	assert_int_equal(count(MR_DO_TUNNEL_DROP), 0);
	run_until(t0 + 80000);
	assert_int_equal(count(MR_DO_TUNNEL_DROP), 1);
	ack(1, 0, last_seq(), 600);
	assert_memory_equal(&last(MR_DO_TUNNEL_PUT)->a.tunnel.remote, &d.has[1], 16);
}

static void a_bound_router_takes_its_tunnel_to_another_home_agent(void **state)
{ /* RFC 6275 s11.7.1 */
	(void)state;
	d.conf.n_has = 2;
	drive_new();
	bind_at_a();
	move_to_b();
	ack(0, 129, last_seq(), 0);
	run(2000);
	ack(1, 0, last_seq(), 600);
	assert_true(mr_bound(d.mr, d.now));
	assert_memory_equal(&last(MR_DO_TUNNEL_PUT)->a.tunnel.remote, &d.has[1], 16);
}

static void an_operator_cuts_the_waiting_short(void **state)
{
	struct mr_event rehome = {.type = MR_EV_REHOME};

	(void)state;
	arrive_at_a();
	run(50000); /* updates are 32 s apart */
	forget();
	step(&rehome);
	na(0, 1, 0xa1);
	run(1500);
	assert_in_range(count(MR_DO_SEND_MH), 1, 3);
}

static void a_stop_goes_to_the_home_agent_that_holds_the_binding(void **state)
{ /* RFC 6275 s11.7.1 */
	struct mr_event stop = {.type = MR_EV_STOP};

	(void)state;
	d.conf.n_has = 2;
	drive_new();
	bind_at_a();
	move_to_b();
	ack(0, 129, last_seq(), 0);
	run(2000); /* the second one is asked meanwhile */
	step(&stop);
	run(1000);
	assert_int_equal(last_bu()->m.bu.lifetime_s, 0);
	assert_memory_equal(&last_bu()->dst, &d.has[0], 16);
}

static void a_silent_home_agent_is_followed_by_the_next(void **state) /* RFC 6275 s11.7.1 */
{
	(void)state;
	d.conf.n_has = 2;
	drive_new();
	arrive_at_a();
	run(120000);
	assert_memory_equal(&last_bu()->dst, &d.has[1], 16);
}

/* --- requests, errors, floods --- */

static void a_request_or_an_unknown_binding_leads_to_an_update(void **state)
{ /* RFC 6275 s11.7.4, s11.3.6 */
	struct mr_event ev = ack_event(0, 0, 0, 0);

	(void)state;
	bind_at_a();
	ev.mh.m.type = MH_BRR;
	step(&ev);
	assert_int_equal(count(MR_DO_SEND_MH), 1);
	ack(0, 0, last_seq(), 600);
	run(2000);
	forget();
	ev.mh.m.type = MH_BE;
	ev.mh.m.be.status = 1;
	ev.mh.m.be.hoa = d.conf.hoa;
	ev.mh.hoa = in6addr_any; /* comes without a routing header (s9.3.3) */
	step(&ev);
	assert_int_equal(count(MR_DO_SEND_MH), 1);
	assert_true(mr_bound(d.mr, d.now)); /* not given up for an unauthenticated message */
	ack(0, 0, last_seq(), 600);
	forget();
	ev.mh.m.be.status = 2;
	step(&ev);
	ev.mh.m.be.status = 1;
	ev.mh.src = A("2001:db8:666::1");
	step(&ev);
	assert_int_equal(d.n, 0);
}

/* drive.h looks at every update: never a fourth within a second, never a deadline that stays. */
static void no_event_makes_more_than_three_updates_a_second(void **state) /* RFC 6275 s11.8 */
{
	struct mr_event ev, rehome = {.type = MR_EV_REHOME};

	(void)state;
	for (unsigned seed = 1; seed <= 50; seed++) {
		drive_conf();
		d.conf.n_has = 1 + seed % 3;
		d.conf.mode = (int)(seed % 3);
		d.conf.retransmit_ms = seed % 2 ? 150 : 20;
		drive_new();
		srand(seed);
		arrive_at_a();
		for (unsigned i = 0; i < 2000; i++) {
			if (d.n > DID_MAX - MR_MAX_ACTIONS)
				forget();
			run((uint64_t)(rand() % (rand() % 20 ? 30 : 5000)));
			ev = ack_event((unsigned)rand() % d.conf.n_has, 0, (uint16_t)rand(), 40);
			switch (rand() % 12) {
			case 0: move_to_a(); break;
			case 1: move_to_b(); break;
			case 2: step(&rehome); break;
			case 3:
				ev.mh.m.type = MH_BRR;
				step(&ev);
				break;
			case 4:
				ev.mh.m.type = MH_BE;
				ev.mh.m.be.status = 1;
				step(&ev);
				break;
			case 5: carrier(0, rand() % 2); break;
			case 6: ev.mh.m.ba.status = (uint8_t)rand(); /* fall through */
			case 7: ev.mh.m.ba.flags = 0;                /* fall through */
			case 8:
				ev.mh.m.ba.seq = d.mr->bul.seq;
				step(&ev);
				break;
			default:
				ev.mh.m.ba.status = 135;
				step(&ev);
				break;
			}
		}
		assert_in_range(d.n_bu, 10, 1000000);
		drive_teardown(NULL);
	}
}

/* --- the end --- */

static void a_stop_deregisters_and_waits_for_the_answer(void **state) /* RFC 6275 s11.7.1 */
{
	struct mr_event stop = {.type = MR_EV_STOP};

	(void)state;
	bind_at_a();
	step(&stop);
	assert_int_equal(last_bu()->m.bu.lifetime_s, 0);
	assert_int_equal(count(MR_DO_EXIT), 0);
	ack(0, 0, last_seq(), 0);
	assert_int_equal(count(MR_DO_TUNNEL_DROP), 1);
	assert_int_equal(count(MR_DO_EXIT), 1);
}

static void a_stop_does_not_wait_for_ever(void **state)
{
	struct mr_event stop = {.type = MR_EV_STOP};
	uint64_t t0;

	(void)state;
	bind_at_a();
	t0 = d.now;
	step(&stop);
	run(5000);
	assert_int_equal(count(MR_DO_SEND_MH), 3);
	assert_int_equal(count(MR_DO_EXIT), 1);
	assert_in_range(last(MR_DO_EXIT)->at - t0, 500, 2000);
	assert_int_equal(count(MR_DO_TUNNEL_DROP), 1);
}

static void a_flood_of_135_does_not_keep_it_from_stopping(void **state) /* HOSTILE input 13 */
{
	static const unsigned every_ms[] = {1, 10, 149, 500, 1100};
	struct mr_event stop = {.type = MR_EV_STOP};

	(void)state;
	for (unsigned k = 0; k < N_OF(every_ms); k++) {
		setup(NULL);
		bind_at_a();
		step(&stop);
		for (unsigned ms = 0; ms < 6000 && count(MR_DO_EXIT) == 0; ms += every_ms[k]) {
			ack(0, 135, (uint16_t)(d.mr->bul.seq + 7), 0);
			run(every_ms[k]);
		}
		assert_int_equal(count(MR_DO_EXIT), 1);
		drive_teardown(NULL);
	}
}

static void a_stop_that_keeps_the_binding_says_nothing(void **state) /* restart */
{
	struct mr_event stop = {.type = MR_EV_STOP, .keep = true};

	(void)state;
	bind_at_a();
	step(&stop);
	assert_int_equal(count(MR_DO_EXIT), 1);
	assert_int_equal(count(MR_DO_SEND_MH) + count(MR_DO_TUNNEL_DROP), 0);
}

static void a_stop_without_a_binding_ends_at_once(void **state)
{
	struct mr_event stop = {.type = MR_EV_STOP};

	(void)state;
	step(&stop);
	assert_int_equal(count(MR_DO_EXIT), 1);
	assert_int_equal(count(MR_DO_SEND_MH), 0);
}

#define TEST(name)      cmocka_unit_test_setup_teardown(name, setup, drive_teardown)
#define TEST_CONF(name) cmocka_unit_test_setup_teardown(name, setup_conf, drive_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_CONF(an_update_says_what_a_home_registration_has_to),
		TEST_CONF(an_implicit_update_names_no_prefix),
		TEST(the_tunnel_begins_with_the_answer_and_carries_everything),
		TEST(updates_are_repeated_with_doubling_waits_up_to_32_seconds),
		TEST(a_new_care_of_address_starts_the_back_off_afresh),
		TEST(an_answer_to_any_outstanding_number_counts),
		TEST(an_answer_for_a_former_care_of_address_does_not_count),
		TEST(answers_that_nobody_asked_for_are_ignored),
		TEST(a_binding_is_refreshed_before_its_end),
		TEST_CONF(the_home_agents_refresh_advice_is_taken),
		TEST_CONF(more_than_was_asked_for_is_not_believed),
		TEST(a_granted_lifetime_of_zero_is_no_binding),
		TEST(without_answers_the_binding_ends_and_the_tunnel_with_it),
		TEST(the_tunnel_follows_right_after_the_update),
		TEST(back_before_the_update_was_sent_nothing_needs_saying),
		TEST(back_after_the_update_was_sent_the_home_agent_is_told),
		TEST(the_home_agents_number_is_taken_over),
		TEST(an_old_135_does_not_make_numbers_be_used_twice),
		TEST(a_type_change_is_cured_by_a_deregistration),
		TEST_CONF(an_accepting_home_agent_without_r_is_left_properly),
		TEST_CONF(each_rejection_has_its_reaction),
		TEST(waits_double_with_each_rejection_and_success_resets_them),
		TEST_CONF(refused_everywhere_it_stops_until_the_operator_acts),
		TEST_CONF(a_fatal_answer_ends_the_tunnel),
		TEST_CONF(a_rejected_refresh_leaves_the_binding_its_time),
		TEST_CONF(a_bound_router_takes_its_tunnel_to_another_home_agent),
		TEST(an_operator_cuts_the_waiting_short),
		TEST_CONF(a_stop_goes_to_the_home_agent_that_holds_the_binding),
		TEST_CONF(a_silent_home_agent_is_followed_by_the_next),
		TEST(a_request_or_an_unknown_binding_leads_to_an_update),
		TEST_CONF(no_event_makes_more_than_three_updates_a_second),
		TEST(a_stop_deregisters_and_waits_for_the_answer),
		TEST(a_stop_does_not_wait_for_ever),
		TEST_CONF(a_flood_of_135_does_not_keep_it_from_stopping),
		TEST(a_stop_that_keeps_the_binding_says_nothing),
		TEST(a_stop_without_a_binding_ends_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
