/* test_agents.c - the home agents list and the answers to discovery (RFC 6275 s10.5.1, RFC 3963
 * s7).
 *
 *   home link 2001:db8:100::/64; ourselves 2001:db8:100::a, preference 5 */
#include "common/wire/t/packet.h"
#include "ha/binding.h"

static struct prefix6 home[1];
static struct ha_agent_conf others[2];
static struct ha_conf conf;
static struct ha *ha;
static struct ha_out out;
static uint64_t now;

static const char *const COA = "2001:db8:a::2",
			 *const ANYCAST = "2001:db8:100::fdff:ffff:ffff:fffe",
			 *const OWN = "2001:db8:100::a";

static int setup(void **state)
{
	(void)state;
	home[0] = P("2001:db8:100::/64");
	conf = (struct ha_conf){.address = A(OWN),
		.n_home = 1,
		.home = home,
		.max_lifetime_s = 600,
		.preference = 5,
		.agents = others};
	ha = ha_new(&conf);
	assert_non_null(ha);
	ha_seed(ha, 1);
	now = 1000000;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ha_free(ha);
	return 0;
}

static const struct icmp6_msg *request(const char *src, const char *dst, bool mobile_router)
{
	struct ha_event ev = {.type = HA_EV_ICMP6};

	ev.icmp6.type = ICMP6_DHAAD_REQUEST;
	ev.icmp6.src = A(src);
	ev.icmp6.dst = A(dst);
	ev.icmp6.id = 0x1234;
	ev.icmp6.mobile_router = mobile_router;
	ha_step(ha, &ev, now, &out);
	if (out.n == 0)
		return NULL;
	assert_int_equal(out.n, 1);
	assert_int_equal(out.v[0].type, HA_DO_SEND_ICMP6);
	return &out.v[0].icmp6;
}

/* The reply to a request with this R lists these, separated by blanks, in this order. */
static void lists(bool mobile_router, const char *want)
{
	const struct icmp6_msg *r = request(COA, ANYCAST, mobile_router);
	char got[4096] = "", a[INET6_ADDRSTRLEN];

	assert_non_null(r);
	for (unsigned i = 0; i < r->n_ha; i++) {
		strcat(got, i ? " " : "");
		strcat(got, addr6_str(&r->ha[i], a));
	}
	assert_string_equal(got, want);
}

/* An advertisement of fe80::'n', which is 2001:db8:100::'n'. */
static struct ndp_msg advert(unsigned n)
{
	struct ndp_msg m;

	memset(&m, 0, sizeof(m));
	m.type = NDP_RA;
	m.src = A("fe80::");
	m.src.s6_addr[15] = (uint8_t)n;
	m.dst = A("ff02::1");
	m.ra.home_agent = true;
	m.ra.lifetime_s = 1800;
	m.ra.has_ha_info = true;
	m.ra.ha_nemo = true;
	m.ra.ha_lifetime_s = 100;
	m.ra.n_prefix = 1;
	m.ra.prefix[0] = (struct ndp_prefix){.prefix = home[0],
		.addr = A("2001:db8:100::1"),
		.on_link = true,
		.router_addr = true,
		.valid_s = 86400,
		.preferred_s = 14400};
	m.ra.prefix[0].addr.s6_addr[15] = (uint8_t)n;
	return m;
}

static void hear(const struct ndp_msg *m)
{
	agents_ra(&ha->agents, m, now);
}

static void a_request_is_answered_to_its_source(void **state)
{ /* RFC 6275 s6.5, s6.6, s10.5.1 */
	const struct icmp6_msg *r = request(COA, ANYCAST, true);
	struct in6_addr coa = A(COA);

	(void)state;
	assert_non_null(r);
	assert_int_equal(r->type, ICMP6_DHAAD_REPLY);
	assert_memory_equal(&r->dst, &coa, 16);
	assert_memory_equal(&r->src, &conf.address, 16);
	assert_true(addr6_is_any(&r->hoa));
	assert_int_equal(r->id, 0x1234);
	assert_true(r->mobile_router);
	lists(true, OWN);
	assert_false(request(COA, ANYCAST, false)->mobile_router);
}

static void only_requests_to_the_anycast_address_are_answered(void **state)
{
	(void)state;
	assert_null(request(COA, OWN, true));
	assert_null(request(COA, "2001:db8:101::fdff:ffff:ffff:fffe", true));
	assert_null(request("fe80::1", ANYCAST, true));
	assert_null(request("::", ANYCAST, true));
	assert_null(request("ff02::1", ANYCAST, true));
	assert_int_equal(ha_counter(ha, HA_C_dhaad_bad), 5);
	assert_int_equal(ha_counter(ha, HA_C_dhaad_tx), 0);
}

static void the_highest_preference_comes_first(void **state)
{
	struct ndp_msg m = advert(1);

	(void)state;
	m.ra.ha_preference = 6;
	hear(&m);
	m = advert(2);
	m.ra.ha_preference = 65535;
	hear(&m);
	m = advert(3);
	m.ra.has_ha_info = false; /* preference 0 */
	hear(&m);
	lists(false, "2001:db8:100::2 2001:db8:100::1 2001:db8:100::a 2001:db8:100::3");
	m = advert(2); /* and each advertisement says it anew */
	hear(&m);
	m = advert(3);
	m.ra.ha_preference = 7;
	hear(&m);
	lists(false, "2001:db8:100::3 2001:db8:100::1 2001:db8:100::a 2001:db8:100::2");
}

static void mobile_routers_are_told_those_that_serve_them(void **state) /* RFC 3963 s7.2 */
{
	struct ndp_msg m = advert(1);

	(void)state;
	m.ra.ha_preference = 6;
	m.ra.ha_nemo = false;
	hear(&m);
	lists(true, OWN);
	lists(false, "2001:db8:100::1 2001:db8:100::a");
}

static void equals_change_places(void **state)
{
	struct ndp_msg m;
	unsigned first[4] = {0};

	(void)state;
	for (unsigned i = 1; i <= 3; i++) {
		m = advert(i);
		m.ra.ha_preference = 9;
		hear(&m);
	}
	for (unsigned i = 0; i < 300; i++) {
		const struct icmp6_msg *r = request(COA, ANYCAST, true);

		now += 1000;
		for (unsigned k = 1; k <= 3; k++) { /* their lifetime goes on */
			m = advert(k);
			m.ra.ha_preference = 9;
			hear(&m);
		}
		assert_int_equal(r->n_ha, 4);
		assert_memory_equal(&r->ha[3], &conf.address, 16);
		first[r->ha[0].s6_addr[15]]++;
	}
	for (unsigned i = 1; i <= 3; i++)
		assert_in_range(first[i], 60, 140); /* 100 each, by chance */
}

static void several_addresses_of_one_change_places_together(void **state)
{
	struct ndp_msg m = advert(1);
	unsigned first = 0;

	(void)state;
	m.ra.ha_preference = 9;
	m.ra.prefix[1] = m.ra.prefix[2] = m.ra.prefix[0];
	m.ra.prefix[1].addr = A("2001:db8:101::1");
	m.ra.prefix[2].addr = A("2001:db8:102::1");
	m.ra.prefix[2].router_addr = false; /* no address, then */
	m.ra.prefix[3] = m.ra.prefix[0];
	m.ra.prefix[3].addr = m.ra.prefix[3].prefix.addr; /* nobody's own */
	m.ra.n_prefix = 4;
	hear(&m);
	for (unsigned i = 0; i < 50; i++, now += 1000) {
		const struct icmp6_msg *r = request(COA, ANYCAST, true);

		assert_int_equal(r->n_ha, 3);
		assert_memory_equal(&r->ha[2], &conf.address, 16);
		first += r->ha[0].s6_addr[5] == 1;
	}
	assert_in_range(first, 10, 40);
}

static void an_entry_ends_with_its_lifetime_or_by_advertisement(void **state)
{
	struct ndp_msg m = advert(1);

	(void)state;
	m.ra.ha_preference = 9;
	hear(&m); /* 100 s */
	now += 99999;
	lists(true, "2001:db8:100::1 2001:db8:100::a");
	now += 1;
	lists(true, OWN);
	hear(&m);
	m.ra.ha_lifetime_s = 0;
	hear(&m);
	lists(true, OWN);
	hear(&m); /* unknown and lifetime 0: no entry */
	lists(true, OWN);
	m = advert(1);
	m.ra.ha_preference = 9;
	hear(&m);
	m.ra.home_agent = false;
	hear(&m);
	lists(true, OWN);
	m.ra.home_agent = true; /* without the option: the Router Lifetime, and 0 is no router */
	m.ra.has_ha_info = false;
	hear(&m);
	now += 1799999;
	lists(false, "2001:db8:100::a 2001:db8:100::1");
	now += 1;
	lists(false, OWN);
	m.ra.lifetime_s = 0;
	hear(&m);
	lists(false, OWN);
}

static void an_address_ends_with_its_prefix(void **state) /* RFC 6275 s10.1 */
{
	struct ndp_msg m = advert(1);

	(void)state;
	m.ra.ha_preference = 9;
	m.ra.prefix[0].valid_s = 10;
	m.ra.n_prefix = 2;
	m.ra.prefix[1] = m.ra.prefix[0];
	m.ra.prefix[1].addr = A("2001:db8:101::1");
	m.ra.prefix[1].valid_s = UINT32_MAX;
	hear(&m);
	now += 10000;
	lists(true, "2001:db8:101::1 2001:db8:100::a");
}

static void the_configuration_names_others_where_there_is_no_link(void **state)
{
	(void)state;
	others[0] = (struct ha_agent_conf){A("2001:db8:100::b"), 9, true, 0};
	others[1] = (struct ha_agent_conf){A("2001:db8:100::c"), 1, false, 0};
	conf.n_agents = 2;
	ha_free(ha);
	ha = ha_new(&conf);
	lists(true, "2001:db8:100::b 2001:db8:100::a");
	lists(false, "2001:db8:100::b 2001:db8:100::a 2001:db8:100::c");
	now += 1000000000;
	lists(true, "2001:db8:100::b 2001:db8:100::a");
}

static void a_long_list_is_cut_to_the_best(void **state) /* 1280 octets */
{
	const struct icmp6_msg *r;
	unsigned n = 0;

	(void)state;
	for (unsigned i = 1; i < 40; i++) { /* more than the list holds */
		struct ndp_msg m = advert(i);

		m.ra.ha_preference = i < 6 ? 1 : 9; /* five of one less than our 5 */
		m.ra.n_prefix = 4;
		for (unsigned k = 1; k < 4; k++) {
			m.ra.prefix[k] = m.ra.prefix[0];
			m.ra.prefix[k].addr.s6_addr[5] = (uint8_t)k;
		}
		hear(&m);
	}
	assert_int_equal(ha->agents.n, AGENTS_MAX);
	r = request(COA, ANYCAST, true);
	assert_int_equal(r->n_ha, 77);
	for (unsigned i = 0; i < r->n_ha; i++)
		n += r->ha[i].s6_addr[15] < 6;
	assert_int_equal(n, 0);
}

static void requests_are_answered_at_a_limited_rate(void **state)
{
	unsigned n = 0;

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		n += request(COA, ANYCAST, true) != NULL;
	assert_int_equal(n, 50);
	assert_int_equal(ha_counter(ha, HA_C_dhaad_limited), 950);
	now += 1000;
	for (n = 0; request(COA, ANYCAST, true);)
		n++;
	assert_int_equal(n, 20);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_request_is_answered_to_its_source),
		TEST(only_requests_to_the_anycast_address_are_answered),
		TEST(the_highest_preference_comes_first),
		TEST(mobile_routers_are_told_those_that_serve_them),
		TEST(equals_change_places),
		TEST(several_addresses_of_one_change_places_together),
		TEST(an_entry_ends_with_its_lifetime_or_by_advertisement),
		TEST(an_address_ends_with_its_prefix),
		TEST(the_configuration_names_others_where_there_is_no_link),
		TEST(a_long_list_is_cut_to_the_best),
		TEST(requests_are_answered_at_a_limited_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
