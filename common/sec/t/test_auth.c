/* test_auth.c - RFC 4285: the authenticator against a value computed by Python's hmac, and the
 * timestamps of both ends (HOSTILE inputs 8 and 9). */
#include "common/sec/auth.h"
#include "common/wire/t/packet.h"

#define S   ((uint64_t)1 << 32)
#define NOW (3900000000 * S + 12345)

static struct auth_floor f;
static struct auth_clock c;
static uint64_t reply;

static int setup(void **state)
{
	(void)state;
	f = (struct auth_floor){.known = true, .last = NOW - 100 * S};
	c = (struct auth_clock){0};
	return 0;
}

static void authenticator_leaves_the_checksum_out(void **state)
{
	struct in6_addr coa = A("2001:db8:a::10"), hoa = A("2001:db8:1::1");
	uint8_t key[32], mh[128], mac[16], want[16];
	size_t n = unhex("3b09050080831234c400000f0100031020010db8000a00000000000000000010"
			 "080c016d7231406578616d706c65010200000a08e800000080000001"
			 "01000915010000 0100",
		mh, sizeof(mh));

	(void)state;
	for (unsigned i = 0; i < 32; i++)
		key[i] = (uint8_t)i;
	unhex("697a2afe02f53d29b3859d78f7d6a97b", want, 16);
	assert_int_equal(auth_mac(key, &coa, &hoa, mh, n, mac), 0);
	assert_memory_equal(mac, want, 16);
	mh[4] ^= 0xff; /* the checksum */
	assert_int_equal(auth_mac(key, &coa, &hoa, mh, n, mac), 0);
	assert_memory_equal(mac, want, 16);
	mh[7] ^= 1; /* the sequence number */
	assert_int_equal(auth_mac(key, &coa, &hoa, mh, n, mac), 0);
	assert_memory_not_equal(mac, want, 16);
}

static void timestamps_grow_and_are_close(void **state)
{
	(void)state;
	assert_true(auth_floor_take(&f, NOW, NOW, &reply));
	assert_false(auth_floor_take(&f, NOW, NOW, &reply)); /* exact replay */
	assert_false(auth_floor_take(&f, NOW - 1, NOW, &reply));
	assert_true(auth_floor_take(&f, NOW + 1, NOW, &reply));
	assert_true(auth_floor_take(&f, NOW + 7 * S, NOW, &reply));
	assert_false(auth_floor_take(&f, NOW + 7 * S + 1, NOW, &reply));
}

static void old_ones_are_refused_although_nothing_was_seen_since(void **state)
{
	(void)state;
	assert_false(auth_floor_take(&f, NOW - 7 * S - 1, NOW, &reply));
	assert_true(auth_floor_take(&f, NOW - 7 * S, NOW, &reply));
}

/* Year 2100: refused, and not stored; the answer has our seconds and its fraction. */
static void far_future_is_not_stored(void **state)
{
	uint64_t far = NOW + 2000000000 * S + 77;

	(void)state;
	assert_false(auth_floor_take(&f, far, NOW, &reply));
	assert_int_equal(reply >> 32, NOW >> 32);
	assert_int_equal((uint32_t)reply, (uint32_t)far);
	assert_int_equal(f.last, NOW - 100 * S);
	assert_true(auth_floor_take(&f, NOW, NOW, &reply));
}

static void the_era_of_2036_is_no_edge(void **state)
{
	(void)state;
	f.last = UINT64_MAX - S;
	assert_true(auth_floor_take(&f, UINT64_MAX, 2 * S, &reply));
	assert_true(auth_floor_take(&f, 3 * S, 2 * S, &reply));
	assert_false(auth_floor_take(&f, UINT64_MAX, 2 * S, &reply));
}

/* Whatever can have been accepted before the loss is refused; one more round trip, and it binds. */
static void a_lost_memory_asks_once(void **state)
{
	uint64_t stamp = auth_clock_next(&c, NOW);

	(void)state;
	f = (struct auth_floor){0};
	assert_false(auth_floor_take(&f, stamp, NOW, &reply));
	assert_false(auth_floor_take(&f, NOW + 7 * S, NOW + 1, &(uint64_t){0}));
	assert_true(auth_clock_adjust(&c, reply, NOW + S / 10));
	stamp = auth_clock_next(&c, NOW + S / 10);
	assert_true(auth_floor_take(&f, stamp, NOW + S / 5, &reply));
	for (unsigned s = 1; s < 60; s++) /* nothing is left of it */
		assert_true(
			auth_floor_take(&f, auth_clock_next(&c, NOW + s * S), NOW + s * S, &reply));
}

/* The answer was lost, or a replay came first and the router later. */
static void it_asks_again_when_no_answer_comes(void **state)
{
	uint64_t stamp, later = NOW + 60 * S;

	(void)state;
	f = (struct auth_floor){0};
	assert_false(auth_floor_take(&f, NOW - 3 * S, NOW, &reply));
	stamp = auth_clock_next(&c, NOW + S);
	assert_false(auth_floor_take(&f, stamp, NOW + S, &reply));
	assert_true(auth_clock_adjust(&c, reply, NOW + S));
	assert_true(auth_floor_take(&f, auth_clock_next(&c, NOW + S), NOW + S, &reply));
	f = (struct auth_floor){0};
	assert_false(auth_floor_take(&f, NOW, NOW, &reply));
	stamp = auth_clock_next(&c, later);
	if (!auth_floor_take(&f, stamp, later, &reply)) {
		assert_true(auth_clock_adjust(&c, reply, later));
		stamp = auth_clock_next(&c, later);
		assert_true(auth_floor_take(&f, stamp, later + S / 10, &reply));
	}
}

static void a_routers_clock_is_set_by_the_answer(void **state)
{
	static const int64_t off[] = {-86400, -3600, -8, -5, 5, 8, 3600, 86400, 1000000000};

	(void)state;
	for (unsigned i = 0; i < N_OF(off); i++) {
		uint64_t own = NOW + (uint64_t)off[i] * S, stamp;

		setup(NULL);
		stamp = auth_clock_next(&c, own);
		if (!auth_floor_take(&f, stamp, NOW, &reply)) {
			assert_true(auth_clock_adjust(&c, reply, own));
			stamp = auth_clock_next(&c, own);
			assert_true(auth_floor_take(&f, stamp, NOW, &reply));
		}
		assert_true(auth_clock_done(&c, stamp));
		for (unsigned s = 60; s < 300; s += 60) { /* one more round trip at most */
			stamp = auth_clock_next(&c, own + s * S);
			if (!auth_floor_take(&f, stamp, NOW + s * S, &reply)) {
				assert_int_equal(s, 60);
				assert_true(auth_clock_adjust(&c, reply, own + s * S));
				stamp = auth_clock_next(&c, own + s * S);
				assert_true(auth_floor_take(&f, stamp, NOW + s * S, &reply));
			}
			assert_true(auth_clock_done(&c, stamp));
		}
	}
}

/* An update and, after an answer 144, the next ones: how many it takes until one is accepted. */
static unsigned tries(uint64_t own, uint64_t home)
{
	unsigned n = 1;
	uint64_t stamp;

	for (; n < 5; n++) {
		stamp = auth_clock_next(&c, own);
		if (auth_floor_take(&f, stamp, home, &reply)) {
			assert_true(auth_clock_done(&c, stamp));
			break;
		}
		assert_true(auth_clock_adjust(&c, reply, own));
	}
	assert_false(auth_floor_take(&f, stamp, home, &(uint64_t){0}));
	return n;
}

/* NTP sets a clock right, or somebody sets it wrong: two round trips more at most, once, and what
 * was accepted before stays refused. */
static void a_home_agents_clock_may_step(void **state)
{
	static const int64_t steps[] = {
		-1000000000, -86400, -60, -12, -8, -3, 3, 8, 60, 86400, 1000000000};

	(void)state;
	for (unsigned i = 0; i < N_OF(steps); i++) {
		uint64_t home = NOW, own = NOW, before;

		setup(NULL);
		assert_int_equal(tries(own, home), 1);
		before = f.last;
		for (int way = 1; way >= -1; way -= 2) { /* and back */
			unsigned more = 0;

			home += (uint64_t)(way * steps[i]) * S;
			for (unsigned n = 0; n < 20; n++) {
				more += tries(own, home) - 1;
				assert_false(auth_floor_take(&f, before, home, &(uint64_t){0}));
				own += 60 * S;
				home += 60 * S;
			}
			assert_true(more <= 2);
		}
		/* Without its memory of the step, after a restart. */
		f = (struct auth_floor){.known = true, .last = f.last + 5000 * S};
		assert_true(tries(own, home) <= 3);
		assert_int_equal(tries(own + 60 * S, home + 60 * S), 1);
	}
}

/* Not by one that is about nothing sent: that may be an old one. */
static void a_strange_answer_sets_no_clock(void **state)
{
	uint64_t stamp = auth_clock_next(&c, NOW);

	(void)state;
	assert_false(auth_clock_adjust(&c, stamp + 1 + 100 * S, NOW));
	assert_int_equal(auth_clock_next(&c, NOW + S), NOW + S);
	assert_true(auth_clock_done(&c, stamp));
	assert_false(auth_clock_done(&c, stamp + 1));
}

static void a_clock_never_goes_back(void **state)
{
	uint64_t last = auth_clock_next(&c, NOW);

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		uint64_t next = auth_clock_next(&c, NOW - i * S);

		assert_true(next > last);
		last = next;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(authenticator_leaves_the_checksum_out, setup),
		cmocka_unit_test_setup(timestamps_grow_and_are_close, setup),
		cmocka_unit_test_setup(old_ones_are_refused_although_nothing_was_seen_since, setup),
		cmocka_unit_test_setup(far_future_is_not_stored, setup),
		cmocka_unit_test_setup(the_era_of_2036_is_no_edge, setup),
		cmocka_unit_test_setup(a_lost_memory_asks_once, setup),
		cmocka_unit_test_setup(it_asks_again_when_no_answer_comes, setup),
		cmocka_unit_test_setup(a_routers_clock_is_set_by_the_answer, setup),
		cmocka_unit_test_setup(a_home_agents_clock_may_step, setup),
		cmocka_unit_test_setup(a_strange_answer_sets_no_clock, setup),
		cmocka_unit_test_setup(a_clock_never_goes_back, setup),
	};

	return cmocka_run_group_tests_name("auth", tests, NULL, NULL);
}
