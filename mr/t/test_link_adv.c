/* test_link_adv.c - what an advertisement says about the link: another one, another router, a
 * prefix that is better, over or of no use (RFC 6275 s11.5, RFC 4861 s6.3, RFC 4862 s5.5.3). */
#include "mr/t/drive.h"

static void after_a_strong_hint_a_new_router_is_taken_at_once(void **state) /* RFC 6275 s11.5 */
{
	(void)state;
	bind_at_a();
	migrated(0);
	ra(0, 2, 0xb1, LINK_B);
	assert_at(LINK_B);
	assert_int_equal(last(MR_DO_SEND_MH)->at, d.now);
	assert_int_equal(last(MR_DO_ROUTER_PUT)->a.mac[5], 0xb1);
	assert_memory_equal(&last(MR_DO_ROUTER_PUT)->a.addr, &last(MR_DO_COA_PUT)->a.addr, 16);
	assert_false(last(MR_DO_COA_PUT)->a.verified); /* optimistic: RFC 4429 */
}

static void without_a_hint_the_current_router_gets_30_ms_to_speak_up(void **state)
{ /* RFC 6275 s11.5 */
	(void)state;
	bind_at_a();
	ra(0, 2, 0xb1, LINK_B);
	assert_true(probed(1));
	assert_at(LINK_A);
	run(29);
	assert_at(LINK_A);
	run(1);
	assert_at(LINK_B);
	assert_int_equal(last(MR_DO_SEND_MH)->at, d.now);
}

static void a_new_prefix_from_a_router_that_looks_the_same_is_another_link(void **state)
{ /* RFC 6059 s5.7.3.1: the RA is definitive */
	(void)state;
	bind_at_a(); /* without a hint */
	ra(0, 1, 0xa1, LINK_B);
	na(0, 1, 0xa1);
	run(100);
	assert_at(LINK_B);
	run(5000);

	migrated(0); /* with one; the probe is answered by the look-alike */
	na(0, 1, 0xa1);
	assert_at(LINK_B);
	ra(0, 1, 0xa1, LINK_A);
	assert_at(LINK_A);
	run(5000);

	migrated(0); /* same link-local address, other link-layer address */
	ra(0, 1, 0xb1, LINK_B);
	assert_at(LINK_B);
	run(5000);
	ra(0, 1, 0xa1, LINK_A);
	run(30);
	assert_at(LINK_A);
}

static void two_routers_of_one_link_do_not_make_it_flap(void **state) /* RFC 6275 s11.5.1 */
{
	static const char *const second[] = {LINK_A, LINK_B};

	(void)state;
	for (unsigned i = 0; i < N_OF(second); i++) {
		drive_setup(NULL);
		bind_at_a();
		for (unsigned s = 0; s < 60; s++) {
			ra(0, 1, 0xa1, LINK_A);
			run(500);
			ra(0, 2, 0xb1, second[i]);
			run(1);
			for (unsigned k = 0; k < d.n; k++) /* the current one answers its probe */
				if (d.did[k].a.type == MR_DO_SEND_PROBE &&
					d.did[k].at + 1 >= d.now && d.did[k].a.mac[5] == 0xa1)
					na(0, 1, 0xa1);
			run(499);
			forget();
			assert_at(LINK_A);
		}
		assert_int_equal(mr_counter(d.mr, MR_C_moves), 1);
		assert_int_equal(mr_counter(d.mr, MR_C_bu_tx), 1);
		drive_teardown(NULL);
	}
}

/* RFC 4861 s6.2.3, s6.3.4, s6.2.6: what an advertisement leaves out means nothing, and the answer
 * to a solicitation may take half a second. */
static void a_router_may_tell_of_its_prefixes_in_turn(void **state)
{
	static const char *const prefixes[] = {LINK_A, LINK_B};
	struct mr_event ev;
	uint64_t answer_at = UINT64_MAX;
	unsigned seen = 0, moves = 0;

	(void)state;
	bind_at_a();
	for (unsigned ms = 0; ms < 600000; ms += 10) {
		if (ms % 5000 == 0) {
			ev = ra_event(0, 1, 0xa1, prefixes[ms / 5000 % 2], 1800);
			ev.nd.msg.ra.prefix[0].preferred_s = UINT32_MAX; /* for ever */
			step(&ev);
		}
		for (; seen < d.n; seen++) {
			if (d.did[seen].a.type == MR_DO_SEND_PROBE)
				na(0, 1, 0xa1);
			else if (d.did[seen].a.type == MR_DO_SEND_RS && answer_at == UINT64_MAX)
				answer_at = d.now + 200;
			else if (d.did[seen].a.type == MR_DO_SEND_MH)
				ack(0, 0, d.did[seen].a.mh.m.bu.seq, 600);
		}
		if (answer_at <= d.now) {
			answer_at = UINT64_MAX;
			ra(0, 1, 0xa1, LINK_B);
		}
		run(10);
		if (ms == 60000)
			moves = mr_counter(d.mr, MR_C_moves);
		if (seen == d.n) {
			seen = 0;
			forget();
		}
	}
	assert_in_range(moves, 1, 8);
	assert_int_equal(mr_counter(d.mr, MR_C_moves), moves); /* after the first minute none */
	ra(0, 1, 0xa1, LINK_B);
	migrated(0); /* and away is away */
	ra(0, 1, 0xa1, "2001:db8:c::/64");
	assert_at("2001:db8:c::/64");
}

/* Seen in turn once, but no longer: the router is asked, and answers always the same. */
static void the_prefix_that_is_no_longer_told_of_is_given_up(void **state)
{
	static const char *const to[] = {LINK_B, LINK_A, LINK_B};
	struct mr_event old = ra_event(0, 1, 0xa1, LINK_A, 1800);
	unsigned asked = 0;

	(void)state;
	bind_at_a();
	for (unsigned i = 0; i < N_OF(to); i++) { /* A is left twice */
		ra(0, 1, 0xa1, to[i]);
		run(100);
		assert_at(to[i]);
		run(10000);
	}
	ra(0, 1, 0xa1, LINK_B);
	forget();
	ra(0, 1, 0xa1, LINK_A);
	for (unsigned s = 0; s < 10; s++, run(1000))
		for (; asked < count(MR_DO_SEND_RS); asked++)
			ra(0, 1, 0xa1, LINK_A);
	assert_at(LINK_A);
	ra(0, 1, 0xa1, LINK_B);
	run(100);
	assert_at(LINK_A);
	old.nd.msg.ra.prefix[0].preferred_s = 0; /* or is told of as deprecated */
	step(&old);
	ra(0, 1, 0xa1, LINK_B);
	run(100);
	assert_at(LINK_B);
}

static void a_lifetime_of_zero_counts_only_from_the_current_router(void **state)
{ /* HOSTILE input 12, RFC 4861 s6.3.4 */
	struct mr_event ev = ra_event(0, 2, 0xb1, LINK_A, 0);

	(void)state;
	bind_at_a();
	step(&ev);
	ev = ra_event(0, 1, 0xb1, LINK_A, 0); /* its address, not its link-layer address */
	step(&ev);
	ev = ra_event(0, 2, 0xb1, LINK_B, 0);
	step(&ev);
	run(10000);
	assert_int_equal(hints(), 0);
	assert_at(LINK_A);
	ev = ra_event(0, 1, 0xa1, LINK_A, 0);
	step(&ev);
	assert_int_equal(hints(), 1);
	run(400);
	assert_at(LINK_A); /* not lost on one unauthenticated word */
	ra(0, 1, 0xa1, LINK_A);
	run(10000);
	assert_at(LINK_A);
	step(&ev); /* and if it stays so, there is no router */
	run(1000);
	assert_false(attached());
	assert_int_equal(count(MR_DO_ROUTER_DROP), 1);
}

static void prefixes_that_give_no_care_of_address_are_ignored(void **state)
{ /* HOSTILE input 12, RFC 4862 s5.5.3 */
	struct mr_event ev;

	(void)state;
	carrier(0, true);
	ra(0, 1, 0xa1, "2001:db8:100::/64");   /* home network on a foreign link */
	ra(0, 1, 0xa1, "2001:db8:100:1::/64"); /* our own */
	ra(0, 1, 0xa1, "2001:db8:a::/63");
	ra(0, 1, 0xa1, "2001:db8:a::/65");
	ra(0, 1, 0xa1, "ff0e::/64");
	ev = ra_event(0, 1, 0xa1, LINK_A, 1800);
	ev.nd.msg.ra.prefix[0].autonomous = false;
	step(&ev);
	ev = ra_event(0, 1, 0xa1, LINK_A, 1800);
	ev.nd.msg.ra.prefix[0].valid_s = 0;
	step(&ev);
	ev.nd.msg.ra.n_prefix = 0;
	step(&ev);
	assert_int_equal(mr_counter(d.mr, MR_C_ra_unusable), 8);
	assert_false(attached());
	assert_int_equal(count(MR_DO_COA_PUT), 0);

	ev = ra_event(0, 1, 0xa1, "2001:db8:100::/64", 1800); /* a good one among them */
	ev.nd.msg.ra.n_prefix = 2;
	ev.nd.msg.ra.prefix[1] = ra_event(0, 1, 0xa1, LINK_A, 1800).nd.msg.ra.prefix[0];
	step(&ev);
	assert_at(LINK_A);
}

static void a_preferred_prefix_goes_before_a_deprecated_one(void **state) /* RFC 4862 s5.5.4 */
{
	struct mr_event ev = ra_event(0, 1, 0xa1, LINK_A, 1800);

	(void)state;
	carrier(0, true);
	ev.nd.msg.ra.n_prefix = 2;
	ev.nd.msg.ra.prefix[1] = ra_event(0, 1, 0xa1, LINK_B, 1800).nd.msg.ra.prefix[0];
	ev.nd.msg.ra.prefix[0].preferred_s = 0;
	step(&ev);
	assert_at(LINK_B);
}

static void ten_thousand_advertisements_cost_a_bounded_amount(void **state) /* HOSTILE input 12 */
{
	(void)state;
	bind_at_a();
	for (unsigned i = 0; i < 10000; i++) {
		struct mr_event ev = ra_event(0, i % 250 + 2, i, "2001:db8:b::/64", 1800);

		ev.nd.msg.ra.prefix[0].prefix.addr.s6_addr[6] = (uint8_t)(i >> 8);
		ev.nd.msg.ra.prefix[0].prefix.addr.s6_addr[7] = (uint8_t)i;
		step(&ev);
		na(0, 1, 0xa1);
		run(1);
	}
	assert_at(LINK_A);
	assert_int_equal(mr_counter(d.mr, MR_C_moves), 1);
	assert_in_range(hints(), 1, 51); /* one in 200 ms */
	assert_in_range(count(MR_DO_SEND_RS), 1, 51 * 6);
	assert_in_range(count(MR_DO_SEND_PROBE), 1, 51 * 6 + 12);
	assert_in_range(d.mr->links[0].n_known, 1, LINK_MAX_KNOWN);
}

static void an_advertisement_cannot_cut_a_prefix_below_two_hours(void **state)
{ /* RFC 4862 s5.5.3 e */
	struct mr_event ev = ra_event(0, 1, 0xa1, LINK_A, 9000);
	uint64_t t0;

	(void)state;
	bind_at_a();
	ev.nd.msg.ra.prefix[0].valid_s = 10; /* of 86400: two hours are left */
	ev.nd.msg.ra.prefix[0].preferred_s = 5;
	t0 = d.now;
	step(&ev);
	run(3600000);
	ev.nd.msg.ra.lifetime_s = 9000;
	step(&ev); /* below two hours already: unchanged */
	run_until(t0 + 7199000);
	assert_at(LINK_A);
	run_until(t0 + 7201000);
	assert_false(attached());
	ev.nd.msg.ra.prefix[0].valid_s = 100;
	step(&ev);
	assert_at(LINK_A);
	ev.nd.msg.ra.prefix[0].valid_s = 200; /* longer is taken */
	step(&ev);
	run(150000);
	assert_at(LINK_A);
}

static void a_prefix_that_ends_starts_a_new_search(void **state) /* RFC 4861 s6.3.7, RFC 7559 */
{
	struct mr_event ev = ra_event(0, 1, 0xa1, LINK_A, 9000);

	(void)state;
	ev.nd.msg.ra.prefix[0].valid_s = 100;
	carrier(0, true);
	step(&ev);
	run(99999);
	forget();
	run(1000);
	assert_false(attached());
	assert_true(count(MR_DO_SEND_RS) > 1);
}

/* --- a better prefix of the same link --- */

static void offer(struct mr_event *ev, const char *prefix, uint32_t preferred_s)
{
	struct ndp_prefix *p = &ev->nd.msg.ra.prefix[ev->nd.msg.ra.n_prefix++];

	*p = (struct ndp_prefix){.prefix = P(prefix),
		.on_link = true,
		.autonomous = true,
		.valid_s = 86400,
		.preferred_s = preferred_s};
}

static void a_deprecated_prefix_is_left_for_another(void **state) /* RFC 6275 s11.5.3 */
{
	struct mr_event ev = ra_event(0, 1, 0xa1, LINK_A, 1800);

	(void)state;
	bind_at_a();
	ev.nd.msg.ra.prefix[0].preferred_s = 0;
	step(&ev);
	assert_at(LINK_A); /* there is no other one */
	assert_int_equal(count(MR_DO_SEND_MH), 0);
	offer(&ev, "2001:db8:a:1::/64", 3600);
	step(&ev);
	assert_at("2001:db8:a:1::/64");
	assert_int_equal(count(MR_DO_SEND_MH), 1);
	ack(0, 0, last_seq(), 600);
	forget();
	ev.nd.msg.ra.prefix[0].preferred_s = 3600; /* preferred again: no reason to go back */
	step(&ev);
	run(60000);
	assert_at("2001:db8:a:1::/64");
	assert_int_equal(count(MR_DO_SEND_MH), 0);
}

static void a_prefix_that_becomes_deprecated_makes_it_ask(void **state) /* RFC 6275 s11.5.3 */
{
	struct mr_event ev = ra_event(0, 1, 0xa1, LINK_A, 1800);

	(void)state;
	bind_at_a();
	ev.nd.msg.ra.prefix[0].preferred_s = 100;
	step(&ev);
	forget();
	run(99999);
	assert_int_equal(count(MR_DO_SEND_RS), 0);
	run(1);
	assert_int_equal(count(MR_DO_SEND_RS), 1);
	ev.nd.msg.ra.prefix[0].preferred_s = 0;
	offer(&ev, "2001:db8:a:1::/64", 3600);
	step(&ev);
	assert_at("2001:db8:a:1::/64");
}

static void unique_local_addresses_are_for_want_of_others(void **state) /* RFC 6275 s4.6 */
{
	struct mr_event ev = ra_event(0, 1, 0xa1, "fd00:db8:a::/64", 1800);

	(void)state;
	carrier(0, true);
	step(&ev);
	assert_at("fd00:db8:a::/64");
	ack(0, 0, last_seq(), 600);
	offer(&ev, LINK_A, 14400);
	step(&ev);
	assert_at(LINK_A);
	ack(0, 0, last_seq(), 600);
	forget();
	step(&ev);
	run(10000);
	assert_at(LINK_A);
	assert_int_equal(count(MR_DO_SEND_MH), 0);
}

/* From router 1 of link A, which says how often it advertises. */
static void ra_each(uint32_t interval_ms)
{
	struct mr_event ev = ra_event(0, 1, 0xa1, LINK_A, 1800);

	ev.nd.msg.ra.interval_ms = interval_ms;
	step(&ev);
}

static void three_missing_advertisements_are_a_hint(void **state) /* RFC 6275 s7.3, s11.5.1 */
{
	uint64_t from;

	(void)state;
	bind_at_a();
	ra_each(1000);
	forget();
	run(2999);
	assert_int_equal(hints(), 0);
	ra_each(1000); /* in time */
	run(2999);
	assert_int_equal(hints(), 0);
	run(1);
	assert_int_equal(hints(), 1);
	assert_true(says(NOTE_MR_HINT, "missing advertisements"));
	assert_int_equal(count(MR_DO_SEND_RS), 1);
	assert_true(count(MR_DO_SEND_PROBE) >= 1);
	from = d.now;
	na(0, 1, 0xa1); /* it is there, but is silent: asked ever more rarely */
	assert_at(LINK_A);
	forget();
	while (d.now < from + 130000) {
		run(10);
		if (count(MR_DO_SEND_PROBE)) {
			na(0, 1, 0xa1);
			assert_int_equal(hints(), 1);
			forget();
			ra_each(0); /* it says nothing of intervals any more */
			break;
		}
	}
	assert_in_range(d.now - from, 5990, 6010);
	run(100000);
	assert_int_equal(hints(), 0);
}

static void whoever_advertises_an_interval_cannot_make_a_storm(void **state)
{
	(void)state;
	bind_at_a();
	for (unsigned i = 0; i < 1000; i++) {
		ra_each(1);
		run(9);
	}
	assert_int_equal(hints(), 0); /* 70 ms is the least (RFC 6275 s7.5) */
	run(10000);
	assert_in_range(hints(), 1, 6);
}

static void without_its_advertisements_another_router_is_taken(void **state)
{
	(void)state;
	bind_at_a();
	ra_each(500);
	run(1500);
	forget();
	ra(0, 2, 0xb1, LINK_B); /* the answer to the solicitation */
	run(30);
	assert_at(LINK_B);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DRIVE_TEST(after_a_strong_hint_a_new_router_is_taken_at_once),
		DRIVE_TEST(without_a_hint_the_current_router_gets_30_ms_to_speak_up),
		DRIVE_TEST(a_new_prefix_from_a_router_that_looks_the_same_is_another_link),
		DRIVE_TEST_CONF(two_routers_of_one_link_do_not_make_it_flap),
		DRIVE_TEST(a_router_may_tell_of_its_prefixes_in_turn),
		DRIVE_TEST(the_prefix_that_is_no_longer_told_of_is_given_up),
		DRIVE_TEST(a_lifetime_of_zero_counts_only_from_the_current_router),
		DRIVE_TEST(prefixes_that_give_no_care_of_address_are_ignored),
		DRIVE_TEST(a_preferred_prefix_goes_before_a_deprecated_one),
		DRIVE_TEST(ten_thousand_advertisements_cost_a_bounded_amount),
		DRIVE_TEST(an_advertisement_cannot_cut_a_prefix_below_two_hours),
		DRIVE_TEST(a_prefix_that_ends_starts_a_new_search),
		DRIVE_TEST(a_deprecated_prefix_is_left_for_another),
		DRIVE_TEST(a_prefix_that_becomes_deprecated_makes_it_ask),
		DRIVE_TEST(unique_local_addresses_are_for_want_of_others),
		DRIVE_TEST(three_missing_advertisements_are_a_hint),
		DRIVE_TEST(whoever_advertises_an_interval_cannot_make_a_storm),
		DRIVE_TEST(without_its_advertisements_another_router_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
