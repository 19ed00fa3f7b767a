/* test_translate.c - packets of RFC 7915's appendix A and of our own computation (not by this
 * program), octet for octet: headers, checksums, ICMP errors, fragments. */
#include "nat64/t/packets.h"

/* UDP "hello", TC 0xb8, flow label 0x12345. */
#define UDP6 "6b812345 000d 11 40" H6 H4 "9c40 0035 000d 8d0b 68656c6c6f"
#define UDP4 "45 b8 0021 1234 0000 3f 11 7c89 c0000221 c6336402 9c40 0035 000d 3335 68656c6c6f"

static void udp_both_ways(void **state)
{
	struct nat64 n = translator(P40);

	(void)state;
	expect_pair(&n, UDP6, UDP4, NAT64_translated_6to4);
	expect_pair(&n,
		"45 b8 0021 1234 0000 3f 11 7c89 c6336402 c0000221 9c40 0035 000d 3335 68656c6c6f",
		"6b800000 000d 11 3e" H4 H6 "9c40 0035 000d 8d0b 68656c6c6f",
		NAT64_translated_4to6);
	nat64_release(&n);
}

static void echo_to_ipv6(void **state)
{
	struct nat64 n = translator(P40);

	(void)state;
	expect_pair(&n,
		"45 00 0024 4321 4000 40 01 0b61 c6336402 c0000221"
		"08 00 5435 1234 0001 6162636465666768",
		"60000000 0010 3a 3f" H4 H6 "80 00 4969 1234 0001 6162636465666768",
		NAT64_translated_4to6);
	nat64_release(&n);
}

static void wrong_checksums_stay_wrong(void **state)
{
	struct nat64 n = translator(P40);

	(void)state; /* 8d0b + 1 and 3335 + 1: as wrong as before */
	expect_pair(&n, "6b812345 000d 11 40" H6 H4 "9c40 0035 000d 8d0c 68656c6c6f",
		"45 b8 0021 1234 0000 3f 11 7c89 c0000221 c6336402 9c40 0035 000d 3336 68656c6c6f",
		NAT64_translated_6to4);
	expect_pair(&n,
		"45 00 0024 4321 4000 40 01 0b61 c6336402 c0000221"
		"08 00 5436 1234 0001 6162636465666768",
		"60000000 0010 3a 3f" H4 H6 "80 00 496a 1234 0001 6162636465666768",
		NAT64_translated_4to6);
	nat64_release(&n);
}

static void port_unreachable_quoting_udp(void **state)
{
	struct nat64 n = translator(P40);

	(void)state;
	expect_pair(&n,
		"45c0 0038 0007 0000 40 01 8da7 c6336402 c0000221 03 03 2d45 00000000"
		"45b8 0021 1234 0000 3c 11 7f89 c0000221 c6336402 9c40 0035 000d 3335",
		"6c000000 0038 3a 3f" H4 H6 "01 04 332f 00000000"
		"6b800000 000d 11 3c" H6 H4 "9c40 0035 000d 8d0b",
		NAT64_translated_4to6);
	nat64_release(&n);
}

static void packet_too_big(void **state)
{
	struct nat64 n = translator(P40);

	(void)state; /* the ids are random: 0x1234 here; both header checksums follow */
	expect_pair(&n,
		"60000000 0038 3a 40 20010db801c000020001000000000000" H4 "02 00 f489 00000578"
		"60000000 05b4 11 3b" H4 H6 "1388 1770 05b4 370d",
		"4500 0038 1234 0000 3f 01 7d5a c0000201 c6336402 03 04 e9b4 0000 0564"
		"4500 05c8 1234 4000 3b 11 3b9a c6336402 c0000221 1388 1770 05b4 dd36",
		NAT64_translated_6to4);
	nat64_release(&n);
}

#define ZEROS(n) "00*" #n " "

/* RFC 4884 with an object, the quoted packet padded to 128 octets; ours is the shorter form. */
static void extension_both_ways(void **state)
{
	struct nat64 n = translator(P40);
	uint8_t pkt[300], expected[300];
	static struct caught c;
	size_t size;

	(void)state;
	size = from_hex("4500 0000 0007 4000 40 01 0000 c6336401 c0000221 0b 00 e155 0020 0000"
			"4500 0021 1234 0000 01 11 bb41 c0000221 c6336402"
			"9c40 0035 000d 3335 68656c6c6f" ZEROS(95) "2000 aef6 0008 01 01 00012fff",
		pkt);
	assert_int_equal(size, 168);
	assert_int_equal(sum16(pkt + 20, 148, 0), 0xffff);
	seal(pkt, size);
	expect_reason(run(&n, pkt, size, &c), translated_4to6);
	from_hex("60000000 0094 3a 3f 20010db801c633640001000000000000" H6 "03 00 e8c0 10 000000"
		 "60000000 000d 11 01" H6 H4
		 "9c40 0035 000d 8d0b 68656c6c6f" ZEROS(75) "2000 aef6 0008 01 01 00012fff",
		expected);
	assert_int_equal(c.size[0], 188);
	assert_memory_equal(c.pkt[0], expected, 188);
	/* And back: 16 * 8 octets become 32 * 4. */
	memcpy(pkt, expected, 188);
	expect_reason(run(&n, pkt, 188, &c), translated_6to4);
	assert_int_equal(c.size[0], 168);
	assert_int_equal(word(c.pkt[0] + 24), 0x0020);
	assert_memory_equal(c.pkt[0] + 156, pkt + 176, 12);
	check_valid(c.pkt[0], c.size[0], true);
	nat64_release(&n);
}

/* An error with an extension of 12 octets behind a field of 'f' octets: what comes out. */
struct field {
	bool is6;
	unsigned f, inner_hdr;
	bool is_frag;
	unsigned out_f, octet, total;
};

static size_t error_with(const struct field *t, uint8_t *p)
{
	uint8_t *q;
	size_t at;

	if (t->is6) {
		at = from_hex("60000000 0000 3a 40" H6 H4 "03 00 0000", p);
		put_word(p + 44, t->f / 8 << 8);
		q = p + 48;
		from_hex("60000000 0578 11 40" H4 H6, q);
		if (t->is_frag) {
			q[6] = 44;
			from_hex("11 00 0001 0000beef", q + 40);
		}
	} else {
		at = from_hex("4500 0000 0007 4000 40 01 0000 c6336402 c0000221 0b 00 0000", p);
		put_word(p + 24, t->f / 4);
		q = p + 28;
		from_hex("4500 0578 1234 0000 40 11 0000 c0000221 c6336402", q);
		q[0] = (uint8_t)(0x40 | t->inner_hdr / 4);
		q[6] = t->is_frag ? 0x20 : 0;
	}
	at += 4;
	for (unsigned i = t->inner_hdr; i < t->f; i++)
		q[i] = (uint8_t)(i | 1);
	at += t->f;
	at += from_hex("2000 aef6 0008 01 01 00012fff", p + at);
	seal(p, at);
	return at;
}

static void fields_change_size(void **state)
{
	static const struct field table[] = {
		{false, 128, 20, false, 152, 19, 212},
		{false, 128, 24, false, 144, 18, 204},
		{false, 128, 20, true, 160, 20, 220},
		{false, 132, 20, false, 152, 19, 212},
		{false, 136, 20, false, 160, 20, 220},
		{false, 536, 20, false, 560, 70, 620},
		{true, 128, 40, false, 128, 32, 168},
		{true, 144, 40, false, 128, 32, 168},
		{true, 152, 40, false, 132, 33, 172},
		{true, 160, 48, true, 132, 33, 172},
		{true, 200, 40, false, 180, 45, 220},
		{true, 1200, 40, false, 536, 134, 576},
	};
	struct nat64 n = translator(P40);
	static struct caught c;
	uint8_t pkt[1400] = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct field *t = &table[i];
		size_t size = error_with(t, pkt), l4 = t->is6 ? 20 : 40;

		assert_int_equal(l4_sum(pkt), 0xffff);
		run(&n, pkt, size, &c);
		assert_int_equal(c.n, 1);
		assert_int_equal(c.size[0], t->total);
		assert_int_equal(c.pkt[0][l4 + (t->is6 ? 5 : 4)], t->octet);
		assert_memory_equal(c.pkt[0] + l4 + 8 + t->out_f, pkt + size - 12, 12);
		check_valid(c.pkt[0], c.size[0], true);
	}
	nat64_release(&n);
}

/* RFC 6791: a router without an IPv4 address; its own goes into an object. */
static void pool_and_origin(void **state)
{
	struct nat64 n = translator("64:ff9b::/96");
	static struct caught c;
	uint8_t pkt[1300], object[28];
	size_t size;

	(void)state;
	add_eam(&n, "192.0.2.2", "2001:db8:bbbb::b");
	add_eam(&n, "192.0.2.1", "2001:db8:aaaa::");
	assert_int_equal(nat64_table_build(&n, &size), 0);
	n.conf.wkp_non_global = 1;
	net4(&n.conf.pool4[0], "198.51.100.1/32");
	n.conf.n_pool4 = 1;
	size = from_hex("60000000 0000 3a 40 20010db8000000000000000000001234"
			"0064ff9b0000000000000000c0000201 03 00 0000 00000000"
			"60000000 000d 11 01 0064ff9b0000000000000000c0000201"
			"20010db8bbbb0000000000000000000b 9c40 0035 000d 8d0b 68656c6c6f",
		pkt);
	seal(pkt, size);
	expect_reason(run(&n, pkt, size, &c), translated_6to4);
	assert_int_equal(word(c.pkt[0] + 12), 0xc633);
	assert_int_equal(word(c.pkt[0] + 14), 0x6401);
	assert_int_equal(c.size[0], 56 + 5); /* no object: it wasn't asked for */
	check_valid(c.pkt[0], c.size[0], true);
	n.conf.origin_object = 1;
	expect_reason(run(&n, pkt, size, &c), translated_6to4);
	assert_int_equal(c.size[0], 184);
	assert_int_equal(c.pkt[0][25], 32);
	from_hex("2000 9df4 0018 02 04 0002 0000 20010db8 00000000 00000000 00001234", object);
	assert_memory_equal(c.pkt[0] + 156, object, 28);
	check_valid(c.pkt[0], c.size[0], true);
	/* About a packet of 1100 octets. */
	memset(pkt + size, 7, 1148 - size);
	put_word(pkt + 52, 1060);
	seal(pkt, 1148);
	expect_reason(run(&n, pkt, 1148, &c), translated_6to4);
	assert_int_equal(c.size[0], 576);
	assert_int_equal(c.pkt[0][25], 130);
	check_valid(c.pkt[0], c.size[0], true);
	n.conf.n_pool4 = 0; /* and nobody to be */
	expect_reason(run(&n, pkt, 1148, &c), no_pool4);
	nat64_release(&n);
}

/* RFC 7757 figures 8 to 11. */
static struct nat64 figure1(void)
{
	struct nat64 n = translator("64:ff9b::/96");
	size_t bad;

	add_eam(&n, "192.0.2.1", "2001:db8:aaaa::");
	add_eam(&n, "192.0.2.2", "2001:db8:bbbb::b");
	assert_int_equal(nat64_table_build(&n, &bad), 0);
	n.conf.wkp_non_global = 1;
	n.conf.hairpin = NAT64_HAIRPIN_INTRINSIC;
	net4(&n.conf.pool4[0], "198.51.100.1/32");
	n.conf.n_pool4 = 1;
	return n;
}

#define A6       "20010db8aaaa00000000000000000000"
#define B6       "20010db8bbbb0000000000000000000b"
#define WKP(hex) "0064ff9b0000000000000000" hex

static void expect_hairpin(const char *in, const char *out)
{
	struct nat64 n = figure1();
	static struct caught c;
	uint8_t a[200], b[200];
	size_t size = from_hex(in, a);

	seal(a, size);
	assert_int_equal(from_hex(out, b), size);
	seal(b, size);
	expect_reason(run(&n, a, size, &c), hairpinned);
	assert_int_equal(c.n, 1);
	assert_int_equal(c.size[0], size);
	assert_memory_equal(c.pkt[0], b, size);
	nat64_release(&n);
}

static void hairpins(void **state)
{
	(void)state;
	expect_hairpin("60000000 0000 11 40" A6 WKP("c0000202") "9c40 0035 0000 0000 68656c6c6f",
		"60000000 0000 11 3f" WKP("c0000201") B6 "9c40 0035 0000 0000 68656c6c6f");
	expect_hairpin("60000000 0000 11 40" B6 WKP("c0000201") "0035 9c40 0000 0000 68656c6c6f",
		"60000000 0000 11 3f" WKP("c0000202") A6 "0035 9c40 0000 0000 68656c6c6f");
	expect_hairpin("60000000 0000 3a 40" A6 WKP("c0000202") "8000 0000 1234 0001 68656c6c6f",
		"60000000 0000 3a 3f" WKP("c0000201") B6 "8000 0000 1234 0001 68656c6c6f");
}

/* Quoted UDP sums: 9a66 initial and ab81 final address sums (figure 8), 111b apart. */
static void hairpinned_errors(void **state)
{
	(void)state;
	expect_hairpin("60000000 0000 3a 40 20010db8000000000000000000001234" WKP(
			       "c0000201") "0300 0000 00000000 60000000 0008 11 01" WKP("c0000201")
			       B6 "9c40 0035 0008 1000",
		"60000000 0000 3a 3f" WKP("c6336401") A6
		"0300 0000 00000000 60000000 0008 11 01" A6 WKP("c0000202") "9c40 0035 0008 211b");
	expect_hairpin("60000000 0000 3a 40" B6 WKP(
			       "c0000201") "0104 0000 00000000 60000000 0008 11 01" WKP("c0000201")
			       B6 "9c40 0035 0008 1000",
		"60000000 0000 3a 3f" WKP("c0000202") A6
		"0104 0000 00000000 60000000 0008 11 01" A6 WKP("c0000202") "9c40 0035 0008 211b");
}

/* The simple way: every packet from IPv4 has its source by RFC 6052. */
static void simple_hairpin(void **state)
{
	struct nat64 n = figure1();
	static struct caught c;
	uint8_t pkt[100], expected[100];
	size_t size = from_hex("4500 0000 0001 0000 40 11 0000 c0000201 c0000202"
			       "9c40 0035 0000 0000 68656c6c6f",
		pkt);

	(void)state;
	seal(pkt, size);
	expect_reason(run(&n, pkt, size, &c), translated_4to6);
	from_hex(A6 B6, expected); /* intrinsic: this is not a second pass */
	assert_memory_equal(c.pkt[0] + 8, expected, 32);
	n.conf.hairpin = NAT64_HAIRPIN_SIMPLE;
	expect_reason(run(&n, pkt, size, &c), translated_4to6);
	from_hex(WKP("c0000201") B6, expected);
	assert_memory_equal(c.pkt[0] + 8, expected, 32);
	check_valid(c.pkt[0], c.size[0], true);
	nat64_release(&n);
}

/* The IPv6 packet of 'size' octets from A6 to B6 by its IPv4 address; 'frag' -1: no fragment. */
static size_t to_b6(uint8_t *pkt, size_t size, int frag)
{
	memset(pkt, 0x55, size);
	from_hex("60000000 0000 c8 40" A6 WKP("c0000202"), pkt);
	if (frag >= 0) {
		pkt[6] = 44;
		from_hex("c8 00 0000 12345678", pkt + 40);
		put_word(pkt + 42, (unsigned)frag);
	}
	seal(pkt, size);
	return size;
}

/* Only the links that it goes over count: it is IPv6 there, and the sender speaks IPv6. */
static void hairpins_and_sizes(void **state)
{
	struct nat64 n = figure1();
	static struct caught c;
	uint8_t pkt[1600], expected[48];

	(void)state;
	n.conf.mtu4 = 576;
	expect_reason(run(&n, pkt, to_b6(pkt, 1500, -1), &c), hairpinned);
	assert_int_equal(c.n, 1);
	assert_int_equal(c.size[0], 1500);
	assert_int_equal(c.pkt[0][6], 200);
	expect_reason(run(&n, pkt, to_b6(pkt, 1500, 8 | 1), &c), hairpinned);
	assert_int_equal(c.n, 1);
	from_hex("c8 00 0009 00005678", expected);
	assert_memory_equal(c.pkt[0] + 40, expected, 8);
	n.conf.mtu6 = 1400;
	inet_pton(AF_INET6, "2001:db8:ffff::1", &n.conf.own6);
	expect_reason(run(&n, pkt, to_b6(pkt, 1500, -1), &c), too_big);
	assert_int_equal(c.n, 1);
	assert_int_equal(c.n_errors, 1);
	check_valid(c.pkt[0], c.size[0], true);
	from_hex("20010db8ffff00000000000000000001" A6 "0200", expected);
	assert_memory_equal(c.pkt[0] + 8, expected, 34);
	assert_int_equal(word(c.pkt[0] + 46), 1400);
	assert_memory_equal(c.pkt[0] + 48, pkt, 1232);
	nat64_release(&n);
}

/* A message tells of one incoming interface (RFC 5837 s4.4); other objects may stand beside it. */
static void origin_beside_other_objects(void **state)
{
	static const struct {
		const char *object;
		size_t added;
	} table[] = {
		{"0008 01 01 00012fff", 24}, /* MPLS */
		{"0008 02 48 00000001", 24}, /* another role */
		{"0008 02 08 00000001", 0},
		{"0009 01 01 00012fff", 0}, /* no extension at all */
		{"0002 01 01 00012fff", 0},
	};
	struct nat64 n = figure1();
	static struct caught c;
	uint8_t pkt[400];

	(void)state;
	n.conf.origin_object = 1;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		size_t size = from_hex("60000000 0000 3a 40 20010db8000000000000000000001234"
				       "0064ff9b0000000000000000c0000263 03 00 0000 10000000"
				       "60000000 0400 11 01 0064ff9b0000000000000000c0000263" A6
				       "00*88 2000 0000",
			pkt);

		size += from_hex(table[i].object, pkt + size);
		put_word(pkt + size - 10, ~sum16(pkt + size - 12, 12, 0) & 0xffff);
		seal(pkt, size);
		expect_reason(run(&n, pkt, size, &c), translated_6to4);
		assert_int_equal(c.size[0], 20 + 8 + 128 + 12 + table[i].added);
		assert_int_equal(sum16(c.pkt[0] + 156, 12 + table[i].added, 0), 0xffff);
		check_valid(c.pkt[0], c.size[0], true);
	}
	nat64_release(&n);
}

/* An error is not worth fragments: its quote is cut. */
static void errors_fit_the_link(void **state)
{
	struct nat64 n = translator(P40);
	static struct caught c;
	uint8_t pkt[1300] = {0};

	(void)state;
	from_hex("60000000 0000 3a 40" H6 H4 "0100 0000 00000000 60000000 0500 11 01" H4 H6, pkt);
	seal(pkt, 1280);
	expect_reason(run(&n, pkt, 1280, &c), translated_6to4);
	assert_int_equal(c.size[0], 1240);
	check_valid(c.pkt[0], 1240, true);
	n.conf.mtu4 = 576;
	expect_reason(run(&n, pkt, 1280, &c), translated_6to4);
	assert_int_equal(c.n, 1);
	assert_int_equal(c.size[0], 576);
	check_valid(c.pkt[0], 576, true);
	nat64_release(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(udp_both_ways),
		cmocka_unit_test(echo_to_ipv6),
		cmocka_unit_test(wrong_checksums_stay_wrong),
		cmocka_unit_test(port_unreachable_quoting_udp),
		cmocka_unit_test(packet_too_big),
		cmocka_unit_test(extension_both_ways),
		cmocka_unit_test(fields_change_size),
		cmocka_unit_test(pool_and_origin),
		cmocka_unit_test(hairpins),
		cmocka_unit_test(hairpinned_errors),
		cmocka_unit_test(simple_hairpin),
		cmocka_unit_test(hairpins_and_sizes),
		cmocka_unit_test(origin_beside_other_objects),
		cmocka_unit_test(errors_fit_the_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
