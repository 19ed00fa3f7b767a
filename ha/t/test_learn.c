/* test_learn.c - networks behind a router that a routing daemon tells of: what of the kernel's
 * routes goes into its tunnel (RFC 3963 s8).
 *
 *   router  home address      registers              may announce
 *   wing    2001:db8:100::1   2001:db8:100:1::/64    2001:db8:500::/40, 2001:db8:7::/48
 *   bare    2001:db8:100::2   nothing                2001:db8:900::/40 */
#include <errno.h>
#include "common/wire/t/packet.h"
#include "ha/binding.h"

enum { WING, BARE, N_ROUTERS };

static struct prefix6 home[1], prefixes[1], ranges[2], other[1];
static struct ha_router routers[N_ROUTERS];
static struct ha_conf conf;
static struct ha *ha;
static struct ha_out out;

static int setup(void **state)
{
	(void)state;
	home[0] = P("2001:db8:100::/64");
	prefixes[0] = P("2001:db8:100:1::/64");
	ranges[0] = P("2001:db8:500::/40");
	ranges[1] = P("2001:db8:7::/48");
	other[0] = P("2001:db8:900::/40");
	routers[WING] = (struct ha_router){.name = "wing",
		.hoa = A("2001:db8:100::1"),
		.tenant_id = 1,
		.mobile_router = true,
		.n_prefixes = 1,
		.prefixes = prefixes,
		.n_learn = 2,
		.learn = ranges};
	routers[BARE] = (struct ha_router){.name = "bare",
		.hoa = A("2001:db8:100::2"),
		.tenant_id = 1,
		.mobile_router = true,
		.n_learn = 1,
		.learn = other};
	conf = (struct ha_conf){.address = A("2001:db8:1::1"),
		.n_home = 1,
		.home = home,
		.n_routers = N_ROUTERS,
		.routers = routers,
		.max_lifetime_s = 600};
	ha = ha_new(&conf);
	assert_non_null(ha);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ha_free(ha);
	return 0;
}

/* --- what goes in --- */

static void update(unsigned router, uint32_t lifetime_s, uint16_t flags)
{
	static uint16_t seq;
	struct ha_event ev = {.type = HA_EV_MH,
		.mh = {.src = A("2001:db8:a::2"), .dst = conf.address, .hoa = routers[router].hoa}};

	ev.mh.m.type = MH_BU;
	ev.mh.m.bu = (struct mh_bu){++seq, MH_BU_A | MH_BU_H | flags, lifetime_s};
	ha_step(ha, &ev, 1000000, &out);
}

static void routes(unsigned router, unsigned n, const struct prefix6 *v)
{
	struct ha_event ev = {.type = HA_EV_ROUTES, .routes = {.router = router, .n = n, .v = v}};

	ha_step(ha, &ev, 1000000, &out);
}

/* --- what comes out --- */

static const struct ha_action *action(enum ha_action_type type)
{
	for (unsigned i = 0; i < out.n; i++)
		if (out.v[i].type == type)
			return &out.v[i];
	return NULL;
}

static const char *told(enum note_type type)
{
	for (unsigned i = 0; i < out.n; i++)
		if (out.v[i].type == HA_DO_NOTE && out.v[i].note.type == type)
			return out.v[i].note.text;
	return "";
}

/* The tunnel asked for has these routes besides the home address, and no others. */
static void tunnel_has(unsigned n, const struct prefix6 *v)
{
	const struct ha_action *put = action(HA_DO_TUNNEL_PUT);

	assert_non_null(put);
	assert_int_equal(put->tunnel.n_routes, 1 + n);
	for (unsigned i = 0; i < n; i++)
		assert_true(prefix6_eq(&put->tunnel.routes[1 + i], &v[i]));
}

/* --- tests --- */

static void what_may_be_announced_goes_into_the_tunnel(void **state)
{
	const struct prefix6 v[] = {P("2001:db8:500:1::/64"), P("2001:db8:7::/48")};

	(void)state;
	update(WING, 200, MH_BU_R);
	routes(WING, 2, v);
	tunnel_has(3, (struct prefix6[]){prefixes[0], v[0], v[1]});
	assert_string_equal(told(NOTE_ROUTE_LEARNED), "2001:db8:500:1::/64, 2001:db8:7::/48");
	routes(WING, 2, v);
	assert_int_equal(out.n, 0);
	routes(WING, 1, v + 1);
	tunnel_has(2, (struct prefix6[]){prefixes[0], v[1]});
	assert_string_equal(told(NOTE_ROUTE_WITHDRAWN), "2001:db8:500:1::/64");
	routes(WING, 0, NULL);
	tunnel_has(1, prefixes);
	assert_int_equal(ha_counter(ha, HA_C_learn_refused), 0);
}

static void what_may_not_is_told_once(void **state)
{
	/* wider, beside, another's, the home network, everything */
	static const char *const bad[] = {"2001:db8:500::/39", "2001:db8:600::/64",
		"2001:db8:900::/64", "2001:db8:100::/64", "::/0"};

	(void)state;
	update(WING, 200, MH_BU_R);
	for (unsigned i = 0; i < N_OF(bad); i++) {
		const struct prefix6 p = prefix6_mask(P(bad[i]));

		routes(WING, 1, &p);
		assert_null(action(HA_DO_TUNNEL_PUT));
		assert_string_not_equal(told(NOTE_ROUTE_REFUSED), "");
		assert_int_equal(ha_counter(ha, HA_C_learn_refused), i + 1);
		routes(WING, 1, &p);
		assert_int_equal(out.n, 0);
	}
}

static void routes_wait_for_the_binding_and_end_with_it(void **state)
{
	const struct prefix6 p = P("2001:db8:500:1::/64");
	json_t *shown;

	(void)state;
	routes(WING, 1, &p);
	assert_null(action(HA_DO_TUNNEL_PUT));
	update(WING, 200, MH_BU_R);
	tunnel_has(2, (struct prefix6[]){prefixes[0], p});
	update(WING, 0, MH_BU_R);
	assert_non_null(action(HA_DO_TUNNEL_DROP));
	assert_null(action(HA_DO_TUNNEL_PUT));
	shown = ha_show_bindings(ha, 1000000); /* closing */
	assert_int_equal(json_array_size(shown), 1);
	assert_int_equal(json_array_size(json_object_get(json_array_get(shown, 0), "learned")), 0);
	json_decref(shown);
	update(WING, 200, 0); /* as a host: no network at all */
	tunnel_has(0, NULL);
}

/* RFC 3963 s6.2: 143 only if the home agent has no other way to know of networks. */
static void a_router_may_register_nothing_and_announce_all(void **state)
{
	const struct prefix6 p = P("2001:db8:900::/40");

	(void)state;
	update(BARE, 200, MH_BU_R);
	assert_int_equal(action(HA_DO_SEND)->mh.m.ba.status, 0);
	tunnel_has(0, NULL);
	routes(BARE, 1, &p);
	tunnel_has(1, &p);
}

static void newcomers_do_not_drive_out_who_is_there(void **state)
{
	struct prefix6 v[LEARN_MAX + 10];

	(void)state;
	for (unsigned i = 0; i < N_OF(v); i++) {
		v[i] = P("2001:db8:500::/64");
		v[i].addr.s6_addr[7] = (uint8_t)i;
	}
	update(WING, 200, MH_BU_R);
	routes(WING, LEARN_MAX - 1, v + 10); /* as many as go with the registered one */
	assert_int_equal(action(HA_DO_TUNNEL_PUT)->tunnel.n_routes, TUNNEL_MAX_ROUTES);
	routes(WING, N_OF(v), v);
	assert_null(action(HA_DO_TUNNEL_PUT));
	assert_int_equal(ha_counter(ha, HA_C_learn_refused), 11);
	routes(WING, 20, v); /* ten of them stay, now there is room */
	assert_int_equal(action(HA_DO_TUNNEL_PUT)->tunnel.n_routes, 1 + 1 + 20);
}

static void without_a_tunnel_for_them_there_are_none(void **state)
{
	const struct prefix6 p = P("2001:db8:500:1::/64");
	struct ha_event failed = {.type = HA_EV_TUNNEL_FAILED, .error = -EIO};

	(void)state;
	update(WING, 200, MH_BU_R);
	routes(WING, 1, &p);
	ha_step(ha, &failed, 1000000, &out);
	tunnel_has(1, prefixes);
	assert_string_equal(told(NOTE_ROUTE_REFUSED), strerror(EIO));
	assert_int_equal(ha_n_bound(ha), 1);
	assert_null(action(HA_DO_SEND)); /* no update was answered */
	ha_step(ha, &failed, 1000000, &out);
	assert_int_equal(out.n, 0);
	routes(WING, 1, &p); /* the next reading tries again */
	tunnel_has(2, (struct prefix6[]){prefixes[0], p});
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_may_be_announced_goes_into_the_tunnel),
		TEST(what_may_not_is_told_once),
		TEST(routes_wait_for_the_binding_and_end_with_it),
		TEST(a_router_may_register_nothing_and_announce_all),
		TEST(newcomers_do_not_drive_out_who_is_there),
		TEST(without_a_tunnel_for_them_there_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
