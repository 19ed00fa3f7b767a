/* test_bul.c - the mobile router's binding: what its updates say and when they are sent (RFC 6275
 * s11.7, s11.8; RFC 3963 s5.2).  What answers lead to: test_answers.c. */
#include "mr/t/drive.h"

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

static void the_first_number_is_random(void **state) /* RFC 6275 s11.7.2: nothing known */
{
	uint16_t first[8];
	unsigned near = 0;

	(void)state;
	drive_teardown(NULL);
	for (unsigned i = 0; i < N_OF(first); i++) {
		drive_conf();
		d.mr = mr_new(&d.conf, 1000 + i);
		arrive_at_a();
		first[i] = last_seq();
		near += i && (uint16_t)(first[i] - first[i - 1] + 16) <= 32;
		if (i + 1 < N_OF(first))
			drive_teardown(NULL);
	}
	assert_in_range(near, 0, 1);
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

static void a_record_serves_many_updates_and_a_later_run_goes_on_behind_them(void **state)
{ /* RFC 6275 s11.1, s11.7.2 */
	struct mr_kept before, kept;
	unsigned changes = 0;

	(void)state;
	arrive_at_a();
	mr_keep(d.mr, &before);
	for (unsigned i = 0; i < 140; i++) {
		run(1000);
		mr_keep(d.mr, &kept);
		assert_true((uint16_t)(kept.seq - last_seq()) < 1u << 15); /* none is beyond it */
		changes += memcmp(&kept, &before, sizeof(kept)) != 0;
		before = kept;
	}
	assert_true(count(MR_DO_SEND_MH) > 10);
	assert_true(changes <= 1);
	mr_restore(d.mr, &kept, true, 0, d.now);
	forget();
	run(40000);
	assert_int_equal(nth(MR_DO_SEND_MH, 0)->a.mh.m.bu.seq, (uint16_t)(kept.seq + 1));
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

static void flags_of_an_answer_that_nobody_knows_are_ignored(void **state) /* RFC 6275 s6.1.1 */
{
	struct mr_event ev;

	(void)state;
	arrive_at_a();
	ev = ack_event(0, 0, last_seq(), 600);
	ev.mh.m.ba.flags |= (uint8_t) ~(MH_BA_K | MH_BA_R);
	step(&ev);
	assert_true(mr_bound(d.mr, d.now));
	assert_int_equal(notes(NOTE_MR_REGISTERED), 1);
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

static void all_updates_of_a_binding_have_its_r(void **state) /* RFC 3963 s5.2 */
{
	struct mr_event stop = {.type = MR_EV_STOP};
	unsigned n = 0;

	(void)state;
	for (unsigned mode = MR_EXPLICIT; mode <= MR_IMPLICIT; mode++) {
		drive_teardown(NULL);
		drive_conf();
		d.conf.mode = mode;
		drive_new();
		arrive_at_a();
		ack(0, 0, last_seq(), 200);
		run(150000); /* a refresh and its repetitions */
		ack(0, 0, last_seq(), 200);
		move_to_b();
		ack(0, 0, last_seq(), 200);
		step(&stop);
		for (unsigned i = 0; i < d.n; i++)
			if (d.did[i].a.type == MR_DO_SEND_MH) {
				assert_true(d.did[i].a.mh.m.bu.flags & MH_BU_R);
				n++;
			}
	}
	assert_true(n >= 8);
}

static void the_home_agents_refresh_advice_is_taken(void **state) /* RFC 6275 s11.7.3, s6.2.4 */
{
	static const struct {
		unsigned advice, min_s, max_s;
	} v[] = {{40, 30, 40}, {0, 100, 150}, {200, 100, 150}, {9999, 100, 150}};

	(void)state;
	for (unsigned i = 0; i < N_OF(v); i++) {
		struct mr_event ev;

		drive_setup(NULL);
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

/* RFC 6275 s11.7.1: at most what the care-of address has left. */
static void the_lifetime_asked_for_ends_with_the_care_of_address(void **state)
{
	static const struct {
		uint32_t valid_s, asked_s;
	} v[] = {{86400, 600}, {599, 596}, {100, 100}, {5, 4}, {UINT32_MAX, 600}};

	(void)state;
	for (unsigned i = 0; i < N_OF(v); i++) {
		struct mr_event ev = ra_event(0, 1, 0xa1, LINK_A, 1800);

		drive_setup(NULL);
		ev.nd.msg.ra.prefix[0].valid_s = v[i].valid_s;
		carrier(0, true);
		step(&ev);
		assert_int_equal(last_bu()->m.bu.lifetime_s, v[i].asked_s);
		ack(0, 0, last_seq(), 600); /* more than asked for is not believed */
		assert_true(mr_bound(d.mr, d.now + v[i].asked_s * 1000 - 1));
		assert_false(mr_bound(d.mr, d.now + v[i].asked_s * 1000));
		drive_teardown(NULL);
	}
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
		drive_setup(NULL);
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

/* L: the home agent then defends the link-local address, too. */
static void l_says_that_the_identifiers_are_the_same(void **state) /* RFC 6275 s11.7.1 */
{
	static const struct {
		const char *hoa, *lladdr;
		bool l;
	} v[] = {
		{"2001:db8:100::ff:fe00:99", "fe80::ff:fe00:99", true},
		{"2001:db8:100::ff:fe00:99", "fe80::ff:fe00:98", false},
		{"2001:db8:100::ff:fe00:99", NULL, false},
		{"2001:db8:100::", NULL, false},
	};

	(void)state;
	for (unsigned i = 0; i < N_OF(v); i++) {
		struct mr_event ev = {.type = MR_EV_SOURCE};

		drive_conf();
		d.conf.hoa = A(v[i].hoa);
		drive_new();
		carrier(0, true);
		if (v[i].lladdr) {
			ev.addr = A(v[i].lladdr);
			step(&ev);
		}
		ra(0, 1, 0xa1, LINK_A);
		assert_int_equal(last_bu()->m.bu.flags,
			MH_BU_A | MH_BU_H | MH_BU_R | (v[i].l ? MH_BU_L : 0));
		drive_teardown(NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DRIVE_TEST_CONF(an_update_says_what_a_home_registration_has_to),
		DRIVE_TEST(the_first_number_is_random),
		DRIVE_TEST_CONF(an_implicit_update_names_no_prefix),
		DRIVE_TEST(the_tunnel_begins_with_the_answer_and_carries_everything),
		DRIVE_TEST(updates_are_repeated_with_doubling_waits_up_to_32_seconds),
		DRIVE_TEST(a_record_serves_many_updates_and_a_later_run_goes_on_behind_them),
		DRIVE_TEST(a_new_care_of_address_starts_the_back_off_afresh),
		DRIVE_TEST(an_answer_to_any_outstanding_number_counts),
		DRIVE_TEST(flags_of_an_answer_that_nobody_knows_are_ignored),
		DRIVE_TEST(an_answer_for_a_former_care_of_address_does_not_count),
		DRIVE_TEST(answers_that_nobody_asked_for_are_ignored),
		DRIVE_TEST(a_binding_is_refreshed_before_its_end),
		DRIVE_TEST(all_updates_of_a_binding_have_its_r),
		DRIVE_TEST_CONF(the_home_agents_refresh_advice_is_taken),
		DRIVE_TEST_CONF(more_than_was_asked_for_is_not_believed),
		DRIVE_TEST(a_granted_lifetime_of_zero_is_no_binding),
		DRIVE_TEST_CONF(the_lifetime_asked_for_ends_with_the_care_of_address),
		DRIVE_TEST(without_answers_the_binding_ends_and_the_tunnel_with_it),
		DRIVE_TEST(the_tunnel_follows_right_after_the_update),
		DRIVE_TEST(back_before_the_update_was_sent_nothing_needs_saying),
		DRIVE_TEST(back_after_the_update_was_sent_the_home_agent_is_told),
		DRIVE_TEST(a_stop_deregisters_and_waits_for_the_answer),
		DRIVE_TEST(a_stop_does_not_wait_for_ever),
		DRIVE_TEST_CONF(a_flood_of_135_does_not_keep_it_from_stopping),
		DRIVE_TEST(a_stop_that_keeps_the_binding_says_nothing),
		DRIVE_TEST(a_stop_without_a_binding_ends_at_once),
		DRIVE_TEST_CONF(l_says_that_the_identifiers_are_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
