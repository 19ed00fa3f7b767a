/* test_dhaad.c - the mobile router looks for home agents (RFC 6275 s11.4.1, RFC 3963 s5.3, s7.1).
 * The configuration names none; the replies name 2001:db8:1::1, ::2, ::3. */
#include "mr/t/drive.h"

static int setup(void **state)
{
	(void)state;
	drive_conf();
	d.conf.n_has = 0;
	d.conf.has = NULL; /* as of a file without any */
	d.conf.home_prefix = P("2001:db8:100::/64");
	drive_new();
	return 0;
}

static const struct icmp6_msg *last_request(void)
{
	return &last(MR_DO_SEND_ICMP6)->a.icmp6;
}

/* The reply to the last request, naming the first 'n' of the three. */
static struct mr_event reply_event(unsigned n)
{
	struct mr_event ev = {.type = MR_EV_ICMP6};

	memset(&ev.icmp6, 0, sizeof(ev.icmp6));
	ev.icmp6.type = ICMP6_DHAAD_REPLY;
	ev.icmp6.src = d.has[0];
	ev.icmp6.dst = last_request()->src;
	ev.icmp6.id = last_request()->id;
	ev.icmp6.mobile_router = true;
	ev.icmp6.n_ha = n;
	memcpy(ev.icmp6.ha, d.has, n * sizeof(d.has[0]));
	return ev;
}

static void reply(unsigned n)
{
	struct mr_event ev = reply_event(n);

	step(&ev);
}

static void a_request_asks_the_home_link_for_mobile_router_support(void **state)
{
	const struct icmp6_msg *q;
	struct in6_addr anycast = A("2001:db8:100::fdff:ffff:ffff:fffe");
	struct prefix6 link = P(LINK_A);

	(void)state;
	arrive_at_a();
	assert_int_equal(count(MR_DO_SEND_ICMP6), 1); /* in the same turn */
	assert_int_equal(count(MR_DO_SEND_MH), 0);
	q = last_request();
	assert_int_equal(q->type, ICMP6_DHAAD_REQUEST);
	assert_memory_equal(&q->dst, &anycast, 16);
	assert_true(prefix6_has(&link, &q->src));
	assert_true(addr6_is_any(&q->hoa));
	assert_true(q->mobile_router);
}

static void requests_are_repeated_four_times_with_doubling_waits(void **state)
{
	static const unsigned at[] = {0, 3000, 9000, 21000, 45000};
	uint64_t t0 = d.now;

	(void)state;
	arrive_at_a();
	run(93000 + 59999);
	assert_int_equal(count(MR_DO_SEND_ICMP6), N_OF(at));
	for (unsigned i = 0; i < N_OF(at); i++) {
		assert_int_equal(nth(MR_DO_SEND_ICMP6, i)->at - t0, at[i]);
		assert_int_equal(nth(MR_DO_SEND_ICMP6, i)->a.icmp6.id, last_request()->id);
	}
	assert_int_equal(notes(NOTE_MR_RETRY), 1);
	assert_int_equal(count(MR_DO_SEND_MH), 0);
	run(1); /* a new round after the pause */
	assert_int_equal(count(MR_DO_SEND_ICMP6), N_OF(at) + 1);
}

static void the_first_of_the_reply_is_registered_with(void **state)
{
	(void)state;
	arrive_at_a();
	run(3500);
	reply(3);
	assert_memory_equal(&last_bu()->dst, &d.has[0], 16);
	assert_int_equal(last(MR_DO_SEND_MH)->at, d.now);
	assert_int_equal(notes(NOTE_MR_DISCOVERED), 1);
	ack(0, 0, last_seq(), 600);
	assert_true(mr_bound(d.mr, d.now));
	assert_memory_equal(&last(MR_DO_TUNNEL_PUT)->a.tunnel.remote, &d.has[0], 16);
	forget();
	run(100000);
	assert_int_equal(count(MR_DO_SEND_ICMP6), 0);
}

static void replies_that_do_not_match_are_ignored(void **state)
{
	struct mr_event good, ev;

	(void)state;
	arrive_at_a();
	good = reply_event(1);
	ev = good;
	ev.icmp6.id++;
	step(&ev);
	ev = good;
	ev.icmp6.dst = A("2001:db8:a::77");
	step(&ev);
	ev = good;
	ev.icmp6.mobile_router = false; /* serve mobile nodes only */
	step(&ev);
	ev = good;
	ev.icmp6.n_ha = 0;
	step(&ev);
	ev = good;
	ev.icmp6.ha[0] = d.conf.hoa;
	step(&ev);
	ev.icmp6.ha[0] = A("ff02::1");
	step(&ev);
	ev.icmp6.ha[0] = A("fe80::1");
	step(&ev);
	ev.icmp6.ha[0] = A("2001:db8:100:1::5"); /* in our own network */
	step(&ev);
	assert_int_equal(mr_counter(d.mr, MR_C_dhaad_ignored), 8);
	assert_int_equal(count(MR_DO_SEND_MH), 0);
	step(&good);
	assert_int_equal(count(MR_DO_SEND_MH), 1);
	step(&good); /* once is enough */
	assert_int_equal(mr_counter(d.mr, MR_C_dhaad_ignored), 9);
	assert_int_equal(notes(NOTE_MR_DISCOVERED), 1);
}

static void unusable_addresses_of_a_reply_are_left_out(void **state)
{
	struct mr_event ev;

	(void)state;
	arrive_at_a();
	ev = reply_event(3);
	ev.icmp6.ha[0] = A("ff02::1");
	step(&ev);
	assert_memory_equal(&last_bu()->dst, &d.has[1], 16);
	assert_int_equal(d.mr->conf->n_has, 2);
}

static void a_long_reply_gives_the_first_four(void **state)
{
	struct mr_event ev;

	(void)state;
	arrive_at_a();
	ev = reply_event(1);
	for (ev.icmp6.n_ha = 0; ev.icmp6.n_ha < ICMP6_MAX_HA; ev.icmp6.n_ha++) {
		ev.icmp6.ha[ev.icmp6.n_ha] = A("2001:db8:1::");
		ev.icmp6.ha[ev.icmp6.n_ha].s6_addr[15] = (uint8_t)(1 + ev.icmp6.n_ha / 2);
	}
	step(&ev);
	assert_int_equal(d.mr->conf->n_has, MR_MAX_HAS - 4); /* the rest is for old ones */
	assert_memory_equal(&d.mr->has[1], &d.has[1], 16);   /* each once */
}

static void a_new_care_of_address_asks_anew(void **state)
{
	struct mr_event old;

	(void)state;
	arrive_at_a();
	run(10000);
	old = reply_event(1);
	forget();
	migrated(0);
	ra(0, 2, 0xb1, LINK_B);
	run(1000);
	assert_int_equal(count(MR_DO_SEND_ICMP6), 1);
	step(&old); /* to where we are no more */
	assert_int_equal(count(MR_DO_SEND_MH), 0);
	reply(1);
	assert_int_equal(count(MR_DO_SEND_MH), 1);
}

static void however_often_it_moves_one_request_a_second_is_the_most(void **state)
{
	unsigned n;

	(void)state;
	arrive_at_a();
	for (unsigned i = 0; i < 30; i++) {
		migrated(0);
		ra(0, i % 2 + 1, 0xa1 + i % 2 * 16, i % 2 ? LINK_A : LINK_B);
		run(100);
	}
	n = count(MR_DO_SEND_ICMP6);
	assert_in_range(n, 2, 4);
	for (unsigned i = 1; i < n; i++)
		assert_true(
			nth(MR_DO_SEND_ICMP6, i)->at >= nth(MR_DO_SEND_ICMP6, i - 1)->at + 1000);
}

static void a_silent_home_agent_is_passed_over_in_the_order_of_the_list(void **state)
{ /* RFC 6275 s11.4.1, s11.7.1 */
	struct in6_addr dst[3];
	unsigned n = 0;

	(void)state;
	arrive_at_a();
	reply(3);
	for (unsigned i = 0; i < 400 && n < 3; i++) {
		if (n == 0 || !addr6_eq(&last_bu()->dst, &dst[n - 1]))
			dst[n++] = last_bu()->dst;
		run(1000);
	}
	assert_int_equal(n, 3);
	assert_memory_equal(dst, d.has, sizeof(dst));
	assert_int_equal(count(MR_DO_SEND_ICMP6), 1);
	run(60000); /* none of them: look again */
	assert_int_equal(count(MR_DO_SEND_ICMP6) > 1, 1);
}

static void a_refusal_leads_to_the_next_after_a_second_and_a_half(void **state)
{
	uint64_t at;

	(void)state;
	arrive_at_a();
	reply(2);
	at = d.now;
	ack(0, MH_ST_PROHIBITED, last_seq(), 0);
	run(1499);
	assert_int_equal(count(MR_DO_SEND_MH), 1);
	run(1);
	assert_memory_equal(&last_bu()->dst, &d.has[1], 16);
	assert_int_equal(last(MR_DO_SEND_MH)->at - at, 1500);
	assert_int_equal(count(MR_DO_SEND_ICMP6), 1);
	ack(1, MH_ST_PROHIBITED, last_seq(), 0);
	run(3000); /* none would have us: look again */
	assert_int_equal(count(MR_DO_SEND_ICMP6), 2);
	assert_int_equal(count(MR_DO_SEND_MH), 2);
}

static void one_that_serves_no_mobile_routers_is_left_and_others_are_looked_for(void **state)
{ /* RFC 3963 s5.3 */
	struct mr_event ev;

	(void)state;
	arrive_at_a();
	reply(1);
	ev = ack_event(0, 0, last_seq(), 600);
	ev.mh.m.ba.flags = 0;
	step(&ev);
	assert_int_equal(last_bu()->m.bu.lifetime_s, 0); /* first of all it is told */
	ack(0, 0, last_seq(), 0);
	forget();
	run(61000);
	assert_int_equal(count(MR_DO_SEND_ICMP6) > 0, 1);
	assert_int_equal(count(MR_DO_SEND_MH), 0);
}

static void the_old_list_serves_when_nobody_answers(void **state)
{
	(void)state;
	arrive_at_a();
	reply(1);
	ack(0, MH_ST_PROHIBITED, last_seq(), 0);
	run(3000);
	assert_int_equal(count(MR_DO_SEND_ICMP6), 2);
	forget();
	run(93000);
	assert_int_equal(count(MR_DO_SEND_ICMP6), 4);
	assert_memory_equal(&nth(MR_DO_SEND_MH, 0)->a.mh.dst, &d.has[0], 16);
}

static void the_tunnel_stays_while_another_home_agent_is_looked_for(void **state)
{
	(void)state;
	arrive_at_a();
	reply(1);
	ack(0, 0, last_seq(), 600);
	migrated(0);
	ra(0, 2, 0xb1, LINK_B);
	ack(0, MH_ST_PROHIBITED, last_seq(), 0);
	run(3000);
	assert_int_equal(count(MR_DO_SEND_ICMP6), 2);
	assert_true(mr_bound(d.mr, d.now));
	struct mr_event ev = reply_event(2);

	ev.icmp6.n_ha = 1;
	ev.icmp6.ha[0] = d.has[1];
	step(&ev);
	assert_memory_equal(&last_bu()->dst, &d.has[1], 16);
	assert_true(mr_bound(d.mr, d.now));
	assert_memory_equal(&last(MR_DO_TUNNEL_PUT)->a.tunnel.remote, &d.has[0], 16);
	ack(1, 0, last_seq(), 600);
	assert_memory_equal(&last(MR_DO_TUNNEL_PUT)->a.tunnel.remote, &d.has[1], 16);
}

static void configured_home_agents_are_not_looked_for(void **state)
{
	(void)state;
	mr_free(d.mr);
	d.conf.n_has = 2;
	d.conf.has = d.has;
	drive_new();
	arrive_at_a();
	run(300000);
	assert_int_equal(count(MR_DO_SEND_ICMP6), 0);
	assert_int_equal(count(MR_DO_SEND_MH) > 0, 1);
}

static void nothing_is_asked_after_the_end(void **state)
{
	struct mr_event stop = {.type = MR_EV_STOP};

	(void)state;
	arrive_at_a();
	step(&stop);
	forget();
	assert_int_equal(d.mr->dhaad.at == UINT64_MAX, 1);
}

static int teardown(void **state)
{
	(void)state;
	mr_free(d.mr);
	return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static void a_switch_without_addresses_starts_discovery(void **state) /* RFC 5142 s4, s6.1 */
{
	struct mr_event has = {.type = MR_EV_MH};

	(void)state;
	arrive_at_a();
	reply(1);
	ack(0, 0, last_seq(), 600);
	run(5000);
	forget();
	memset(&has.mh, 0, sizeof(has.mh));
	has.mh.src = d.has[0];
	has.mh.dst = d.mr->bul.coa;
	has.mh.hoa = d.conf.hoa;
	has.mh.rh2 = true;
	has.mh.m.type = MH_HAS;
	step(&has);
	step(&has); /* again: no second round */
	assert_int_equal(count(MR_DO_SEND_ICMP6), 1);
	assert_int_equal(notes(NOTE_MR_SWITCH), 1);
	assert_int_equal(count(MR_DO_SEND_MH) + count(MR_DO_TUNNEL_DROP), 0);
	assert_true(mr_bound(d.mr, d.now));
	migrated(0); /* it is told of a move, since it still forwards to here */
	ra(0, 2, 0xb1, LINK_B);
	run(0);
	assert_memory_equal(&last_bu()->dst, &d.has[0], 16);
	ack(0, 0, last_seq(), 600);
	run(1000);
	step(&has);
	reply(2);
	ack(0, MH_ST_PROHIBITED, last_seq(), 0); /* it drains */
	run(1500);
	assert_memory_equal(&last_bu()->dst, &d.has[1], 16);
	ack(1, 0, last_seq(), 600);
	assert_memory_equal(&last(MR_DO_TUNNEL_PUT)->a.tunnel.remote, &d.has[1], 16);
	assert_memory_equal(&last_bu()->dst, &d.has[0], 16); /* the acknowledgement of the switch */
	assert_int_equal(last_bu()->m.bu.lifetime_s, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_request_asks_the_home_link_for_mobile_router_support),
		TEST(requests_are_repeated_four_times_with_doubling_waits),
		TEST(the_first_of_the_reply_is_registered_with),
		TEST(replies_that_do_not_match_are_ignored),
		TEST(unusable_addresses_of_a_reply_are_left_out),
		TEST(a_long_reply_gives_the_first_four),
		TEST(a_new_care_of_address_asks_anew),
		TEST(however_often_it_moves_one_request_a_second_is_the_most),
		TEST(a_silent_home_agent_is_passed_over_in_the_order_of_the_list),
		TEST(a_refusal_leads_to_the_next_after_a_second_and_a_half),
		TEST(one_that_serves_no_mobile_routers_is_left_and_others_are_looked_for),
		TEST(the_old_list_serves_when_nobody_answers),
		TEST(the_tunnel_stays_while_another_home_agent_is_looked_for),
		TEST(configured_home_agents_are_not_looked_for),
		TEST(nothing_is_asked_after_the_end),
		TEST(a_switch_without_addresses_starts_discovery),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
