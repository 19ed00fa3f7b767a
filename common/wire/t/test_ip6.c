/* IPv6 header chain: RFC 8200 s4, RFC 6275 s6.3, s6.4. */
#include "common/wire/t/packet.h"
#include <errno.h>

static const char *const HAO = "2001:db8::5";

/* IPv6 header from 2001:db8:a::2 to 2001:db8:1::1, next header 'first', then 'rest'. */
static size_t packet(uint8_t first, const char *rest, uint8_t *buf)
{
	struct in6_addr src = A("2001:db8:a::2"), dst = A("2001:db8:1::1");
	size_t n = unhex(rest, buf + 40, IP6_SIG_MAX - 40);

	memset(buf, 0, 40);
	buf[0] = 0x60;
	buf[4] = (uint8_t)(n >> 8);
	buf[5] = (uint8_t)n;
	buf[6] = first;
	buf[7] = 64;
	memcpy(buf + 8, &src, 16);
	memcpy(buf + 24, &dst, 16);
	return 40 + n;
}

static enum ip6_verdict decode(uint8_t first, const char *rest, struct ip6_pkt *out)
{
	uint8_t buf[IP6_SIG_MAX], *copy;
	size_t n = packet(first, rest, buf);
	enum ip6_verdict v;

	copy = exact(buf, n);
	v = ip6_decode(copy, n, out);
	free(copy);
	return v;
}

#define HAO_OPT       "c910 20010db8000000000000000000000005"
#define HAO_HDR(next) next "02 01020000" HAO_OPT
#define RH2_HDR(next) next "02 02 01 00000000 20010db8000000000000000000000006"

static void checksum_of_a_known_message(void **state)
{
	/* RFC 1071 s3: 0001 f203 f4f5 f6f7 sums to ddf2; the pseudo-header adds the length 8. */
	const uint8_t data[8] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
	struct in6_addr any = IN6ADDR_ANY_INIT, ones;
	uint8_t big[65535];

	(void)state;
	memset(&ones, 0xff, sizeof(ones));
	assert_int_equal(ip6_csum(&any, &any, 0, data, 8), htons(0x2205));
	assert_int_equal(ip6_csum(&any, &any, 58, data, 8), htons(0x2205 - 58));
	assert_int_equal(ip6_csum(&ones, &ones, 0, data, 8), htons(0x2205)); /* ffff is 0 too */
	/* An odd octet counts as the upper one: f6f7 becomes f600, the length 7. */
	assert_int_equal(ip6_csum(&any, &any, 0, data, 7), htons(0x2205 + 0xf7 + 1));
	/* 32767 words of ffff (= 0), one of ff00, length ffff (= 0). */
	memset(big, 0xff, sizeof(big));
	assert_int_equal(ip6_csum(&any, &any, 0, big, sizeof(big)), htons(0x00ff));
}

static void plain_packet(void **state)
{
	struct in6_addr src = A("2001:db8:a::2"), dst = A("2001:db8:1::1");
	uint8_t buf[IP6_SIG_MAX];
	size_t n = packet(135, "3b00000000000000", buf);
	struct ip6_pkt p;

	(void)state;
	assert_int_equal(ip6_decode(buf, n, &p), IP6_OK);
	assert_memory_equal(&p.src, &src, 16);
	assert_memory_equal(&p.dst, &dst, 16);
	assert_int_equal(p.hop_limit, 64);
	assert_int_equal(p.proto, IP6_PROTO_MH);
	assert_false(p.has_hao || p.has_rh2);
	assert_ptr_equal(p.payload, buf + 40);
	assert_int_equal(p.payload_size, 8);
	assert_int_equal(p.payload_off, 40);
	/* Octets past Payload Length are the link's padding. */
	memset(buf + n, 0xee, 10);
	assert_int_equal(ip6_decode(buf, n + 10, &p), IP6_OK);
	assert_int_equal(p.payload_size, 8);
	buf[0] = 0x45;
	assert_int_equal(ip6_decode(buf, n, &p), IP6_DROP_SHORT);
}

static void home_address_and_routing_header(void **state)
{
	struct in6_addr hao = A(HAO), rh2 = A("2001:db8::6");
	struct ip6_pkt p;

	(void)state;
	assert_int_equal(decode(60, HAO_HDR("87") "3b00000000000000", &p), IP6_OK);
	assert_true(p.has_hao && !p.has_rh2);
	assert_memory_equal(&p.hao, &hao, 16);
	assert_int_equal(p.payload_off, 64);
	assert_int_equal(decode(43, RH2_HDR("87") "3b00000000000000", &p), IP6_OK);
	assert_true(!p.has_hao && p.has_rh2);
	assert_memory_equal(&p.rh2, &rh2, 16);
	assert_int_equal(decode(43, RH2_HDR("3c") HAO_HDR("32") "11223344", &p), IP6_OK);
	assert_true(p.has_hao && p.has_rh2);
	assert_int_equal(p.proto, IP6_PROTO_ESP);
	assert_int_equal(p.payload_off, 88);
	assert_int_equal(p.payload_size, 4);
}

static void hostile_6_home_address_option(void **state)
{
	static const struct {
		uint8_t first;
		const char *rest;
	} bad[] = {
		/* twice, in one header and in two */
		{60, "3b 04" HAO_OPT "0100" HAO_OPT},
		{60, HAO_HDR("3c") HAO_HDR("3b")},
		/* in hop-by-hop options */
		{0, HAO_HDR("3b")},
		/* length 15, 17, 0 */
		{60, "3b 02 01020000 c90f 20010db80000000000000000000000 00"},
		{60, "3b 02 010100 c911 20010db80000000000000000000000 0500"},
		{60, "3b 00 c900 01020000"},
		/* not routable: multicast, ::, ::1, link-local, IPv4-mapped */
		{60, "3b 02 01020000 c910 ff020000000000000000000000000001"},
		{60, "3b 02 01020000 c910 00000000000000000000000000000000"},
		{60, "3b 02 01020000 c910 00000000000000000000000000000001"},
		{60, "3b 02 01020000 c910 fe800000000000000000000000000001"},
		{60, "3b 02 01020000 c910 00000000000000000000ffff0a000001"},
	};
	struct ip6_pkt p;

	(void)state;
	for (size_t i = 0; i < N_OF(bad); i++)
		assert_int_equal(decode(bad[i].first, bad[i].rest, &p),
			i < 6 ? IP6_DROP_HAO : IP6_DROP_HAO_ADDR);
	assert_true(p.has_hao && p.hao_bad); /* the rest is known, for who has to answer */
	assert_int_equal(p.proto, IP6_PROTO_NONE);
}

static void routing_headers_that_are_refused(void **state)
{
	static const char *const bad[] = {
		/* type 2: segments left 2, length 0, 4, address not routable, twice */
		"3b 02 02 02 00000000 20010db8000000000000000000000006",
		"3b 00 02 01 00000000",
		"3b 04 02 01 00000000 20010db8000000000000000000000006 "
		"20010db8000000000000000000000007",
		"3b 02 02 01 00000000 fe800000000000000000000000000006",
		"3b 02 02 01 00000000 ff0e0000000000000000000000000006",
		RH2_HDR("2b") RH2_HDR("3b"),
	};
	struct ip6_pkt p;

	(void)state;
	for (size_t i = 0; i < N_OF(bad); i++)
		assert_int_equal(decode(43, bad[i], &p), IP6_DROP_RH);
	/* Of a type we don't know, with segments left: the Pointer names the type (RFC 8200 s4.4).
	 */
	for (unsigned type = 0; type < 256; type++) {
		char hex[80];

		if (type == 2)
			continue;
		snprintf(hex, sizeof(hex), "3b 02 %02x 01 00000000 %032x", type, 6);
		assert_int_equal(decode(43, hex, &p), IP6_DROP_RH_TYPE);
		assert_int_equal(p.payload_off, 42);
	}
	/* Nothing left to visit: skipped, whatever the type. */
	assert_int_equal(
		decode(43, "3b 02 00 00 00000000 20010db8000000000000000000000006", &p), IP6_OK);
	assert_int_equal(decode(43, "3b 00 fd 00 00000000", &p), IP6_OK);
	assert_false(p.has_rh2);
	assert_int_equal(p.proto, IP6_PROTO_NONE);
}

static void unknown_options_do_as_their_type_says(void **state)
{
	struct ip6_pkt p;

	(void)state;
	for (unsigned type = 0; type < 256; type++) {
		static const enum ip6_verdict by_action[] = {
			IP6_OK, IP6_DROP_OPTION, IP6_DROP_OPTION_TELL, IP6_DROP_OPTION_TELL};
		enum ip6_verdict want = by_action[type >> 6];
		char hex[48];

		if (type == 0 || type == 0xc9)
			continue;
		snprintf(hex, sizeof(hex), "3b 00 %02x 02 0000 0000", type);
		assert_int_equal(decode(60, hex, &p), want);
		assert_int_equal(decode(0, hex, &p), want);
		if (want != IP6_DROP_OPTION_TELL)
			continue;
		assert_int_equal(p.payload_off, 42); /* the Pointer: the option's type */
		snprintf(hex, sizeof(hex), "3c 00 0104 00000000 3b 00 00 %02x 02 0000 00", type);
		assert_int_equal(decode(0, hex, &p), want);
		assert_int_equal(p.payload_off, 40 + 8 + 3);
	}
}

static void hostile_3_options_at_the_end_of_their_header(void **state)
{
	char pads[2 * 2000 + 1];
	struct ip6_pkt p;

	(void)state;
	assert_int_equal(decode(60, "3b 00 01 ff 0000 0000", &p), IP6_DROP_SHORT);
	assert_int_equal(decode(60, "3b 00 01 02 0000 00 1e", &p), IP6_DROP_SHORT);
	assert_int_equal(decode(60, "3b 00 01 04 0000 0000", &p), IP6_OK);
	assert_int_equal(decode(60, "3b 00 01 05 0000 0000 3b00000000000000", &p), IP6_DROP_SHORT);
	/* The largest header: 2046 Pad1. */
	memset(pads, '0', 2 * 1998);
	memcpy(pads, "3bf8", 4);
	pads[2 * 1992] = '\0';
	assert_int_equal(decode(60, pads, &p), IP6_OK);
}

static void hostile_10_fragments_are_never_parsed(void **state)
{
	struct ip6_pkt p;

	(void)state;
	/* first, last, atomic; and after other headers */
	assert_int_equal(decode(44, "87 00 0001 00000001 3b00000000000000", &p), IP6_DROP_FRAGMENT);
	assert_int_equal(decode(44, "87 00 0100 00000001 3b00000000000000", &p), IP6_DROP_FRAGMENT);
	assert_int_equal(decode(44, "87 00 0000 00000001 3b00000000000000", &p), IP6_DROP_FRAGMENT);
	assert_int_equal(decode(44, "87", &p), IP6_DROP_FRAGMENT);
	assert_int_equal(decode(60, HAO_HDR("2c") "87 00 0000 00000001", &p), IP6_DROP_FRAGMENT);
}

static void chains_are_bounded(void **state)
{
	char hex[1000] = "";
	struct ip6_pkt p;

	(void)state;
	for (unsigned i = 1; i < IP6_MAX_CHAIN; i++)
		strcat(hex, "3c00 010400000000 ");
	strcat(hex, "8700 010400000000 3b00000000000000");
	assert_int_equal(decode(60, hex, &p), IP6_OK);
	assert_int_equal(p.payload_off, 40 + 8 * IP6_MAX_CHAIN);
	memmove(hex + 18, hex, strlen(hex) + 1);
	memcpy(hex, "3c00 010400000000 ", 18);
	assert_int_equal(decode(60, hex, &p), IP6_DROP_DEPTH);
	/* Hop-by-hop options stand first or nowhere. */
	assert_int_equal(decode(0, "3c00 010400000000 3b00 010400000000", &p), IP6_OK);
	assert_int_equal(decode(60, "0000 010400000000 3b00 010400000000", &p), IP6_DROP_DEPTH);
	assert_int_equal(decode(0, "0000 010400000000 3b00 010400000000", &p), IP6_DROP_DEPTH);
}

static void truncated_at_every_length(void **state)
{
	uint8_t buf[IP6_SIG_MAX];
	size_t n = packet(43, RH2_HDR("3c") HAO_HDR("87") "3b00000000000000", buf);
	struct ip6_pkt p;

	(void)state;
	for (size_t i = 0; i < n; i++) {
		uint8_t *copy = exact(buf, i);

		assert_int_equal(ip6_decode(copy, i, &p), IP6_DROP_SHORT);
		if (i >= 40) { /* with a Payload Length that says so */
			copy[5] = (uint8_t)(i - 40);
			assert_int_equal(ip6_decode(copy, i, &p), i < 88 ? IP6_DROP_SHORT : IP6_OK);
		}
		free(copy);
	}
}

static void encodes_the_chain_in_the_rfcs_order(void **state)
{
	uint8_t want[IP6_SIG_MAX], buf[IP6_SIG_MAX];
	const uint8_t payload[4] = {1, 2, 3, 4};
	size_t n = packet(43, RH2_HDR("3c") HAO_HDR("3b") "01020304", want);
	struct ip6_pkt p;

	(void)state;
	assert_int_equal(ip6_decode(want, n, &p), IP6_OK);
	p.payload = payload;
	assert_int_equal(ip6_encode(&p, buf, sizeof(buf)), n);
	assert_memory_equal(buf, want, n);
	assert_int_equal(ip6_encode(&p, buf, n), n);
	assert_int_equal(ip6_encode(&p, buf, n - 1), -EMSGSIZE);
	assert_int_equal(ip6_encode(&p, buf, 0), -EMSGSIZE);
	p.payload_size = 65535;
	assert_int_equal(ip6_encode(&p, buf, sizeof(buf)), -EMSGSIZE);
	p.has_rh2 = p.has_hao = false;
	p.payload_size = sizeof(payload);
	n = packet(59, "01020304", want);
	assert_int_equal(ip6_encode(&p, buf, sizeof(buf)), n);
	assert_memory_equal(buf, want, n);
}

/* 'first' and 'rest' settled: 'want' is what follows the IPv6 header then. */
static void settles(uint8_t first, const char *rest, uint8_t want_first, const char *want,
	const char *src, const char *dst, struct ip6_pkt *out)
{
	struct in6_addr s = A(src), t = A(dst);
	uint8_t buf[IP6_SIG_MAX], good[IP6_SIG_MAX], *copy;
	size_t n = packet(first, rest, buf);

	assert_int_equal(packet(want_first, want, good), n);
	memcpy(good + 8, &s, 16);
	memcpy(good + 24, &t, 16);
	copy = exact(buf, n);
	assert_int_equal(ip6_settle(copy, n, out), IP6_OK);
	assert_memory_equal(copy, good, n);
	free(copy);
}

#define IGNORED(next)  next "02 1e14 0000000000000000000000000000000000000000"
#define HAO_GONE(next) next "02 01020000 1e10 00000000000000000000000000000000"

static void home_addresses_take_their_place(void **state) /* RFC 6275 s9.3.1, s11.3.3 */
{
	static const char *const coa = "2001:db8:a::2", *const ha = "2001:db8:1::1";
	struct in6_addr was = A(coa);
	struct ip6_pkt p;

	(void)state;
	settles(60, HAO_HDR("3a") "80001234", 60, HAO_GONE("3a") "80001234", HAO, ha, &p);
	assert_true(p.has_hao && !p.has_rh2 && p.proto == 58);
	assert_memory_equal(&p.src, &was, 16); /* as it came */
	settles(43, RH2_HDR("3a") "80001234", 60, IGNORED("3a") "80001234", coa, "2001:db8::6", &p);
	assert_true(p.has_rh2 && !p.has_hao && p.proto == 58);
	/* Behind hop-by-hop options it is their header that names the routing header. */
	settles(0, "2b 00 0104 00000000" RH2_HDR("11") "0102", 0,
		"3c 00 0104 00000000" IGNORED("11") "0102", coa, "2001:db8::6", &p);
	settles(43, RH2_HDR("3c") HAO_HDR("3b"), 60, IGNORED("3c") HAO_GONE("3b"), HAO,
		"2001:db8::6", &p);
	settles(58, "80001234", 58, "80001234", coa, ha, &p); /* nothing to do */
}

static void pieces_of_packets_are_settled_too(void **state)
{
	struct ip6_pkt p;

	(void)state;
	settles(60,
		HAO_HDR("2c") "1100 0009 00000007"
			      "0102030405060708",
		60,
		HAO_GONE("2c") "1100 0009 00000007"
			       "0102030405060708",
		HAO, "2001:db8:1::1", &p);
	assert_int_equal(p.proto, 17);
	assert_int_equal(p.payload_off, 64);
}

static void what_is_malformed_is_left_as_it_is(void **state)
{
	static const struct {
		uint8_t first;
		const char *rest;
		enum ip6_verdict want;
	} v[] = {{43, RH2_HDR("2b") RH2_HDR("3b"), IP6_DROP_RH},
		{60, HAO_HDR("3c") HAO_HDR("3b"), IP6_DROP_HAO},
		{60, "3b 02 01020000 c910 ff020000000000000000000000000001", IP6_DROP_HAO_ADDR},
		{43, "3b 02 02 02 00000000 20010db8000000000000000000000006", IP6_DROP_RH},
		{43, RH2_HDR("3c") "3b", IP6_DROP_SHORT},
		{60, HAO_HDR("2c") "11000009", IP6_DROP_FRAGMENT}};
	struct ip6_pkt p;

	(void)state;
	for (size_t i = 0; i < N_OF(v); i++) {
		uint8_t buf[IP6_SIG_MAX], before[IP6_SIG_MAX];
		size_t n = packet(v[i].first, v[i].rest, buf);

		memcpy(before, buf, n);
		assert_int_equal(ip6_settle(buf, n, &p), v[i].want);
		assert_memory_equal(buf, before, n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checksum_of_a_known_message),
		cmocka_unit_test(plain_packet),
		cmocka_unit_test(home_address_and_routing_header),
		cmocka_unit_test(hostile_6_home_address_option),
		cmocka_unit_test(routing_headers_that_are_refused),
		cmocka_unit_test(unknown_options_do_as_their_type_says),
		cmocka_unit_test(hostile_3_options_at_the_end_of_their_header),
		cmocka_unit_test(hostile_10_fragments_are_never_parsed),
		cmocka_unit_test(chains_are_bounded),
		cmocka_unit_test(truncated_at_every_length),
		cmocka_unit_test(encodes_the_chain_in_the_rfcs_order),
		cmocka_unit_test(home_addresses_take_their_place),
		cmocka_unit_test(pieces_of_packets_are_settled_too),
		cmocka_unit_test(what_is_malformed_is_left_as_it_is),
	};

	return cmocka_run_group_tests_name("ip6", tests, NULL, NULL);
}
