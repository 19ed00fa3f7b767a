/* test_binding.c - the life of a binding: sequence numbers, what has no effect on it, its end (RFC
 * 6275 s9.5.1, s9.6, s10.3.2). */
#include "ha/t/updates.h"

/* --- sequence numbers --- */

static void sequence_numbers_are_compared_modulo_65536(void **state) /* RFC 6275 s9.5.1 */
{
	static const struct {
		uint16_t last, seq;
		bool newer;
	} v[] = {{15, 32782, true}, {15, 32783, false}, {15, 15, false}, {15, 14, false},
		{15, 0, false}, {15, 65535, false}, {15, 16, true}, {65535, 0, true},
		{65535, 65534, false}, {0, 32767, true}, {0, 32768, false}, {40000, 7231, true},
		{40000, 7232, false}};

	(void)state;
	for (unsigned i = 0; i < N_OF(v); i++) {
		struct mh_env e = update(TWO, "2001:db8:b::2", v[i].seq);

		bind_two(v[i].last); /* any number does for the first */
		if (v[i].newer) {
			assert_int_equal(answered(&e, 0)->m.ba.seq, v[i].seq);
		} else { /* the last number that was accepted, not the update's */
			assert_int_equal(rejected(&e, 135)->m.ba.seq, v[i].last);
		}
		teardown(NULL);
		setup(NULL);
	}
}

static void a_number_is_used_up_even_if_the_update_is_rejected(void **state) /* RFC 6275 s9.5.1 */
{
	struct mh_env e = update(TWO, "2001:db8:b::2", 20);

	(void)state;
	bind_two(10);
	add_mnp(&e, "2001:db8:100:3::/64");
	assert_int_equal(rejected(&e, 142)->m.ba.seq, 20);
	e = update(TWO, "2001:db8:b::2", 20);
	assert_int_equal(rejected(&e, 135)->m.ba.seq, 20);
	e.m.bu.seq = 15;
	assert_int_equal(rejected(&e, 135)->m.ba.seq, 20);
	e.m.bu.seq = 21;
	answered(&e, 0);
}

/* --- what is dropped without a word --- */

static void addresses_that_nobody_can_have_are_dropped(void **state) /* RFC 6275 s6.1.7, s9.5 */
{
	static const char *const bad[] = {
		"::", "::1", "fe80::1", "ff02::1", "ff0e::1", "::ffff:10.0.0.1"};

	(void)state;
	bind_two(10);
	for (unsigned i = 0; i < N_OF(bad); i++) {
		struct mh_env e = update(TWO, bad[i], 11);

		dropped(&e, HA_C_bu_source);
		e = update(TWO, "2001:db8:b::2", 11);
		if (i > 0) { /* :: stands for no option, no header */
			e.m.o.alt_coa = A(bad[i]);
			dropped(&e, HA_C_bu_care_of);
			e = update(TWO, "2001:db8:b::2", 11);
			e.hoa = A(bad[i]);
			dropped(&e, HA_C_bu_home_address);
		}
	}
}

static void updates_for_another_role_are_dropped(void **state) /* RFC 6275 s9.5.1, s10.3.1 */
{
	struct mh_env e = update(TWO, "2001:db8:b::2", 11);

	(void)state;
	e.m.bu.flags = MH_BU_A; /* a correspondent node's; on a live binding: 139 */
	dropped(&e, HA_C_bu_correspondent);
	bind_two(10);
	e = update(TWO, "2001:db8:b::2", 11);
	e.m.o.has_nonce = true;
	dropped(&e, HA_C_bu_nonce);
	e = update(TWO, "2001:db8:b::2", 11);
	e.m.o.auth_misplaced = true;
	dropped(&e, HA_C_bu_auth_place);
	e = update(TWO, "2001:db8:100::1", 11); /* source is the home address, lifetime not 0 */
	e.hoa = in6addr_any;
	e.m.o.alt_coa = A("2001:db8:b::2");
	dropped(&e, HA_C_bu_no_hao);
	e = update(TWO, "2001:db8:b::2", 11);
	e.m.type = MH_BA;
	dropped(&e, HA_C_mh_unexpected);
}

/* --- de-registration and expiry --- */

static void a_late_update_after_a_deregistration_gets_135_for_ten_seconds(void **state)
{ /* RFC 6275 s10.3.2 */
	struct mh_env late = update(TWO, "2001:db8:a::2", 11), e = update(TWO, "2001:db8:b::2", 12);
	struct tunnel t;

	(void)state;
	bind_two(10);
	e.m.bu.lifetime_s = 0;
	add_mnp(&e, "2001:db8:100:3::/64"); /* of no interest: RFC 3963 s6.7 */
	e.m.o.mnp_bad = true;
	assert_int_equal(answered(&e, 0)->m.ba.lifetime_s, 0);
	assert_memory_equal(&only(HA_DO_TUNNEL_DROP)->tunnel.id, &routers[TWO].hoa, 16);
	assert_int_equal(only(HA_DO_NOTE)->note.type, NOTE_BINDING_CLOSED);
	assert_false(bound_tunnel(TWO, &t));
	assert_int_equal(ha_n_bound(ha), 0);
	assert_int_equal(ha_deadline(ha), now + 10000);

	now += 5000;
	assert_int_equal(rejected(&late, 135)->m.ba.seq, 12);
	rejected(&e, 135); /* the same de-registration again */
	e.m.bu.seq = 13;
	answered(&e, 0); /* a newer one: the first answer was lost */
	assert_int_equal(count(HA_DO_TUNNEL_DROP), 0);

	now += 5000;
	tick();
	assert_int_equal(ha_deadline(ha), UINT64_MAX);
	assert_int_equal(out.n, 0);
	e.m.bu.seq = 14;
	rejected(&e, 133);
	answered(&late, 0); /* nothing is remembered */
}

static void a_closed_binding_can_be_made_anew(void **state) /* RFC 6275 s10.3.2 */
{
	struct mh_env e = update(TWO, "2001:db8:a::2", 11);

	(void)state;
	bind_two(10);
	e.m.bu.lifetime_s = 0;
	answered(&e, 0);
	e = update(TWO, "2001:db8:b::2", 12);
	e.m.bu.flags = MH_BU_A | MH_BU_H; /* and as something else */
	answered(&e, 0);
	assert_int_equal(only(HA_DO_NOTE)->note.type, NOTE_BINDING_ACCEPTED);
	assert_int_equal(ha_deadline(ha), now + 200000);
	now += 10000;
	tick();
	assert_int_equal(ha_n_bound(ha), 1);
}

static void the_home_address_as_care_of_address_deregisters(void **state) /* RFC 3963 s6.2 */
{
	struct mh_env e = update(TWO, "2001:db8:100::1", 11);
	const struct mh_env *ba;

	(void)state;
	bind_two(10);
	e.hoa = in6addr_any; /* at home: no Home Address option, so no routing header (s9.5.4) */
	ba = answered(&e, 0);
	assert_memory_equal(&ba->hoa, &in6addr_any, 16);
	assert_memory_equal(&ba->dst, &routers[TWO].hoa, 16);
	assert_int_equal(ba->m.ba.lifetime_s, 0);
	assert_int_equal(ha_n_bound(ha), 0);
}

static void a_binding_ends_exactly_with_its_lifetime(void **state) /* RFC 6275 s9.6 */
{
	struct mh_env e = update(TWO, "2001:db8:a::2", 9);

	(void)state;
	bind_two(10);
	now += 199999;
	tick();
	assert_int_equal(out.n, 0);
	assert_int_equal(ha_n_bound(ha), 1);
	now++;
	assert_int_equal(ha_deadline(ha), now);
	tick();
	assert_memory_equal(&only(HA_DO_TUNNEL_DROP)->tunnel.id, &routers[TWO].hoa, 16);
	assert_int_equal(only(HA_DO_NOTE)->note.type, NOTE_BINDING_EXPIRED);
	assert_int_equal(ha_n_bound(ha), 0);
	assert_int_equal(ha_counter(ha, HA_C_expired), 1);
	assert_int_equal(ha_deadline(ha), UINT64_MAX);
	answered(&e, 0); /* no binding: any number */
}

static void a_refresh_moves_the_end(void **state) /* RFC 6275 s9.6 */
{
	struct mh_env e = update(TWO, "2001:db8:a::2", 11);

	(void)state;
	bind_two(10);
	now += 150000;
	e.m.bu.lifetime_s = 8; /* shorter is possible as well */
	answered(&e, 0);
	assert_int_equal(ha_deadline(ha), now + 8000);
}

static void ten_thousand_bindings_expire_in_one_moment(void **state) /* RFC 6275 s9.6 */
{
	enum { N = 10000 };
	struct ha_router *many = calloc(N, sizeof(*many));
	struct prefix6 *mnps = calloc(N, sizeof(*mnps));
	unsigned dropped_ones = 0, ticks = 0, expired = 0;

	(void)state;
	for (unsigned i = 0; i < N; i++) {
		mnps[i] = P("2001:db8:100::/64");
		mnps[i].addr.s6_addr[6] = (uint8_t)((i + 256) >> 8);
		mnps[i].addr.s6_addr[7] = (uint8_t)i;
		many[i] = (struct ha_router){
			.n_prefixes = 1, .prefixes = &mnps[i], .mobile_router = true};
		many[i].hoa = A("2001:db8:100::");
		many[i].hoa.s6_addr[14] = (uint8_t)((i + 256) >> 8);
		many[i].hoa.s6_addr[15] = (uint8_t)i;
	}
	conf.routers = many;
	conf.n_routers = N;
	ha_free(ha);
	ha = ha_new(&conf);
	for (unsigned i = 0; i < N; i++) {
		struct mh_env e = update(TWO, "2001:db8:a::2", 1);

		e.hoa = many[i].hoa;
		answered(&e, 0);
	}
	assert_int_equal(ha_n_bound(ha), N);
	now += 200000;
	while (ha_deadline(ha) <= now && ++ticks <= N) { /* what does not fit stays due */
		tick();
		dropped_ones += count(HA_DO_TUNNEL_DROP);
		for (unsigned i = 0; i < out.n; i++)
			expired += out.v[i].type == HA_DO_NOTE &&
				   out.v[i].note.type == NOTE_BINDING_EXPIRED;
	}
	assert_int_equal(dropped_ones, N);
	assert_int_equal(expired, N);
	assert_int_equal(ha_n_bound(ha), 0);
	ha_free(ha);
	ha = NULL;
	free(many);
	free(mnps);
}

/* Refused for its number, and taken with the one that the answer told. */
static void claim(const char *coa)
{
	struct mh_env e = update(TWO, coa, ha->peers[TWO].b.seq);
	const struct mh_env *ba = answered(&e, MH_ST_SEQ_WINDOW);

	e = update(TWO, coa, (uint16_t)(ba->m.ba.seq + 1));
	answered(&e, 0);
	now += 5000;
}

static const char *contested_by(void)
{
	static char at[INET6_ADDRSTRLEN];
	const struct in6_addr *other = ha_twin_at(&ha->peers[TWO], now);

	return other ? addr6_str(other, at) : NULL;
}

static void two_routers_with_one_identity_are_told(void **state) /* RFC 6275 s9.5.1 */
{
	(void)state;
	bind_two(1);
	claim("2001:db8:b::2"); /* restarted elsewhere, perhaps */
	claim("2001:db8:a::2"); /* twice? */
	assert_null(contested_by());
	claim("2001:db8:b::2");
	assert_int_equal(count(HA_DO_NOTE), 2);
	assert_int_equal(out.v[out.n - 1].note.type, NOTE_BINDING_CONTESTED);
	assert_string_equal(contested_by(), "2001:db8:a::2");
	claim("2001:db8:a::2"); /* told once, counted and shown on */
	assert_int_equal(count(HA_DO_NOTE), 1);
	assert_string_equal(contested_by(), "2001:db8:b::2");
	assert_int_equal(ha_counter(ha, HA_C_contested), 2);
	now += 600000;
	assert_null(contested_by());
}

static void a_router_that_moves_to_and_fro_is_one_router(void **state)
{
	const char *const at[] = {"2001:db8:a::2", "2001:db8:b::2"};

	(void)state;
	bind_two(1);
	for (unsigned i = 1; i < 20; i++) {
		uint16_t seq = (uint16_t)(2 * i);
		struct mh_env e = update(TWO, at[i % 2], seq);
		struct mh_env late = update(TWO, at[!(i % 2)], (uint16_t)(seq - 1));
		struct mh_env refresh = update(TWO, at[i % 2], (uint16_t)(seq + 1));

		answered(&e, 0);
		answered(&late, MH_ST_SEQ_WINDOW); /* overtaken by the newer one */
		answered(&refresh, 0);
		now += 1000;
	}
	assert_null(contested_by());
	assert_int_equal(ha_counter(ha, HA_C_contested), 0);
}

static void a_twin_with_keys_of_its_own_is_told(void **state) /* its numbers may be new ones */
{
	const char *const at[] = {"2001:db8:a::2", "2001:db8:b::2"};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct mh_env e = update(TWO, at[i % 2], (uint16_t)(i + 1));

		e.spi = 0x1000 + i;
		answered(&e, 0);
		assert_int_equal(contested_by() != NULL, i == 3);
	}
}

static void a_router_restarted_where_it_is_claims_nothing(void **state)
{
	(void)state;
	bind_two(1);
	for (unsigned i = 0; i < 5; i++)
		claim("2001:db8:a::2");
	assert_null(contested_by());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(sequence_numbers_are_compared_modulo_65536),
		TEST(a_number_is_used_up_even_if_the_update_is_rejected),
		TEST(addresses_that_nobody_can_have_are_dropped),
		TEST(updates_for_another_role_are_dropped),
		TEST(a_late_update_after_a_deregistration_gets_135_for_ten_seconds),
		TEST(a_closed_binding_can_be_made_anew),
		TEST(the_home_address_as_care_of_address_deregisters),
		TEST(a_binding_ends_exactly_with_its_lifetime),
		TEST(a_refresh_moves_the_end),
		TEST(two_routers_with_one_identity_are_told),
		TEST(a_router_that_moves_to_and_fro_is_one_router),
		TEST(a_twin_with_keys_of_its_own_is_told),
		TEST(a_router_restarted_where_it_is_claims_nothing),
		TEST(ten_thousand_bindings_expire_in_one_moment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
