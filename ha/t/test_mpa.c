/* test_mpa.c - prefix advertisements to routers away from home (RFC 6275 s6.7, s6.8, s10.6).
 *
 *   home link 2001:db8:100::/64, ourselves 2001:db8:100::a
 *   router 0  2001:db8:100::1      router 1  2001:db8:101::1 (another home prefix) */
#include "common/wire/t/packet.h"
#include "ha/binding.h"

#define MIN_S 600
#define MAX_S 86400

static struct prefix6 home[2], nets[2];
static struct ha_router routers[2];
static struct ha_conf conf;
static struct ha *ha;
static struct ha_out out;
static uint64_t now;

static struct { /* advertisements sent */
	uint64_t at;
	struct icmp6_msg m;
} sent[256];
static unsigned n_sent, n_be;

static const char *const COA = "2001:db8:a::2", *const COA2 = "2001:db8:b::2";

static int setup(void **state)
{
	(void)state;
	home[0] = P("2001:db8:100::/64");
	home[1] = P("2001:db8:101::/64");
	for (unsigned i = 0; i < 2; i++) {
		memset(&routers[i], 0, sizeof(routers[i]));
		nets[i] = P(i ? "2001:db8:300::/64" : "2001:db8:200::/64");
		routers[i].hoa = A(i ? "2001:db8:101::1" : "2001:db8:100::1");
		routers[i].n_prefixes = 1;
		routers[i].prefixes = &nets[i];
		routers[i].mobile_router = true;
		routers[i].tenant_id = 1;
	}
	conf = (struct ha_conf){.address = A("2001:db8:100::a"),
		.n_home = 2,
		.home = home,
		.n_routers = 2,
		.routers = routers,
		.max_lifetime_s = 262140,
		.mpa = true,
		.mpa_min_s = MIN_S,
		.mpa_max_s = MAX_S};
	ha = ha_new(&conf);
	assert_non_null(ha);
	ha_seed(ha, 1);
	now = 1000000;
	n_sent = n_be = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ha_free(ha);
	return 0;
}

static void step(const struct ha_event *ev)
{
	ha_step(ha, ev, now, &out);
	for (unsigned i = 0; i < out.n; i++) {
		n_be += out.v[i].type == HA_DO_SEND && out.v[i].mh.m.type == MH_BE;
		if (out.v[i].type != HA_DO_SEND_ICMP6)
			continue;
		assert_true(n_sent < N_OF(sent));
		sent[n_sent].at = now;
		sent[n_sent++].m = out.v[i].icmp6;
	}
}

static void run(uint64_t ms)
{
	struct ha_event tick = {.type = HA_EV_TICK};
	uint64_t until = now + ms;

	while (ha_deadline(ha) <= until) {
		if (ha_deadline(ha) > now)
			now = ha_deadline(ha);
		step(&tick);
	}
	now = until;
}

static uint16_t seq;

static void update(unsigned i, const char *coa, uint32_t lifetime_s)
{
	struct ha_event ev = {.type = HA_EV_MH};

	ev.mh.src = A(coa);
	ev.mh.dst = conf.address;
	ev.mh.hoa = routers[i].hoa;
	ev.mh.m.type = MH_BU;
	ev.mh.m.bu = (struct mh_bu){++seq, MH_BU_A | MH_BU_H | MH_BU_R, lifetime_s};
	step(&ev);
}

static void solicit(unsigned i, const char *coa, uint16_t id)
{
	struct ha_event ev = {.type = HA_EV_ICMP6};

	ev.icmp6.type = ICMP6_MPS;
	ev.icmp6.src = A(coa);
	ev.icmp6.dst = conf.address;
	ev.icmp6.hoa = routers[i].hoa;
	ev.icmp6.id = id;
	step(&ev);
}

/* Binds router 'i', has it told, and forgets about that. */
static void bind_here(unsigned i)
{
	update(i, COA, 262140);
	solicit(i, COA, 1);
	run(1000);
	n_sent = 0;
}

static void hear(const char *prefix, uint32_t valid_s, uint32_t preferred_s, bool autonomous)
{
	struct ha_event ev = {.type = HA_EV_ND};

	ev.nd.msg.type = NDP_RA;
	ev.nd.msg.src = A("fe80::1");
	ev.nd.msg.ra.n_prefix = 1;
	ev.nd.msg.ra.managed = ev.nd.msg.ra.other = true;
	ev.nd.msg.ra.prefix[0] = (struct ndp_prefix){.prefix = P(prefix),
		.addr = P(prefix).addr,
		.on_link = true,
		.autonomous = autonomous,
		.valid_s = valid_s,
		.preferred_s = preferred_s};
	step(&ev);
}

static void a_solicitation_is_answered_at_once(void **state) /* s6.8, s10.6.2, s10.6.3 */
{
	struct in6_addr coa = A(COA);
	const struct icmp6_msg *m = &sent[0].m;

	(void)state;
	update(0, COA, 600);
	solicit(0, COA, 0x4711);
	assert_int_equal(n_sent, 1);
	assert_int_equal(m->type, ICMP6_MPA);
	assert_int_equal(m->id, 0x4711);
	assert_memory_equal(&m->src, &conf.address, 16);
	assert_memory_equal(&m->dst, &coa, 16);
	assert_memory_equal(&m->hoa, &routers[0].hoa, 16);
	assert_false(m->managed || m->other);
	assert_int_equal(m->n_prefix, 2);
	assert_true(prefix6_eq(&m->prefix[0].prefix, &home[0]));
	assert_true(prefix6_eq(&m->prefix[1].prefix, &home[1]));
	assert_int_equal(m->prefix[0].valid_s, UINT32_MAX);
	assert_int_equal(m->prefix[0].preferred_s, UINT32_MAX);
	assert_true(m->prefix[0].router_addr);
	assert_memory_equal(&m->prefix[0].addr, &conf.address, 16);
	assert_false(m->prefix[1].router_addr);
}

static void lifetimes_are_what_is_left_of_those_on_the_home_link(void **state)
{
	(void)state;
	hear("2001:db8:100::/64", 86400, 14400, true);
	update(0, COA, 600);
	now += 100000;
	solicit(0, COA, 1);
	assert_int_equal(sent[0].m.prefix[0].valid_s, 86300);
	assert_int_equal(sent[0].m.prefix[0].preferred_s, 14300);
	assert_true(sent[0].m.prefix[0].on_link && sent[0].m.prefix[0].autonomous);
	assert_false(sent[0].m.managed || sent[0].m.other); /* no DHCPv6 for those away */
}

static void not_more_than_one_a_second_goes_to_a_router(void **state) /* s6.8 */
{
	(void)state;
	update(0, COA, 600);
	update(1, COA2, 600);
	solicit(0, COA, 1);
	solicit(0, COA, 2);
	solicit(0, COA, 3);
	solicit(1, COA2, 4); /* another router's own second */
	assert_int_equal(n_sent, 2);
	run(999);
	assert_int_equal(n_sent, 2);
	run(1);
	assert_int_equal(n_sent, 3);
	assert_int_equal(sent[2].m.id, 3); /* the latest */
	run(5000);
	assert_int_equal(n_sent, 3);
}

static void nor_when_an_answer_and_one_unasked_meet(void **state)
{
	(void)state;
	conf.mpa_min_s = 0;
	conf.mpa_max_s = 1;
	update(0, COA, 262140);
	for (uint16_t id = 0; id < 200; id++) {
		solicit(0, COA, id);
		run(id % 7 * 130);
		if (id % 5 == 0)
			hear("2001:db8:100::/64", 1000000 + id, 900000, true);
	}
	for (unsigned i = 1; i < n_sent; i++)
		assert_true(sent[i].at >= sent[i - 1].at + 1000);
}

static void strangers_get_a_binding_error(void **state) /* s9.3.1 */
{
	struct ha_event ev = {.type = HA_EV_ICMP6};

	(void)state;
	solicit(0, COA, 1); /* not bound */
	update(0, COA, 600);
	solicit(0, COA2, 1); /* bound elsewhere */
	assert_int_equal(n_be, 2);
	assert_int_equal(out.v[0].mh.m.be.status, 1);
	assert_memory_equal(&out.v[0].mh.m.be.hoa, &routers[0].hoa, 16);
	assert_true(addr6_is_any(&out.v[0].mh.hoa));
	ev.icmp6.type = ICMP6_MPS; /* without a Home Address option: nothing */
	ev.icmp6.src = A(COA);
	ev.icmp6.dst = conf.address;
	step(&ev);
	assert_int_equal(n_be, 2);
	assert_int_equal(n_sent, 0);
	assert_int_equal(ha_counter(ha, HA_C_mps_dropped), 3);
}

static void a_change_is_told_after_a_random_delay(void **state) /* s10.6.2 */
{
	uint64_t t0, least = UINT64_MAX, most = 0;
	struct in6_addr coa = A(COA);

	(void)state;
	for (unsigned i = 0; i < 40; i++) {
		bind_here(0);
		t0 = now;
		hear("2001:db8:100::/64", 1000000 + i, 900000 + i, true);
		while (n_sent == 0)
			run(1000);
		assert_memory_equal(&sent[0].m.dst, &coa, 16);
		assert_memory_equal(&sent[0].m.hoa, &routers[0].hoa, 16);
		least = ha_min(least, sent[0].at - t0);
		most = sent[0].at - t0 > most ? sent[0].at - t0 : most;
	}
	assert_in_range(least, MIN_S * 1000, MIN_S * 1000 + 15000000);
	assert_in_range(most, MAX_S * 1000 - 15000000, MAX_S * 1000);
}

static void the_delay_ends_with_the_preferred_lifetime(void **state) /* MaxScheduleDelay */
{
	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		uint64_t t0;

		bind_here(0);
		t0 = now;
		hear("2001:db8:100::/64", 1000000 + i, 700, true);
		hear("2001:db8:100::/64", 1000000 + i, 700, true);
		while (n_sent == 0)
			run(1000);
		assert_in_range(sent[0].at - t0, MIN_S * 1000, 700000);
		hear("2001:db8:100::/64", 1000000, 900000, true);
	}
	for (unsigned i = 0; i < 20; i++) { /* sooner than that it has to be told before */
		uint64_t t0;

		bind_here(0);
		t0 = now;
		hear("2001:db8:100::/64", 1000000, 100 + i, true);
		while (n_sent == 0)
			run(1000);
		assert_in_range(sent[0].at - t0, 0, 60000);
	}
}

static void what_changes_and_what_does_not(void **state)
{
	(void)state;
	hear("2001:db8:100::/64", 86400, 14400, true);
	bind_here(0);
	now += 10000;
	hear("2001:db8:100::/64", 86400, 14400, true); /* the same again */
	now += 10000;
	hear("2001:db8:100::/64", 86390, 14390, true); /* counted down */
	hear("2001:db8:101::/64", 86400, 14400, true); /* not its prefix */
	assert_int_equal(ha->peers[0].mpa.left, 0);
	hear("2001:db8:100::/64", 86390, 14390, false); /* a flag */
	assert_int_equal(ha->peers[0].mpa.left, 4);
	bind_here(0);
	hear("2001:db8:100::/64", 80000, 14390, false);
	assert_int_equal(ha->peers[0].mpa.left, 4);
	bind_here(0);
	hear("2001:db8:102::/64", 80000, 14390, true); /* a new one on the link */
	assert_int_equal(ha->peers[0].mpa.left, 4);
}

static void unacknowledged_it_is_repeated_three_times(void **state) /* s10.6.2 */
{
	(void)state;
	bind_here(0);
	hear("2001:db8:100::/64", 1000000, 900000, true);
	while (n_sent == 0)
		run(1000);
	run(40000);
	assert_int_equal(n_sent, 4);
	assert_int_equal(sent[1].at - sent[0].at, 3000);
	assert_int_equal(sent[2].at - sent[1].at, 6000);
	assert_int_equal(sent[3].at - sent[2].at, 12000);
	update(0, COA, 262140); /* begins again */
	run(0);
	assert_int_equal(n_sent, 5);
	run(3000);
	assert_int_equal(n_sent, 6);
}

static void a_solicitation_acknowledges_it(void **state)
{
	(void)state;
	bind_here(0);
	hear("2001:db8:100::/64", 1000000, 900000, true);
	while (n_sent == 0)
		run(1000);
	run(1000);
	solicit(0, COA, 77);
	assert_int_equal(n_sent, 2);
	assert_int_equal(sent[1].m.id, 77);
	run(60000);
	assert_int_equal(n_sent, 2);
}

static void a_further_change_goes_into_the_same_one(void **state)
{
	uint64_t at;

	(void)state;
	bind_here(0);
	hear("2001:db8:100::/64", 1000000, 900000, true);
	at = ha->peers[0].mpa.at;
	hear("2001:db8:102::/64", 1000000, 900000, true);
	assert_int_equal(ha->peers[0].mpa.at, at); /* replaced, at the scheduled time */
	while (n_sent == 0)
		run(1000);
	assert_int_equal(sent[0].m.n_prefix, 3);
	run(2999);
	hear("2001:db8:103::/64", 1000000, 900000, true);
	run(40000); /* and the repetitions begin anew */
	assert_int_equal(n_sent, 5);
	assert_int_equal(sent[1].m.n_prefix, 4);
}

static void nothing_is_told_when_the_binding_is_over(void **state)
{
	(void)state;
	bind_here(0);
	hear("2001:db8:100::/64", 1000000, 900000, true);
	update(0, COA, 0);
	run(2 * MAX_S * 1000ull);
	assert_int_equal(n_sent, 0);
	update(0, COA, 600);
	hear("2001:db8:100::/64", 1000000, 800000, true);
	run(2 * MAX_S * 1000ull); /* expired long before */
	assert_int_equal(n_sent, ha->peers[0].mpa.left ? n_sent : 0);
}

static void a_bound_router_is_told_once_a_day(void **state) /* MaxMobPfxAdvInterval */
{
	(void)state;
	bind_here(0);
	run(MAX_S * 1000ull + 1000);
	assert_int_equal(n_sent, 0); /* due, after a random delay */
	run(MAX_S * 1000ull);
	assert_in_range(n_sent, 1, 4);
}

static void it_can_be_switched_off(void **state) /* s8.4 */
{
	(void)state;
	conf.mpa = false;
	update(0, COA, 262140);
	solicit(0, COA, 1);
	hear("2001:db8:100::/64", 1000000, 900000, true);
	run(2 * MAX_S * 1000ull);
	assert_int_equal(n_sent, 0);
	assert_int_equal(n_be, 0);
}

static void a_reload_can_switch_it_off(void **state)
{
	(void)state;
	update(0, COA, 262140);
	update(1, COA, 262140);
	solicit(1, COA, 1);
	solicit(1, COA, 2); /* to be answered in a second */
	n_sent = 0;
	conf.mpa = false;
	run(2 * MAX_S * 1000ull);
	assert_int_equal(n_sent, 0);
	conf.mpa = true;
	update(0, COA, 262140); /* and on again: from its next update on */
	run(2 * MAX_S * 1000ull);
	assert_true(n_sent > 0);
}

static void a_prefix_that_is_over_leaves_the_list(void **state)
{
	(void)state;
	hear("2001:db8:102::/64", 10, 10, true);
	update(0, COA, 600);
	solicit(0, COA, 1);
	assert_int_equal(sent[0].m.n_prefix, 3);
	now += 10000;
	solicit(0, COA, 2);
	assert_int_equal(sent[1].m.n_prefix, 2);
}

static int status(void)
{
	for (unsigned i = 0; i < out.n; i++)
		if (out.v[i].type == HA_DO_SEND && out.v[i].mh.m.type == MH_BA)
			return out.v[i].mh.m.ba.status;
	return -1;
}

/* Neither asked nor of its own accord, nor sent to ask by status 1 (RFC 4285 s2). */
static void a_router_that_cannot_protect_it_is_told_nothing(void **state)
{
	(void)state;
	hear("2001:db8:100::/64", 86400, 50, true);
	update(0, COA, 600);
	assert_int_equal(status(), MH_ST_ACCEPTED_PREFIX);
	update(0, COA, 0);
	n_sent = 0;
	routers[0].no_mpd = true;
	update(0, COA, 600);
	assert_int_equal(status(), MH_ST_ACCEPTED);
	solicit(0, COA, 1);
	hear("2001:db8:100::/64", 4000000, 4000000, true);
	run(500000);
	assert_int_equal(n_sent, 0);
	assert_int_equal(n_be, 0); /* it is bound */
	assert_int_equal(ha_counter(ha, HA_C_mps_dropped), 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_solicitation_is_answered_at_once),
		TEST(lifetimes_are_what_is_left_of_those_on_the_home_link),
		TEST(not_more_than_one_a_second_goes_to_a_router),
		TEST(nor_when_an_answer_and_one_unasked_meet),
		TEST(strangers_get_a_binding_error),
		TEST(a_change_is_told_after_a_random_delay),
		TEST(the_delay_ends_with_the_preferred_lifetime),
		TEST(what_changes_and_what_does_not),
		TEST(unacknowledged_it_is_repeated_three_times),
		TEST(a_solicitation_acknowledges_it),
		TEST(a_further_change_goes_into_the_same_one),
		TEST(nothing_is_told_when_the_binding_is_over),
		TEST(a_bound_router_is_told_once_a_day),
		TEST(it_can_be_switched_off),
		TEST(a_reload_can_switch_it_off),
		TEST(a_prefix_that_is_over_leaves_the_list),
		TEST(a_router_that_cannot_protect_it_is_told_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
