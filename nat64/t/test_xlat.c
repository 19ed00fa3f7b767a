/* test_xlat.c - the core's tables: every ICMP type and code, pointers, MTUs, checksum deltas. */
#include "nat64/core/icmp.h"
#include "nat64/head.h"
#include "nat64/t/packets.h"

static const struct nat64_conf links_1500 = {.mtu4 = 1500, .mtu6 = 1500};

/* What becomes of an ICMPv4 error: type << 8 | code, or -1 (RFC 7915 s4.2). */
static int expected46(unsigned type, unsigned code)
{
	static const int unreach[16] = {0x100, 0x100, 0x401, 0x104, 0x200, 0x100, 0x100, 0x100,
		0x100, 0x101, 0x101, 0x100, 0x100, 0x101, -1, 0x101};

	if (type == 3)
		return code < 16 ? unreach[code] : -1;
	if (type == 11)
		return 0x300 | (int)code;
	return type == 12 && (code == 0 || code == 2) ? 0x400 : -1;
}

static int expected64(unsigned type, unsigned code)
{
	static const int unreach[5] = {0x301, 0x30a, 0x301, 0x301, 0x303};

	if (type == 1)
		return code < 5 ? unreach[code] : -1;
	if (type == 2)
		return 0x304;
	if (type == 3)
		return 0xb00 | (int)code;
	if (type == 4)
		return code == 0 ? 0xc00 : code == 1 ? 0x302 : -1;
	return -1;
}

static void types_and_codes(void **state)
{
	struct icmp_head h;

	(void)state;
	for (unsigned i = 0; i < 65536; i++) {
		uint8_t m[8] = {(uint8_t)(i >> 8), (uint8_t)i};
		int want = expected46(i >> 8, i & 255);
		enum nat64_reason why = icmp_error46(&links_1500, m, 1500, &h);

		if (want < 0) {
			expect_reason(why, icmp_type);
		} else {
			expect_reason(why, translated_4to6);
			assert_int_equal(h.type << 8 | h.code, want);
			assert_int_equal(h.has_length, h.type == 1 || h.type == 3);
		}
		want = expected64(i >> 8, i & 255);
		why = icmp_error64(&links_1500, m, 0, &h);
		if (want < 0) {
			expect_reason(why, icmp_type);
		} else {
			expect_reason(why, translated_6to4);
			assert_int_equal(h.type << 8 | h.code, want);
		}
	}
}

static void pointers(void **state)
{
	static const int to6[20] = {
		0, 1, 4, 4, -1, -1, -1, -1, 7, 6, -1, -1, 8, 8, 8, 8, 24, 24, 24, 24};
	static const int to4[8] = {0, 1, -1, -1, 2, 2, 9, 8};
	static const uint32_t far[] = {40, 41, 255, 256, 0x01000000, 0xffffffff};
	struct icmp_head h;

	(void)state;
	for (unsigned i = 0; i < 256; i++) {
		for (uint8_t code = 0; code <= 2; code = (uint8_t)(code + 2)) {
			uint8_t m[8] = {12, code, 0, 0, (uint8_t)i, 0x20};
			enum nat64_reason why = icmp_error46(&links_1500, m, 1500, &h);

			if (i < 20 && to6[i] >= 0)
				assert_int_equal(h.word, to6[i]);
			else
				expect_reason(why, icmp_pointer);
		}
	}
	for (unsigned i = 0; i < 40; i++) {
		uint8_t m[8] = {4, 0, 0, 0, 0, 0, 0, (uint8_t)i};
		enum nat64_reason why = icmp_error64(&links_1500, m, 0, &h);
		int want = i < 8 ? to4[i] : i < 24 ? 12 : 16;

		if (want < 0)
			expect_reason(why, icmp_pointer);
		else
			assert_int_equal(h.word, (uint32_t)want << 24);
	}
	for (unsigned i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
		uint8_t m[8] = {4, 0};

		put32(m + 4, far[i]);
		expect_reason(icmp_error64(&links_1500, m, 0, &h), icmp_pointer);
	}
}

static void mtu_to_ipv6(void **state)
{
	static const struct {
		unsigned in, quoted, mtu6, mtu4, out;
	} table[] = {
		{1500, 1500, 1500, 1500, 1500},
		{1480, 1500, 1500, 1500, 1500},
		{1400, 1500, 1500, 1500, 1420},
		{1261, 1500, 1500, 1500, 1281},
		{1260, 1500, 1500, 1500, 1280},
		{1259, 1500, 1500, 1500, 1280},
		{576, 1500, 1500, 1500, 1280},
		{68, 1500, 1500, 1500, 1280},
		{1400, 1500, 1380, 1500, 1380},
		{1500, 1500, 9000, 1400, 1420},
		{0, 1500, 1500, 1500, 1500},
		{0, 1493, 1500, 1500, 1500},
		{0, 1492, 1500, 1500, 1280},
		{0, 1480, 1500, 1500, 1280},
		{0, 1400, 1500, 1500, 1280},
		{0, 1493, 9000, 9000, 1512},
		{0, 2002, 9000, 9000, 1512},
		{0, 2003, 9000, 9000, 2022},
		{0, 9000, 9000, 9000, 8186},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct nat64_conf c = {.mtu4 = table[i].mtu4, .mtu6 = table[i].mtu6};
		/* The length octet in front of the MTU must not become part of it. */
		uint8_t m[8] = {3, 4, 0, 0, 0, 0x20};
		struct icmp_head h;

		put_word(m + 6, table[i].in);
		icmp_error46(&c, m, table[i].quoted, &h);
		assert_int_equal(h.word, table[i].out);
	}
}

static void mtu_to_ipv4(void **state)
{
	static const struct {
		uint32_t in;
		int has_frag;
		unsigned mtu6, mtu4, out;
	} table[] = {
		{1500, 0, 1500, 1500, 1480},
		{1400, 0, 1500, 1500, 1380},
		{1400, 1, 1500, 1500, 1372},
		{1280, 0, 1500, 1500, 1260},
		{1280, 1, 1500, 1500, 1252},
		{9000, 0, 1500, 1500, 1480},
		{1500, 0, 1500, 1400, 1400},
		{1500, 0, 1400, 1500, 1380},
		{4294967295, 0, 9000, 9000, 8980},
		{1279, 0, 1500, 1500, 1260}, /* no IPv6 link has that little */
		{20, 0, 1500, 1500, 1260},
		{0, 1, 1500, 1500, 1252},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct nat64_conf c = {.mtu4 = table[i].mtu4, .mtu6 = table[i].mtu6};
		uint8_t m[8] = {2, 0};
		struct icmp_head h;

		put32(m + 4, table[i].in);
		icmp_error64(&c, m, table[i].has_frag, &h);
		assert_int_equal(h.word, table[i].out);
	}
}

/* The address sums of RFC 7915's appendix A: S6 9281, S4 ec57, delta 59d6 and a629. */
static void checksum_deltas(void **state)
{
	struct nat64 n = translator(P40);
	struct xlat6 x6 = {.payload = 13,
		.l4_off = 40,
		.hop_limit = 64,
		.proto = XLAT_UDP,
		.l4_size = 13,
		.l4 = {[6] = 0x8d, 0x0b}};
	struct xlat4 x4 = {.total = 33,
		.ihl = 20,
		.ttl = 64,
		.proto = XLAT_UDP,
		.l4_size = 13,
		.l4 = {[6] = 0x33, 0x35}};
	struct nat64_plan p;

	(void)state;
	from_hex(H6, (uint8_t *)&x6.src);
	from_hex(H4, (uint8_t *)&x6.dst);
	nat64_plan64(&n, &x6, 0, &p);
	expect_reason(p.why, translated_6to4);
	assert_int_equal(ntohs(csum_fold(p.csum_delta)), 0x59d6);
	assert_int_equal(p.csum_off, 6);
	assert_int_equal(p.cut, 40);
	assert_int_equal(p.hdr_size, 20);
	assert_int_equal(p.by_src, NAT64_BY_PREFIX);
	assert_int_equal(ntohs(csum_fix(htons(0x8d0b), p.csum_delta)), 0x3335);
	inet_pton(AF_INET, "198.51.100.2", &x4.src);
	inet_pton(AF_INET, "192.0.2.33", &x4.dst);
	nat64_plan46(&n, &x4, 0, &p);
	expect_reason(p.why, translated_4to6);
	assert_int_equal(ntohs(csum_fold(p.csum_delta)), 0xa629);
	nat64_release(&n);
}

static void sums_of_any_length(void **state)
{
	uint8_t octets[40];

	(void)state;
	for (unsigned i = 0; i < sizeof(octets); i++)
		octets[i] = (uint8_t)(255 - i * 3);
	for (unsigned from = 0; from < 4; from++)
		for (unsigned size = 0; size + from <= sizeof(octets); size++)
			assert_int_equal(ntohs(csum_fold(csum_of(octets + from, size))),
				sum16(octets + from, size, 0));
}

static void every_reason_has_its_sentence(void **state)
{
	(void)state;
	for (unsigned i = 0; i < NAT64_N_REASONS; i++) {
		assert_true(strlen(nat64_reason_name(i)) > 3);
		assert_non_null(strchr(nat64_reason_text(i), ' '));
		for (unsigned k = 0; k < i; k++)
			assert_string_not_equal(nat64_reason_text(i), nat64_reason_text(k));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(types_and_codes),
		cmocka_unit_test(pointers),
		cmocka_unit_test(mtu_to_ipv6),
		cmocka_unit_test(mtu_to_ipv4),
		cmocka_unit_test(checksum_deltas),
		cmocka_unit_test(sums_of_any_length),
		cmocka_unit_test(every_reason_has_its_sentence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
