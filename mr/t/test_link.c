/* test_link.c - movement detection: which hint, probe and advertisement leads where, and when
 * (RFC 6275 s11.5, RFC 6059, RFC 7559, RFC 4862 s5.5.3, RFC 4429). */
#include "mr/t/drive.h"

static int setup(void **state)
{
	(void)state;
	drive_conf();
	drive_new();
	return 0;
}

static int setup_conf(void **state)
{
	(void)state;
	drive_conf();
	return 0;
}

/* Visits A, then B, then is back at A, long enough ago. */
static void know_a_and_b(void)
{
	bind_at_a();
	migrated(0);
	ra(0, 2, 0xb1, LINK_B);
	ack(0, 0, last_seq(), 600);
	run(5000);
	migrated(0);
	ra(0, 1, 0xa1, LINK_A);
	ack(0, 0, last_seq(), 600);
	run(5000);
	assert_at(LINK_A);
	forget();
}

static bool probed(unsigned r)
{
	struct in6_addr router = router_addr(r);

	for (unsigned i = 0; i < d.n; i++)
		if (d.did[i].a.type == MR_DO_SEND_PROBE && addr6_eq(&d.did[i].a.router, &router))
			return true;
	return false;
}

static unsigned hints(void)
{
	return notes(NOTE_MR_HINT);
}

/* --- solicitations --- */

static void solicitations_start_fast_and_then_back_off(void **state) /* RFC 7559 s2 */
{
	static const unsigned burst[] = {0, 20, 50, 100, 250, 500};
	uint64_t before = 0, t0;

	(void)state;
	for (unsigned seed = 1; seed <= 20; seed++) {
		drive_conf();
		d.mr = mr_new(&d.conf, seed);
		t0 = d.now;
		carrier(0, true);
		run(40000000);
		for (unsigned i = 0; i < N_OF(burst); i++)
			assert_int_equal(nth(MR_DO_SEND_RS, i)->at - t0, burst[i]);
		assert_true(count(MR_DO_SEND_RS) > 20);
		for (unsigned i = N_OF(burst); i < count(MR_DO_SEND_RS); i++) {
			uint64_t wait = nth(MR_DO_SEND_RS, i)->at - nth(MR_DO_SEND_RS, i - 1)->at;

			if (i == N_OF(burst))
				assert_in_range(wait, 3600, 4400);
			else if (before * 19 / 10 > 3600000) /* MRT */
				assert_in_range(wait, 3240000, 3960000);
			else if (before * 21 / 10 < 3240000)
				assert_in_range(wait, before * 19 / 10, before * 21 / 10 + 1);
			before = wait;
		}
		drive_teardown(NULL);
	}
}

static void solicitations_end_with_an_advertisement_that_gives_a_route(void **state)
{ /* RFC 7559 s2.1 */
	struct mr_event ev = ra_event(0, 1, 0xa1, LINK_A, 0);

	(void)state;
	carrier(0, true);
	run(30);
	step(&ev); /* router lifetime 0: go on */
	run(1000);
	assert_int_equal(count(MR_DO_SEND_RS), 6);
	assert_false(attached());
	ra(0, 1, 0xa1, LINK_A);
	assert_true(attached());
	forget();
	run(60000);
	assert_int_equal(count(MR_DO_SEND_RS), 0);
}

static void what_could_not_be_sent_is_sent_when_there_is_a_source(
	void **state) /* RFC 6059 s5.5.1 */
{
	struct mr_event ev = {.type = MR_EV_SOURCE};

	(void)state;
	carrier(0, true);
	run(300);
	forget();
	step(&ev);
	assert_int_equal(count(MR_DO_SEND_RS), 1);
	run(20);
	assert_int_equal(count(MR_DO_SEND_RS), 2);
}

/* --- probes --- */

static void known_routers_are_probed_at_the_moment_of_the_solicitation(void **state)
{ /* RFC 6059 s5.5 */
	(void)state;
	know_a_and_b();
	migrated(0);
	assert_int_equal(count(MR_DO_SEND_RS), 1);
	assert_int_equal(count(MR_DO_SEND_PROBE), 2);
	assert_true(probed(1) && probed(2));
	assert_int_equal(last(MR_DO_SEND_PROBE)->at, d.now);
	assert_int_equal(nth(MR_DO_SEND_PROBE, 0)->a.mac[5], 0xa1); /* the current one first */
}

static void at_most_six_routers_are_probed(void **state) /* RFC 6059 s5.5.3 */
{
	(void)state;
	d.conf.n_known = LINK_MAX_KNOWN + 4;
	for (unsigned i = 0; i < d.conf.n_known; i++) {
		struct mr_known_conf *k = &d.known[i];

		snprintf(k->uplink, IFNAMSIZ, "eth0");
		k->router = router_addr(i + 1);
		k->prefix = P("2001:db8:f::/64");
		k->prefix.addr.s6_addr[7] = (uint8_t)i;
	}
	drive_new();
	carrier(0, true);
	assert_int_equal(count(MR_DO_SEND_PROBE), 6);
}

static void a_router_whose_prefix_is_over_is_not_probed(void **state) /* RFC 6059 s5.5.2 */
{
	struct mr_event ev = ra_event(0, 2, 0xb1, LINK_B, 1800);

	(void)state;
	bind_at_a();
	ev.nd.msg.ra.prefix[0].valid_s = 60;
	migrated(0);
	step(&ev);
	assert_at(LINK_B);
	migrated(0);
	ra(0, 1, 0xa1, LINK_A);
	run(50000);
	forget();
	migrated(0);
	assert_true(probed(2));
	run(20000);
	forget();
	migrated(0);
	assert_true(probed(1));
	assert_false(probed(2));
}

static void a_router_that_was_only_heard_of_is_not_probed(void **state) /* RFC 6059 s5.5.2 */
{
	(void)state;
	bind_at_a();
	ra(0, 2, 0xb1, LINK_B);
	na(0, 1, 0xa1); /* same link: another router */
	run(10000);
	assert_at(LINK_A);
	forget();
	migrated(0);
	assert_true(probed(1));
	assert_false(probed(2));
	na(0, 2, 0xb1); /* and does not decide anything */
	assert_at(LINK_A);
}

static void an_answer_of_the_current_router_makes_it_a_false_alarm(void **state) /* RFC 6059 s5.7 */
{
	(void)state;
	bind_at_a();
	migrated(0);
	run(1);
	na(0, 1, 0xa1);
	assert_int_equal(notes(NOTE_MR_CONFIRMED), 1);
	ra(0, 1, 0xa1, LINK_A);
	run(2000);
	assert_at(LINK_A);
	assert_int_equal(count(MR_DO_SEND_MH) + count(MR_DO_COA_PUT) + count(MR_DO_ROUTER_PUT), 0);
	assert_int_equal(mr_counter(d.mr, MR_C_false_alarms), 1);
	assert_true(count(MR_DO_SEND_RS) <= 2);
}

static void an_answer_of_another_known_router_is_enough_to_move(void **state) /* RFC 6059 s5.7.1 */
{
	(void)state;
	know_a_and_b();
	migrated(0);
	run(1);
	na(0, 2, 0xb1);
	assert_at(LINK_B);
	assert_int_equal(last(MR_DO_SEND_MH)->at, d.now);
	assert_true(last(MR_DO_COA_PUT)->a.verified); /* no second DAD: RFC 6059 s5.8 */
	ra(0, 2, 0xb1, LINK_B);
	forget();
	run(20000);
	assert_int_equal(count(MR_DO_SEND_RS), 0); /* the advertisement ended them */
	assert_at(LINK_B);
}

static void a_configured_link_needs_no_first_visit(void **state) /* RFC 6059, extended */
{
	struct mr_known_conf k = {.uplink = "eth0", .mac = {2, 0, 0, 0, 0, 0xb1}};
	unsigned uplink;
	bool known = false;
	const char *cause;

	(void)state;
	k.router = router_addr(2);
	k.prefix = P(LINK_B);
	d.known[0] = k;
	d.conf.n_known = 1;
	drive_new();
	bind_at_a();
	migrated(0);
	na(0, 2, 0xb1);
	assert_at(LINK_B);
	mr_care_of(d.mr, &uplink, &known, &cause);
	assert_true(known);
	assert_string_equal(cause, "migration event");
	assert_int_equal(count(MR_DO_SEND_MH), 1);
}

static void answers_that_prove_nothing_are_ignored(void **state) /* RFC 6059 s5.7.1 */
{
	struct mr_event ev = nd_event(NDP_NA, 0, 2, 0xb1);

	(void)state;
	know_a_and_b();
	na(0, 2, 0xb1); /* no hint: nobody asked */
	assert_int_equal(d.n, 0);
	migrated(0);
	ev.nd.msg.target = ev.nd.msg.src;
	step(&ev); /* not solicited */
	ev.nd.msg.na.solicited = true;
	ev.nd.msg.target = router_addr(1);
	step(&ev);      /* for somebody else */
	na(0, 2, 0xcc); /* another link-layer address */
	na(0, 9, 0xb1); /* another address */
	na(0, 1, 0xcc); /* the current router's address, not it */
	assert_int_equal(notes(NOTE_MR_CONFIRMED), 0);
	assert_int_equal(count(MR_DO_COA_PUT), 0);
	na(0, 2, 0xb1);
	assert_at(LINK_B);
}

/* --- advertisements --- */

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
		setup(NULL);
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

/* --- care-of addresses --- */

static void a_duplicate_address_is_replaced_and_registered(void **state) /* RFC 4429 s3.3 */
{
	struct mr_event ev = {.type = MR_EV_ADDR};
	struct in6_addr lost;

	(void)state;
	carrier(0, true);
	ra(0, 1, 0xa1, LINK_A);
	run(2000);
	lost = ev.addr = last(MR_DO_COA_PUT)->a.addr;
	forget();
	step(&ev);
	assert_memory_equal(&last(MR_DO_COA_DROP)->a.addr, &lost, 16);
	assert_memory_not_equal(&last(MR_DO_COA_PUT)->a.addr, &lost, 16);
	assert_at(LINK_A);
	assert_memory_equal(&last_bu()->src, &last(MR_DO_COA_PUT)->a.addr, 16);
	assert_memory_equal(&last(MR_DO_ROUTER_PUT)->a.addr, &last(MR_DO_COA_PUT)->a.addr, 16);
	assert_int_equal(mr_counter(d.mr, MR_C_dad_failed), 1);
	ack(0, 0, last_seq(), 600);
	migrated(0);
	ra(0, 2, 0xb1, LINK_B);
	run(5000);
	forget();
	migrated(0);
	ra(0, 1, 0xa1, LINK_A);
	assert_memory_not_equal(&last(MR_DO_COA_PUT)->a.addr, &lost, 16); /* no return to it */
	forget();
	step(&ev); /* an address that is not in use */
	assert_int_equal(d.n, 0);
}

static void the_address_left_behind_is_kept_for_three_seconds(void **state) /* RFC 6275 s11.5.1 */
{
	struct in6_addr old;

	(void)state;
	carrier(0, true);
	ra(0, 1, 0xa1, LINK_A);
	old = last(MR_DO_COA_PUT)->a.addr;
	ack(0, 0, last_seq(), 600);
	run(5000);
	forget();
	migrated(0);
	ra(0, 2, 0xb1, LINK_B);
	assert_memory_equal(&last(MR_DO_TUNNEL_PUT)->a.tunnel.old_local, &old, 16);
	run(2999);
	assert_int_equal(count(MR_DO_COA_DROP), 0);
	run(1);
	assert_int_equal(count(MR_DO_COA_DROP), 1);
	assert_memory_equal(&last(MR_DO_COA_DROP)->a.addr, &old, 16);
	assert_true(addr6_is_any(&last(MR_DO_TUNNEL_PUT)->a.tunnel.old_local));
}

static void back_within_three_seconds_the_address_is_still_there(void **state) /* RFC 6059 s5.8 */
{
	(void)state;
	bind_at_a();
	migrated(0);
	ra(0, 2, 0xb1, LINK_B);
	run(1000);
	forget();
	migrated(0);
	ra(0, 1, 0xa1, LINK_A);
	assert_at(LINK_A);
	assert_true(last(MR_DO_COA_PUT)->a.verified);
	for (unsigned i = 0; i < d.n; i++) /* never dropped in between */
		if (d.did[i].a.type == MR_DO_COA_DROP)
			assert_memory_not_equal(&d.did[i].a.addr, &last(MR_DO_COA_PUT)->a.addr, 16);
	run(10000);
	assert_int_equal(count(MR_DO_COA_DROP), 1); /* B's */
	assert_at(LINK_A);
}

static void without_detection_every_address_is_good_at_once(void **state)
{
	(void)state;
	d.conf.dad = MR_DAD_OFF;
	drive_new();
	carrier(0, true);
	ra(0, 1, 0xa1, LINK_A);
	assert_true(last(MR_DO_COA_PUT)->a.verified);
}

/* --- carrier, migration, router check --- */

static void loss_of_the_carrier_ends_and_its_return_restores(void **state) /* RFC 6059 s5.4 */
{
	(void)state;
	bind_at_a();
	carrier(0, false);
	assert_false(attached());
	assert_int_equal(count(MR_DO_ROUTER_DROP), 1);
	assert_int_equal(notes(NOTE_MR_LOST), 1);
	run(100000);
	assert_int_equal(count(MR_DO_SEND_RS) + count(MR_DO_SEND_MH), 0);
	forget();
	carrier(0, true);
	assert_int_equal(count(MR_DO_SEND_RS), 1);
	assert_true(probed(1));
	na(0, 1, 0xa1);
	assert_at(LINK_A);
	assert_true(mr_bound(d.mr, d.now)); /* where the home agent believes us to be */
	assert_int_equal(count(MR_DO_SEND_MH), 0);
}

static void the_five_events_of_a_migration_make_one_move(void **state) /* RFC 6059 s5.11 */
{
	static const unsigned at[] = {0, 50, 200, 450, 800};
	uint64_t t0;

	(void)state;
	bind_at_a();
	t0 = d.now;
	for (unsigned i = 0; i < N_OF(at); i++) {
		unsigned n;

		run_until(t0 + at[i]);
		forget();
		migrated(0);
		n = count(MR_DO_SEND_RS);
		run(1);
		if (i == 0 || n > 0)
			ra(0, 2, 0xb1, LINK_B);
		if (i == 0)
			ack(0, 0, last_seq(), 600);
		assert_at(LINK_B);
		assert_true(mr_bound(d.mr, d.now));
	}
	for (unsigned i = 0; i < 20; i++) { /* hints held back are looked at, and answered */
		run(10);
		na(0, 2, 0xb1);
		ra(0, 2, 0xb1, LINK_B);
	}
	run(5000);
	assert_at(LINK_B);
	assert_int_equal(mr_counter(d.mr, MR_C_moves), 2);
	assert_int_equal(mr_counter(d.mr, MR_C_bu_tx), 2);
}

static void a_strong_hint_is_not_weakened_by_a_later_weak_one(void **state) /* RFC 6059 s5.11 */
{
	(void)state;
	know_a_and_b();
	migrated(0); /* a false alarm */
	na(0, 1, 0xa1);
	run(50);
	migrated(0); /* held back for 150 ms */
	run(50);
	ra(0, 9, 0xcc, "2001:db8:c::/64"); /* a stranger's advertisement, held back as well */
	run(100);
	ra(0, 2, 0xb1, LINK_B); /* the answer to what was asked then */
	assert_at(LINK_B);
}

static void a_silent_router_is_found_out_in_one_and_a_half_seconds(void **state)
{ /* RFC 6275 s11.5.1 */
	uint64_t t0;

	(void)state;
	d.conf.check_ms = 1000;
	drive_new();
	carrier(0, true);
	ra(0, 1, 0xa1, LINK_A);
	for (unsigned i = 0; i < 10; i++) { /* it answers */
		run(1000);
		na(0, 1, 0xa1);
	}
	assert_int_equal(hints(), 1); /* carrier */
	forget();
	t0 = d.now;
	run(1499);
	assert_int_equal(hints(), 0);
	run(1);
	assert_int_equal(hints(), 1);
	assert_at(LINK_A);
	run(500);
	assert_false(attached());
	assert_in_range(d.now - t0, 1900, 2100);
}

static void the_end_of_the_routers_lifetime_is_a_hint(void **state) /* RFC 4861 s6.3.4 */
{
	struct mr_event ev = ra_event(0, 1, 0xa1, LINK_A, 30);

	(void)state;
	carrier(0, true);
	step(&ev);
	run(29999);
	assert_int_equal(hints(), 1);
	run(1);
	assert_int_equal(hints(), 2);
	na(0, 1, 0xa1); /* reachable, but no router any more */
	run(1000);
	assert_false(attached());
}

static void an_unreachable_router_is_a_strong_hint(void **state) /* RFC 6275 s11.5.1 */
{
	struct mr_event ev = {.type = MR_EV_NEIGH, .addr = router_addr(9)};

	(void)state;
	bind_at_a();
	step(&ev);
	assert_int_equal(hints(), 0);
	ev.addr = router_addr(1);
	step(&ev);
	assert_int_equal(hints(), 1);
	ra(0, 2, 0xb1, LINK_B);
	assert_at(LINK_B);
}

static void no_deadline_is_in_the_past_when_the_router_withdraws_after_a_hint(void **state)
{ /* drive.h looks: a deadline that stays due makes the edge spin */
	struct mr_event ev = ra_event(0, 1, 0xa1, LINK_A, 0);

	(void)state;
	bind_at_a();
	for (unsigned ms = 0; ms < 300; ms += 10) {
		migrated(0);
		run(1);
		ra(0, 1, 0xa1, LINK_A);
		run(ms);
		step(&ev);
		run(50);
		step(&ev);
		run(100);
		ra(0, 1, 0xa1, LINK_A);
		run(200); /* a hint that was held back asks again */
		ra(0, 1, 0xa1, LINK_A);
		run(1000);
		assert_at(LINK_A);
		forget();
	}
}

/* --- several uplinks --- */

static void the_preferred_uplink_is_used_and_returned_to(void **state) /* RFC 6275 s11.5 */
{
	(void)state;
	d.conf.n_uplinks = 3;
	d.uplinks[1].preference = 20;
	drive_new();
	carrier(0, true);
	ra(0, 1, 0xa1, LINK_A);
	assert_at(LINK_A);
	ack(0, 0, last_seq(), 600);
	carrier(2, true); /* not better */
	ra(2, 3, 0xc1, "2001:db8:c::/64");
	assert_at(LINK_A);
	carrier(1, true);
	ra(1, 2, 0xb1, LINK_B);
	assert_at(LINK_B);
	assert_int_equal(last(MR_DO_SEND_MH)->a.uplink, 1);
	ack(0, 0, last_seq(), 600);
	assert_int_equal(last(MR_DO_TUNNEL_PUT)->a.tunnel.oif, 1);
	run(5000);
	forget();
	carrier(1, false);
	assert_true(attached());
	assert_int_equal(last(MR_DO_SEND_MH)->at, d.now);
	assert_int_not_equal(last(MR_DO_SEND_MH)->a.uplink, 1);
	ack(0, 0, last_seq(), 600);
	run(5000);
	carrier(1, true);
	na(1, 2, 0xb1);
	assert_at(LINK_B);
	assert_int_equal(notes(NOTE_MR_LOST), 0);
}

static void all_uplinks_may_ask_around_in_one_tick(void **state)
{
	(void)state;
	d.conf.n_uplinks = MR_MAX_UPLINKS;
	d.conf.check_ms = 1000;
	drive_new();
	for (unsigned visit = 0; visit < 10; visit++) {
		for (unsigned u = 0; u < MR_MAX_UPLINKS; u++) {
			char prefix[64];

			snprintf(prefix, sizeof(prefix), "2001:db8:%x%02x::/64", u + 10, visit);
			if (visit == 0)
				carrier(u, true);
			migrated(u);
			ra(u, visit + 1, 16 * u + visit, prefix);
			migrated(u); /* held back */
		}
		forget();
		run(visit == 5 ? 3000 : 250); /* all at once */
	}
	assert_in_range(d.most_actions, 8, MR_MAX_ACTIONS);
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

#define TEST(name)      cmocka_unit_test_setup_teardown(name, setup, drive_teardown)
#define TEST_CONF(name) cmocka_unit_test_setup_teardown(name, setup_conf, drive_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_CONF(solicitations_start_fast_and_then_back_off),
		TEST(solicitations_end_with_an_advertisement_that_gives_a_route),
		TEST(what_could_not_be_sent_is_sent_when_there_is_a_source),
		TEST(known_routers_are_probed_at_the_moment_of_the_solicitation),
		TEST_CONF(at_most_six_routers_are_probed),
		TEST(a_router_whose_prefix_is_over_is_not_probed),
		TEST(a_router_that_was_only_heard_of_is_not_probed),
		TEST(an_answer_of_the_current_router_makes_it_a_false_alarm),
		TEST(an_answer_of_another_known_router_is_enough_to_move),
		TEST_CONF(a_configured_link_needs_no_first_visit),
		TEST(answers_that_prove_nothing_are_ignored),
		TEST(after_a_strong_hint_a_new_router_is_taken_at_once),
		TEST(without_a_hint_the_current_router_gets_30_ms_to_speak_up),
		TEST(a_new_prefix_from_a_router_that_looks_the_same_is_another_link),
		TEST_CONF(two_routers_of_one_link_do_not_make_it_flap),
		TEST(a_lifetime_of_zero_counts_only_from_the_current_router),
		TEST(prefixes_that_give_no_care_of_address_are_ignored),
		TEST(a_preferred_prefix_goes_before_a_deprecated_one),
		TEST(ten_thousand_advertisements_cost_a_bounded_amount),
		TEST(an_advertisement_cannot_cut_a_prefix_below_two_hours),
		TEST(a_prefix_that_ends_starts_a_new_search),
		TEST(a_duplicate_address_is_replaced_and_registered),
		TEST(the_address_left_behind_is_kept_for_three_seconds),
		TEST(back_within_three_seconds_the_address_is_still_there),
		TEST_CONF(without_detection_every_address_is_good_at_once),
		TEST(loss_of_the_carrier_ends_and_its_return_restores),
		TEST(the_five_events_of_a_migration_make_one_move),
		TEST(a_strong_hint_is_not_weakened_by_a_later_weak_one),
		TEST_CONF(a_silent_router_is_found_out_in_one_and_a_half_seconds),
		TEST(the_end_of_the_routers_lifetime_is_a_hint),
		TEST(an_unreachable_router_is_a_strong_hint),
		TEST(no_deadline_is_in_the_past_when_the_router_withdraws_after_a_hint),
		TEST_CONF(the_preferred_uplink_is_used_and_returned_to),
		TEST_CONF(all_uplinks_may_ask_around_in_one_tick),
		TEST(a_deprecated_prefix_is_left_for_another),
		TEST(a_prefix_that_becomes_deprecated_makes_it_ask),
		TEST(unique_local_addresses_are_for_want_of_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
