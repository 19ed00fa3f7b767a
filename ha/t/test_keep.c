/* test_keep.c - bindings over a restart: what is kept of them, what of that a later run takes over,
 * and what it does not believe. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include "ha/keep.h"
#include "ha/t/updates.h"

#define WALL INT64_C(1700000000000) /* of the first run: wall clock less CLOCK_BOOTTIME */

static struct ha_kept kept[N_ROUTERS]; /* the state file */

/* As the edge does after a step. */
static unsigned keep(void)
{
	struct in6_addr hoa;
	struct ha_kept k;
	unsigned n = 0;

	while (ha_next_changed(ha, &hoa, &k)) {
		unsigned i = 0;

		while (!addr6_eq(&routers[i].hoa, &hoa))
			i++;
		k.wall = WALL;
		kept[i] = k;
		n++;
	}
	return n;
}

/* Another run: with the configuration as it is now. */
static void restart(void)
{
	ha_free(ha);
	ha = ha_new(&conf);
	assert_non_null(ha);
}

static enum ha_restored restore(unsigned i, bool same_boot, int64_t wall)
{
	return ha_restore(ha, &routers[i].hoa, &kept[i], same_boot, wall, now, &out);
}

static char *shown(void)
{
	json_t *list = ha_show_bindings(ha, now);
	char *text = json_dumps(list, JSON_SORT_KEYS);

	json_decref(list);
	return text;
}

static int begin(void **state)
{
	memset(kept, 0, sizeof(kept));
	return setup(state);
}

static void a_binding_is_what_it_was(void **state)
{
	struct mh_env e = update(TWO, "2001:db8:a::2", 7);
	struct tunnel t;
	char *before, *after;

	(void)state;
	add_mnp(&e, "2001:db8:100:2::/64");
	answered(&e, 0);
	assert_int_equal(keep(), 1);
	assert_int_equal(keep(), 0);
	now += 50000;
	e = update(TWO, "2001:db8:b::2", 9);
	add_mnp(&e, "2001:db8:100:2::/64");
	answered(&e, 0);
	assert_int_equal(keep(), 1);
	now += 30000;
	before = shown();
	uint64_t deadline = ha_deadline(ha);

	restart();
	assert_int_equal(
		restore(TWO, true, WALL - 999), HA_RESTORED); /* the clock was set: so what */
	struct in6_addr coa = A("2001:db8:b::2");

	assert_true(addr6_eq(&only(HA_DO_TUNNEL_PUT)->tunnel.remote, &coa));
	after = shown();
	assert_string_equal(before, after);
	assert_int_equal(ha_deadline(ha), deadline);
	assert_int_equal(ha_n_bound(ha), 1);
	assert_true(bound_tunnel(TWO, &t));
	assert_int_equal(t.n_routes, 2);
	assert_int_equal(keep(), 0);
	free(before);
	free(after);
	/* RFC 6275 s9.5.1: an update of before is an old one, the next one is not. */
	e = update(TWO, "2001:db8:c::2", 9);
	assert_int_equal(answered(&e, MH_ST_SEQ_WINDOW)->m.ba.seq, 9);
	e = update(TWO, "2001:db8:c::2", 10);
	answered(&e, 0);
}

static void a_rejected_number_counts_as_used_after_a_restart(void **state)
{
	struct mh_env e;

	(void)state;
	bind_two(7);
	e = update(TWO, "2001:db8:100::77", 8); /* in the home network: 174 */
	answered(&e, MH_ST_INVALID_COA);
	assert_int_equal(keep(), 1);
	assert_int_equal(kept[TWO].seq, 8);
}

static void a_closed_one_remembers_its_number_only(void **state)
{
	struct mh_env e;
	struct tunnel t;

	(void)state;
	bind_two(7);
	e = update(TWO, "2001:db8:a::2", 8);
	e.m.bu.lifetime_s = 0;
	answered(&e, 0);
	keep();
	restart();
	now += 500;
	assert_int_equal(restore(TWO, true, WALL), HA_RESTORED_NONE);
	assert_int_equal(out.n, 0);
	assert_false(bound_tunnel(TWO, &t));
	e = update(TWO, "2001:db8:a::2", 8);
	answered(&e, MH_ST_SEQ_WINDOW);
	now += BINDING_CLOSED_MS;
	tick();
	assert_int_equal(keep(), 1);
	assert_int_equal(kept[TWO].state | kept[TWO].flags, 0); /* nothing is left to be kept */
}

static void a_lifetime_goes_on_during_the_restart(void **state)
{
	(void)state;
	bind_two(7);
	keep();
	restart();
	now += 199999;
	assert_int_equal(restore(TWO, true, WALL), HA_RESTORED);
	assert_int_equal(ha_deadline(ha), now + 1);
	now++;
	tick();
	assert_int_equal(only(HA_DO_NOTE)->note.type, NOTE_BINDING_EXPIRED);
	restart();
	assert_int_equal(restore(TWO, true, WALL), HA_RESTORED_EXPIRED);
	assert_int_equal(out.n, 0);
	assert_int_equal(keep(), 1); /* and is struck out */
	assert_int_equal(kept[TWO].state, BINDING_NONE);
}

/* CLOCK_BOOTTIME has begun anew; the wall clock says how long it was off. */
static void after_a_reboot_the_wall_clock_counts(void **state)
{
	uint64_t then = now;

	(void)state;
	bind_two(7);
	keep();
	restart();
	now = 30000; /* of the new boot, and 60 s after the registration */
	int64_t wall = WALL + (int64_t)then + 60000 - (int64_t)now;

	assert_int_equal(restore(TWO, false, wall), HA_RESTORED);
	assert_int_equal(ha_deadline(ha), now + 140000);
	restart();
	assert_int_equal(restore(TWO, false, wall + 140001), HA_RESTORED_EXPIRED);
	restart(); /* a clock without a battery: before the registration, which can't be */
	assert_int_equal(restore(TWO, false, wall - 60001), HA_RESTORED_REFUSED);
	assert_int_equal(out.n, 0);
	assert_int_equal(ha_n_bound(ha), 0);
	restart(); /* same boot, but CLOCK_BOOTTIME is another's (a container moved) */
	now = 1000;
	assert_int_equal(restore(TWO, true, WALL), HA_RESTORED_REFUSED);
}

static void the_configuration_of_now_decides(void **state)
{
	struct mh_env e = update(TWO, "2001:db8:a::2", 7);
	struct tunnel t;

	(void)state;
	add_mnp(&e, "2001:db8:100:1::/64");
	add_mnp(&e, "2001:db8:100:2::/64");
	answered(&e, 0);
	e = update(ONE, "2001:db8:a::3", 7);
	answered(&e, 0);
	keep();
	prefixes[TWO][0] = P("2001:db8:100:2::/64"); /* the first one is taken from it */
	routers[TWO].n_prefixes = 1;
	prefixes[ONE][1] = P("2001:db8:100:4::/64"); /* and this one has one more */
	routers[ONE].n_prefixes = 2;
	restart();
	assert_int_equal(restore(TWO, true, WALL), HA_RESTORED);
	assert_true(bound_tunnel(TWO, &t));
	assert_int_equal(t.n_routes, 2);
	assert_true(prefix6_eq(&t.routes[1], &prefixes[TWO][0]));
	assert_int_equal(restore(ONE, true, WALL), HA_RESTORED);
	assert_true(bound_tunnel(ONE, &t));
	assert_int_equal(t.n_routes, 3); /* implicit: all that the table has */
	prefixes[TWO][0] = P("2001:db8:100:9::/64");
	restart();
	assert_int_equal(restore(TWO, true, WALL), HA_RESTORED_REFUSED);
	routers[ONE].mobile_router = false;
	assert_int_equal(restore(ONE, true, WALL), HA_RESTORED_REFUSED);
	routers[ONE].mobile_router = true;
	aggregates[0] = P("2001:db8:a::/48"); /* has the care-of address in it: 174 */
	restart();
	assert_int_equal(restore(ONE, true, WALL), HA_RESTORED_REFUSED);
	conf.address = A("2001:db8:1::2");
	aggregates[0] = P("2001:db8:100::/48");
	restart();
	assert_int_equal(restore(ONE, true, WALL), HA_RESTORED_REFUSED);
	routers[ONE].hoa = A("2001:db8:100::9");
	struct in6_addr old = A("2001:db8:100::2");

	restart();
	assert_int_equal(
		ha_restore(ha, &old, &kept[ONE], true, WALL, now, &out), HA_RESTORED_UNKNOWN);
	assert_int_equal(ha_n_bound(ha), 0);
}

static void what_an_operator_said_stays(void **state)
{
	struct ha_event ev = {.type = HA_EV_REVOKE, .router = TWO};
	struct ha_kept_agent own;
	struct mh_env e;

	(void)state;
	ha_step(ha, &ev, now, &out);
	assert_int_equal(keep(), 1);
	restart();
	assert_int_equal(restore(TWO, false, 0), HA_RESTORED_NONE);
	e = update(TWO, "2001:db8:a::2", 1);
	answered(&e, MH_ST_PROHIBITED);
	ev.type = HA_EV_ALLOW;
	ha_step(ha, &ev, now, &out);
	assert_int_equal(keep(), 1);
	assert_int_equal(kept[TWO].flags, 0);
	ha_set_restart(ha, 77);
	ev = (struct ha_event){.type = HA_EV_DRAIN, .has = {1, {A("2001:db8:2::1")}}};
	ha_step(ha, &ev, now, &out);
	ha_keep_agent(ha, &own);
	assert_int_equal(own.restart, 77);
	assert_true(own.draining);
	assert_int_equal(own.n_others, 1);
	assert_true(addr6_eq(&own.others[0], &ev.has.ha[0]));
}

static void an_order_outlives_the_binding_that_is_forgotten(void **state)
{
	struct ha_event ev = {.type = HA_EV_REVOKE, .router = TWO};
	struct mh_env e = update(ONE, "2001:db8:a::3", 7);

	(void)state;
	bind_two(7);
	answered(&e, 0);
	ha_step(ha, &ev, now, &out);
	keep();
	assert_true(kept[TWO].flags & KEEP_BARRED);
	assert_true(ha_keep_order(&kept[TWO]));
	assert_false(ha_keep_order(&kept[ONE]));
	assert_int_equal(kept[TWO].state | kept[TWO].seq | kept[ONE].state, 0);
	restart();
	assert_int_equal(restore(TWO, true, WALL), HA_RESTORED_NONE);
	e = update(TWO, "2001:db8:a::2", 8);
	answered(&e, MH_ST_PROHIBITED);
	e = update(ONE, "2001:db8:a::3", 1);
	answered(&e, 0);
}

static void a_tunnel_that_fails_leaves_no_binding(void **state)
{
	struct ha_event failed = {.type = HA_EV_TUNNEL_FAILED, .error = -12};

	(void)state;
	bind_two(7);
	keep();
	restart();
	assert_int_equal(restore(TWO, true, WALL), HA_RESTORED);
	ha_step(ha, &failed, now, &out);
	assert_int_equal(count(HA_DO_SEND), 0);
	assert_int_equal(ha_n_bound(ha), 0);
	assert_int_equal(keep(), 1);
	assert_int_equal(kept[TWO].state, BINDING_NONE);
}

static void damaged_records_are_refused(void **state)
{
	(void)state;
	bind_two(7);
	keep();
	struct ha_kept good = kept[TWO];

	for (unsigned bit = 0; bit < 8 * sizeof(good); bit++) {
		restart();
		kept[TWO] = good;
		((uint8_t *)&kept[TWO])[bit / 8] ^= (uint8_t)(1 << bit % 8);
		restore(TWO, bit % 2, WALL); /* no crash, and never longer than was granted */
		uint64_t deadline = ha_deadline(ha);

		assert_true(deadline == UINT64_MAX || deadline <= now + 262140000 + 4000);
	}
}

#undef TEST
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_binding_is_what_it_was),
		TEST(a_rejected_number_counts_as_used_after_a_restart),
		TEST(a_closed_one_remembers_its_number_only),
		TEST(a_lifetime_goes_on_during_the_restart),
		TEST(after_a_reboot_the_wall_clock_counts),
		TEST(the_configuration_of_now_decides),
		TEST(what_an_operator_said_stays),
		TEST(an_order_outlives_the_binding_that_is_forgotten),
		TEST(a_tunnel_that_fails_leaves_no_binding),
		TEST(damaged_records_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
