/* test_mps.c - the mobile router asks for the home prefixes (RFC 6275 s11.4.2, s11.4.3). */
#include "mr/t/drive.h"

#define HOME "2001:db8:100::/64"

static int setup(void **state)
{
	(void)state;
	drive_conf();
	drive_new();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	mr_free(d.mr);
	return 0;
}

static unsigned solicitations(void)
{
	return count(MR_DO_SEND_ICMP6);
}

static const struct icmp6_msg *last_sent(void)
{
	return &last(MR_DO_SEND_ICMP6)->a.icmp6;
}

/* Bound for an hour, with this status. */
static void bound(uint8_t status)
{
	carrier(0, true);
	ra(0, 1, 0xa1, LINK_A);
	ack(0, status, last_seq(), 600);
	run(0);
}

static struct mr_event answer_event(uint16_t id, uint32_t valid_s, uint32_t preferred_s)
{
	struct mr_event ev = {.type = MR_EV_ICMP6};

	memset(&ev.icmp6, 0, sizeof(ev.icmp6));
	ev.icmp6.type = ICMP6_MPA;
	ev.icmp6.src = d.has[0];
	ev.icmp6.dst = d.mr->bul.coa;
	ev.icmp6.hoa = d.conf.hoa;
	ev.icmp6.id = id;
	ev.icmp6.n_prefix = 1;
	ev.icmp6.prefix[0] = (struct ndp_prefix){
		.prefix = P(HOME), .valid_s = valid_s, .preferred_s = preferred_s};
	return ev;
}

static void answer(uint32_t valid_s, uint32_t preferred_s)
{
	struct mr_event ev = answer_event(last_sent()->id, valid_s, preferred_s);

	step(&ev);
}

static void keep_bound(uint64_t ms)
{
	uint64_t until = d.now + ms;

	while (d.now < until) {
		unsigned n = count(MR_DO_SEND_MH);

		run(until - d.now < 1000 ? until - d.now : 1000);
		if (count(MR_DO_SEND_MH) > n)
			ack(0, 0, last_seq(), last_bu()->m.bu.lifetime_s);
		if (d.n > DID_MAX / 2) {
			struct did bu = *last(MR_DO_SEND_MH);

			d.n = 0;
			d.did[d.n++] = bu;
		}
	}
}

static void status_1_leads_to_a_solicitation(void **state) /* s11.7.3, s11.4.2, s6.7 */
{
	const struct icmp6_msg *m;

	(void)state;
	bound(MH_ST_ACCEPTED_PREFIX);
	assert_true(mr_bound(d.mr, d.now));
	assert_int_equal(solicitations(), 1);
	m = last_sent();
	assert_int_equal(m->type, ICMP6_MPS);
	assert_memory_equal(&m->src, &d.mr->bul.coa, 16);
	assert_memory_equal(&m->dst, &d.has[0], 16);
	assert_memory_equal(&m->hoa, &d.conf.hoa, 16);
}

static void without_a_reason_nothing_is_asked(void **state)
{
	(void)state;
	bound(0);
	keep_bound(100000);
	assert_int_equal(solicitations(), 0);
}

static void it_is_repeated_with_doubling_waits_until_answered(void **state) /* s11.8 */
{
	static const unsigned at[] = {0, 3000, 9000, 21000, 45000, 77000, 109000};
	uint64_t t0;

	(void)state;
	bound(MH_ST_ACCEPTED_PREFIX);
	t0 = d.now;
	run(109000);
	assert_int_equal(solicitations(), N_OF(at));
	for (unsigned i = 0; i < N_OF(at); i++) {
		assert_int_equal(nth(MR_DO_SEND_ICMP6, i)->at - t0, at[i]);
		assert_int_equal(nth(MR_DO_SEND_ICMP6, i)->a.icmp6.id, last_sent()->id);
	}
	answer(UINT32_MAX, UINT32_MAX);
	keep_bound(100000);
	assert_int_equal(solicitations(), N_OF(at));
}

static void identifiers_are_random(void **state)
{
	uint16_t ids[4];

	(void)state;
	bound(MH_ST_ACCEPTED_PREFIX);
	for (unsigned i = 0; i < 4; i++) {
		ids[i] = last_sent()->id;
		answer(UINT32_MAX, UINT32_MAX);
		run(5000);
		mps_ask(d.mr); /* outside a step: what it sends is not seen until the timer */
		run(3000);
	}
	assert_true(ids[0] != ids[1] || ids[1] != ids[2]);
	assert_true((uint16_t)(ids[0] + 1) != ids[1] || (uint16_t)(ids[1] + 1) != ids[2]);
}

static void an_advertisement_has_to_fit(void **state) /* s11.4.3 */
{
	struct mr_event good, ev;

	(void)state;
	bound(MH_ST_ACCEPTED_PREFIX);
	good = answer_event(last_sent()->id, 86400, 14400);
	ev = good;
	ev.icmp6.src = d.has[1]; /* another home agent */
	step(&ev);
	ev = good;
	ev.icmp6.hoa = in6addr_any; /* no type 2 routing header */
	step(&ev);
	ev = good;
	ev.icmp6.hoa = A("2001:db8:100::2");
	step(&ev);
	ev = good;
	ev.icmp6.n_prefix = 0;
	step(&ev);
	assert_int_equal(mr_counter(d.mr, MR_C_mpa_ignored), 4);
	assert_true(d.mr->mps.valid_until == UINT64_MAX);
	step(&good);
	assert_int_equal(d.mr->mps.valid_until, d.now + 86400000);
	assert_int_equal(d.mr->mps.preferred_until, d.now + 14400000);
}

static void before_the_first_registration_nothing_counts(void **state) /* s11.4.3 */
{
	struct mr_event ev;

	(void)state;
	carrier(0, true);
	ra(0, 1, 0xa1, LINK_A); /* the update leaves, and nobody has answered */
	ev = answer_event(0, 86400, 14400);
	ev.icmp6.dst = last_bu()->src;
	step(&ev);
	assert_int_equal(mr_counter(d.mr, MR_C_mpa_ignored), 1);
	assert_true(d.mr->mps.valid_until == UINT64_MAX);
	assert_int_equal(d.mr->mps.n_prefix, 0);
	assert_int_equal(solicitations(), 0);
}

static void only_the_answer_to_the_last_solicitation_counts_and_once(void **state)
{
	struct mr_event ev;

	(void)state;
	bound(MH_ST_ACCEPTED_PREFIX);
	ev = answer_event((uint16_t)(last_sent()->id + 1), 10, 10);
	step(&ev);
	assert_true(d.mr->mps.valid_until == UINT64_MAX);
	answer(86400, 86400);
	ev = answer_event(last_sent()->id, 7300, 10); /* again, and different */
	step(&ev);
	assert_int_equal(d.mr->mps.valid_until, d.now + 86400000);
	assert_int_equal(mr_counter(d.mr, MR_C_mpa_unasked), 2);
}

static void one_that_comes_unasked_is_only_a_reason_to_ask(void **state) /* s11.4.3 */
{
	struct mr_event ev;

	(void)state;
	bound(0);
	ev = answer_event(5, 100, 100);
	step(&ev);
	assert_true(d.mr->mps.valid_until == UINT64_MAX);
	assert_int_equal(solicitations(), 1);
	for (unsigned i = 0; i < 100; i++) { /* a flood of them */
		step(&ev);
		run(10);
	}
	assert_int_equal(solicitations(), 1);
	answer(86400, 86400);
	for (unsigned i = 0; i < 100; i++) {
		step(&ev);
		run(10);
		if (d.mr->mps.asking && d.mr->mps.sent)
			answer(86400, 86400);
	}
	assert_in_range(solicitations(), 1, 3);
}

static void updates_ask_for_no_more_than_the_home_prefix_has_left(void **state) /* s11.4.2 */
{
	(void)state;
	bound(MH_ST_ACCEPTED_PREFIX);
	answer(300, 300);
	migrated(0);
	ra(0, 2, 0xb1, LINK_B);
	assert_int_equal(last_bu()->m.bu.lifetime_s, 300);
}

static void it_asks_again_before_the_home_address_ends(void **state) /* s11.4.2 */
{
	(void)state;
	bound(MH_ST_ACCEPTED_PREFIX);
	answer(20000, 1000);
	assert_int_equal(mr_counter(d.mr, MR_C_mps_tx), 1);
	keep_bound(749000);
	assert_int_equal(mr_counter(d.mr, MR_C_mps_tx), 1);
	keep_bound(2000);
	assert_int_equal(mr_counter(d.mr, MR_C_mps_tx), 2);
	answer(20000, 1000); /* prolonged: no reason to worry */
	assert_int_equal(notes(NOTE_MR_HOME_ENDS), 0);
}

static void the_operator_is_told_of_renumbering(void **state)
{
	struct mr_event ev;

	(void)state;
	bound(MH_ST_ACCEPTED_PREFIX);
	answer(20000, 10000);
	run(20000);
	mps_ask(d.mr);
	run(0);
	ev = answer_event(last_sent()->id, 19980, 9980); /* counted down */
	ev.icmp6.n_prefix = 2;
	ev.icmp6.prefix[1] = (struct ndp_prefix){
		.prefix = P("2001:db8:200::/64"), .valid_s = 86400, .preferred_s = 14400};
	step(&ev);
	assert_int_equal(notes(NOTE_MR_HOME_ENDS), 1);
	assert_int_equal(notes(NOTE_MR_PREFIX), 1);
}

static void with_the_home_prefix_everything_ends(void **state)
{
	(void)state;
	bound(MH_ST_ACCEPTED_PREFIX);
	answer(100, 0);
	assert_int_equal(notes(NOTE_MR_HOME_ENDS), 1);
	run(99999);
	assert_true(mr_bound(d.mr, d.now));
	run(1);
	assert_false(mr_bound(d.mr, d.now));
	assert_int_equal(notes(NOTE_MR_REFUSED), 1);
	assert_int_equal(count(MR_DO_TUNNEL_DROP), 1);
	forget();
	run(1000000);
	assert_int_equal(count(MR_DO_SEND_MH), 0);
	assert_int_equal(solicitations(), 0);
}

static void after_a_move_it_asks_from_the_new_place_when_that_is_known(void **state)
{
	(void)state;
	bound(MH_ST_ACCEPTED_PREFIX);
	forget();
	migrated(0);
	ra(0, 2, 0xb1, LINK_B);
	run(10000);
	assert_int_equal(solicitations(), 0); /* the home agent would not know the address */
	ack(0, 0, last_seq(), 600);
	run(0);
	assert_int_equal(solicitations(), 1);
	assert_memory_equal(&last_sent()->src, &d.mr->bul.coa, 16);
}

static void what_cannot_be_protected_is_left_alone(void **state) /* RFC 4285 s2 */
{
	struct mr_event ev;

	(void)state;
	d.conf.no_mpd = true;
	drive_teardown(NULL);
	drive_new();
	bound(MH_ST_ACCEPTED_PREFIX);
	assert_true(mr_bound(d.mr, d.now));
	ev = answer_event(7, 600, 300);
	step(&ev);
	run(60000);
	assert_int_equal(solicitations(), 0);
	assert_int_equal(mr_counter(d.mr, MR_C_mpa_ignored), 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(status_1_leads_to_a_solicitation),
		TEST(without_a_reason_nothing_is_asked),
		TEST(it_is_repeated_with_doubling_waits_until_answered),
		TEST(identifiers_are_random),
		TEST(an_advertisement_has_to_fit),
		TEST(before_the_first_registration_nothing_counts),
		TEST(only_the_answer_to_the_last_solicitation_counts_and_once),
		TEST(one_that_comes_unasked_is_only_a_reason_to_ask),
		TEST(updates_ask_for_no_more_than_the_home_prefix_has_left),
		TEST(it_asks_again_before_the_home_address_ends),
		TEST(the_operator_is_told_of_renumbering),
		TEST(with_the_home_prefix_everything_ends),
		TEST(after_a_move_it_asks_from_the_new_place_when_that_is_known),
		TEST(what_cannot_be_protected_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
