/* test_home.c - a real home link: duplicate address detection before a first registration, proxy
 * for bound home addresses, home prefixes with lifetimes (RFC 6275 s10.3.1, s10.3.2, s10.4.1; RFC
 * 4861 s7.2; RFC 4862 s5.4, s5.5.3; RFC 3963 s6.2).
 *
 *   home network 2001:db8:100::/64 and 2001:db8:101::/64, home agent 2001:db8:100::ff
 *   one   2001:db8:100::1      2001:db8:d:1::/64
 *   twin  2001:db8:101::1      none: a mobile host whose home address ends as that of "one"
 *   far   2001:db8:d:3::1      2001:db8:d:3::/64, home address out of its own network */
#include "common/wire/t/packet.h"
#include "ha/binding.h"

enum { ONE, TWIN, FAR, N_ROUTERS };
enum { DAD_MS = 1000 };

static const char LL[] = "fe80::1", COA[] = "2001:db8:a::2";
static struct prefix6 home[2], prefixes[N_ROUTERS][1];
static struct ha_router routers[N_ROUTERS];
static struct ha_conf conf;
static struct ha *ha;
static struct ha_out out;
static uint64_t now;

static void router(unsigned i, const char *hoa, const char *prefix)
{
	struct ha_router *r = &routers[i];

	memset(r, 0, sizeof(*r));
	snprintf(r->name, sizeof(r->name), "r%u", i);
	r->tenant_id = 1;
	r->hoa = A(hoa);
	r->prefixes = prefixes[i];
	if (prefix)
		r->prefixes[r->n_prefixes++] = P(prefix);
	r->mobile_router = true;
}

static int setup(void **state)
{
	(void)state;
	home[0] = P("2001:db8:100::/64");
	home[1] = P("2001:db8:101::/64");
	router(ONE, "2001:db8:100::1", "2001:db8:d:1::/64");
	router(TWIN, "2001:db8:101::1", NULL);
	router(FAR, "2001:db8:d:3::1", "2001:db8:d:3::/64");
	conf = (struct ha_conf){.address = A("2001:db8:100::ff"),
		.n_home = 2,
		.home = home,
		.n_routers = N_ROUTERS,
		.routers = routers,
		.max_lifetime_s = 262140,
		.home_link = true,
		.dad_ms = DAD_MS};
	ha = ha_new(&conf);
	assert_non_null(ha);
	now = 1000000;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ha_free(ha);
	return 0;
}

/* --- what goes in --- */

static struct mh_env update(unsigned i, uint16_t seq)
{
	struct mh_env e;

	memset(&e, 0, sizeof(e));
	e.src = A(COA);
	e.dst = conf.address;
	e.hoa = routers[i].hoa;
	e.m.type = MH_BU;
	e.m.bu = (struct mh_bu){seq, MH_BU_A | MH_BU_H, 200};
	if (routers[i].n_prefixes)
		e.m.bu.flags |= MH_BU_R;
	return e;
}

/* As a node sends it that has come home: from its home address, no Home Address option. */
static struct mh_env deregistration(unsigned i, uint16_t seq)
{
	struct mh_env e = update(i, seq);

	e.src = e.hoa;
	memset(&e.hoa, 0, sizeof(e.hoa));
	e.m.bu.lifetime_s = 0;
	return e;
}

static void receive(struct mh_env e)
{
	struct ha_event ev = {.type = HA_EV_MH, .mh = e};

	ha_step(ha, &ev, now, &out);
}

static void register_(unsigned i, uint16_t seq)
{
	receive(update(i, seq));
}

static void neighbour(uint8_t type, const char *src, const char *target)
{
	struct ha_event ev = {.type = HA_EV_ND};

	ev.nd.msg.type = type;
	ev.nd.msg.src = A(src);
	ev.nd.msg.target = A(target);
	ha_step(ha, &ev, now, &out);
}

static void advertise(uint32_t valid_s, uint32_t preferred_s)
{
	struct ha_event ev = {.type = HA_EV_ND};

	ev.nd.msg.type = NDP_RA;
	ev.nd.msg.ra.n_prefix = 1;
	ev.nd.msg.ra.prefix[0] = (struct ndp_prefix){
		.prefix = home[0], .valid_s = valid_s, .preferred_s = preferred_s};
	ha_step(ha, &ev, now, &out);
}

/* Goes on for 'ms', stopping at every deadline; the last step's actions stay in 'out'. */
static void pass(uint64_t ms)
{
	struct ha_event ev = {.type = HA_EV_TICK};
	uint64_t until = now + ms;

	out.n = 0;
	while (ha_deadline(ha) <= until) {
		now = ha_deadline(ha) > now ? ha_deadline(ha) : now;
		ha_step(ha, &ev, now, &out);
	}
	now = until;
}

/* --- what comes out --- */

static unsigned ops(enum ha_home_op what, const char *addr)
{
	struct in6_addr a = A(addr);
	unsigned n = 0;

	for (unsigned i = 0; i < out.n; i++)
		n += out.v[i].type == HA_DO_HOME && out.v[i].home.op == what &&
		     addr6_eq(&out.v[i].home.addr, &a);
	return n;
}

static unsigned count(enum ha_action_type type)
{
	unsigned n = 0;

	for (unsigned i = 0; i < out.n; i++)
		n += out.v[i].type == type;
	return n;
}

static const struct ha_action *answer(void)
{
	assert_int_equal(count(HA_DO_SEND), 1);
	for (unsigned i = 0; i < out.n; i++)
		if (out.v[i].type == HA_DO_SEND)
			return &out.v[i];
	return NULL;
}

static void answered(int status, uint16_t seq)
{
	assert_int_equal(answer()->mh.m.ba.status, status);
	assert_int_equal(answer()->mh.m.ba.seq, seq);
}

static void bind_(unsigned i, uint16_t seq)
{
	register_(i, seq);
	pass(DAD_MS);
	answered(0, seq);
}

static unsigned place(enum ha_action_type type)
{
	for (unsigned i = 0; i < out.n; i++)
		if (out.v[i].type == type)
			return i;
	fail_msg("no action %d", type);
	return 0;
}

/* --- duplicate address detection --- */

static void a_first_registration_waits_for_the_detection(void **state) /* s10.3.1 */
{
	(void)state;
	register_(ONE, 7);
	assert_int_equal(out.n, 1);
	assert_int_equal(ops(HA_HOME_PROBE, "2001:db8:100::1"), 1);
	assert_int_equal(ha_deadline(ha), now + DAD_MS);
	assert_int_equal(ha_n_bound(ha), 0);
	pass(DAD_MS - 1);
	assert_int_equal(out.n, 0);
	pass(1);
	answered(0, 7);
	assert_int_equal(ops(HA_HOME_PROBE_END, "2001:db8:100::1"), 1);
	assert_int_equal(ha_n_bound(ha), 1);
	assert_int_equal(ha_counter(ha, HA_C_bu_rx), 1);
	assert_int_equal(ha_counter(ha, HA_C_bu_accepted), 1);
}

static void whoever_has_the_address_makes_it_fail(void **state) /* s10.3.1, RFC 4862 s5.4.3 */
{
	static const struct {
		uint8_t type;
		const char *src, *target;
		bool duplicate;
	} v[] = {
		{NDP_NA, "fe80::9", "2001:db8:100::1", true},
		{NDP_NS, "::", "2001:db8:100::1", true},       /* another node's detection */
		{NDP_NS, "fe80::9", "2001:db8:100::1", false}, /* wants to resolve it */
		{NDP_NA, "fe80::9", "2001:db8:100::2", false},
		{NDP_NA, "fe80::1", "fe80::1", false}, /* L = 0 */
	};

	(void)state;
	for (unsigned i = 0; i < N_OF(v); i++) {
		teardown(NULL);
		setup(NULL);
		register_(ONE, 7);
		neighbour(v[i].type, v[i].src, v[i].target);
		if (!v[i].duplicate) {
			assert_int_equal(out.n, 0);
			pass(DAD_MS);
			answered(0, 7);
			continue;
		}
		answered(MH_ST_DAD_FAILED, 7);
		assert_int_equal(ops(HA_HOME_PROBE_END, "2001:db8:100::1"), 1);
		assert_int_equal(count(HA_DO_TUNNEL_PUT), 0);
		assert_int_equal(ha_deadline(ha), UINT64_MAX);
		assert_int_equal(ha_counter(ha, HA_C_dad_failed), 1);
		assert_int_equal(ha_counter(ha, HA_C_bu_rejected), 1);
		register_(ONE, 8); /* and another try begins anew */
		assert_int_equal(ops(HA_HOME_PROBE, "2001:db8:100::1"), 1);
	}
}

static void a_repeated_update_starts_no_second_detection(void **state) /* s10.3.1 */
{
	struct mh_env moved = update(ONE, 9);

	(void)state;
	register_(ONE, 7);
	pass(600);
	moved.src = A("2001:db8:b::2");
	receive(moved);
	assert_int_equal(out.n, 0);
	register_(ONE, 8); /* overtaken by the one before */
	assert_int_equal(out.n, 0);
	pass(400);
	answered(0, 9);
	assert_memory_equal(&answer()->mh.dst, &moved.src, 16);
	assert_int_equal(ha_counter(ha, HA_C_dad), 1);
}

static void others_do_not_wait_meanwhile(void **state)
{
	(void)state;
	bind_(TWIN, 1);
	register_(ONE, 7);
	register_(TWIN, 2); /* a refresh: bound, no detection (s10.3.1) */
	answered(0, 2);
	register_(FAR, 3); /* not on the home link */
	answered(0, 3);
	assert_int_equal(ops(HA_HOME_PROXY, "2001:db8:d:3::1"), 0);
	pass(DAD_MS);
	answered(0, 7);
}

static void a_rejected_update_leaves_the_detection_alone(void **state)
{
	struct mh_env bad = update(ONE, 8);

	(void)state;
	register_(ONE, 7);
	bad.m.o.mnp[bad.m.o.n_mnp++] = P("2001:db8:d:9::/64");
	receive(bad);
	answered(MH_ST_PREFIX_NOT_AUTHORIZED, 8);
	pass(DAD_MS);
	answered(0, 7);
}

static void a_deregistration_ends_the_detection(void **state)
{
	(void)state;
	register_(ONE, 7);
	receive(deregistration(ONE, 6)); /* older than what it would end */
	answered(MH_ST_NOT_HA, 6);
	assert_int_equal(ops(HA_HOME_PROBE_END, "2001:db8:100::1"), 0);
	receive(deregistration(ONE, 8));
	answered(MH_ST_NOT_HA, 8);
	assert_int_equal(ops(HA_HOME_PROBE_END, "2001:db8:100::1"), 1);
	pass(2 * DAD_MS);
	assert_int_equal(ha_n_bound(ha), 0);
}

static void a_virtual_home_link_needs_none_of_it(void **state)
{
	(void)state;
	conf.home_link = false;
	register_(ONE, 7);
	answered(0, 7);
	assert_int_equal(count(HA_DO_HOME), 0);
}

static void without_detection_the_address_is_still_proxied(void **state)
{
	(void)state;
	conf.dad_ms = 0;
	register_(ONE, 7);
	answered(0, 7);
	assert_int_equal(ops(HA_HOME_PROXY, "2001:db8:100::1"), 1);
}

/* --- proxy --- */

static void a_bound_address_is_proxied_and_announced_three_times(void **state) /* s10.4.1 */
{
	(void)state;
	register_(ONE, 7);
	pass(DAD_MS);
	/* The tunnel first, then what comes for it; the answer when all of it is there. */
	assert_true(place(HA_DO_TUNNEL_PUT) < place(HA_DO_SEND));
	assert_int_equal(ops(HA_HOME_PROXY, "2001:db8:100::1"), 1);
	assert_int_equal(ops(HA_HOME_ANNOUNCE, "2001:db8:100::1"), 1);
	assert_int_equal(ops(HA_HOME_ANNOUNCE, LL), 0);
	for (unsigned i = 0; i < 2; i++) { /* RetransTimer apart (RFC 4861 s7.2.6) */
		assert_int_equal(ha_deadline(ha), now + 1000);
		pass(1000);
		assert_int_equal(ops(HA_HOME_ANNOUNCE, "2001:db8:100::1"), 1);
	}
	assert_true(ha_deadline(ha) > now + 1000); /* MAX_NEIGHBOR_ADVERTISEMENT */
	register_(ONE, 8);
	assert_int_equal(count(HA_DO_HOME), 0); /* a refresh changes nothing */
}

static void the_router_flag_is_that_of_the_update(void **state) /* s10.4.1, RFC 3963 s6.2 */
{
	(void)state;
	for (unsigned i = ONE; i <= TWIN; i++) {
		unsigned n = 0;

		bind_(i, 1);
		for (unsigned k = 0; k < out.n; k++) {
			const struct ha_action *a = &out.v[k];

			if (a->type != HA_DO_HOME || a->home.op == HA_HOME_PROBE_END ||
				!addr6_eq(&a->home.addr, &routers[i].hoa))
				continue;
			assert_int_equal(a->home.router, i == ONE);
			n++;
		}
		assert_int_equal(n, 2); /* proxy and announcement */
	}
}

static void with_l_the_link_local_address_is_treated_alike(void **state) /* s10.3.1, s10.4.1 */
{
	struct mh_env e = update(ONE, 7);

	(void)state;
	e.m.bu.flags |= MH_BU_L;
	receive(e);
	assert_int_equal(ops(HA_HOME_PROBE, LL), 1);
	neighbour(NDP_NA, LL, LL);
	answered(MH_ST_DAD_FAILED, 7);
	assert_int_equal(ops(HA_HOME_PROBE_END, LL), 1);

	receive(e);
	pass(DAD_MS);
	answered(0, 7);
	assert_int_equal(ops(HA_HOME_PROXY, LL), 1);
	assert_int_equal(ops(HA_HOME_ANNOUNCE, LL), 1);

	struct mh_env twin = update(TWIN, 1); /* its link-local address would be the same */
	twin.m.bu.flags |= MH_BU_L;
	receive(twin);
	answered(MH_ST_DAD_FAILED, 1);

	receive(deregistration(ONE, 8));
	assert_int_equal(ops(HA_HOME_PROXY_END, LL), 1);
}

static void a_change_of_l_probes_anew(void **state)
{
	struct mh_env e = update(ONE, 8);

	(void)state;
	register_(ONE, 7);
	pass(600);
	e.m.bu.flags |= MH_BU_L;
	receive(e);
	assert_int_equal(ops(HA_HOME_PROBE, LL), 1);
	pass(DAD_MS - 1);
	assert_int_equal(ha_n_bound(ha), 0);
	pass(1);
	answered(0, 8);
}

static void the_claim_of_another_is_answered_and_changes_nothing(void **state) /* s10.4.1 */
{
	struct tunnel before, after;
	unsigned i = 0;

	(void)state;
	bind_(ONE, 7);
	pass(5000);
	assert_true(ha_next_tunnel(ha, &i, &before));
	neighbour(NDP_NA, "fe80::9", "2001:db8:100::1");
	assert_int_equal(out.n, 2);
	assert_int_equal(ops(HA_HOME_ANNOUNCE, "2001:db8:100::1"), 1);
	assert_int_equal(out.v[1].note.type, NOTE_HOME_CONFLICT);
	neighbour(NDP_NA, "fe80::9", "2001:db8:100::1");
	assert_int_equal(out.n, 0); /* not for each of a flood */
	pass(1000);
	neighbour(NDP_NA, "fe80::9", "2001:db8:100::1");
	assert_int_equal(out.n, 2);
	neighbour(NDP_NS, "::", "2001:db8:100::1"); /* the kernel's proxy defends it */
	assert_int_equal(out.n, 0);
	assert_int_equal(ha_counter(ha, HA_C_home_conflicts), 3);
	i = 0;
	assert_true(ha_next_tunnel(ha, &i, &after));
	assert_memory_equal(&before, &after, sizeof(before));
}

static void the_end_of_a_binding_ends_the_proxy(void **state) /* s10.3.2 */
{
	struct in6_addr a[2];
	unsigned i = 0, n;
	bool r;

	(void)state;
	bind_(ONE, 7);
	assert_true(ha_next_proxy(ha, &i, a, &n, &r));
	assert_int_equal(n, 1);
	receive(deregistration(ONE, 8));
	answered(0, 8);
	assert_int_equal(ops(HA_HOME_PROXY_END, "2001:db8:100::1"), 1);
	assert_true(place(HA_DO_HOME) < place(HA_DO_SEND));
	assert_true(answer()->on_link); /* it is there, and its home address is no tunnel's */
	assert_memory_equal(&answer()->mh.dst, &routers[ONE].hoa, 16);
	i = 0;
	assert_false(ha_next_proxy(ha, &i, a, &n, &r));
	neighbour(NDP_NA, "2001:db8:100::1", "2001:db8:100::1"); /* its own, now */
	assert_int_equal(out.n, 0);
	assert_int_equal(ha_counter(ha, HA_C_home_conflicts), 0);

	register_(ONE, 9); /* away again: no binding, so it is probed */
	assert_int_equal(ops(HA_HOME_PROBE, "2001:db8:100::1"), 1);
	pass(DAD_MS);
	answered(0, 9);
	pass(200000 - 1);
	assert_int_equal(ha_n_bound(ha), 1);
	pass(1);
	assert_int_equal(ops(HA_HOME_PROXY_END, "2001:db8:100::1"), 1);
}

static void a_rejection_at_home_goes_out_of_the_home_link(void **state) /* s10.3.2 */
{
	(void)state;
	bind_(ONE, 7);
	receive(deregistration(ONE, 7));
	answered(MH_ST_SEQ_WINDOW, 7);
	assert_true(answer()->on_link); /* the tunnel is still there and would take it */
	assert_int_equal(ha_n_bound(ha), 1);
	struct mh_env e = deregistration(ONE, 7);

	e.hoa = e.src; /* the option may be there all the same */
	receive(e);
	answered(MH_ST_SEQ_WINDOW, 7);
	assert_true(answer()->on_link);
	assert_memory_equal(&answer()->mh.hoa, &e.src, 16);
	register_(ONE, 7);
	answered(MH_ST_SEQ_WINDOW, 7);
	assert_false(answer()->on_link);
}

static void a_tunnel_that_fails_leaves_no_proxy(void **state)
{
	struct ha_event failed = {.type = HA_EV_TUNNEL_FAILED, .error = -12};

	(void)state;
	register_(ONE, 7);
	pass(DAD_MS);
	assert_int_equal(count(HA_DO_TUNNEL_PUT), 1);
	ha_step(ha, &failed, now, &out);
	answered(MH_ST_RESOURCES, 7);
	assert_int_equal(ops(HA_HOME_PROXY_END, "2001:db8:100::1"), 1);
	assert_int_equal(ha_deadline(ha), UINT64_MAX);
}

static void one_detection_ends_a_step(void **state) /* each may fail its tunnel */
{
	struct ha_event tick = {.type = HA_EV_TICK};

	(void)state;
	register_(ONE, 1);
	register_(TWIN, 2);
	now += DAD_MS;
	ha_step(ha, &tick, now, &out);
	answered(0, 1);
	assert_true(ha_deadline(ha) <= now);
	ha_step(ha, &tick, now, &out);
	answered(0, 2);
}

/* --- lifetimes of the home prefix --- */

static void a_grant_ends_with_the_home_prefix(void **state) /* s10.3.1 */
{
	static const struct {
		uint32_t valid_s, preferred_s, asked_s, granted_s;
		int status;
	} v[] = {
		{86400, 14400, 200, 200, 0},
		{86400, 200, 200, 200, 0}, /* deprecated only when the binding is over */
		{86400, 196, 200, 200, 1}, /* becomes deprecated meanwhile */
		{86400, 0, 200, 200, 1},   /* is deprecated */
		{200, 200, 200, 200, 1},   /* ends with it */
		{204, 204, 200, 200, 0},
		{203, 203, 200, 200, 1}, /* the two low bits don't count */
		{100, 100, 200, 100, 1},
		{UINT32_MAX, UINT32_MAX, 262140, 262140, 0},
		{3, 3, 200, 0, MH_ST_NOT_HOME_SUBNET},
		{0, 0, 200, 0, MH_ST_NOT_HOME_SUBNET},
	};

	(void)state;
	conf.dad_ms = 0;
	for (unsigned i = 0; i < N_OF(v); i++) {
		struct mh_env e = update(ONE, 7);

		teardown(NULL);
		ha = ha_new(&conf);
		advertise(v[i].valid_s, v[i].preferred_s);
		e.m.bu.lifetime_s = v[i].asked_s;
		receive(e);
		answered(v[i].status, 7);
		assert_int_equal(answer()->mh.m.ba.lifetime_s, v[i].granted_s);
	}
}

/* s10.3.1.  An advertisement, which nothing authenticates, can't cut what is left below two hours
 * (RFC 4862 s5.5.3). */
static void a_binding_ends_with_its_home_prefix(void **state)
{
	struct mh_env e = update(ONE, 7);

	(void)state;
	e.m.bu.lifetime_s = 20000;
	advertise(86400, 86400);
	receive(e);
	pass(DAD_MS);
	answered(0, 7);
	e = update(TWIN, 1); /* of another home prefix */
	e.m.bu.lifetime_s = 20000;
	receive(e);
	pass(DAD_MS);
	advertise(50, 50);
	pass(7200 * 1000 - 1);
	assert_int_equal(ha_n_bound(ha), 2);
	pass(1);
	assert_int_equal(ha_n_bound(ha), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_first_registration_waits_for_the_detection),
		TEST(whoever_has_the_address_makes_it_fail),
		TEST(a_repeated_update_starts_no_second_detection),
		TEST(others_do_not_wait_meanwhile),
		TEST(a_rejected_update_leaves_the_detection_alone),
		TEST(a_deregistration_ends_the_detection),
		TEST(a_virtual_home_link_needs_none_of_it),
		TEST(without_detection_the_address_is_still_proxied),
		TEST(a_bound_address_is_proxied_and_announced_three_times),
		TEST(the_router_flag_is_that_of_the_update),
		TEST(with_l_the_link_local_address_is_treated_alike),
		TEST(a_change_of_l_probes_anew),
		TEST(the_claim_of_another_is_answered_and_changes_nothing),
		TEST(the_end_of_a_binding_ends_the_proxy),
		TEST(a_rejection_at_home_goes_out_of_the_home_link),
		TEST(a_tunnel_that_fails_leaves_no_proxy),
		TEST(one_detection_ends_a_step),
		TEST(a_grant_ends_with_the_home_prefix),
		TEST(a_binding_ends_with_its_home_prefix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
