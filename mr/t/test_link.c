/* test_link.c - movement detection: which hint, probe and advertisement leads where, and when
 * (RFC 6275 s11.5, RFC 6059, RFC 7559, RFC 4862 s5.5.3, RFC 4429). */
#include "mr/t/drive.h"

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

static void the_whole_guest_was_migrated(void **state) /* told of an inside interface first */
{
	struct mr_event ev = {.type = MR_EV_MIGRATED};

	(void)state;
	know_a_and_b();
	step(&ev);
	assert_int_equal(count(MR_DO_SEND_RS), 1);
	assert_int_equal(count(MR_DO_SEND_PROBE), 2);
	run(10);
	migrated(0); /* the uplink's own event says nothing new */
	assert_int_equal(count(MR_DO_SEND_RS), 1);
	na(0, 2, 0xb1);
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

static struct in6_addr own_address(const char *prefix)
{
	struct prefix6 p = P(prefix);
	uint8_t iid[8], mac[6];

	memcpy(mac, OWN_MAC, sizeof(mac));
	mac[4] = 0; /* of uplink 0 */
	addr6_eui64(mac, iid);
	return addr6_join(&p, iid);
}

static void left_over(struct in6_addr addr)
{
	struct mr_event ev = {.type = MR_EV_LEFT, .addr = addr};

	step(&ev);
}

/* Of a run that was killed: it may have moved meanwhile, or not. */
static void addresses_of_an_earlier_run_go_after_the_first_move(void **state)
{
	struct in6_addr at_a = own_address(LINK_A), other = A("2001:db8:c::9");

	(void)state;
	left_over(at_a);
	left_over(other); /* a second one */
	assert_int_equal(count(MR_DO_COA_DROP), 1);
	assert_true(addr6_eq(&last(MR_DO_COA_DROP)->a.addr, &other));
	carrier(0, true);
	run(10000); /* nobody is known here yet: it may be in use */
	assert_int_equal(count(MR_DO_COA_DROP), 1);
	ra(0, 2, 0xb1, LINK_B);
	ack(0, 0, last_seq(), 600);
	assert_true(addr6_eq(&last(MR_DO_TUNNEL_PUT)->a.tunnel.old_local, &at_a));
	run(2999);
	assert_int_equal(count(MR_DO_COA_DROP), 1);
	run(1);
	assert_int_equal(count(MR_DO_COA_DROP), 2);
	assert_true(addr6_eq(&last(MR_DO_COA_DROP)->a.addr, &at_a));
	left_over(d.mr->links[0].current.coa); /* told of late */
	run(10000);
	assert_int_equal(count(MR_DO_COA_DROP), 2);
}

static void the_address_of_an_earlier_run_goes_on_where_it_is_right(void **state)
{
	(void)state;
	left_over(own_address(LINK_A));
	arrive_at_a();
	assert_false(nth(MR_DO_COA_PUT, 0)->a.verified); /* the kernel leaves it as it is */
	run(10000);
	assert_int_equal(count(MR_DO_COA_DROP), 0);
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

static void what_others_remove_is_put_again(void **state)
{
	struct mr_event ev = {.type = MR_EV_UNDONE};
	struct in6_addr coa;

	(void)state;
	carrier(0, true);
	ra(0, 1, 0xa1, LINK_A);
	coa = last(MR_DO_COA_PUT)->a.addr;
	run(5000);
	forget();
	step(&ev); /* the default route */
	assert_int_equal(count(MR_DO_ROUTER_PUT), 1);
	assert_int_equal(count(MR_DO_COA_PUT), 0);
	ev.addr = coa;
	step(&ev);
	assert_int_equal(count(MR_DO_ROUTER_PUT), 2);
	assert_memory_equal(&last(MR_DO_COA_PUT)->a.addr, &ev.addr, sizeof(ev.addr));
	assert_int_equal(count(MR_DO_SEND_MH) + hints(), 0);
	ev.addr.s6_addr[15] ^= 1; /* not the one in use */
	step(&ev);
	carrier(0, false);
	ev.addr = coa; /* it went with the uplink */
	step(&ev);
	assert_int_equal(count(MR_DO_ROUTER_PUT), 2);
	assert_int_equal(count(MR_DO_COA_PUT), 1);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		DRIVE_TEST_CONF(solicitations_start_fast_and_then_back_off),
		DRIVE_TEST(solicitations_end_with_an_advertisement_that_gives_a_route),
		DRIVE_TEST(what_could_not_be_sent_is_sent_when_there_is_a_source),
		DRIVE_TEST(known_routers_are_probed_at_the_moment_of_the_solicitation),
		DRIVE_TEST_CONF(at_most_six_routers_are_probed),
		DRIVE_TEST(a_router_whose_prefix_is_over_is_not_probed),
		DRIVE_TEST(a_router_that_was_only_heard_of_is_not_probed),
		DRIVE_TEST(an_answer_of_the_current_router_makes_it_a_false_alarm),
		DRIVE_TEST(an_answer_of_another_known_router_is_enough_to_move),
		DRIVE_TEST(the_whole_guest_was_migrated),
		DRIVE_TEST_CONF(a_configured_link_needs_no_first_visit),
		DRIVE_TEST(answers_that_prove_nothing_are_ignored),
		DRIVE_TEST(a_duplicate_address_is_replaced_and_registered),
		DRIVE_TEST(the_address_left_behind_is_kept_for_three_seconds),
		DRIVE_TEST(addresses_of_an_earlier_run_go_after_the_first_move),
		DRIVE_TEST(the_address_of_an_earlier_run_goes_on_where_it_is_right),
		DRIVE_TEST(back_within_three_seconds_the_address_is_still_there),
		DRIVE_TEST_CONF(without_detection_every_address_is_good_at_once),
		DRIVE_TEST(loss_of_the_carrier_ends_and_its_return_restores),
		DRIVE_TEST(the_five_events_of_a_migration_make_one_move),
		DRIVE_TEST(a_strong_hint_is_not_weakened_by_a_later_weak_one),
		DRIVE_TEST_CONF(a_silent_router_is_found_out_in_one_and_a_half_seconds),
		DRIVE_TEST(the_end_of_the_routers_lifetime_is_a_hint),
		DRIVE_TEST(an_unreachable_router_is_a_strong_hint),
		DRIVE_TEST(what_others_remove_is_put_again),
		DRIVE_TEST(no_deadline_is_in_the_past_when_the_router_withdraws_after_a_hint),
		DRIVE_TEST_CONF(the_preferred_uplink_is_used_and_returned_to),
		DRIVE_TEST_CONF(all_uplinks_may_ask_around_in_one_tick),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
