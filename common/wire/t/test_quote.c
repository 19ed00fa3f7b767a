/* ICMPv6 errors about tunnel packets: RFC 2473 s8, RFC 4443 s2.4. */
#include "common/wire/t/packet.h"
#include <errno.h>
#include "common/wire/quote.h"

#define HA    "20010db8000f00000000000000000001"
#define COA   "20010db8000a00000000000000000002"
#define CL    "20010db8000100000000000000000002"
#define MNN   "20010db8000900000000000000000002"
#define INNER "60000000 0008 11 3f " CL MNN "0102030405060708"
#define TEL   "29 00 04 01 00 01 01 00"

struct quoted {
	const char *head, *rest; /* the ICMPv6 header, and what is quoted */
};

static bool read_hex(const char *head, const char *rest, struct quote *q, uint8_t **copy)
{
	uint8_t buf[1500];
	size_t n = unhex(head, buf, sizeof(buf));

	n += unhex(rest, buf + n, sizeof(buf) - n);
	*copy = exact(buf, n);
	return quote_read(*copy, n, q);
}

static void what_a_tunnel_packet_tells(void **state)
{
	struct quote q;
	uint8_t *copy;

	(void)state;
	assert_true(read_hex("02000000 00000578", "60000000 0030 29 40" HA COA INNER, &q, &copy));
	assert_int_equal(q.error.type, QUOTE_TOO_BIG);
	assert_int_equal(q.error.param, 1400);
	assert_int_equal(q.outer_size, 88);
	assert_int_equal(q.overhead, 40);
	assert_int_equal(q.limit_at, 0);
	assert_int_equal(q.inner_size, 48);
	assert_int_equal(q.inner_quoted, 48);
	assert_ptr_equal(q.inner, copy + 48);
	assert_true(addr6_eq(&q.src, &(struct in6_addr){{{0x20, 1, 0xd, 0xb8, 0, 0xf, [15] = 1}}}));
	assert_true(q.dst.s6_addr[5] == 0xa && q.inner_src.s6_addr[5] == 1 &&
		    q.inner_dst.s6_addr[5] == 9);
	free(copy);
}

static void headers_between(void **state)
{
	struct quote q;
	uint8_t *copy;

	(void)state;
	/* A limit: at octet 44 of the packet, and its header is one of the tunnel's. */
	assert_true(
		read_hex("04000000 0000002c", "60000000 0038 3c 40" HA COA TEL INNER, &q, &copy));
	assert_int_equal(q.limit_at, 44);
	assert_int_equal(q.limit, 0);
	assert_int_equal(q.overhead, 48);
	free(copy);
	/* The first fragment, without and with one. */
	assert_true(read_hex("01000000 00000000",
		"60000000 0038 2c 40" HA COA "29 00 0001 00000007" INNER, &q, &copy));
	assert_int_equal(q.overhead, 40);
	free(copy);
	assert_true(read_hex("01000000 00000000",
		"60000000 0040 2c 40" HA COA "3c 00 0001 00000007" TEL INNER, &q, &copy));
	assert_int_equal(q.overhead, 48);
	assert_int_equal(q.limit_at, 52);
	free(copy);
}

static void what_is_no_tunnel_packet(void **state)
{
	static const struct quoted bad[] = {
		{"80000000 00000000", "60000000 0030 29 40" HA COA INNER},  /* no error */
		{"05000000 00000000", "60000000 0030 29 40" HA COA INNER},  /* none known */
		{"01000000 00000000", "60000000 0030 06 40" HA COA INNER},  /* TCP */
		{"01000000 00000000", "60000000 0031 29 40" HA COA INNER},  /* outer too long */
		{"01000000 00000000", "60000000 002f 29 40" HA COA INNER},  /* too short */
		{"01000000 00000000", "45000000 0030 29 40" HA COA INNER},  /* IPv4 */
		{"01000000 00000000", "60000000 0030 29 40" HA COA "4500"}, /* inside, too */
		{"01000000 00000000", "60000000 0038 2c 40" HA COA "29 00 0009 00000007" INNER},
		{"01000000 00000000", "60000000 0038 3c 40" HA COA "29 00 1e 04 00 00 00 00" INNER},
		{"01000000 00000000", "60000000 0038 3c 40" HA COA "29 00 04 ff 00 01 01 00" INNER},
		{"01000000 00000000", "60000000 0038 3c 40" HA COA "29 ff 04 01 00 01 01 00" INNER},
		{"01000000 00000000", "60000000 0038 3c 40" HA COA "29 00 04 01 00 01 ff 00" INNER},
	};
	struct quote q;
	uint8_t *copy;

	(void)state;
	for (size_t i = 0; i < N_OF(bad); i++) {
		assert_false(read_hex(bad[i].head, bad[i].rest, &q, &copy));
		free(copy);
	}
}

static void cut_anywhere(void **state)
{
	uint8_t buf[256], *copy;
	size_t n = unhex(
		"01000000 00000000 60000000 0038 3c 40" HA COA TEL INNER, buf, sizeof(buf));
	struct quote q;

	(void)state;
	for (size_t i = 0; i < n; i++) {
		bool whole = i >= 8 + 40 + 8 + 40; /* up to the end of the inner header */

		copy = exact(buf, i);
		assert_int_equal(quote_read(copy, i, &q), whole);
		if (whole)
			assert_int_equal(q.inner_quoted, i - 56);
		free(copy);
	}
}

static void the_table_of_s8_2(void **state)
{
	static const struct {
		struct quote_error in;
		unsigned inner_size, limit_at;
		uint8_t limit;
		bool told;
		struct quote_error out;
	} rows[] = {
		{{1, 0, 0}, 100, 0, 0, true, {1, 3, 0}},
		{{1, 1, 0}, 100, 0, 0, true, {1, 3, 0}},
		{{1, 3, 0}, 100, 0, 0, true, {1, 3, 0}},
		{{1, 4, 0}, 100, 0, 0, true, {1, 3, 0}},
		{{3, 0, 0}, 100, 0, 0, true, {1, 3, 0}},
		{{3, 1, 0}, 100, 0, 0, false, {0}},
		{{4, 0, 44}, 100, 44, 0, true, {1, 3, 0}},
		{{4, 0, 44}, 100, 44, 1, true, {1, 3, 0}},
		{{4, 0, 44}, 100, 44, 2, false, {0}},
		{{4, 0, 42}, 100, 44, 0, false, {0}},
		{{4, 0, 0}, 100, 0, 0, false, {0}},
		{{4, 1, 44}, 100, 44, 0, false, {0}},
		{{2, 0, 1400}, 1460, 0, 0, true, {2, 0, 1360}},
		{{2, 0, 1400}, 1281, 0, 0, true, {2, 0, 1360}},
		{{2, 0, 1400}, 1280, 0, 0, false, {0}},
		{{2, 0, 1300}, 1300, 0, 0, true, {2, 0, 1280}},
		{{2, 0, 10}, 1300, 0, 0, true, {2, 0, 1280}},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		struct quote q = {.error = rows[i].in,
			.overhead = 40,
			.inner_size = rows[i].inner_size,
			.limit_at = rows[i].limit_at,
			.limit = rows[i].limit};
		struct quote_error out;

		assert_int_equal(quote_relay(&q, &out), rows[i].told);
		if (rows[i].told) {
			assert_int_equal(out.type, rows[i].out.type);
			assert_int_equal(out.code, rows[i].out.code);
			assert_int_equal(out.param, rows[i].out.param);
		}
	}
}

static void what_gets_no_error(void **state)
{
	static const struct {
		const char *hex;
		bool may;
	} rows[] = {
		{"60000000 0008 11 40" CL MNN "0000000000000000", true},
		{"60000000 0008 3a 40" CL MNN "8000000000000000", true},
		{"60000000 0008 3a 40" CL MNN "8900000000000000", false}, /* redirect */
		{"60000000 0008 3a 40" CL MNN "0100000000000000", false},
		{"60000000 0008 3a 40" CL MNN "7f00000000000000", false},
		{"60000000 0010 00 40" CL MNN "3a00010400000000 0100000000000000", false},
		{"60000000 0010 3c 40" CL MNN "3a00010400000000 8100000000000000", true},
		{"60000000 0010 2c 40" CL MNN "3a00000100000000 0100000000000000", false},
		{"60000000 0010 2c 40" CL MNN "3a00000900000000 0100000000000000", true},
		{"60000000 0008 11 40 00000000000000000000000000000000" MNN, false},
		{"60000000 0008 11 40 ff020000000000000000000000000001" MNN, false},
		{"60000000 0008 11 40" CL "ff020000000000000000000000000001", false},
		{"60000000 0008 11 40" CL, false},
	};

	(void)state;
	for (size_t i = 0; i < N_OF(rows); i++) {
		uint8_t buf[128], *copy;
		size_t n = unhex(rows[i].hex, buf, sizeof(buf));

		copy = exact(buf, n);
		assert_int_equal(quote_may_answer(copy, n), rows[i].may);
		free(copy);
	}
}

/* RFC 2473 s4.1.1: headers from left to right, up to one that is no extension header. */
static void the_limit_of_what_is_to_go_in(void **state)
{
	static const struct {
		const char *next, *behind;
		int limit;
		unsigned at;
	} rows[] = {
		{"11", "03e803e8 00080000", -1, 0}, {"3c", "1100040107010100", 7, 44},
		{"3c", "1100040100010100", 0, 44},
		{"3c", "3c000104000000001100040105010100", 5, 52},
		{"00", "3c000104000000001100040105010100", 5, 52},
		{"3c", "1100 1e04 00000000", -1, 0},
		{"3c", "1101 1e0100 01020000 040109 0100 0000", 9, 51},
		{"2b", "3c00000000000000 1100040105010100", 5, 52},
		{"29", "1100040107010100", -1, 0},
		{"2c", "3c000001000000001100040105010100", -1, 0},
		{"3c", "11ff040107010100", -1, 0},                  /* cut */
		{"3c", "11003a0002000401 0000000000000000", -1, 0}, /* runs over the header's end */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t pkt[80] = {0x60}, *copy;
		size_t n = 40 + unhex(rows[i].behind, pkt + 40, sizeof(pkt) - 40);
		unsigned at = 0;

		unhex(rows[i].next, pkt + 6, 1);
		pkt[8] = pkt[24] = 0x20;
		copy = malloc(n); /* so that reading on is seen */
		memcpy(copy, pkt, n);
		assert_int_equal(quote_limit(copy, n, &at), rows[i].limit);
		assert_int_equal(at, rows[i].at);
		free(copy);
	}
}

static void what_is_sent(void **state)
{
	static uint8_t pkt[1500], buf[1500];
	struct quote_error e = {QUOTE_TOO_BIG, 0, 1360};
	uint8_t want[12];

	(void)state;
	memset(pkt, 0x60, sizeof(pkt));
	assert_int_equal(quote_write(&e, pkt, 100, buf, sizeof(buf)), 108);
	unhex("02000000 00000550 60606060", want, sizeof(want));
	assert_memory_equal(buf, want, sizeof(want));
	/* With an IPv6 header not over 1280 (RFC 4443 s2.4(c)). */
	assert_int_equal(quote_write(&e, pkt, sizeof(pkt), buf, sizeof(buf)), 1240);
	assert_int_equal(quote_write(&e, pkt, 100, buf, 107), -EMSGSIZE);
}

/* --- errors about Binding Updates --- */

#define HOA "20010db8010000000000000000000001"

static bool read_update(const char *head, const char *rest, struct quote_update *q, uint8_t **copy)
{
	uint8_t buf[1500];
	size_t n = unhex(head, buf, sizeof(buf));

	n += unhex(rest, buf + n, sizeof(buf) - n);
	*copy = exact(buf, n);
	return quote_read_update(*copy, n, q);
}

static void what_an_update_tells(void **state)
{
	static const struct {
		const char *head, *rest;
		bool esp, hao;
	} v[] = {
		{"01030000 00000000",
			"6000000000283c40" COA HA "8702c910" HOA
			"010200003b0105000000bee5c000009601020000",
			false, true},
		{"04010000 00000028",
			"600000000010 87 40" COA HA "3b0105000000bee5c000009601020000", false,
			false},
		{"01000000 00000000",
			"6000000000203c40" COA HA "3202c910" HOA "01020000 00000457 0000beef", true,
			true},
	};
	struct in6_addr ha = A("2001:db8:f::1"), coa = A("2001:db8:a::2"),
			hoa = A("2001:db8:100::1");

	(void)state;
	for (unsigned i = 0; i < N_OF(v); i++) {
		struct quote_update q;
		uint8_t *copy;

		assert_true(read_update(v[i].head, v[i].rest, &q, &copy));
		free(copy);
		assert_memory_equal(&q.dst, &ha, 16);
		assert_memory_equal(&q.src, &coa, 16);
		assert_int_equal(q.esp, v[i].esp);
		if (v[i].hao)
			assert_memory_equal(&q.hoa, &hoa, 16);
		else
			assert_true(addr6_is_any(&q.hoa));
		if (v[i].esp) {
			assert_int_equal(q.spi, 0x457);
			assert_int_equal(q.number, 0xbeef);
		} else {
			assert_int_equal(q.seq, 0xbee5);
		}
	}
}

static void what_is_no_update(void **state)
{
	static const struct quoted v[] = {
		{"81030000 00000000",
			"600000000010 87 40" COA HA "3b0105000000bee5c000009601020000"},
		{"01030000 00000000",
			"600000000010 87 40" COA HA "3b0106000000bee5c000009601020000"},
		{"01030000 00000000",
			"600000000010 11 40" COA HA "3b0105000000bee5c000009601020000"},
		{"01030000 00000000", "600000000010 87 40" COA HA "3b010500"},
		{"01030000 00000000", "600000000010 29 40" COA HA "60000000"},
		{"01030000 00000000", ""},
	};

	(void)state;
	for (unsigned i = 0; i < N_OF(v); i++) {
		struct quote_update q;
		uint8_t *copy;

		assert_false(read_update(v[i].head, v[i].rest, &q, &copy));
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_tunnel_packet_tells),
		cmocka_unit_test(headers_between),
		cmocka_unit_test(what_is_no_tunnel_packet),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(the_table_of_s8_2),
		cmocka_unit_test(what_gets_no_error),
		cmocka_unit_test(the_limit_of_what_is_to_go_in),
		cmocka_unit_test(what_is_sent),
		cmocka_unit_test(what_an_update_tells),
		cmocka_unit_test(what_is_no_update),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
