/* test_athome.c - coming home, being there, leaving: what is done in which order (RFC 6275 s11.5.5,
 * RFC 3963 s5.6-5.8).
 *
 *   home link 2001:db8:100::/64 (router 9); home agent 2001:db8:1::1, or on the home link ::ff */
#include "mr/t/drive.h"

#define HOME "2001:db8:100::/64"

static int setup(void **state)
{
	(void)state;
	drive_conf();
	d.conf.home_prefix = P(HOME);
	d.conf.return_home = true;
	drive_new();
	return 0;
}

static int setup_on_link(void **state) /* the home agent's address is one of the home link */
{
	setup(state);
	drive_teardown(NULL);
	d.has[0] = A("2001:db8:100::ff");
	drive_new();
	return 0;
}

/* --- what goes in --- */

static void home_ra(unsigned uplink)
{
	ra(uplink, 9, 0x91, HOME);
}

/* The advertisement carries its sender's address, the home agent's. */
static void home_agent_ra(void)
{
	struct mr_event ev = ra_event(0, 9, 0x91, HOME, 1800);

	ev.nd.msg.ra.prefix[0].router_addr = true;
	ev.nd.msg.ra.prefix[0].addr = d.has[0];
	step(&ev);
}

static struct mr_event home_ack_event(uint8_t status)
{
	struct mr_event ev = ack_event(0, status, d.mr->bul.seq, 0);

	ev.mh.dst = d.conf.hoa;
	memset(&ev.mh.hoa, 0, sizeof(ev.mh.hoa)); /* no routing header */
	return ev;
}

static void home_ack(uint8_t status)
{
	struct mr_event ev = home_ack_event(status);

	step(&ev);
}

/* The home agent's proxy says where packets for the home address go. */
static void proxy_na(void)
{
	struct mr_event ev = nd_event(NDP_NA, 0, 9, 0x91);

	ev.nd.msg.target = d.conf.hoa;
	ev.nd.msg.has_lladdr = true;
	memcpy(ev.nd.msg.lladdr, (uint8_t[]){2, 0, 0, 0, 0, 0xfa}, 6);
	step(&ev);
}

static void come_home(void)
{
	migrated(0);
	home_ra(0);
}

/* --- what comes out --- */

static unsigned ops(enum mr_home_op op)
{
	unsigned n = 0;

	for (unsigned i = 0; i < d.n; i++)
		n += d.did[i].a.type == MR_DO_HOME && d.did[i].a.home.op == op;
	return n;
}

static unsigned place(enum mr_action_type type, enum mr_home_op op)
{
	for (unsigned i = 0; i < d.n; i++)
		if (d.did[i].a.type == type && (type != MR_DO_HOME || d.did[i].a.home.op == op))
			return i;
	fail_msg("not done");
	return 0;
}

static const struct mr_action *op_done(enum mr_home_op op)
{
	return &d.did[place(MR_DO_HOME, op)].a;
}

static const char *state(void)
{
	static char text[32];
	json_t *s = mr_show(d.mr, d.now);

	snprintf(text, sizeof(text), "%s", json_string_value(json_object_get(s, "state")));
	json_decref(s);
	return text;
}

/* --- coming home --- */

static void the_home_prefix_leads_to_a_deregistration(void **state_) /* s11.5.5 */
{
	(void)state_;
	bind_at_a();
	come_home();
	assert_int_equal(count(MR_DO_SEND_MH), 1);
	assert_memory_equal(&last_bu()->src, &d.conf.hoa, 16);
	assert_memory_equal(&last_bu()->dst, &d.has[0], 16);
	assert_true(addr6_is_any(&last_bu()->hoa)); /* it is the source */
	assert_true(addr6_is_any(&last_bu()->m.o.alt_coa));
	assert_int_equal(last_bu()->m.bu.lifetime_s, 0);
	assert_int_equal(last_bu()->m.bu.flags & (MH_BU_A | MH_BU_H), MH_BU_A | MH_BU_H);
	assert_int_equal(last_bu()->m.o.n_mnp, 0); /* RFC 3963 s5.8 */
	assert_int_equal(count(MR_DO_COA_PUT), 0);
	/* On the interface with the update, not tested: the home agent still defends it. */
	assert_int_equal(place(MR_DO_HOME, MR_HOME_ADDR) + 1, place(MR_DO_SEND_MH, 0));
	assert_true(op_done(MR_HOME_ADDR)->verified);
	/* The tunnel is there until the answer, and nobody was told anything. */
	assert_int_equal(count(MR_DO_TUNNEL_PUT) + count(MR_DO_TUNNEL_DROP), 0);
	assert_int_equal(ops(MR_HOME_ROUTE) + ops(MR_HOME_ANNOUNCE), 0);
}

static void the_answer_ends_the_tunnel_and_is_announced(void **state_) /* s11.5.5 */
{
	(void)state_;
	bind_at_a();
	come_home();
	forget();
	home_ack(0);
	assert_true(place(MR_DO_TUNNEL_DROP, 0) < place(MR_DO_HOME, MR_HOME_ROUTE));
	assert_true(place(MR_DO_HOME, MR_HOME_ROUTE) < place(MR_DO_HOME, MR_HOME_ANNOUNCE));
	assert_int_equal(ops(MR_HOME_ADDR), 0); /* no detection of duplicates */
	assert_int_equal(notes(NOTE_MR_HOME), 1);
	assert_string_equal(state(), "at home");
	assert_false(mr_bound(d.mr, d.now));
	run(1000 * 60 * 60);
	assert_int_equal(ops(MR_HOME_ANNOUNCE), 3); /* MAX_NEIGHBOR_ADVERTISEMENT */
	assert_int_equal(nth(MR_DO_HOME, 2)->at - nth(MR_DO_HOME, 1)->at, 1000);
	assert_int_equal(count(MR_DO_SEND_MH), 0); /* nothing is refreshed */
}

static void only_the_answer_to_the_home_address_counts(void **state_)
{
	struct mr_event ev;

	(void)state_;
	bind_at_a();
	come_home();
	ev = home_ack_event(0);
	ev.mh.dst = A("2001:db8:100::2");
	step(&ev);
	ev = home_ack_event(0);
	ev.mh.src = A("2001:db8:1::99");
	step(&ev);
	ev = home_ack_event(0);
	ev.mh.m.ba.seq += 5;
	step(&ev);
	assert_string_equal(state(), "closing");
	assert_int_equal(count(MR_DO_TUNNEL_DROP), 0);
}

static void an_update_that_is_not_answered_is_repeated_while_a_binding_may_live(void **state_)
{
	(void)state_;
	bind_at_a();
	come_home();
	run(590000); /* the binding was granted for 600 s, 5 s of them before */
	assert_string_equal(state(), "closing");
	assert_true(count(MR_DO_SEND_MH) > 10);
	assert_int_equal(ops(MR_HOME_ROUTE), 0);
	run(60000);
	assert_string_equal(state(), "at home");
	/* s11.5.5: all bindings have expired, so the address is tested. */
	assert_false(last(MR_DO_HOME)->a.verified);
}

static void without_a_binding_the_address_is_tested(void **state_) /* s11.5.5 */
{
	(void)state_;
	carrier(0, true);
	home_ra(0);
	home_ack(MH_ST_NOT_HA);
	assert_string_equal(state(), "at home");
	assert_int_equal(ops(MR_HOME_ADDR), 2);
	assert_true(nth(MR_DO_HOME, 1)->a.verified);
	assert_true(place(MR_DO_HOME, MR_HOME_ADDR) < place(MR_DO_SEND_MH, 0));
	for (unsigned i = d.n; i-- > 0;) {
		if (d.did[i].a.type == MR_DO_HOME && d.did[i].a.home.op == MR_HOME_ADDR) {
			assert_false(d.did[i].a.verified);
			break;
		}
	}
}

static void a_duplicate_at_home_waits_for_the_operator(void **state_)
{
	struct mr_event ev = {.type = MR_EV_ADDR}, again = {.type = MR_EV_REHOME};

	(void)state_;
	carrier(0, true);
	home_ra(0);
	home_ack(MH_ST_NOT_HA);
	forget();
	ev.addr = d.conf.hoa;
	step(&ev);
	assert_int_equal(ops(MR_HOME_END), 1);
	assert_int_equal(notes(NOTE_MR_DAD_FAILED), 1);
	run(10000);
	assert_int_equal(ops(MR_HOME_ANNOUNCE), 0);
	assert_int_equal(count(MR_DO_SEND_MH), 0);
	step(&again);
	assert_int_equal(count(MR_DO_SEND_MH), 1);
	home_ack(MH_ST_NOT_HA);
	assert_int_equal(ops(MR_HOME_ROUTE), 1);
}

static void the_home_agents_number_is_taken_at_home_too(void **state_) /* s11.7.3 */
{
	struct mr_event ev;
	uint16_t ours;

	(void)state_;
	bind_at_a();
	come_home();
	ours = last_seq();
	ev = home_ack_event(MH_ST_SEQ_WINDOW);
	ev.mh.m.ba.seq = (uint16_t)(ours + 100);
	forget();
	step(&ev);
	run(1100);
	assert_int_equal(nth(MR_DO_SEND_MH, 0)->a.mh.m.bu.seq, (uint16_t)(ours + 101));
	assert_memory_equal(&last_bu()->src, &d.conf.hoa, 16);
}

/* --- the home agent's link-layer address --- */

static void the_home_agents_advertisement_tells_its_address(void **state_) /* s11.5.5 */
{
	(void)state_;
	bind_at_a();
	migrated(0);
	home_agent_ra();
	assert_int_equal(ops(MR_HOME_ASK), 0);
	const struct mr_action *a = op_done(MR_HOME_LINK);

	assert_true(a->verified);
	assert_int_equal(a->mac[5], 0x91);
	assert_memory_equal(&a->router, &d.has[0], 16);
	assert_true(place(MR_DO_HOME, MR_HOME_LINK) < place(MR_DO_SEND_MH, 0));
}

static void another_routers_advertisement_makes_it_ask(void **state_) /* s11.5.5 */
{
	(void)state_;
	bind_at_a();
	come_home();
	assert_int_equal(ops(MR_HOME_ASK), 1);
	assert_int_equal(ops(MR_HOME_ADDR), 0);
	assert_int_equal(count(MR_DO_SEND_MH), 0);
	proxy_na();
	assert_int_equal(op_done(MR_HOME_LINK)->mac[5], 0xfa);
	assert_int_equal(count(MR_DO_SEND_MH), 1);
	proxy_na(); /* it may come more than once */
	assert_int_equal(count(MR_DO_SEND_MH), 1);
	assert_int_equal(ops(MR_HOME_LINK), 1);
}

static void without_an_answer_it_goes_on(void **state_)
{
	(void)state_;
	bind_at_a();
	come_home();
	run(199);
	assert_int_equal(count(MR_DO_SEND_MH), 0);
	run(1);
	assert_int_equal(count(MR_DO_SEND_MH), 1);
	assert_false(op_done(MR_HOME_LINK)->verified);
}

/* --- leaving, and what is not home --- */

static void leaving_takes_everything_back_and_registers(void **state_) /* RFC 3963 s5.8 */
{
	(void)state_;
	bind_at_a();
	come_home();
	home_ack(0);
	run(5000);
	forget();
	migrated(0);
	ra(0, 2, 0xb1, LINK_B);
	assert_int_equal(ops(MR_HOME_END), 1);
	assert_true(place(MR_DO_HOME, MR_HOME_END) < place(MR_DO_COA_PUT, 0));
	assert_at(LINK_B);
	assert_int_equal(last_bu()->m.bu.lifetime_s, 600);
	assert_memory_equal(&last_bu()->hoa, &d.conf.hoa, 16);
	assert_int_equal(count(MR_DO_TUNNEL_PUT), 0); /* not before the answer */
	ack(0, 0, last_seq(), 600);
	assert_int_equal(count(MR_DO_TUNNEL_PUT), 1);
	for (unsigned i = 0; i < d.n; i++) /* the home address is no care-of address that lingers */
		assert_false(d.did[i].a.type == MR_DO_COA_DROP &&
			     addr6_eq(&d.did[i].a.addr, &d.conf.hoa));
	come_home();
	home_ack(0);
	assert_string_equal(state(), "at home");
}

static void leaving_before_the_answer_registers_too(void **state_)
{
	(void)state_;
	bind_at_a();
	come_home();
	forget();
	migrated(0);
	ra(0, 1, 0xa1, LINK_A);
	assert_int_equal(ops(MR_HOME_END), 1);
	run(1100); /* the limit of three a second */
	assert_int_equal(last_bu()->m.bu.lifetime_s, 600);
	ack(0, 0, last_seq(), 600);
	assert_string_equal(state(), "bound");
}

static void a_lost_carrier_at_home_ends_it(void **state_)
{
	(void)state_;
	bind_at_a();
	come_home();
	home_ack(0);
	forget();
	carrier(0, false);
	assert_int_equal(ops(MR_HOME_END), 1);
	assert_string_equal(state(), "no link");
	run(10000);
	assert_int_equal(ops(MR_HOME_ANNOUNCE), 0);
	carrier(0, true);
	home_ra(0);
	assert_memory_equal(&last_bu()->src, &d.conf.hoa, 16);
}

static void another_router_of_the_home_link_takes_over(void **state_)
{
	(void)state_;
	bind_at_a();
	come_home();
	home_ack(0);
	run(5000);
	forget();
	migrated(0);
	ra(0, 8, 0x81, HOME);
	assert_int_equal(count(MR_DO_SEND_MH), 0);
	assert_int_equal(ops(MR_HOME_END), 0);
	assert_int_equal(ops(MR_HOME_ROUTE), 1);
	struct in6_addr router = router_addr(8);
	assert_memory_equal(&op_done(MR_HOME_ROUTE)->router, &router, 16);
	assert_string_equal(state(), "at home");
}

static void an_uplink_at_home_that_is_not_in_use_changes_nothing(void **state_)
{
	(void)state_;
	drive_teardown(NULL);
	d.conf.n_uplinks = 2;
	d.uplinks[0].preference = 20;
	drive_new();
	bind_at_a();
	carrier(1, true);
	home_ra(1);
	assert_int_equal(count(MR_DO_HOME), 0);
	assert_string_equal(state(), "bound");
	carrier(0, false); /* now it is the best */
	run(1100);
	assert_int_equal(last_bu()->m.bu.lifetime_s, 0);
	home_ack(0);
	assert_string_equal(state(), "at home");
	forget();
	carrier(0, true);
	ra(0, 1, 0xa1, LINK_A);
	assert_int_equal(ops(MR_HOME_END), 1);
	assert_at(LINK_A);
}

static void what_is_no_home_link(void **state_)
{
	struct mr_event ev = ra_event(0, 9, 0x91, HOME, 1800);

	(void)state_;
	bind_at_a();
	migrated(0);
	ev.nd.msg.ra.prefix[0].on_link = false;
	step(&ev);
	ra(0, 9, 0x91, "2001:db8:100::/56"); /* another prefix with the home address in it */
	assert_int_equal(count(MR_DO_HOME), 0);
	assert_at(LINK_A);
}

static void only_if_configured_it_is_ever_at_home(void **state_)
{
	(void)state_;
	drive_teardown(NULL);
	d.conf.return_home = false;
	drive_new();
	bind_at_a();
	come_home();
	run(5000);
	assert_int_equal(count(MR_DO_HOME), 0);
}

static void a_refused_home_address_is_not_used_at_home(void **state_) /* s11.7.1 */
{
	struct mr_event again = {.type = MR_EV_REHOME};

	(void)state_;
	carrier(0, true);
	ra(0, 1, 0xa1, LINK_A);
	ack(0, MH_ST_DAD_FAILED, last_seq(), 0);
	assert_string_equal(state(), "refused");
	forget();
	come_home();
	run(5000);
	assert_int_equal(count(MR_DO_HOME) + count(MR_DO_SEND_MH), 0);
	step(&again);
	home_ack(MH_ST_NOT_HA);
	assert_string_equal(state(), "at home");
}

static void before_any_home_agent_was_found_the_address_is_tested_at_home(void **state_)
{
	(void)state_;
	drive_teardown(NULL);
	d.conf.n_has = 0; /* to be discovered */
	drive_new();
	carrier(0, true);
	home_ra(0);
	assert_string_equal(state(), "at home");
	assert_int_equal(count(MR_DO_SEND_MH) + count(MR_DO_SEND_ICMP6), 0);
	assert_false(op_done(MR_HOME_ADDR)->verified);
	migrated(0);
	ra(0, 1, 0xa1, LINK_A);
	assert_int_equal(count(MR_DO_SEND_ICMP6), 1);
}

static void a_stop_at_home_ends_it(void **state_)
{
	struct mr_event stop = {.type = MR_EV_STOP};

	(void)state_;
	bind_at_a();
	come_home();
	home_ack(0);
	forget();
	step(&stop);
	assert_int_equal(ops(MR_HOME_END), 1);
	assert_int_equal(count(MR_DO_EXIT), 1);
	assert_int_equal(count(MR_DO_SEND_MH), 0);
}

#define TEST(name)    cmocka_unit_test_setup_teardown(name, setup, drive_teardown)
#define ON_LINK(name) cmocka_unit_test_setup_teardown(name, setup_on_link, drive_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_home_prefix_leads_to_a_deregistration),
		TEST(the_answer_ends_the_tunnel_and_is_announced),
		TEST(only_the_answer_to_the_home_address_counts),
		TEST(an_update_that_is_not_answered_is_repeated_while_a_binding_may_live),
		TEST(without_a_binding_the_address_is_tested),
		TEST(a_duplicate_at_home_waits_for_the_operator),
		TEST(the_home_agents_number_is_taken_at_home_too),
		ON_LINK(the_home_agents_advertisement_tells_its_address),
		ON_LINK(another_routers_advertisement_makes_it_ask),
		ON_LINK(without_an_answer_it_goes_on),
		TEST(leaving_takes_everything_back_and_registers),
		TEST(leaving_before_the_answer_registers_too),
		TEST(a_lost_carrier_at_home_ends_it),
		TEST(another_router_of_the_home_link_takes_over),
		TEST(an_uplink_at_home_that_is_not_in_use_changes_nothing),
		TEST(what_is_no_home_link),
		TEST(only_if_configured_it_is_ever_at_home),
		TEST(a_refused_home_address_is_not_used_at_home),
		TEST(before_any_home_agent_was_found_the_address_is_tested_at_home),
		TEST(a_stop_at_home_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
