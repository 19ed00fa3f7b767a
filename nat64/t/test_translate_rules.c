/* test_translate_rules.c - what is not translated, what the sender is told, and that nothing
 * hostile gets further than its reason. */
#include "nat64/t/packets.h"

static struct caught got;

/* Default translator of these tests: RFC 6052, own addresses, the usual illegal IPv4 prefixes. */
static struct nat64 usual(void)
{
	static const char *bogons[] = {"0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4"};
	struct nat64 n = translator(P40);

	own_addresses(&n);
	for (unsigned i = 0; i < 4; i++)
		net4(&n.conf.bogons[i], bogons[i]);
	n.conf.n_bogons = 4;
	return n;
}

struct rule {
	const char *in; /* lengths and checksums are filled in */
	enum nat64_reason why;
	unsigned type, code, info; /* of the error; 0, 0: none */
};

#define A4  "c6336402 c0000221" /* 198.51.100.2 -> 192.0.2.33 */
#define A6  H6 H4
#define UDP "9c40 0035 0000 0000 68656c6c6f"

static void expect_rules(const struct nat64 *n, const struct rule *rules, size_t n_rules)
{
	uint8_t pkt[3000];

	for (const struct rule *r = rules; r < rules + n_rules; r++) {
		size_t size = from_hex(r->in, pkt);
		unsigned l4 = pkt[0] >> 4 == 6 ? 40 : 20;
		enum nat64_reason why;

		seal(pkt, size);
		why = run(n, pkt, size, &got);
		if (strcmp(nat64_reason_name(why), nat64_reason_name(r->why)))
			print_message("input %s\n", r->in);
		assert_string_equal(nat64_reason_name(why), nat64_reason_name(r->why));
		if (why == NAT64_translated_4to6 || why == NAT64_translated_6to4) {
			assert_int_equal(got.n, 1);
			assert_int_equal(got.n_errors, 0);
			check_valid(got.pkt[0], got.size[0], true);
			continue;
		}
		if (got.n != (r->type != 0))
			print_message("input %s\n", r->in);
		assert_int_equal(got.n, r->type != 0);
		if (!r->type)
			continue;
		assert_int_equal(got.n_errors, 1);
		check_valid(got.pkt[0], got.size[0], true);
		assert_int_equal(word(got.pkt[0] + l4), r->type << 8 | r->code);
		assert_int_equal(
			(word(got.pkt[0] + l4 + 4) << 16 | word(got.pkt[0] + l4 + 6)), r->info);
		assert_memory_equal(got.pkt[0] + l4 + 8, pkt, got.size[0] - l4 - 8);
	}
}

#define EXPECT_RULES(n, rules) expect_rules(n, rules, sizeof(rules) / sizeof((rules)[0]))

static const struct rule ipv4_table[] = {
	{"4500 0000 0001 0000 40 11 0000" A4 UDP, NAT64_translated_4to6, 0, 0, 0},
	/* TTL */
	{"4500 0000 0001 0000 02 11 0000" A4 UDP, NAT64_translated_4to6, 0, 0, 0},
	{"4500 0000 0001 0000 01 11 0000" A4 UDP, NAT64_hop_limit, 11, 0, 0},
	{"4500 0000 0001 0000 00 11 0000" A4 UDP, NAT64_hop_limit, 11, 0, 0},
	{"4500 0000 0001 0000 01 01 0000" A4 "0800 0000 00010001", NAT64_hop_limit, 11, 0, 0},
	/* protocols */
	{"4500 0000 0001 0000 40 02 0000" A4 "1600 0000 00000000", NAT64_igmp, 0, 0, 0},
	{"4500 0000 0001 0000 40 3a 0000" A4 "8000 0000 00000000", NAT64_bad_protocol, 3, 13, 0},
	{"4500 0000 0001 0000 40 00 0000" A4 "0000", NAT64_bad_protocol, 3, 13, 0},
	{"4500 0000 0001 0000 40 2b 0000" A4 "0000", NAT64_bad_protocol, 3, 13, 0},
	{"4500 0000 0001 0000 40 2c 0000" A4 "0000", NAT64_bad_protocol, 3, 13, 0},
	{"4500 0000 0001 0000 40 3c 0000" A4 "0000", NAT64_bad_protocol, 3, 13, 0},
	{"4500 0000 0001 0000 40 32 0000" A4 "1234", NAT64_translated_4to6, 0, 0, 0},
	{"4500 0000 0001 0000 40 33 0000" A4 "1234", NAT64_translated_4to6, 0, 0, 0},
	{"4500 0000 0001 0000 40 ff 0000" A4, NAT64_translated_4to6, 0, 0, 0},
	{"4500 0000 0001 0000 40 06 0000" A4 "1234 0050 00000001", NAT64_short_transport, 0, 0, 0},
	{"4500 0000 0001 0000 40 11 0000" A4 "1234", NAT64_short_transport, 0, 0, 0},
	/* ICMP that has no counterpart, in parts, or too short */
	{"4500 0000 0001 0000 40 01 0000" A4 "0d00 0000 00000000", NAT64_icmp_type, 0, 0, 0},
	{"4500 0000 0001 0000 40 01 0000" A4 "0500 0000 00000000", NAT64_icmp_type, 0, 0, 0},
	{"4500 0000 0001 0000 40 01 0000" A4 "0900 0000 00000000", NAT64_icmp_type, 0, 0, 0},
	{"4500 0000 0001 2000 40 01 0000" A4 "0800 0000 00000000", NAT64_icmp_fragment, 0, 0, 0},
	{"4500 0000 0001 0001 40 01 0000" A4 "0800 0000 00000000", NAT64_icmp_fragment, 0, 0, 0},
	{"4500 0000 0001 0000 40 01 0000" A4 "0800 0000 000000", NAT64_short_icmp, 0, 0, 0},
	{"4500 0000 0001 0000 40 01 0000" A4, NAT64_short_icmp, 0, 0, 0},
	/* addresses */
	{"4500 0000 0001 0000 40 11 0000 00000000 c0000221" UDP, NAT64_illegal_src4, 0, 0, 0},
	{"4500 0000 0001 0000 40 11 0000 7f000001 c0000221" UDP, NAT64_illegal_src4, 0, 0, 0},
	{"4500 0000 0001 0000 40 11 0000 e0000001 c0000221" UDP, NAT64_illegal_src4, 0, 0, 0},
	{"4500 0000 0001 0000 40 11 0000 ffffffff c0000221" UDP, NAT64_illegal_src4, 0, 0, 0},
	{"4500 0000 0001 0000 40 11 0000 c6336402 e0000001" UDP, NAT64_illegal_dst4, 0, 0, 0},
	{"4500 0000 0001 0000 40 11 0000 c6336402 7f000001" UDP, NAT64_illegal_dst4, 3, 13, 0},
	/* options: no-operation, a record route; source routes at their end and not */
	{"4800 0000 0001 0000 40 11 0000" A4 "01010101 07070400 00000000" UDP,
		NAT64_translated_4to6, 0, 0, 0},
	{"4700 0000 0001 0000 40 11 0000" A4 "8307 08 c0000209 00" UDP, NAT64_translated_4to6, 0, 0,
		0},
	{"4700 0000 0001 0000 40 11 0000" A4 "8307 04 c0000209 00" UDP, NAT64_source_route, 3, 5,
		0},
	{"4700 0000 0001 0000 40 11 0000" A4 "01 8907 04 c0000209" UDP, NAT64_source_route, 3, 5,
		0},
	{"4700 0000 0001 0000 40 11 0000" A4 "00 8907 04 c0000209" UDP, NAT64_translated_4to6, 0, 0,
		0},
	{"4700 0000 0001 0000 40 11 0000" A4 "07ff 04 c0000209 00" UDP, NAT64_translated_4to6, 0, 0,
		0},
	{"4600 0000 0001 0000 40 11 0000" A4 "01010183" UDP, NAT64_translated_4to6, 0, 0, 0},
	{"4700 0000 0001 0000 40 11 0000" A4 "8307 07 c0000209 00" UDP, NAT64_source_route, 3, 5,
		0},
	/* an error's sender is told nothing, nor is that of a later fragment */
	{"4700 0000 0001 0000 40 01 0000" A4 "8307 04 c0000209 00 0b00 0000 00000000",
		NAT64_source_route, 0, 0, 0},
	{"4500 0000 0001 0001 01 11 0000" A4 UDP, NAT64_hop_limit, 0, 0, 0},
	{"4500 0000 0001 0000 01 11 0000 00000001 c0000221" UDP, NAT64_illegal_src4, 0, 0, 0},
};

static void ipv4_rules(void **state)
{
	struct nat64 n = usual();

	(void)state;
	EXPECT_RULES(&n, ipv4_table);
	nat64_release(&n);
}

#define DST_OPT(next)       next "00 0104 00000000"
#define ROUTING(next, left) next "00 02" left "00000000"

static const struct rule ipv6_table[] = {
	{"60000000 0000 11 40" A6 UDP, NAT64_translated_6to4, 0, 0, 0},
	{"60000000 0000 11 02" A6 UDP, NAT64_translated_6to4, 0, 0, 0},
	{"60000000 0000 11 01" A6 UDP, NAT64_hop_limit, 3, 0, 0},
	{"60000000 0000 11 00" A6 UDP, NAT64_hop_limit, 3, 0, 0},
	{"60000000 0000 3a 01" A6 "8000 0000 00010001", NAT64_hop_limit, 3, 0, 0},
	{"60000000 0000 01 40" A6 "0800 0000 00010001", NAT64_bad_protocol, 1, 1, 0},
	{"60000000 0000 3b 40" A6, NAT64_translated_6to4, 0, 0, 0},
	{"60000000 0000 33 40" A6 "1234", NAT64_translated_6to4, 0, 0, 0},
	{"60000000 0000 87 40" A6 "1234", NAT64_translated_6to4, 0, 0, 0},
	{"60000000 0000 06 40" A6 "1234 0050 00000001", NAT64_short_transport, 0, 0, 0},
	/* chains */
	{"60000000 0000 00 40" A6 DST_OPT("3c") DST_OPT("2b") ROUTING("11", "00") UDP,
		NAT64_translated_6to4, 0, 0, 0},
	{"60000000 0000 2b 40" A6 ROUTING("11", "01") UDP, NAT64_segments_left, 4, 0, 43},
	{"60000000 0000 00 40" A6 DST_OPT("2b") ROUTING("11", "01") UDP, NAT64_segments_left, 4, 0,
		51},
	{"60000000 0000 2b 40" A6 ROUTING("3a", "01") "0300 0000 00000000", NAT64_segments_left, 0,
		0, 0},
	{"60000000 0000 3c 40" A6 "1101 0104 00000000", NAT64_bad_chain, 0, 0, 0},
	{"60000000 0000 3c 40" A6 "1100 01", NAT64_bad_chain, 0, 0, 0},
	{"60000000 0000 3c 40" A6, NAT64_bad_chain, 0, 0, 0},
	{"60000000 0000 2c 40" A6 "11 00 0000 000000", NAT64_bad_chain, 0, 0, 0},
	{"60000000 0000 00 40" A6, NAT64_jumbogram, 0, 0, 0},
	/* fragment headers: atomic ones; what may stand behind them */
	{"60000000 0000 2c 40" A6 "11 00 0000 12345678" UDP, NAT64_translated_6to4, 0, 0, 0},
	{"60000000 0000 2c 40" A6 "3a 00 0000 12345678 8000 0000 00010001", NAT64_translated_6to4,
		0, 0, 0},
	{"60000000 0000 2c 40" A6 "3a 00 0001 12345678 8000 0000 00010001", NAT64_icmp_fragment, 0,
		0, 0},
	{"60000000 0000 2c 40" A6 "3a 00 0008 12345678 8000 0000 00010001", NAT64_icmp_fragment, 0,
		0, 0},
	{"60000000 0000 2c 40" A6 "32 00 0001 12345678 00112233", NAT64_translated_6to4, 0, 0, 0},
	{"60000000 0000 2c 40" A6 "33 00 0001 12345678 00112233", NAT64_fragment_chain, 1, 1, 0},
	{"60000000 0000 2c 40" A6 "3c 00 0000 12345678" DST_OPT("11") UDP, NAT64_fragment_chain, 1,
		1, 0},
	{"60000000 0000 2c 40" A6 "2c 00 0000 12345678 11 00 0000 12345678" UDP,
		NAT64_fragment_chain, 1, 1, 0},
	{"60000000 0000 2c 40" A6 "87 00 0000 12345678 1234", NAT64_fragment_chain, 1, 1, 0},
	/* ICMPv6 that has no counterpart; never "prohibited" about ICMPv6 */
	{"60000000 0000 3a 40" A6 "8200 0000 00000000", NAT64_icmp_type, 0, 0, 0},
	{"60000000 0000 3a 40" A6 "8700 0000 00000000", NAT64_icmp_type, 0, 0, 0},
	{"60000000 0000 3a 40" A6 "8900 0000 00000000", NAT64_icmp_type, 0, 0, 0},
	{"60000000 0000 3a 40" A6 "6400 0000 00000000", NAT64_icmp_type, 0, 0, 0},
	{"60000000 0000 3a 40" A6 "8000 0000 000100", NAT64_short_icmp, 0, 0, 0},
	{"60000000 0000 3a 40" H6 "20010db9000000000000000000000001 8000 0000 00010001",
		NAT64_unmapped_dst6, 0, 0, 0},
	/* addresses */
	{"60000000 0000 11 40" H6 "20010db9000000000000000000000001" UDP, NAT64_unmapped_dst6, 1, 1,
		0},
	{"60000000 0000 11 40 20010db9000000000000000000000001" H4 UDP, NAT64_unmapped_src6, 1, 1,
		0},
	{"60000000 0000 3a 40 20010db9000000000000000000000001" H4 "8100 0000 00010001",
		NAT64_unmapped_src6, 0, 0, 0},
	{"60000000 0000 11 40 00000000000000000000000000000001" H4 UDP, NAT64_illegal_src6, 0, 0,
		0},
	{"60000000 0000 11 40 fe800000000000000000000000000001" H4 UDP, NAT64_illegal_src6, 0, 0,
		0},
	{"60000000 0000 11 40" H6 "ff020000000000000000000000000001" UDP, NAT64_illegal_dst6, 0, 0,
		0},
	{"60000000 0000 11 40 20010db8017f00000001000000000000" H4 UDP, NAT64_illegal_src6, 0, 0,
		0},
	{"60000000 0000 11 40" H6 "20010db8017f00000001000000000000" UDP, NAT64_illegal_dst6, 1, 1,
		0},
	{"60000000 0000 11 40" H6 "20010db801ffffff00ff000000000000" UDP, NAT64_illegal_dst6, 1, 1,
		0},
};

static void ipv6_rules(void **state)
{
	struct nat64 n = usual();

	(void)state;
	EXPECT_RULES(&n, ipv6_table);
	nat64_release(&n);
}

static void silence_without_an_address(void **state)
{
	static const struct rule rules[] = {
		{"4500 0000 0001 0000 01 11 0000" A4 UDP, NAT64_hop_limit, 0, 0, 0},
		{"60000000 0000 11 01" A6 UDP, NAT64_hop_limit, 0, 0, 0},
	};
	struct nat64 n = translator(P40);

	(void)state;
	EXPECT_RULES(&n, rules);
	nat64_release(&n);
}

static void well_known_prefix_is_for_global_addresses(void **state)
{
	static const struct rule rules[] = {
		{"4500 0000 0001 0000 40 11 0000 0a000001 08080808" UDP, NAT64_non_global, 3, 13,
			0},
		{"4500 0000 0001 0000 40 11 0000 08080808 0a000001" UDP, NAT64_non_global, 3, 13,
			0},
		{"4500 0000 0001 0000 40 11 0000 08080808 08080404" UDP, NAT64_translated_4to6, 0,
			0, 0},
		{"60000000 0000 11 40 0064ff9b000000000000000008080808"
		 "0064ff9b00000000000000000a000001" UDP,
			NAT64_non_global, 1, 1, 0},
	};
	struct nat64 n = translator("64:ff9b::/96");

	(void)state;
	own_addresses(&n);
	EXPECT_RULES(&n, rules);
	nat64_release(&n);
}

static void tos_and_traffic_class(void **state)
{
	struct nat64 n = translator(P40);
	uint8_t pkt[100];
	size_t size = from_hex("45b9 0000 0001 0000 40 11 0000" A4 UDP, pkt);

	(void)state;
	seal(pkt, size);
	run(&n, pkt, size, &got);
	assert_int_equal(word(got.pkt[0]), 0x6b90);
	n.conf.zero_tos = 1;
	run(&n, pkt, size, &got);
	assert_int_equal(word(got.pkt[0]), 0x6000);
	size = from_hex("6b912345 0000 11 40" A6 UDP, pkt);
	seal(pkt, size);
	run(&n, pkt, size, &got);
	assert_int_equal(got.pkt[0][1], 0xb9);
	n.conf.set_tos = 1;
	n.conf.tos = 0x20;
	run(&n, pkt, size, &got);
	assert_int_equal(got.pkt[0][1], 0x20);
	nat64_release(&n);
}

static void udp_without_checksum(void **state)
{
	struct nat64 n = usual();
	uint8_t pkt[100];
	size_t size = from_hex("4500 0000 0001 0000 40 11 0000" A4 UDP, pkt);

	(void)state;
	seal(pkt, size);
	put_word(pkt + 26, 0);
	expect_reason(run(&n, pkt, size, &got), udp_zero);
	assert_int_equal(got.n_errors, 1);
	n.conf.udp_zero = NAT64_UDP_ZERO_COMPUTE;
	expect_reason(run(&n, pkt, size, &got), translated_4to6);
	assert_int_equal(l4_sum(got.pkt[0]), 0xffff);
	put_word(pkt + 24, 14); /* longer than the packet */
	expect_reason(run(&n, pkt, size, &got), bad_udp_length);
	put_word(pkt + 24, 7);
	expect_reason(run(&n, pkt, size, &got), bad_udp_length);
	pkt[6] = 0x20;
	seal(pkt, size);
	expect_reason(run(&n, pkt, size, &got), udp_zero_fragment);
	nat64_release(&n);
}

/* UDP's computed checksum may not come out as "none": ports chosen so that the sum is 0. */
static void udp_checksum_is_never_zero(void **state)
{
	struct nat64 n = translator(P40);
	uint8_t pkt[100];
	size_t size = from_hex("6b800000 0000 11 40" A6 UDP, pkt);
	unsigned zeros = 0;

	(void)state;
	for (unsigned port = 0; port < 65536; port++) {
		put_word(pkt + 40, port);
		seal(pkt, size);
		run(&n, pkt, size, &got);
		assert_int_equal(l4_sum(got.pkt[0]), 0xffff);
		zeros += word(got.pkt[0] + 26) == 0xffff;
	}
	assert_true(zeros > 0);
	nat64_release(&n);
}

/* --- HOSTILE --- */

static void headers_that_lie(void **state)
{
	struct nat64 n = usual();
	uint8_t pkt[200];
	size_t size = from_hex("4500 0000 0001 0000 40 11 0000" A4 UDP, pkt);

	(void)state;
	expect_reason(run(&n, pkt, 0, &got), bad_version);
	seal(pkt, size);
	for (size_t cut = 1; cut < size; cut++) {
		enum nat64_reason why = run(&n, pkt, cut, &got);

		assert_int_equal(why, cut < 20 ? NAT64_short_header : NAT64_short_packet);
		assert_int_equal(got.n, 0);
	}
	memset(pkt + size, 0xee, 20); /* padding of a short frame */
	expect_reason(run(&n, pkt, size + 20, &got), translated_4to6);
	assert_int_equal(got.size[0], size + 20);
	pkt[8]--; /* the header's checksum is wrong now */
	expect_reason(run(&n, pkt, size, &got), bad_header4);
	for (unsigned ihl = 0; ihl < 5; ihl++) {
		pkt[0] = (uint8_t)(0x40 | ihl);
		expect_reason(run(&n, pkt, size, &got), bad_header4);
	}
	pkt[0] = 0x4f;
	expect_reason(run(&n, pkt, size, &got), bad_header4);
	put_word(pkt + 2, 60);
	expect_reason(run(&n, pkt, size, &got), short_header);
	for (unsigned v = 0; v < 16; v++) {
		pkt[0] = (uint8_t)(v << 4 | 5);
		if (v != 4 && v != 6)
			expect_reason(run(&n, pkt, size, &got), bad_version);
	}
	size = from_hex("60000000 0000 11 40" A6 UDP, pkt);
	seal(pkt, size);
	for (size_t cut = 1; cut < size; cut++) {
		enum nat64_reason why = run(&n, pkt, cut, &got);

		assert_int_equal(why, cut < 40 ? NAT64_short_header : NAT64_short_packet);
		assert_int_equal(got.n, 0);
	}
	expect_reason(run(&n, pkt, size + 20, &got), translated_6to4);
	assert_int_equal(got.size[0], size - 20);
	nat64_release(&n);
}

static void chain_of_a_hundred(void **state)
{
	struct nat64 n = usual();
	uint8_t pkt[1000];
	size_t size = from_hex("60000000 0000 3c 40" A6, pkt);

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		size += from_hex(DST_OPT("3c"), pkt + size);
	size += from_hex(UDP, pkt + size);
	seal(pkt, size);
	expect_reason(run(&n, pkt, size, &got), long_chain);
	assert_int_equal(got.n, 0);
	nat64_release(&n);
}

#define UNREACH4 "4500 0000 0001 0000 40 01 0000" A4 "0301 0000 00000000"
#define UNREACH6 "60000000 0000 3a 40" A6 "0100 0000 00000000"
#define Q4       "4500 0021 1234 0000 3c 11 0000 c0000221 c6336402"
#define Q6       "60000000 000d 11 3c" H4 H6

static const struct rule quoted_table[] = {
	{UNREACH4 Q4 UDP, NAT64_translated_4to6, 0, 0, 0},
	{UNREACH4, NAT64_bad_quote, 0, 0, 0}, /* nothing quoted at all */
	{UNREACH4 "6500 0021 1234 0000 3c 11 0000 c0000221 c6336402", NAT64_bad_quote, 0, 0, 0},
	{UNREACH4 "4400 0021 1234 0000 3c 11 0000 c0000221 c6336402", NAT64_bad_quote, 0, 0, 0},
	{UNREACH4 "4600 0021 1234 0000 3c 11 0000 c0000221 c6336402", NAT64_bad_quote, 0, 0, 0},
	{UNREACH4 "4500 0013 1234 0000 3c 11 0000 c0000221 c6336402", NAT64_bad_quote, 0, 0, 0},
	{UNREACH4 "4500 0038 1234 0000 3c 01 0000 c0000221 c6336402 0301 0000 00000000" Q4,
		NAT64_quoted_error, 0, 0, 0},
	{UNREACH4 "4500 0038 1234 0000 3c 01 0000 c0000221 c6336402 0d", NAT64_quoted_protocol, 0,
		0, 0},
	{UNREACH4 "4500 0038 1234 0000 3c 01 0000 c0000221 c6336402 08", NAT64_translated_4to6, 0,
		0, 0},
	{UNREACH4 "4500 0038 1234 0000 3c 02 0000 c0000221 c6336402", NAT64_quoted_protocol, 0, 0,
		0},
	{UNREACH4 "4500 0021 1234 0000 3c 11 0000 7f000001 c6336402 9c40", NAT64_translated_4to6, 0,
		0, 0}, /* not for its addresses */
	{"4500 0000 0001 0000 40 01 0000 7f000001 c0000221 0301 0000 00000000" Q4,
		NAT64_translated_4to6, 0, 0, 0}, /* RFC 7915 s4.1 */
	{UNREACH6 Q6 UDP, NAT64_translated_6to4, 0, 0, 0},
	{UNREACH6, NAT64_bad_quote, 0, 0, 0},
	{UNREACH6 "40000000 000d 11 3c" H4 H6, NAT64_bad_quote, 0, 0, 0},
	{UNREACH6 "60000000 0038 3a 3c" H4 H6 "0100 0000 00000000" Q6, NAT64_quoted_error, 0, 0, 0},
	{UNREACH6 "60000000 0038 3a 3c" H4 H6 "87", NAT64_quoted_protocol, 0, 0, 0},
	{UNREACH6 "60000000 0038 3a 3c" H4 H6 "80", NAT64_translated_6to4, 0, 0, 0},
	{UNREACH6 "60000000 000d 11 3c 20010db9000000000000000000000001" H6, NAT64_quoted_address,
		0, 0, 0},
	{UNREACH6 "60000000 0030 2b 3c" H4 H6 ROUTING("11", "01") UDP, NAT64_quoted_protocol, 0, 0,
		0},
	/* behind an atomic fragment header; the quoted one has more to follow */
	{"60000000 0000 2c 40" A6 "3a 00 0000 12345678 0100 0000 00000000" Q6 UDP,
		NAT64_translated_6to4, 0, 0, 0},
	{"60000000 0000 2c 40" A6 "3a 00 0000 12345678 0100 0000 00000000", NAT64_bad_quote, 0, 0,
		0},
	{"60000000 0000 2c 40" A6 "3a 00 0000 12345678 0100 0000", NAT64_short_icmp, 0, 0, 0},
	{UNREACH6 "60000000 05b4 2c 3c" H4 H6 "11 00 0001 12345678 9c40", NAT64_translated_6to4, 0,
		0, 0},
	{UNREACH6 "60000000 05b4 2c 3c" H4 H6 "11 00 0001 123456", NAT64_bad_quote, 0, 0, 0},
	{UNREACH6 "60000000 05b4 3c 3c" H4 H6 "11 05 0104 00000000", NAT64_bad_quote, 0, 0, 0},
	/* length octets: more than there is, less than 128, nothing behind it */
	{"4500 0000 0001 0000 40 01 0000" A4 "0b00 0000 00ff0000" Q4 UDP, NAT64_translated_4to6, 0,
		0, 0},
	{"4500 0000 0001 0000 40 01 0000" A4 "0b00 0000 00050000" Q4 UDP, NAT64_translated_4to6, 0,
		0, 0},
	{"60000000 0000 3a 40" A6 "0300 0000 ff000000" Q6 UDP, NAT64_translated_6to4, 0, 0, 0},
	{"60000000 0000 3a 40" A6 "0300 0000 05000000" Q6 UDP, NAT64_translated_6to4, 0, 0, 0},
	/* used up on the way: nobody is told */
	{"4500 0000 0001 0000 01 01 0000" A4 "0301 0000 00000000" Q4, NAT64_hop_limit, 0, 0, 0},
	{"60000000 0000 3a 01" A6 "0100 0000 00000000" Q6, NAT64_hop_limit, 0, 0, 0},
};

static void quoted_packets(void **state)
{
	struct nat64 n = usual();

	(void)state;
	EXPECT_RULES(&n, quoted_table);
	nat64_release(&n);
}

/* Cut at every length: a right checksum stays right, lengths are those of the header. */
static void quoted_packets_cut_anywhere(void **state)
{
	struct nat64 n = usual();
	uint8_t all[200], pkt[200];
	size_t size = from_hex(UNREACH4 Q4 UDP, all);

	(void)state;
	for (size_t cut = 28; cut <= size; cut++) {
		enum nat64_reason why;

		memcpy(pkt, all, cut);
		seal(pkt, cut);
		why = run(&n, pkt, cut, &got);
		assert_int_equal(why, cut < 48 ? NAT64_bad_quote : NAT64_translated_4to6);
		if (cut < 48)
			continue;
		assert_int_equal(got.size[0], cut + 40);
		assert_int_equal(word(got.pkt[0] + 52), 13);
		check_valid(got.pkt[0], got.size[0], true);
	}
	size = from_hex(UNREACH6 Q6 UDP, all);
	for (size_t cut = 48; cut <= size; cut++) {
		enum nat64_reason why;

		memcpy(pkt, all, cut);
		seal(pkt, cut);
		why = run(&n, pkt, cut, &got);
		assert_int_equal(why, cut < 88 ? NAT64_bad_quote : NAT64_translated_6to4);
		if (cut < 88)
			continue;
		assert_int_equal(got.size[0], cut - 40);
		assert_int_equal(word(got.pkt[0] + 30), 33);
		check_valid(got.pkt[0], got.size[0], true);
	}
	nat64_release(&n);
}

/* RFC 4884 s4.6: no extension and no length octet where ICMPv6 has none. */
static void extensions_end_where_there_is_no_room(void **state)
{
	static const unsigned codes[] = {0x0304, 0x0302, 0x0c00};
	struct nat64 n = usual();
	uint8_t pkt[300] = {0};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		size_t size = from_hex("4500 0000 0001 0000 40 01 0000" A4
				       "0000 0000 0020 0578" Q4 UDP
				       "00*95 2000 aef6 0008 01 01 00012fff",
			pkt);

		put_word(pkt + 20, codes[i]);
		if (codes[i] == 0x0c00)
			pkt[24] = 9;
		seal(pkt, size);
		expect_reason(run(&n, pkt, size, &got), translated_4to6);
		assert_int_equal(got.size[0], 40 + 8 + 53);
		assert_int_equal(word(got.pkt[0] + 44), 0);
		assert_int_equal(word(got.pkt[0] + 46), codes[i] == 0x0304 ? 1420 : 6);
		check_valid(got.pkt[0], got.size[0], true);
	}
	nat64_release(&n);
}

/* An explicit mapping whose IPv6 side lies inside the RFC 6052 prefix: back and forth, but the hop
 * limit is used up all the same. */
static void a_hairpin_loop_ends(void **state)
{
	struct nat64 n = translator("2001:db8:100::/96");
	uint8_t pkt[100];
	size_t bad, size = from_hex("60000000 0000 11 40 20010db80100000000000000c0000201"
				    "20010db80100000000000000c0000202" UDP,
			    pkt);
	unsigned turns = 0;

	(void)state;
	add_eam(&n, "192.0.2.2", "2001:db8:100::192.0.2.3");
	add_eam(&n, "192.0.2.3", "2001:db8:100::192.0.2.4");
	add_eam(&n, "192.0.2.4", "2001:db8:100::192.0.2.2");
	assert_int_equal(nat64_table_build(&n, &bad), 0);
	n.conf.hairpin = NAT64_HAIRPIN_INTRINSIC;
	seal(pkt, size);
	while (run(&n, pkt, size, &got) == NAT64_hairpinned || (got.n && got.pkt[0][0] >> 4 == 6)) {
		assert_int_equal(got.size[0], size);
		memcpy(pkt, got.pkt[0], size);
		assert_true(turns++ < 64);
	}
	assert_true(turns <= 63);
	nat64_release(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ipv4_rules),
		cmocka_unit_test(ipv6_rules),
		cmocka_unit_test(silence_without_an_address),
		cmocka_unit_test(well_known_prefix_is_for_global_addresses),
		cmocka_unit_test(tos_and_traffic_class),
		cmocka_unit_test(udp_without_checksum),
		cmocka_unit_test(udp_checksum_is_never_zero),
		cmocka_unit_test(headers_that_lie),
		cmocka_unit_test(chain_of_a_hundred),
		cmocka_unit_test(quoted_packets),
		cmocka_unit_test(quoted_packets_cut_anywhere),
		cmocka_unit_test(extensions_end_where_there_is_no_room),
		cmocka_unit_test(a_hairpin_loop_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
