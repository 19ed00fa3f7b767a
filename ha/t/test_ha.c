/* test_ha.c - the home agent core: which Binding Update gets which answer, and what it may change
 * (RFC 6275 s9.5, s10.3; RFC 3963 s6). */
#include <errno.h>
#include "ha/t/updates.h"

/* --- acceptance --- */

static void a_registration_is_acknowledged_after_the_tunnel_is_put(void **state) /* s10.3.1 */
{
	struct mh_env e = update(TWO, "2001:db8:a::2", 7);

	(void)state;
	receive(&e);
	assert_int_equal(out.n, 3);
	assert_int_equal(out.v[0].type, HA_DO_TUNNEL_PUT);
	assert_int_equal(out.v[1].type, HA_DO_SEND);
	assert_int_equal(out.v[2].type, HA_DO_NOTE);
	assert_int_equal(out.v[2].note.type, NOTE_BINDING_ACCEPTED);

	const struct tunnel *t = &out.v[0].tunnel;
	assert_memory_equal(&t->id, &routers[TWO].hoa, 16);
	assert_memory_equal(&t->local, &conf.address, 16);
	assert_memory_equal(&t->remote, &e.src, 16);
	assert_int_equal(t->tenant, 1);
	assert_int_equal(t->n_routes, 3); /* home address and both prefixes (RFC 3963 s6.2) */

	const struct mh_env *ba = &out.v[1].mh;
	assert_memory_equal(&ba->src, &e.dst, 16);
	assert_memory_equal(&ba->dst, &e.src, 16);
	assert_memory_equal(&ba->hoa, &e.hoa, 16); /* by type 2 routing header (s9.5.4) */
	assert_int_equal(ba->m.ba.status, 0);
	assert_int_equal(ba->m.ba.seq, 7);
	assert_int_equal(ba->m.ba.lifetime_s, 200);
	assert_int_equal(ba->m.ba.flags, MH_BA_R); /* K = 0, R mirrored (RFC 3963 s6.6) */
	assert_int_equal(ha_n_bound(ha), 1);
}

static void an_update_without_the_a_flag_is_answered_too(void **state) /* s10.3.1 */
{
	struct mh_env e = update(ONE, "2001:db8:a::2", 7);

	(void)state;
	e.m.bu.flags = MH_BU_H | MH_BU_R | MH_BU_K;
	assert_int_equal(answered(&e, 0)->m.ba.flags, MH_BA_R);
}

static void the_alternate_care_of_address_is_bound_but_not_answered(void **state) /* s9.5.4 */
{
	struct mh_env e = update(ONE, "2001:db8:a::2", 7);
	struct tunnel t;

	(void)state;
	e.m.o.alt_coa = A("2001:db8:b::2");
	assert_memory_equal(&answered(&e, 0)->dst, &e.src, 16);
	assert_true(bound_tunnel(ONE, &t));
	assert_memory_equal(&t.remote, &e.m.o.alt_coa, 16);
}

/* Keys are of the home agent's address: one to the home network's anycast address has none. */
static void an_update_to_another_address_is_not_taken(void **state)
{
	struct mh_env e = update(ONE, "2001:db8:a::2", 7);
	struct tunnel before, after;

	(void)state;
	assert_memory_equal(&answered(&e, 0)->src, &conf.address, 16);
	assert_true(bound_tunnel(ONE, &before));
	e = update(ONE, "2001:db8:a::666", 8);
	e.dst = A("2001:db8:100:0:fdff:ffff:ffff:fffe");
	receive(&e);
	assert_int_equal(out.n, 0);
	assert_true(bound_tunnel(ONE, &after));
	assert_memory_equal(&after.remote, &before.remote, 16);
	assert_int_equal(ha_counter(ha, HA_C_mh_unexpected), 1);
}

static void the_shortest_lifetime_is_granted_in_units_of_four_seconds(void **state) /* s10.3.1 */
{
	static const struct {
		unsigned router_s, ha_s, asked, granted;
	} v[] = {{300, 600, 200, 200}, {300, 600, 400, 300}, {0, 600, 262140, 600},
		{302, 600, 400, 300}, {0, 603, 604, 600}, {700, 600, 640, 640}, {4, 600, 400, 4}};

	(void)state;
	for (unsigned i = 0; i < N_OF(v); i++) {
		struct mh_env e = update(TWO, "2001:db8:a::2", (uint16_t)(i + 1));

		routers[TWO].max_lifetime_s = v[i].router_s;
		conf.max_lifetime_s = v[i].ha_s;
		e.m.bu.lifetime_s = v[i].asked;
		assert_int_equal(answered(&e, 0)->m.ba.lifetime_s, v[i].granted);
		assert_int_equal(ha_deadline(ha), now + v[i].granted * 1000);
	}
}

static void a_mobile_host_registers_its_home_address_alone(void **state) /* RFC 6275 s10.3.1 */
{
	struct mh_env e = update(HOST, "2001:db8:a::2", 7);
	struct tunnel t;

	(void)state;
	e.m.bu.flags = MH_BU_A | MH_BU_H;
	assert_int_equal(answered(&e, 0)->m.ba.flags, 0);
	assert_true(bound_tunnel(HOST, &t));
	assert_int_equal(t.n_routes, 1);
	assert_memory_equal(&t.routes[0].addr, &routers[HOST].hoa, 16);
	assert_int_equal(t.routes[0].len, 128);
}

static void a_router_bound_as_host_forwards_no_prefix(void **state) /* RFC 3963 s6.2 */
{
	struct mh_env e = update(TWO, "2001:db8:a::2", 7);
	struct tunnel t;

	(void)state;
	e.m.bu.flags = MH_BU_A | MH_BU_H;
	add_mnp(&e, "2001:db8:100:1::/64"); /* means nothing without R */
	answered(&e, 0);
	assert_true(bound_tunnel(TWO, &t));
	assert_int_equal(t.n_routes, 1);
}

static void a_home_address_out_of_the_mobile_prefix_is_served(void **state) /* RFC 3963 s6.2 */
{
	struct mh_env e = update(FAR, "2001:db8:a::2", 7);

	(void)state;
	answered(&e, 0);
}

static bool routes(const struct tunnel *t, const char *prefix)
{
	struct prefix6 p = P(prefix);

	for (unsigned i = 0; i < t->n_routes; i++)
		if (prefix6_eq(&t->routes[i], &p))
			return true;
	return false;
}

static void a_refresh_withdraws_and_adds_prefixes(void **state) /* RFC 3963 s6.2 */
{
	struct mh_env e = update(TWO, "2001:db8:a::2", 1);
	const struct tunnel *t;

	(void)state;
	add_mnp(&e, "2001:db8:100:1::/64");
	answered(&e, 0);
	t = &only(HA_DO_TUNNEL_PUT)->tunnel;
	assert_int_equal(t->n_routes, 2);
	assert_true(routes(t, "2001:db8:100:1::/64"));

	e = update(TWO, "2001:db8:a::2", 2);
	add_mnp(&e, "2001:db8:100:2::/64");
	add_mnp(&e, "2001:db8:100:2::/64"); /* twice is once */
	answered(&e, 0);
	t = &only(HA_DO_TUNNEL_PUT)->tunnel;
	assert_int_equal(t->n_routes, 2);
	assert_true(routes(t, "2001:db8:100:2::/64"));

	e = update(TWO, "2001:db8:a::2", 3); /* explicit to implicit: the configuration decides */
	answered(&e, 0);
	t = &only(HA_DO_TUNNEL_PUT)->tunnel;
	assert_int_equal(t->n_routes, 3);
	assert_int_equal(only(HA_DO_NOTE)->note.type, NOTE_BINDING_REFRESHED);

	e = update(TWO, "2001:db8:b::2", 4);
	add_mnp(&e, "2001:db8:100:2::/64");
	add_mnp(&e, "2001:db8:100:1::/64");
	answered(&e, 0);
	assert_int_equal(only(HA_DO_TUNNEL_PUT)->tunnel.n_routes, 3);
	assert_int_equal(only(HA_DO_NOTE)->note.type, NOTE_BINDING_MOVED);
	assert_memory_equal(&only(HA_DO_NOTE)->note.coa, &e.src, 16);
}

/* --- rejections, without a binding and with a live one that must stay --- */

static void twice(const struct mh_env *e, int status)
{
	struct mh_env again = *e;

	rejected(e, status);
	bind_two(10);
	again.m.bu.seq = 11;
	rejected(&again, status);
	teardown(NULL);
	setup(NULL);
}

static void prefixes_are_all_or_nothing(void **state) /* RFC 3963 s6.2, HOSTILE input 4 */
{
	static const struct {
		const char *mnp;
		int status;
	} v[] = {{"::/0", 141}, {"2001:db8:100:1::1/64", 141}, {"ff0e::/64", 141},
		{"fe80::/64", 141}, {"2001:db8:100:3::/64", 142}, {"2001:db8:100::/48", 142},
		{"2001:db8:100::/64", 142}, {"2001:db8:100:1::/65", 142},
		{"2001:db8:100:1::1/128", 142}, {"2001:db8:1::/64", 142}};

	(void)state;
	for (unsigned i = 0; i < N_OF(v); i++) {
		for (unsigned after = 0; after < 2; after++) {
			struct mh_env e = update(TWO, "2001:db8:b::2", 1);

			if (after)
				add_mnp(&e, "2001:db8:100:1::/64");
			add_mnp(&e, v[i].mnp);
			if (!after)
				add_mnp(&e, "2001:db8:100:1::/64");
			twice(&e, v[i].status);
		}
	}
	struct mh_env e = update(TWO, "2001:db8:b::2", 1);

	e.m.o.mnp_bad = true;
	add_mnp(&e, "2001:db8:100:3::/64"); /* malformed before foreign */
	twice(&e, 141);
}

static void a_care_of_address_behind_the_home_agent_gets_174(void **state) /* RFC 6275 s15.1 */
{
	static const char *const v[] = {"2001:db8:1::1", "2001:db8:100::77", "2001:db8:100:1::5",
		"2001:db8:100:ffff::1", "2001:db8:100::2", "2001:db8:200:1::1"};

	(void)state;
	for (unsigned i = 0; i < N_OF(v); i++) {
		struct mh_env e = update(TWO, v[i], 1);

		twice(&e, 174); /* as source */
		e = update(TWO, "2001:db8:b::2", 1);
		e.m.o.alt_coa = A(v[i]);
		twice(&e, 174); /* as option */
	}
	struct mh_env e = update(HOST, "2001:db8:b::2", 1); /* its own home address, without R */

	e.m.bu.flags = MH_BU_A | MH_BU_H;
	e.m.o.alt_coa = e.hoa;
	twice(&e, 174);
}

static void a_router_behind_a_router_is_served(void **state) /* RFC 3963 s1 */
{
	struct mh_env e = update(ONE, "2001:db8:200:1::9", 1);

	(void)state;
	answered(&e, 0); /* behind FAR, which is not bound yet */
	e = update(FAR, "2001:db8:100:1::9", 1);
	answered(&e, 0); /* and FAR behind TWO: three levels */
	e = update(TWO, "2001:db8:b::2", 1);
	answered(&e, 0);
}

/* RFC 6275 s15.1; each update by itself is harmless. */
static void a_ring_of_routers_behind_each_other_is_refused(void **state)
{
	struct mh_env e = update(ONE, "2001:db8:200:1::9", 1);

	(void)state;
	answered(&e, 0); /* ONE behind FAR */
	e = update(FAR, "2001:db8:100:3::9", 1);
	rejected(&e, 174); /* FAR behind ONE */
	e = update(FAR, "2001:db8:100:2::9", 1);
	answered(&e, 0); /* FAR behind TWO */
	e = update(TWO, "2001:db8:100:3::9", 1);
	rejected(&e, 174); /* TWO behind ONE, which is behind FAR, which is behind TWO */
	e = update(FAR, "2001:db8:b::2", 2);
	answered(&e, 0); /* FAR goes elsewhere */
	e = update(TWO, "2001:db8:100:3::9", 20);
	answered(&e, 0);
	e = update(FAR, "2001:db8:100:2::9", 3);
	rejected(&e, 174); /* and can't come back meanwhile */
}

static void strangers_and_missing_rights_are_told_so(void **state) /* RFC 6275 s10.3.1 */
{
	struct mh_env e = update(ONE, "2001:db8:b::2", 1);

	(void)state;
	e.hoa = A("2001:db8:100::99"); /* home network, not in the table */
	twice(&e, 129);
	e.hoa = A("2001:db8:300::1"); /* home address nobody serves */
	twice(&e, 132);
	e = update(BARE, "2001:db8:b::2", 1); /* implicit, and nothing configured: RFC 3963 s6.2 */
	twice(&e, 143);
	add_mnp(&e, "2001:db8:100:1::/64");
	twice(&e, 142);
	e = update(ONE, "2001:db8:b::2", 1); /* nothing to de-register: s10.3.2 */
	e.m.bu.lifetime_s = 0;
	twice(&e, 133);
}

static void router_operation_not_permitted_is_answered_without_r(void **state) /* RFC 3963 s4.2 */
{
	struct mh_env e = update(HOST, "2001:db8:b::2", 1);

	(void)state;
	assert_int_equal(rejected(&e, 140)->m.ba.flags, 0);
	twice(&e, 140);
	e = update(ONE, "2001:db8:b::2", 1); /* R = 1, H = 0: RFC 3963 s6.2 */
	e.m.bu.flags = MH_BU_A | MH_BU_R;
	assert_int_equal(rejected(&e, 140)->m.ba.flags, 0);
	twice(&e, 140);
	add_mnp(&e, "2001:db8:100:1::/64");
	e.m.bu.flags |= MH_BU_H;
	assert_int_equal(rejected(&e, 142)->m.ba.flags, MH_BA_R);
}

static void h_and_r_of_a_live_binding_do_not_change(void **state) /* 6275 s9.5.1, 3963 s6.2 */
{
	struct mh_env e = update(TWO, "2001:db8:b::2", 11);

	(void)state;
	bind_two(10);
	e.m.bu.flags = MH_BU_A | MH_BU_H;
	rejected(&e, 139);
	e.m.bu.seq++;
	e.m.bu.flags = MH_BU_A;
	rejected(&e, 139);
	e.m.bu.seq++;
	e.m.bu.flags = MH_BU_A | MH_BU_R;
	rejected(&e, 139);

	e = update(ONE, "2001:db8:a::2", 1); /* R = 0 to 1 */
	e.m.bu.flags = MH_BU_A | MH_BU_H;
	answered(&e, 0);
	e = update(ONE, "2001:db8:b::2", 2);
	rejected(&e, 139);
	e.m.bu = (struct mh_bu){3, MH_BU_A | MH_BU_H | MH_BU_R, 0};
	answered(&e, 0); /* a de-registration may have any R */
}

static void flags_that_nobody_knows_are_ignored(void **state) /* RFC 6275 s6.1.1 */
{
	const uint16_t known = MH_BU_A | MH_BU_H | MH_BU_L | MH_BU_K | MH_BU_M | MH_BU_R;

	(void)state;
	for (unsigned r = 0; r < 2; r++) {
		unsigned i = r ? TWO : ONE;
		struct mh_env e = update(i, "2001:db8:a::2", 1);

		e.m.bu.flags = (uint16_t)(MH_BU_A | MH_BU_H | (r ? MH_BU_R : 0) | ~known);
		assert_int_equal(answered(&e, 0)->m.ba.flags, r ? MH_BA_R : 0);
		e.m.bu.seq++;
		e.m.bu.flags &= known; /* the same binding: else 139 */
		answered(&e, 0);
	}
}

static void a_tunnel_that_fails_gets_130(void **state) /* RFC 6275 s10.3.1 */
{
	struct ha_event failed = {.type = HA_EV_TUNNEL_FAILED, .error = -ENOMEM};
	struct mh_env e = update(TWO, "2001:db8:b::2", 1);
	struct tunnel t;

	(void)state;
	for (unsigned live = 0; live < 2; live++, e.m.bu.seq = 11) {
		uint64_t deadline = ha_deadline(ha);
		char *before = bindings(), *after;

		answered(&e, 0);
		ha_step(ha, &failed, now, &out);
		after = bindings();
		assert_int_equal(only(HA_DO_SEND)->mh.m.ba.status, 130);
		assert_int_equal(only(HA_DO_SEND)->mh.m.ba.seq, e.m.bu.seq);
		assert_int_equal(only(HA_DO_SEND)->mh.m.ba.lifetime_s, 0);
		assert_string_equal(before, after);
		assert_int_equal(ha_deadline(ha), deadline);
		assert_int_equal(ha_n_bound(ha), live);
		assert_int_equal(count(HA_DO_TUNNEL_PUT), live); /* what was there is put again */
		assert_int_equal(ha_counter(ha, HA_C_tunnel_failed), live + 1);
		free(before);
		free(after);
		if (live) {
			assert_true(bound_tunnel(TWO, &t));
			assert_memory_equal(&t.remote, &only(HA_DO_TUNNEL_PUT)->tunnel.remote, 16);
			break;
		}
		bind_two(10);
	}
	ha_step(ha, &failed, now, &out); /* putting the old one back failed too: no false binding */
	assert_int_equal(count(HA_DO_SEND), 0);
	assert_int_equal(count(HA_DO_TUNNEL_DROP), 1);
	assert_int_equal(ha_n_bound(ha), 0);
	answered(&e, 0);
}

static void the_answer_to_a_failed_tunnel_does_not_wait_for_its_repair(void **state)
{
	struct ha_event failed = {.type = HA_EV_TUNNEL_FAILED, .error = -ENOMEM};
	struct mh_env e = update(TWO, "2001:db8:b::2", 11);

	(void)state;
	bind_two(10);
	receive(&e);
	ha_step(ha, &failed, now, &out); /* the caller stops at a TUNNEL_PUT that fails */
	assert_int_equal(out.v[0].type, HA_DO_SEND);
}

static void refusals_are_not_answered_without_end(void **state)
{
	struct mh_env stranger = update(ONE, "2001:db8:a::2", 1), known = stranger;
	unsigned answers = 0;

	(void)state;
	stranger.hoa = A("2001:db8:100::99");
	known.hoa = routers[TWO].hoa;
	add_mnp(&known, "2001:db8:100:3::/64"); /* another's: 142 */
	for (unsigned i = 0; i < 2000; i++, now += 10) {
		receive(&stranger);
		answers += count(HA_DO_SEND);
	}
	assert_in_range(answers, 880, 910); /* 20 a second for 20 s, and 500 at once */
	assert_int_equal(ha_counter(ha, HA_C_answers_limited), 2000 - answers);
	receive(&known); /* a router's own do not count with strangers' */
	assert_int_equal(count(HA_DO_SEND), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_registration_is_acknowledged_after_the_tunnel_is_put),
		TEST(an_update_without_the_a_flag_is_answered_too),
		TEST(the_alternate_care_of_address_is_bound_but_not_answered),
		TEST(an_update_to_another_address_is_not_taken),
		TEST(the_shortest_lifetime_is_granted_in_units_of_four_seconds),
		TEST(a_mobile_host_registers_its_home_address_alone),
		TEST(a_router_bound_as_host_forwards_no_prefix),
		TEST(a_home_address_out_of_the_mobile_prefix_is_served),
		TEST(a_refresh_withdraws_and_adds_prefixes),
		TEST(prefixes_are_all_or_nothing),
		TEST(a_care_of_address_behind_the_home_agent_gets_174),
		TEST(a_router_behind_a_router_is_served),
		TEST(a_ring_of_routers_behind_each_other_is_refused),
		TEST(strangers_and_missing_rights_are_told_so),
		TEST(router_operation_not_permitted_is_answered_without_r),
		TEST(h_and_r_of_a_live_binding_do_not_change),
		TEST(flags_that_nobody_knows_are_ignored),
		TEST(a_tunnel_that_fails_gets_130),
		TEST(the_answer_to_a_failed_tunnel_does_not_wait_for_its_repair),
		TEST(refusals_are_not_answered_without_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
