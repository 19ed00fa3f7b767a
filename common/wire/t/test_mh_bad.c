/* What becomes of bad Mobility Header messages: RFC 6275 s9.2 and inputs that try to hurt. */
#include "common/wire/t/packet.h"
#include <errno.h>
#include <time.h>

static const char *const COA = "2001:db8:a::2", *const HA = "2001:db8:1::1",
			 *const HOA = "2001:db8:1::5";

/* Decodes hexadecimal text, from memory that ends with it. */
static enum mh_verdict decode(const char *hex, struct mh_msg *m, unsigned *where)
{
	uint8_t buf[4096], *copy;
	size_t n = unhex(hex, buf, sizeof(buf));
	enum mh_verdict v;

	copy = exact(buf, n);
	v = mh_decode(copy, n, m, where);
	free(copy);
	return v;
}

static void checks_come_in_the_rfcs_order(void **state)
{
	static const struct {
		const char *hex;
		enum mh_verdict verdict;
		unsigned where;
	} cases[] = {
		{"", MH_DROP_SHORT, 0},
		{"3b 00 00 00 0000 00", MH_DROP_SHORT, 0},
		{"00 00 08 00 0000 00", MH_DROP_SHORT, 0},   /* before the type */
		{"00 ff 08 00 0000 0000", MH_DROP_TYPE, 0},  /* before the Payload Proto */
		{"3b 00 ff 00 0000 0000", MH_DROP_TYPE, 0},  /* 255 is unknown too */
		{"3a 00 05 00 0000 0000", MH_DROP_PROTO, 0}, /* before the minimum */
		{"3b 00 05 00 0000 0000", MH_DROP_LEN, 1},   /* before the end */
		{"3b 01 05 00 0000 0000", MH_DROP_SHORT, 0},
		/* More home agents than fit (RFC 5142 s4, RFC 6275 s9.2). */
		{"3b 00 0c 00 0000 0100", MH_DROP_LEN, 1},
		{"3b 02 0c 00 0000 0200 20010db8000100000000000000000001", MH_DROP_LEN, 1},
		{"3b 01 00 00 0000 0000 01020000000000", MH_DROP_SHORT, 0},
		{"3b 01 00 00 0000 0000 0104000000000107", MH_DROP_OPTION, 0},
		{"3b 01 00 00 0000 0000 010600000000 0000", MH_OK, 0},
		/* Octets past Header Len are not looked at. */
		{"3b 00 00 00 0000 0000 ffff", MH_OK, 0},
	};
	static const uint8_t min_len[] = {
		0, 1, 1, 2, 2, 1, 1, 2, [MH_HAS] = 0, [MH_HB] = 1, [MH_BR] = 1};
	struct mh_msg m;
	unsigned where;

	(void)state;
	for (size_t i = 0; i < N_OF(cases); i++) {
		where = 99;
		assert_int_equal(decode(cases[i].hex, &m, &where), cases[i].verdict);
		assert_int_equal(where, cases[i].where);
	}
	for (unsigned type = 0; type < N_OF(min_len); type++) {
		uint8_t buf[24] = {0x3b, 0, (uint8_t)type};

		if (type > MH_BE && type != MH_HAS && type != MH_HB && type != MH_BR) {
			assert_int_equal(mh_decode(buf, 24, &m, &where), MH_DROP_TYPE);
			continue;
		}

		for (buf[1] = 0; buf[1] < min_len[type]; buf[1]++)
			assert_int_equal(mh_decode(buf, 24, &m, &where), MH_DROP_LEN);
		assert_int_equal(mh_decode(buf, 24, &m, &where), MH_OK);
	}
}

static void out_is_written_only_on_ok(void **state)
{
	struct mh_msg m, untouched;
	unsigned where;

	(void)state;
	memset(&untouched, 0x5a, sizeof(untouched));
	m = untouched;
	assert_int_equal(
		decode("3b 01 05 00 0000 1234 c000 001e 0310 0000", &m, &where), MH_DROP_OPTION);
	assert_memory_equal(&m, &untouched, sizeof(m));
}

static void truncated_at_every_length(void **state)
{
	struct mh_msg m = mh_blank(MH_BU), out;
	uint8_t buf[MH_MAX_SIZE];
	unsigned where;
	size_t n;

	(void)state;
	m.o.alt_coa = A(COA);
	m.o.n_mnp = 3;
	m.o.auth_size = 12;
	n = (size_t)mh_encode(&m, buf, sizeof(buf));
	for (size_t i = 0; i < n; i++) {
		uint8_t *copy = exact(buf, i);

		assert_int_equal(mh_decode(copy, i, &out, &where), MH_DROP_SHORT);
		free(copy);
	}
	/* Cut by a smaller Header Len, an option runs past it or the message is whole. */
	for (buf[1] = 1; buf[1] < n / 8 - 1; buf[1]++) {
		uint8_t *copy = exact(buf, (buf[1] + 1u) * 8);
		enum mh_verdict v = mh_decode(copy, (buf[1] + 1u) * 8, &out, &where);

		assert_true(v == MH_OK || v == MH_DROP_OPTION);
		free(copy);
	}
}

static void packet_truncated_at_every_length(void **state)
{
	struct mh_env e = {.src = A(COA), .dst = A(HA), .hoa = A(HOA), .m = mh_blank(MH_BU)}, out;
	uint8_t buf[IP6_SIG_MAX];
	enum ip6_verdict chain;
	unsigned where;
	size_t n;

	(void)state;
	e.m.o.n_mnp = 1;
	n = (size_t)mh_encode_packet(&e, buf, sizeof(buf));
	assert_int_equal(n, 40 + 24 + 32);
	for (size_t i = 0; i < n; i++) {
		uint8_t *copy = exact(buf, i);

		assert_int_equal(mh_decode_packet(copy, i, &out, &chain, &where), MH_DROP_CHAIN);
		assert_int_equal(chain, IP6_DROP_SHORT);
		if (i >= 64) { /* with a Payload Length that says so */
			memset(&out, 0, sizeof(out));
			copy[5] = (uint8_t)(i - 40);
			assert_int_equal(
				mh_decode_packet(copy, i, &out, &chain, &where), MH_DROP_SHORT);
			assert_memory_equal(&out.hoa, &e.hoa, 16);
		}
		free(copy);
	}
}

/* A packet of the Mobility Header 'hex' from COA to HA, HAO 'hoa' unless NULL; checksum good. */
static size_t packet(const char *hex, const char *hoa, uint8_t *buf)
{
	struct ip6_pkt p = {.src = A(COA), .dst = A(HA), .hop_limit = 64, .proto = IP6_PROTO_MH};
	uint8_t mh[IP6_SIG_MAX];
	size_t size;
	int n;

	p.payload = mh;
	p.payload_size = unhex(hex, mh, sizeof(mh));
	p.has_hao = hoa != NULL;
	if (hoa)
		p.hao = A(hoa);
	size = (mh[1] + 1u) * 8 < p.payload_size ? (mh[1] + 1u) * 8 : p.payload_size;
	set_csum(mh, size, 4, IP6_PROTO_MH, hoa ? &p.hao : &p.src, &p.dst);
	n = ip6_encode(&p, buf, IP6_SIG_MAX);
	assert_true(n > 0);
	return (size_t)n;
}

static enum mh_verdict decode_packet(const char *hex, struct mh_env *e, unsigned *where)
{
	uint8_t buf[IP6_SIG_MAX], *copy;
	size_t n = packet(hex, HOA, buf);
	enum ip6_verdict chain;
	enum mh_verdict v;

	copy = exact(buf, n);
	v = mh_decode_packet(copy, n, e, &chain, where);
	free(copy);
	return v;
}

static void hostile_1_header_len_past_the_end_and_below_the_minimum(void **state)
{
	struct in6_addr coa = A(COA), hoa = A(HOA);
	struct mh_env e = {0};
	unsigned where;

	(void)state;
	assert_int_equal(decode_packet("3b ff 05 00 0000 0001 c000 000a 01020000 0000000000000000",
				 &e, &where),
		MH_DROP_SHORT);
	assert_memory_equal(&e.src, &coa, 16);
	assert_memory_equal(&e.hoa, &hoa, 16);
	assert_int_equal(
		decode_packet("3b 00 05 00 0000 0001 c000 000a 01020000", &e, &where), MH_DROP_LEN);
	assert_int_equal(where, 65); /* RFC 6275 s9.2: names Header Len, behind 40 + 24 octets */
	assert_int_equal(decode_packet("3b 00 05", &e, &where), MH_DROP_SHORT);
}

static void hostile_2_checksum_payload_proto_and_type(void **state)
{
	const char *bu = "3b 01 05 00 0000 0001 c000 000a 01020000";
	struct in6_addr coa = A(COA), hoa = A(HOA), ha = A(HA);
	struct mh_env e = {0}, none = {0};
	uint8_t buf[IP6_SIG_MAX];
	enum ip6_verdict chain;
	unsigned where;
	size_t n;

	(void)state;
	assert_int_equal(decode_packet("3a 01 05 00 0000 0001 c000 000a 01020000", &e, &where),
		MH_DROP_PROTO);
	assert_int_equal(where, 64);
	memset(&e, 0, sizeof(e));
	assert_int_equal(decode_packet("3b 00 08 00 0000 0000", &e, &where), MH_DROP_TYPE);
	assert_memory_equal(&e.src, &coa, 16);
	assert_memory_equal(&e.dst, &ha, 16);
	assert_memory_equal(&e.hoa, &hoa, 16); /* the Binding Error quotes it */

	/* Every single bit wrong from the home address on is seen, except in the care-of address
	 * (not summed behind an HAO) and in what the options' own rules refuse first. */
	n = packet(bu, HOA, buf);
	memset(&e, 0, sizeof(e));
	for (size_t bit = 64 * 8; bit < n * 8; bit++) {
		enum mh_verdict v;

		buf[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
		v = mh_decode_packet(buf, n, &e, &chain, &where);
		assert_true(v == MH_DROP_CSUM || (bit / 8 == 65 && v == MH_DROP_SHORT));
		buf[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
		if (v == MH_DROP_CSUM)
			assert_memory_equal(&e, &none, sizeof(e));
		memset(&e, 0, sizeof(e));
	}
	buf[63] ^= 1; /* home address */
	assert_int_equal(mh_decode_packet(buf, n, &e, &chain, &where), MH_DROP_CSUM);
	buf[63] ^= 1;
	buf[39] ^= 2; /* destination */
	assert_int_equal(mh_decode_packet(buf, n, &e, &chain, &where), MH_DROP_CSUM);
	buf[39] ^= 2;
	buf[23] ^= 1; /* care-of address */
	assert_int_equal(mh_decode_packet(buf, n, &e, &chain, &where), MH_OK);
}

/* A BU of Header Len 255 whose 2036 octets of options are 'unit' repeated. */
static void fill(uint8_t *mh, const uint8_t *unit, size_t size)
{
	memset(mh, 0, MH_MAX_SIZE);
	memcpy(mh, (uint8_t[]){0x3b, 0xff, MH_BU, 0, 0, 0, 0, 1, 0xc0, 0, 0, 10}, 12);
	for (size_t i = 12; i + size <= MH_MAX_SIZE; i += size)
		memcpy(mh + i, unit, size);
}

static void hostile_3_options_are_bounded_and_linear(void **state)
{
	struct mh_msg m;
	uint8_t mh[MH_MAX_SIZE];
	unsigned where;
	clock_t start;

	(void)state;
	/* length 255 with one octet left; the type as the last octet */
	assert_int_equal(
		decode("3b 01 05 00 0000 0001 c000 000a 010006ff", &m, &where), MH_DROP_OPTION);
	assert_int_equal(
		decode("3b 01 05 00 0000 0001 c000 000a 01ff0000", &m, &where), MH_DROP_OPTION);
	assert_int_equal(
		decode("3b 01 05 00 0000 0001 c000 000a 010100 06", &m, &where), MH_DROP_OPTION);
	assert_int_equal(decode("3b 01 05 00 0000 0001 c000 000a 010100 00", &m, &where), MH_OK);
	/* 2 KB of Pad1, 1018 unknown options of length 0, 101 MNPs: 20 us each would be slow, and
	 * anything quadratic takes minutes. */
	start = clock();
	for (unsigned i = 0; i < 3000; i++) {
		fill(mh, (uint8_t[]){0}, 1);
		assert_int_equal(mh_decode(mh, sizeof(mh), &m, &where), MH_OK);
		fill(mh, (uint8_t[]){200, 0}, 2);
		assert_int_equal(mh_decode(mh, sizeof(mh), &m, &where), MH_OK);
		fill(mh, (uint8_t[20]){6, 18, 0, 64, 0x20, 1}, 20);
		assert_int_equal(mh_decode(mh, sizeof(mh), &m, &where), MH_OK);
		assert_int_equal(m.o.n_mnp, MH_MAX_MNP);
		assert_true(m.o.mnp_bad);
	}
	assert_true(clock() - start < 20 * CLOCKS_PER_SEC);
}

#define BU_OF(len, options) "3b" len "05 00 0000 0001 c400 000a" options

static void hostile_4_bad_prefix_options_are_told(void **state)
{
	struct prefix6 odd = P("2001:db8::1/64");
	struct mh_msg m;
	char hex[200];
	unsigned where;

	(void)state;
	for (unsigned len = 0; len < 256; len++) {
		snprintf(hex, sizeof(hex),
			BU_OF("03", "0612 00%02x 20010db8000000000000000000000001"), len);
		assert_int_equal(decode(hex, &m, &where), MH_OK);
		assert_int_equal(m.o.mnp_bad, len > 128);
		assert_int_equal(m.o.n_mnp, len <= 128);
		if (len == 64)
			assert_memory_equal(&m.o.mnp[0], &odd, sizeof(odd)); /* host bits stay */
	}
	/* wrong option length: 0, 2, 17, 19, 20 */
	assert_int_equal(decode(BU_OF("01", "0600 0000"), &m, &where), MH_OK);
	assert_true(m.o.mnp_bad && m.o.n_mnp == 0);
	assert_int_equal(decode(BU_OF("01", "0602 0040"), &m, &where), MH_OK);
	assert_true(m.o.mnp_bad && m.o.n_mnp == 0);
	assert_int_equal(
		decode(BU_OF("03", "0611 0040 20010db80000000000000000000000 00"), &m, &where),
		MH_OK);
	assert_true(m.o.mnp_bad && m.o.n_mnp == 0);
	assert_int_equal(
		decode(BU_OF("04", "0613 0040 20010db8000000000000000000000000 00 0105 0000000000"),
			&m, &where),
		MH_OK);
	assert_true(m.o.mnp_bad && m.o.n_mnp == 0);
	/* a good one beside a bad one is kept; the message is still known as bad */
	assert_int_equal(decode(BU_OF("06", "0612 0040 20010db8000100000000000000000000 0102 0000"
					    "0612 0081 20010db8000200000000000000000000"),
				 &m, &where),
		MH_OK);
	assert_true(m.o.mnp_bad && m.o.n_mnp == 1);
}

static void hostile_5_alternate_coa_of_any_is_not_an_absent_one(void **state)
{
	struct mh_msg m;
	unsigned where;

	(void)state;
	assert_int_equal(
		decode(BU_OF("03", "0100 0310 00000000000000000000000000000000"), &m, &where),
		MH_DROP_OPTION);
	/* of a wrong length: unknown, skipped */
	assert_int_equal(
		decode(BU_OF("03", "0100 030f 000000000000000000000000000000 00"), &m, &where),
		MH_OK);
	assert_true(addr6_is_any(&m.o.alt_coa));
}

static void options_of_other_messages_and_lengths_are_skipped(void **state)
{
	struct mh_msg m;
	unsigned where;

	(void)state;
	/* Refresh Advice in a BU; of length 1 in a BA */
	assert_int_equal(decode(BU_OF("01", "0202 000a"), &m, &where), MH_OK);
	assert_int_equal(m.o.refresh_s, 0);
	assert_int_equal(decode("3b 01 06 00 0000 0000 0001 000a 0201 0a 00", &m, &where), MH_OK);
	assert_int_equal(m.o.refresh_s, 0);
	/* Nonce Indices of length 2 */
	assert_int_equal(decode(BU_OF("01", "0402 0001"), &m, &where), MH_OK);
	assert_false(m.o.has_nonce);
	/* MNP and Alternate Care-of Address in a BA; an unknown option before a known one */
	assert_int_equal(decode("3b 07 06 00 0000 0000 0001 000a 0612 0040"
				"20010db8000000000000000000000000 0310"
				"20010db8000000000000000000000001 c801aa 0202 0005 0105 0000000000",
				 &m, &where),
		MH_OK);
	assert_int_equal(m.o.n_mnp, 0);
	assert_false(m.o.mnp_bad);
	assert_true(addr6_is_any(&m.o.alt_coa));
	assert_int_equal(m.o.refresh_s, 20);
	/* Home Agent Switch, Heartbeat, Binding Revocation: an unknown one each, past the 31 that a
	 * mask can name, and one of another message (RFC 5142 s4, 5847 s3.3, 5846 s5.1) */
	assert_int_equal(decode("3b 01 0c 00 0000 00 00 c801aa 0202 0005 00", &m, &where), MH_OK);
	assert_int_equal(m.o.refresh_s, 20);
	assert_int_equal(decode("3b 02 0d 00 0000 0001 00000007 2300 0202 0005"
				"1c04 00000009 00 00",
				 &m, &where),
		MH_OK);
	assert_int_equal(m.o.refresh_s, 0);
	assert_true(m.o.has_restart && m.o.restart == 9);
	assert_int_equal(
		decode("3b 02 10 00 0000 01 01 0007 0000 2304 0001 0000 1c04 00000009", &m, &where),
		MH_OK);
	assert_int_equal(m.br.seq, 7);
	assert_false(m.o.has_restart || m.o.has_ipv4_hoa);
}

static void authorization_data_stands_last(void **state)
{
	struct mh_msg m;
	uint8_t mh[88] = {0x3b, 10, MH_BU, [12] = 1, [13] = 5, [19] = 0};
	unsigned where;

	(void)state;
	assert_int_equal(
		decode(BU_OF("03", "0104 00000000 050c aaaaaaaaaaaaaaaaaaaaaaaa"), &m, &where),
		MH_OK);
	assert_int_equal(
		decode(BU_OF("03", "0404 0001 0002 050c aaaaaaaaaaaaaaaaaaaaaaaa"), &m, &where),
		MH_OK);
	assert_int_equal(m.o.auth_size, 12);
	assert_false(m.o.auth_misplaced);
	/* padding after it, an option after it, two of them */
	assert_int_equal(
		decode(BU_OF("03", "050c aaaaaaaaaaaaaaaaaaaaaaaa 0104 00000000"), &m, &where),
		MH_OK);
	assert_true(m.o.auth_misplaced);
	assert_int_equal(
		decode(BU_OF("03", "050c aaaaaaaaaaaaaaaaaaaaaaaa 0404 00010002"), &m, &where),
		MH_OK);
	assert_true(m.o.auth_misplaced);
	assert_int_equal(
		decode(BU_OF("03", "0507 aaaaaaaaaaaaaa 0509 bbbbbbbbbbbbbbbbbb"), &m, &where),
		MH_OK);
	assert_true(m.o.auth_misplaced);
	/* 65 octets, 64 octets */
	mh[13] = 7;
	mh[21] = 5;
	mh[22] = 65;
	assert_int_equal(mh_decode(mh, sizeof(mh), &m, &where), MH_OK);
	assert_true(m.o.auth_misplaced);
	assert_int_equal(m.o.auth_size, 0);
	memset(mh + 12, 0, sizeof(mh) - 12);
	mh[22] = 5;
	mh[23] = 64;
	assert_int_equal(mh_decode(mh, sizeof(mh), &m, &where), MH_OK);
	assert_false(m.o.auth_misplaced);
	assert_int_equal(m.o.auth_size, 64);
}

static void hostile_10_fragmented_messages_are_refused_whole(void **state)
{
	struct in6_addr src = A(COA), dst = A(HA);
	uint8_t buf[IP6_SIG_MAX];
	struct mh_env e;
	enum ip6_verdict chain;
	struct ip6_pkt p = {.src = src, .dst = dst, .hop_limit = 64, .proto = IP6_PROTO_FRAG};
	uint8_t atomic[24] = {135, 0, 0, 0, 0, 0, 0, 1, 0x3b, 1, MH_BU};
	unsigned where;
	int n;

	(void)state;
	set_csum(atomic + 8, 16, 4, IP6_PROTO_MH, &src, &dst);
	p.payload = atomic;
	p.payload_size = sizeof(atomic);
	n = ip6_encode(&p, buf, sizeof(buf));
	assert_int_equal(mh_decode_packet(buf, (size_t)n, &e, &chain, &where), MH_DROP_CHAIN);
	assert_int_equal(chain, IP6_DROP_FRAGMENT);
	p.proto = IP6_PROTO_NONE;
	n = ip6_encode(&p, buf, sizeof(buf));
	assert_int_equal(mh_decode_packet(buf, (size_t)n, &e, &chain, &where), MH_DROP_CHAIN);
	assert_int_equal(chain, IP6_OK); /* no Mobility Header */
}

static void parameter_problem_quotes_the_packet(void **state)
{
	struct in6_addr own = A(HA), coa = A(COA), any = in6addr_any, group = A("ff02::1");
	uint8_t buf[IP6_SIG_MAX], out[IP6_SIG_MAX];
	size_t n = packet("3a 01 05 00 0000 0001 c000 000a 01020000", HOA, buf);
	struct ip6_pkt p;

	(void)state;
	assert_int_equal(mh_encode_param_problem(buf, n, 0, 64, &own, out, sizeof(out)), 48 + n);
	assert_int_equal(ip6_decode(out, 48 + n, &p), IP6_OK);
	assert_memory_equal(&p.src, &own, 16);
	assert_memory_equal(&p.dst, &coa, 16);
	assert_int_equal(p.proto, 58);
	assert_int_equal(ip6_csum(&p.src, &p.dst, 58, p.payload, p.payload_size), 0);
	assert_memory_equal(p.payload, ((uint8_t[]){4, 0}), 2);
	assert_memory_equal(p.payload + 4, ((uint8_t[]){0, 0, 0, 64}), 4);
	assert_memory_equal(p.payload + 8, buf, n);
	/* at most 1280 octets; never about a multicast or to :: */
	assert_int_equal(
		mh_encode_param_problem(buf, sizeof(buf), 0, 64, &own, out, sizeof(out)), 1280);
	assert_int_equal(mh_encode_param_problem(buf, n, 0, 64, &own, out, 48 + n - 1), -EINVAL);
	assert_int_equal(mh_encode_param_problem(buf, 39, 0, 64, &own, out, sizeof(out)), -EINVAL);
	memcpy(buf + 24, &group, 16);
	assert_int_equal(mh_encode_param_problem(buf, n, 0, 64, &own, out, sizeof(out)), -EINVAL);
	memcpy(buf + 24, &own, 16);
	memcpy(buf + 8, &any, 16);
	assert_int_equal(mh_encode_param_problem(buf, n, 0, 64, &own, out, sizeof(out)), -EINVAL);
	memcpy(buf + 8, &group, 16);
	assert_int_equal(mh_encode_param_problem(buf, n, 0, 64, &own, out, sizeof(out)), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checks_come_in_the_rfcs_order),
		cmocka_unit_test(out_is_written_only_on_ok),
		cmocka_unit_test(truncated_at_every_length),
		cmocka_unit_test(packet_truncated_at_every_length),
		cmocka_unit_test(hostile_1_header_len_past_the_end_and_below_the_minimum),
		cmocka_unit_test(hostile_2_checksum_payload_proto_and_type),
		cmocka_unit_test(hostile_3_options_are_bounded_and_linear),
		cmocka_unit_test(hostile_4_bad_prefix_options_are_told),
		cmocka_unit_test(hostile_5_alternate_coa_of_any_is_not_an_absent_one),
		cmocka_unit_test(options_of_other_messages_and_lengths_are_skipped),
		cmocka_unit_test(authorization_data_stands_last),
		cmocka_unit_test(hostile_10_fragmented_messages_are_refused_whole),
		cmocka_unit_test(parameter_problem_quotes_the_packet),
	};

	return cmocka_run_group_tests_name("mh verdicts", tests, NULL, NULL);
}
