/* test_reload.c - another configuration for a mobile router that runs: what is not concerned goes
 * on, and updates say what has changed at once. */
#include "mr/t/drive.h"

static struct next { /* the configuration that is to come, or runs */
	struct in6_addr has[MR_MAX_HAS];
	struct mr_uplink_conf uplinks[MR_MAX_UPLINKS];
	struct mr_network_conf networks[2];
	struct mr_known_conf known[2];
} v[2];
static unsigned turn;
static struct mr_conf to;
static struct next *next;

/* A copy of the configuration, to be changed. */
static void edit(void)
{
	next = &v[turn++ % 2];
	to = *d.mr->conf;
	memcpy(next->has, d.mr->has, d.mr->n_known * sizeof(next->has[0]));
	memcpy(next->uplinks, to.uplinks, to.n_uplinks * sizeof(next->uplinks[0]));
	memcpy(next->networks, to.networks, to.n_networks * sizeof(next->networks[0]));
	memcpy(next->known, to.known, to.n_known * sizeof(next->known[0]));
	to.has = next->has;
	to.uplinks = next->uplinks;
	to.networks = next->networks;
	to.known = next->known;
}

static void reload_with(bool new_keys)
{
	struct mr_event leave = {.type = MR_EV_LEAVE, .reload = {.conf = &to}};
	struct mr_event ev = {.type = MR_EV_RELOAD, .reload = {&to, new_keys}};

	forget();
	step(&leave);
	step(&ev);
	memset(d.uplinks, 0, sizeof(d.uplinks)); /* the one before is gone */
	memset(d.networks, 0, sizeof(d.networks));
	memset(&v[turn % 2], 0, sizeof(v[0]));
	assert_int_equal(d.mr->n_links, to.n_uplinks);
}

static void reload(void)
{
	reload_with(false);
}

static unsigned updates(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < d.n; i++)
		n += d.did[i].a.type == MR_DO_SEND_MH && d.did[i].a.mh.m.type == MH_BU;
	return n;
}

/* RFC 3963 s5.2: what is registered stays registered; nothing is sent, nothing installed. */
static void what_concerns_nothing_changes_nothing(void **state)
{
	(void)state;
	bind_at_a();
	edit();
	to.retransmit_ms = 300;
	to.next_ha_ms = 3000;
	to.heartbeat_misses = 7;
	next->has[1] = d.has[1]; /* a second home agent, behind the one that holds the binding */
	to.n_has = 2;
	reload();
	assert_int_equal(d.n, 0);
	assert_true(mr_bound(d.mr, d.now));
	assert_at(LINK_A);
	run(600000 / 4 * 3);
	assert_int_equal(asked(), 0); /* refreshed where it was */
	assert_int_equal(last_bu()->m.o.n_mnp, 1);
}

/* s5.2: every update carries all prefixes that are to be forwarded; s6.2: those missing are not any
 * more. */
static void a_network_more_and_a_network_less_is_told_at_once(void **state)
{
	(void)state;
	bind_at_a();
	edit();
	to.n_networks = 2;
	next->networks[1].prefix = P("2001:db8:100:2::/64");
	reload();
	assert_int_equal(updates(), 1);
	assert_int_equal(last_bu()->m.o.n_mnp, 2);
	assert_int_equal(last(MR_DO_TUNNEL_PUT)->a.tunnel.n_inner, 3); /* and the home address */
	assert_int_equal(count(MR_DO_TUNNEL_DROP), 0);
	assert_true(mr_bound(d.mr, d.now));
	ack(0, 0, last_seq(), 600);
	run(2000);
	edit();
	to.n_networks = 1;
	next->networks[0] = next->networks[1];
	reload();
	assert_int_equal(updates(), 1);
	assert_int_equal(last_bu()->m.o.n_mnp, 1);
	assert_true(prefix6_eq(&last_bu()->m.o.mnp[0], &next->networks[0].prefix));
	assert_int_equal(count(MR_DO_TUNNEL_DROP), 0);
}

/* In implicit mode the home agent knows without being told. */
static void a_network_in_implicit_mode_is_the_tunnels_only(void **state)
{
	(void)state;
	d.conf.mode = MR_IMPLICIT;
	drive_new();
	bind_at_a();
	edit();
	to.n_networks = 2;
	next->networks[1].prefix = P("2001:db8:100:2::/64");
	reload();
	assert_int_equal(updates(), 0);
	assert_int_equal(last(MR_DO_TUNNEL_PUT)->a.tunnel.n_inner, 3);
}

static void a_lifetime_a_mode_and_keys_are_told_at_once(void **state)
{
	(void)state;
	bind_at_a();
	edit();
	to.lifetime_s = 120;
	reload();
	assert_int_equal(updates(), 1);
	assert_int_equal(last_bu()->m.bu.lifetime_s, 120);
	ack(0, 0, last_seq(), 120);
	run(2000);
	edit();
	to.mode = MR_IMPLICIT;
	reload();
	assert_int_equal(updates(), 1);
	assert_int_equal(last_bu()->m.o.n_mnp, 0);
	ack(0, 0, last_seq(), 120);
	run(2000);
	edit();
	reload_with(true);
	assert_int_equal(updates(), 1);
	assert_int_equal(count(MR_DO_TUNNEL_DROP), 0);
}

/* RFC 5142 s6.1's order: the tunnel leads to the old one until the new one has accepted; then the
 * binding there is deleted. */
static void a_home_agent_that_is_no_longer_in_the_list_is_left(void **state)
{
	struct in6_addr gone = d.has[0];

	(void)state;
	bind_at_a();
	edit();
	next->has[0] = d.has[1];
	next->has[1] = d.has[2];
	to.n_has = 2;
	reload();
	assert_int_equal(updates(), 1);
	assert_int_equal(asked(), 1);
	assert_true(mr_bound(d.mr, d.now));
	assert_int_equal(count(MR_DO_TUNNEL_DROP), 0);
	run(400); /* its answer is lost */
	assert_int_equal(asked(), 1);
	assert_true(addr6_eq(&d.mr->has[d.mr->bul.bound_ha], &gone));
	move_to_b(); /* not back to who holds the binding (RFC 6275 s11.4.1), who is only told */
	assert_true(addr6_eq(&nth(MR_DO_SEND_MH, 2)->a.mh.dst, &gone));
	run(900);
	assert_int_not_equal(asked(), 0);
	ack(asked(), 0, last_seq(), 600);
	assert_false(addr6_eq(&last(MR_DO_TUNNEL_PUT)->a.tunnel.remote, &gone));
	run(3000);
	assert_true(addr6_eq(&last_bu()->dst, &gone));
	assert_int_equal(last_bu()->m.bu.lifetime_s, 0);
}

/* Acknowledges what was sent to the first home agent, as long as 'ms' go by. */
static void only_the_first_answers(uint64_t ms)
{
	for (uint64_t end = d.now + ms; d.now < end; run(10)) {
		unsigned n = d.n;

		for (unsigned i = 0; i < n; i++)
			if (d.did[i].a.type == MR_DO_SEND_MH &&
				addr6_eq(&d.did[i].a.mh.dst, &d.has[0]))
				ack(0, 0, d.did[i].a.mh.m.bu.seq, 60);
		assert_int_equal(count(MR_DO_TUNNEL_DROP), 0);
		forget();
	}
}

/* RFC 6275 s11.7.1, s11.7.2: the tunnel leads to who holds the binding; so that one is told of
 * moves, and the binding is refreshed, until another one has accepted. */
static void while_nobody_of_the_new_list_answers_the_old_one_is_told(void **state)
{
	struct prefix6 b = P(LINK_B);

	(void)state;
	d.conf.lifetime_s = 60;
	drive_new();
	bind_at_a();
	edit();
	next->has[0] = d.has[1];
	to.n_has = 1;
	reload();
	only_the_first_answers(300000); /* five lifetimes */
	assert_true(mr_bound(d.mr, d.now));
	migrated(0);
	ra(0, 2, 0xb1, LINK_B);
	assert_int_equal(nth(MR_DO_SEND_MH, 0)->a.mh.dst.s6_addr[15], 1);
	assert_true(prefix6_has(&b, &nth(MR_DO_SEND_MH, 0)->a.mh.m.o.alt_coa));
	assert_int_equal(nth(MR_DO_SEND_MH, 0)->a.mh.m.bu.lifetime_s, 60);
	assert_int_equal(last(MR_DO_TUNNEL_PUT)->a.tunnel.remote.s6_addr[15], 1);
	assert_true(prefix6_has(&b, &last(MR_DO_TUNNEL_PUT)->a.tunnel.local));
	run(1500); /* that one got lost */
	assert_true(updates() > 2);
	only_the_first_answers(300000);
	assert_true(mr_bound(d.mr, d.now));
	while (!count(MR_DO_SEND_MH) || asked() != 1)
		run(1000);
	ack(1, 0, last_seq(), 60);
	assert_int_equal(last(MR_DO_TUNNEL_PUT)->a.tunnel.remote.s6_addr[15], 2);
	run(2000);
	assert_int_equal(asked(), 0); /* and now it is left */
	assert_int_equal(last_bu()->m.bu.lifetime_s, 0);
	ack(0, 0, last_seq(), 0);
	run(45000);
	assert_int_equal(asked(), 1);
}

/* The file was changed before a restart, not before a reload. */
static void a_later_run_with_a_new_list_goes_on_with_the_old_one(void **state)
{
	struct prefix6 b = P(LINK_B);
	struct mr_kept kept;

	(void)state;
	bind_at_a();
	mr_keep(d.mr, &kept);
	drive_teardown(NULL);
	d.conf.has = &d.has[1];
	drive_new();
	mr_adopt(d.mr, d.now);
	mr_restore(d.mr, &kept, true, 0, d.now);
	mr_keep(d.mr, &kept);
	assert_true(kept.live && addr6_eq(&kept.ha, &d.has[0]));
	forget();
	carrier(0, true);
	ra(0, 2, 0xb1, LINK_B); /* it has moved, too */
	assert_int_equal(nth(MR_DO_SEND_MH, 0)->a.mh.dst.s6_addr[15], 1);
	assert_true(prefix6_has(&b, &nth(MR_DO_SEND_MH, 0)->a.mh.m.o.alt_coa));
	assert_int_equal(asked(), 1);
	assert_int_equal(last(MR_DO_TUNNEL_PUT)->a.tunnel.remote.s6_addr[15], 1);
	only_the_first_answers(700000); /* longer than a lifetime */
	assert_true(mr_bound(d.mr, d.now));
}

/* It has lost the binding, or would not have us any more. */
static void the_old_one_may_refuse(void **state)
{
	(void)state;
	bind_at_a();
	edit();
	next->has[0] = d.has[1];
	to.n_has = 1;
	reload();
	run(2000);
	forget();
	move_to_b();
	ack(0, MH_ST_PROHIBITED, nth(MR_DO_SEND_MH, 0)->a.mh.m.bu.seq, 0);
	assert_false(mr_bound(d.mr, d.now));
	assert_int_equal(count(MR_DO_TUNNEL_DROP), 1);
	assert_true(says(NOTE_MR_LEFT, "prohibited"));
	forget();
	run(600000);
	assert_int_equal(asked(), 1);
}

static void an_uplink_that_comes_is_looked_at_and_one_that_goes_is_given_up(void **state)
{
	struct in6_addr coa;

	(void)state;
	bind_at_a();
	edit();
	to.n_uplinks = 2;
	next->uplinks[1] = next->uplinks[0]; /* eth0 is the second one now */
	snprintf(next->uplinks[0].interface, IFNAMSIZ, "wwan0");
	next->uplinks[0].preference = 20;
	reload();
	assert_int_equal(updates(), 0);
	assert_int_equal(d.mr->bul.uplink, 1);
	/* Its default route gets another metric, the new one before the old one goes. */
	assert_int_equal(d.n, 2);
	assert_int_equal(d.did[0].a.type, MR_DO_ROUTER_PUT);
	assert_int_equal(d.did[1].a.type, MR_DO_ROUTER_DROP);
	assert_int_not_equal(d.did[0].a.metric, d.did[1].a.metric);
	assert_int_equal(d.did[1].a.uplink, 1);
	carrier(0, true);
	ra(0, 2, 0xb1, LINK_B);
	assert_at(LINK_B);
	ack(0, 0, last_seq(), 600);
	run(5000);
	coa = d.mr->bul.coa;
	edit();
	to.n_uplinks = 1;
	next->uplinks[0] = next->uplinks[1];
	reload(); /* the one in use goes */
	assert_at(LINK_A);
	assert_int_equal(last(MR_DO_COA_DROP)->a.uplink, 0);
	assert_true(addr6_eq(&last(MR_DO_COA_DROP)->a.addr, &coa));
	assert_int_equal(updates(), 1);
	for (unsigned i = 0, sent = 0; i < d.n; i++) { /* over to the other one first */
		sent |= d.did[i].a.type == MR_DO_SEND_MH;
		assert_true(sent || d.did[i].a.type != MR_DO_COA_DROP);
	}
	ack(0, 0, last_seq(), 600);
	assert_true(mr_bound(d.mr, d.now));
	assert_true(addr6_eq(&d.mr->bul.bound_coa, &d.mr->links[0].current.coa));
	assert_int_equal(d.mr->bul.uplink, 0);
	run(10000);
}

static void the_only_uplink_may_go_and_come_again(void **state)
{
	(void)state;
	bind_at_a();
	edit();
	snprintf(next->uplinks[0].interface, IFNAMSIZ, "wwan0");
	reload();
	assert_false(attached());
	assert_true(says(NOTE_MR_LOST, "no uplink"));
	carrier(0, true);
	ra(0, 2, 0xb1, LINK_B);
	assert_at(LINK_B);
	ack(0, 0, last_seq(), 600);
	assert_true(mr_bound(d.mr, d.now));
}

static void preferences_decide_at_once(void **state)
{
	(void)state;
	d.conf.n_uplinks = 2;
	drive_new();
	bind_at_a();
	carrier(1, true);
	ra(1, 2, 0xb1, LINK_B);
	run(2000);
	assert_at(LINK_A);
	edit();
	next->uplinks[1].preference = 30;
	reload();
	assert_at(LINK_B);
	assert_int_equal(updates(), 1);
	ack(1, 0, last_seq(), 600);
	edit();
	next->uplinks[1].preference = next->uplinks[0].preference;
	reload();
	assert_at(LINK_A); /* the first of equals, as the kernel's routes have it */
}

static void links_of_the_configuration_come_and_go(void **state)
{
	(void)state;
	bind_at_a();
	edit();
	to.n_known = 1;
	snprintf(next->known[0].uplink, IFNAMSIZ, "eth0");
	next->known[0].router = router_addr(2);
	memcpy(next->known[0].mac, (uint8_t[6]){2, [5] = 0xb1}, 6);
	next->known[0].prefix = P(LINK_B);
	reload();
	migrated(0);
	assert_true(probed(2));
	na(0, 2, 0xb1);
	assert_at(LINK_B); /* without an advertisement */
	ack(0, 0, last_seq(), 600);
	run(5000);
	edit();
	next->known[0].router = router_addr(3);
	reload();
	migrated(0);
	assert_true(probed(3) && probed(2)); /* that one was visited */
}

static void heartbeats_are_switched_on_off_and_hurried(void **state)
{
	(void)state;
	bind_at_a();
	assert_int_equal(mr_counter(d.mr, MR_C_hb_tx), 0);
	edit();
	to.heartbeat_s = 60;
	reload();
	assert_int_equal(mr_counter(d.mr, MR_C_hb_tx), 1);
	edit();
	to.heartbeat_s = 1;
	reload();
	run(1500);
	assert_int_equal(mr_counter(d.mr, MR_C_hb_tx), 2);
	edit();
	to.heartbeat_s = 0;
	reload();
	run(60000);
	assert_int_equal(mr_counter(d.mr, MR_C_hb_tx), 2);
}

/* RFC 3963 s5.4.2 has it stop for good; a corrected configuration is a reason to try again. */
static void who_was_refused_tries_again(void **state)
{
	(void)state;
	arrive_at_a();
	ack(0, MH_ST_PREFIX_NOT_AUTHORIZED, last_seq(), 0);
	run(60000);
	edit();
	reload();
	assert_int_equal(count(MR_DO_PREFIXES), 0); /* withdrawn they stay: nobody has taken them */
	ack(0, MH_ST_PREFIX_NOT_AUTHORIZED, last_seq(), 0);
	edit();
	next->networks[0].prefix = P("2001:db8:100:7::/64");
	reload();
	assert_int_equal(count(MR_DO_PREFIXES), 1); /* the former one's, by its name */
	assert_false(nth(MR_DO_PREFIXES, 0)->a.withdraw);
	assert_int_equal(updates(), 1);
	assert_true(prefix6_eq(&last_bu()->m.o.mnp[0], &next->networks[0].prefix));
}

static void home_agents_may_be_named_that_were_looked_for(void **state)
{
	(void)state;
	d.conf.n_has = 0;
	d.conf.home_prefix = P("2001:db8:1::/64");
	drive_new();
	arrive_at_a();
	assert_int_equal(count(MR_DO_SEND_ICMP6), 1);
	edit();
	next->has[0] = d.has[0];
	to.n_has = 1;
	reload();
	assert_int_equal(updates(), 1);
	assert_int_equal(asked(), 0);
	ack(0, 0, last_seq(), 600);
	edit();
	to.n_has = 0;
	reload(); /* the one that holds the binding does until something is wrong with it */
	assert_true(mr_bound(d.mr, d.now));
	assert_int_equal(d.n, 0);
}

/* RFC 6275 s11.5.5: at home nothing is registered; the networks' traffic takes the home link. */
static void at_home_a_network_more_is_routed(void **state)
{
	(void)state;
	d.conf.return_home = true;
	d.conf.home_prefix = P("2001:db8:100::/64");
	drive_new();
	carrier(0, true);
	ra(0, 9, 0x91, "2001:db8:100::/64");
	run(300); /* the home agent's link-layer address has had its time */
	ack(0, 0, last_seq(), 0);
	assert_int_equal(notes(NOTE_MR_HOME), 1);
	run(5000);
	edit();
	to.n_networks = 2;
	next->networks[1].prefix = P("2001:db8:100:2::/64");
	to.lifetime_s = 60;
	reload();
	assert_int_equal(updates(), 0);
	assert_int_equal(count(MR_DO_TUNNEL_PUT), 0);
	assert_int_equal(last(MR_DO_HOME)->a.home.op, MR_HOME_ROUTE);
	edit();
	snprintf(next->uplinks[0].interface, IFNAMSIZ, "eth7");
	reload(); /* the home link goes */
	assert_int_equal(last(MR_DO_HOME)->a.home.op, MR_HOME_END);
	carrier(0, true);
	ra(0, 1, 0xa1, LINK_A);
	assert_int_equal(last_bu()->m.bu.lifetime_s, 60);
	assert_int_equal(last_bu()->m.o.n_mnp, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DRIVE_TEST(what_concerns_nothing_changes_nothing),
		DRIVE_TEST(a_network_more_and_a_network_less_is_told_at_once),
		DRIVE_TEST_CONF(a_network_in_implicit_mode_is_the_tunnels_only),
		DRIVE_TEST(a_lifetime_a_mode_and_keys_are_told_at_once),
		DRIVE_TEST(a_home_agent_that_is_no_longer_in_the_list_is_left),
		DRIVE_TEST_CONF(while_nobody_of_the_new_list_answers_the_old_one_is_told),
		DRIVE_TEST(a_later_run_with_a_new_list_goes_on_with_the_old_one),
		DRIVE_TEST(the_old_one_may_refuse),
		DRIVE_TEST(an_uplink_that_comes_is_looked_at_and_one_that_goes_is_given_up),
		DRIVE_TEST(the_only_uplink_may_go_and_come_again),
		DRIVE_TEST_CONF(preferences_decide_at_once),
		DRIVE_TEST(links_of_the_configuration_come_and_go),
		DRIVE_TEST(heartbeats_are_switched_on_off_and_hurried),
		DRIVE_TEST(who_was_refused_tries_again),
		DRIVE_TEST_CONF(home_agents_may_be_named_that_were_looked_for),
		DRIVE_TEST_CONF(at_home_a_network_more_is_routed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
