/* test_translate_sizes.c - every size rule of RFC 7915: pieces, DF, errors that say how big a
 * packet may be, and packets of many segments. */
#include "nat64/t/packets.h"

static struct caught got;
static uint8_t pkt[70000];

static size_t make4(unsigned total, unsigned ihl, unsigned frag, unsigned proto)
{
	static const uint8_t addrs[8] = {198, 51, 100, 2, 192, 0, 2, 33};

	memset(pkt, 1, sizeof(pkt)); /* options: no-operations */
	for (unsigned i = ihl; i < total; i++)
		pkt[i] = (uint8_t)(i * 7);
	pkt[0] = (uint8_t)(0x40 | ihl / 4);
	pkt[1] = 0;
	put_word(pkt + 4, 0xbeef);
	put_word(pkt + 6, frag);
	pkt[8] = 64;
	pkt[9] = (uint8_t)proto;
	memcpy(pkt + 12, addrs, 8);
	seal(pkt, total);
	return total;
}

/* 'frag' -1: no fragment header; else offset and M. 'skip': octets of a destination options header
 * in front. */
static size_t make6(unsigned size, int frag, unsigned skip, unsigned proto)
{
	unsigned l4 = 40 + skip + (frag < 0 ? 0 : 8);
	unsigned first = frag < 0 ? proto : 44;

	for (unsigned i = 0; i < size; i++)
		pkt[i] = (uint8_t)(i * 7);
	from_hex("60000000 0000 00 40" H6 H4, pkt);
	put_word(pkt + 4, size - 40);
	pkt[6] = (uint8_t)(skip ? 60 : first);
	if (skip) {
		pkt[40] = (uint8_t)first;
		pkt[41] = (uint8_t)(skip / 8 - 1);
	}
	if (frag >= 0) {
		pkt[l4 - 8] = (uint8_t)proto;
		pkt[l4 - 7] = 0;
		put_word(pkt + l4 - 6, (unsigned)frag);
		from_hex("12345678", pkt + l4 - 4);
	}
	return size;
}

struct split46 {
	unsigned total, ihl, frag, lowest;
	const char *pieces; /* offset/M/payload/IPv6 size; "-": whole, without fragment header */
};

static void write_pieces(char *text)
{
	*text = 0;
	for (unsigned i = 0; i < got.n; i++) {
		const uint8_t *p = got.pkt[i];

		if (p[0] >> 4 == 6 && p[6] == 44)
			text += sprintf(text, "%u/%u/%zu/%zu ", word(p + 42) >> 3, p[43] & 1,
				got.size[i] - 48, got.size[i]);
		else if (p[0] >> 4 == 4 && got.n > 1)
			text += sprintf(text, "%u/%u/%zu/%zu ", word(p + 6) & 0x1fff, p[6] >> 5 & 1,
				got.size[i] - 20, got.size[i]);
		else
			text += sprintf(text, "-/%zu ", got.size[i]);
	}
}

/* The pieces' payloads, one after the other, are the original's. */
static void expect_payload(const uint8_t *from, size_t size, bool is6)
{
	size_t at = 0;

	for (unsigned i = 0; i < got.n; i++) {
		size_t hdr = !is6 ? 20 : got.pkt[i][6] == 44 ? 48 : 40;

		check_valid(got.pkt[i], got.size[i], false);
		assert_memory_equal(got.pkt[i] + hdr, from + at, got.size[i] - hdr);
		at += got.size[i] - hdr;
	}
	assert_int_equal(at, size);
}

static void splitting_to_ipv6(void **state)
{
	static const struct split46 table[] = {
		{20, 20, 0, 1280, "-/40 "},
		{1260, 20, 0, 1280, "-/1280 "},
		{1261, 20, 0, 1280, "0/1/1232/1280 154/0/9/57 "},
		{1500, 20, 0, 1280, "0/1/1232/1280 154/0/248/296 "},
		{2484, 20, 0, 1280, "0/1/1232/1280 154/0/1232/1280 "},
		{2485, 20, 0, 1280, "0/1/1232/1280 154/1/1232/1280 308/0/1/49 "},
		{1300, 60, 0, 1280, "-/1280 "},
		{1301, 60, 0, 1280, "0/1/1232/1280 154/0/9/57 "},
		{1252, 20, 0x2000, 1280, "0/1/1232/1280 "},
		{1260, 20, 0x2000, 1280, "0/1/1232/1280 154/1/8/56 "},
		{540, 20, 185, 1280, "185/0/520/568 "},
		{1480, 20, 0, 1500, "-/1500 "},
		{1481, 20, 0, 1500, "0/1/1448/1496 181/0/13/61 "},
		{1500, 20, 0, 1500, "0/1/1448/1496 181/0/32/80 "},
		{1500, 20, 0x2000, 1280, "0/1/1232/1280 154/1/248/296 "},
		{84, 20, 185, 1280, "185/0/64/112 "},
	};
	struct nat64 n = translator(P40);
	char text[400];

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct split46 *t = &table[i];
		size_t size = make4(t->total, t->ihl, t->frag, 200);

		n.conf.lowest_mtu6 = t->lowest;
		expect_reason(run(&n, pkt, size, &got), translated_4to6);
		write_pieces(text);
		assert_string_equal(text, t->pieces);
		expect_payload(pkt + t->ihl, t->total - t->ihl, true);
		for (unsigned k = 0; k < got.n; k++)
			if (got.pkt[k][6] == 44)
				assert_int_equal(word(got.pkt[k] + 46), 0xbeef);
	}
	make4(65535, 20, 0, 200);
	n.conf.lowest_mtu6 = 1280;
	expect_reason(run(&n, pkt, 65535, &got), translated_4to6);
	assert_int_equal(got.n, 54);
	expect_payload(pkt + 20, 65515, true);
	assert_int_equal(word(got.pkt[53] + 42), 8162 * 8);
	assert_int_equal(got.size[53], 267);
	nat64_release(&n);
}

/* RFC 7915 digest 7.6: the checksum is in the first piece, the fragment headers are as computed. */
static void udp_fragments(void **state)
{
	struct nat64 n = translator(P40);
	uint8_t expected[8];

	(void)state;
	make4(1500, 20, 0x2000, 17);
	from_hex("0035 9c40 0608 4f57", pkt + 20);
	expect_reason(run(&n, pkt, 1500, &got), translated_4to6);
	assert_int_equal(got.n, 2);
	from_hex("11 00 0001 0000beef", expected);
	assert_memory_equal(got.pkt[0] + 40, expected, 8);
	assert_int_equal(word(got.pkt[0] + 48 + 6), 0xa92d);
	from_hex("11 00 04d1 0000beef", expected);
	assert_memory_equal(got.pkt[1] + 40, expected, 8);
	make4(84, 20, 185, 17);
	expect_reason(run(&n, pkt, 84, &got), translated_4to6);
	from_hex("11 00 05c8 0000beef", expected);
	assert_memory_equal(got.pkt[0] + 40, expected, 8);
	assert_memory_equal(got.pkt[0] + 48, pkt + 20, 64);
	make6(148, 181 << 3, 0, 17);
	expect_reason(run(&n, pkt, 148, &got), translated_6to4);
	assert_int_equal(got.size[0], 120);
	assert_int_equal(word(got.pkt[0] + 4), 0x5678);
	assert_int_equal(word(got.pkt[0] + 6), 181);
	nat64_release(&n);
}

static void big_echo_is_split_with_a_right_checksum(void **state)
{
	struct nat64 n = translator(P40);
	uint8_t whole[2048];
	size_t at = 40;

	(void)state;
	make4(1500, 20, 0, 1);
	pkt[20] = 8;
	pkt[21] = 0;
	seal(pkt, 1500);
	expect_reason(run(&n, pkt, 1500, &got), translated_4to6);
	assert_int_equal(got.n, 2);
	memcpy(whole, got.pkt[0], 40);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(got.pkt[i][40], 58);
		memcpy(whole + at, got.pkt[i] + 48, got.size[i] - 48);
		at += got.size[i] - 48;
	}
	put_word(whole + 4, (unsigned)at - 40);
	whole[6] = 58;
	assert_int_equal(whole[40], 128);
	assert_int_equal(l4_sum(whole), 0xffff);
	nat64_release(&n);
}

/* An error of ours: type, code, MTU; it quotes the packet. */
static void expect_error(bool is6, unsigned type, unsigned code, unsigned info)
{
	unsigned l4 = is6 ? 40 : 20;

	assert_int_equal(got.n, 1);
	assert_int_equal(got.n_errors, 1);
	assert_int_equal(got.pkt[0][l4], type);
	assert_int_equal(got.pkt[0][l4 + 1], code);
	assert_int_equal(word(got.pkt[0] + l4 + 4), 0);
	assert_int_equal(word(got.pkt[0] + l4 + 6), info);
	assert_memory_equal(got.pkt[0] + l4 + 8, pkt, got.size[0] - l4 - 8);
	assert_true(got.size[0] <= (is6 ? 1280 : 576));
	assert_memory_equal(got.pkt[0] + (is6 ? 24 : 16), pkt + (is6 ? 8 : 12), is6 ? 16 : 4);
	check_valid(got.pkt[0], got.size[0], true);
}

static void do_not_fragment_to_ipv6(void **state)
{
	static const struct {
		unsigned total, ihl, frag, mtu6, size, mtu; /* mtu: in the error, if any */
	} table[] = {
		{1480, 20, 0x4000, 1500, 1500, 0}, {1481, 20, 0x4000, 1500, 0, 1480},
		{1260, 20, 0x4000, 1280, 1280, 0}, {1261, 20, 0x4000, 1280, 0, 1260},
		{1476, 20, 0x6000, 1500, 0, 1472}, /* would be 1504 with its fragment header */
		{1472, 20, 0x6000, 1500, 1500, 0},
		{1500, 60, 0x4000, 1500, 1480, 0}, /* without its options it fits */
	};
	struct nat64 n = translator(P40);

	(void)state;
	own_addresses(&n);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		size_t size = make4(table[i].total, table[i].ihl, table[i].frag, 200);

		n.conf.mtu6 = table[i].mtu6;
		if (!table[i].mtu) {
			expect_reason(run(&n, pkt, size, &got), translated_4to6);
			assert_int_equal(got.n, 1);
			assert_int_equal(got.size[0], table[i].size);
		} else {
			expect_reason(run(&n, pkt, size, &got), too_big);
			expect_error(false, 3, 4, table[i].mtu);
		}
	}
	nat64_release(&n);
}

static void df_to_ipv4(void **state)
{
	static const struct {
		unsigned size;
		int frag;
		unsigned skip, total, df;
	} table[] = {
		{40, -1, 0, 20, 0},
		{1280, -1, 0, 1260, 0},
		{1281, -1, 0, 1261, 1},
		{1304, -1, 24, 1260, 0},
		{1305, -1, 24, 1261, 1},
		{1280, 0, 0, 1252, 0},
		{1500, 0, 0, 1472, 0},
		{1500, 1, 0, 1472, 0},
	};
	struct nat64 n = translator(P40);

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		size_t size = make6(table[i].size, table[i].frag, table[i].skip, 200);
		unsigned mf = table[i].frag > 0 ? 0x2000 : 0;

		expect_reason(run(&n, pkt, size, &got), translated_6to4);
		assert_int_equal(got.n, 1);
		assert_int_equal(got.size[0], table[i].total);
		assert_int_equal(word(got.pkt[0] + 6), (table[i].df ? 0x4000 : 0) | mf);
		assert_int_equal(word(got.pkt[0] + 4), table[i].frag < 0 ? 0x1234 : 0x5678);
		check_valid(got.pkt[0], got.size[0], false);
	}
	nat64_release(&n);
}

static void small_ipv4_links(void **state)
{
	static const struct {
		unsigned size, mtu4;
		const char *pieces;
	} table[] = {
		{1280, 1000, "0/1/976/996 122/0/264/284 "},
		{1280, 576, "0/1/552/572 69/1/552/572 138/0/136/156 "},
	};
	struct nat64 n = translator(P40);
	char text[400];

	(void)state;
	own_addresses(&n);
	for (size_t i = 0; i < 2; i++) {
		make6(table[i].size, -1, 0, 200);
		n.conf.mtu4 = table[i].mtu4;
		expect_reason(run(&n, pkt, table[i].size, &got), translated_6to4);
		write_pieces(text);
		assert_string_equal(text, table[i].pieces);
		expect_payload(pkt + 40, table[i].size - 40, false);
	}
	n.conf.mtu4 = 68;
	expect_reason(run(&n, pkt, 1280, &got), translated_6to4);
	assert_int_equal(got.n, 26);
	expect_payload(pkt + 40, 1240, false);
	n.conf.mtu4 = 1000;
	make6(1281, -1, 0, 200);
	expect_reason(run(&n, pkt, 1281, &got), too_big);
	expect_error(true, 2, 0, 1280);
	n.conf.mtu4 = 1400;
	make6(1421, -1, 0, 200);
	expect_reason(run(&n, pkt, 1421, &got), too_big);
	expect_error(true, 2, 0, 1420);
	make6(1420, -1, 0, 200);
	expect_reason(run(&n, pkt, 1420, &got), translated_6to4);
	make6(1500, 8 | 1, 0, 200); /* a fragment is fragmented again, and has more behind it */
	expect_reason(run(&n, pkt, 1500, &got), translated_6to4);
	write_pieces(text);
	assert_string_equal(text, "1/1/1376/1396 173/1/76/96 ");
	nat64_release(&n);
}

static void longer_than_ipv4_can_be(void **state)
{
	struct nat64 n = translator(P40);

	(void)state;
	own_addresses(&n);
	n.conf.mtu4 = n.conf.mtu6 = 65535;
	make6(65556, -1, 0, 200);
	expect_reason(run(&n, pkt, 65556, &got), too_long);
	assert_int_equal(got.n_errors, 1);
	make6(65555, -1, 0, 200);
	expect_reason(run(&n, pkt, 65555, &got), translated_6to4);
	assert_int_equal(got.size[0], 65535);
	make4(1020, 20, 8100, 200);
	expect_reason(run(&n, pkt, 1020, &got), bad_fragment);
	make6(1048, 8100 << 3, 0, 200);
	expect_reason(run(&n, pkt, 1048, &got), bad_fragment);
	nat64_release(&n);
}

/* --- offload --- */

/* A packet of TCP with its checksum left to the network card. */
static size_t make_tcp(bool is6, unsigned payload, unsigned frag)
{
	unsigned l4 = is6 ? 40 : 20, size = l4 + 20 + payload, sum;

	if (is6)
		make6(size, -1, 0, 6);
	else
		make4(size, 20, frag, 6);
	from_hex(
		"1388 0050 00001000 00000000 50 99 ffff 0000 0000", pkt + l4); /* CWR ACK PSH FIN */
	seal(pkt, size);
	sum = sum16(pkt + (is6 ? 8 : 12), is6 ? 32 : 8, 0) + size - l4 + 6;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	put_word(pkt + l4 + 16, sum);
	return size;
}

static enum nat64_reason offload(const struct nat64 *n, size_t size, uint16_t gso)
{
	struct nat64_in in = {.pkt = pkt,
		.size = size,
		.partial_csum = true,
		.is_gso = gso != 0,
		.gso_size = gso,
		.random = 7};

	got.n = got.n_errors = 0;
	got.used = 0;
	return nat64_translate(n, &in, catch_packet, &got);
}

static void segments_stay_together(void **state)
{
	struct nat64 n = translator(P40);
	unsigned sum;

	(void)state;
	expect_reason(offload(&n, make_tcp(true, 40000, 0), 1440), translated_6to4);
	assert_int_equal(got.n, 1);
	assert_int_equal(got.size[0], 40040);
	assert_int_equal(got.csum_start[0], 20);
	assert_int_equal(word(got.pkt[0] + 6), 0x4000); /* by a segment's size */
	sum = sum16(got.pkt[0] + 12, 8, 40020 + 6);
	assert_int_equal(word(got.pkt[0] + 36), sum);
	check_valid(got.pkt[0], got.size[0], false);
	expect_reason(offload(&n, make_tcp(true, 40000, 0), 1200), translated_6to4);
	assert_int_equal(word(got.pkt[0] + 6), 0);
	expect_reason(offload(&n, make_tcp(false, 40000, 0x4000), 1440), translated_4to6);
	assert_int_equal(got.n, 1);
	assert_int_equal(got.size[0], 40060);
	assert_int_equal(got.csum_start[0], 40);
	sum = sum16(got.pkt[0] + 8, 32, 40020 + 6);
	assert_int_equal(word(got.pkt[0] + 56), sum);
	nat64_release(&n);
}

static void segments_too_big(void **state)
{
	struct nat64 n = translator(P40);

	(void)state;
	own_addresses(&n);
	expect_reason(offload(&n, make_tcp(false, 40000, 0x4000), 1460), too_big);
	expect_error(false, 3, 4, 1480);
	n.conf.mtu4 = 1400;
	expect_reason(offload(&n, make_tcp(true, 40000, 0), 1440), too_big);
	expect_error(true, 2, 0, 1420);
	nat64_release(&n);
}

/* DF 0 and segments that don't fit lowest-ipv6-mtu: segmented, then fragmented. */
static void segments_to_be_split(void **state)
{
	struct nat64 n = translator(P40);
	uint8_t whole[2048];
	unsigned seq = 0x1000;

	(void)state;
	expect_reason(offload(&n, make_tcp(false, 3000, 0), 1460), translated_4to6);
	assert_int_equal(got.n, 5); /* 1460, 1460 in two pieces each, 80 */
	for (unsigned i = 0; i < 5;) {
		size_t at = 40;
		unsigned first = i;

		memcpy(whole, got.pkt[i], 40);
		do {
			size_t hdr = got.pkt[i][6] == 44 ? 48 : 40;

			memcpy(whole + at, got.pkt[i] + hdr, got.size[i] - hdr);
			at += got.size[i] - hdr;
			i++;
		} while (i < 5 && got.pkt[i][6] == 44 && (word(got.pkt[i] + 42) & 0xfff8));
		put_word(whole + 4, (unsigned)at - 40);
		whole[6] = 6;
		assert_int_equal(l4_sum(whole), 0xffff);
		assert_int_equal(word(whole + 46), seq);
		assert_memory_equal(whole + 60, pkt + 40 + (seq - 0x1000), at - 60);
		assert_int_equal(whole[53], (first ? 0x10 : 0x90) | (i == 5 ? 9 : 0));
		if (got.pkt[first][6] == 44)
			assert_int_equal(word(got.pkt[first] + 46), 0xbeef + (first ? 1 : 0));
		seq += (unsigned)at - 60;
	}
	assert_int_equal(seq, 0x1000 + 3000);
	nat64_release(&n);
}

/* Not of many segments, but with an unfinished checksum and to be split: it is finished. */
static void unfinished_checksum_is_finished(void **state)
{
	struct nat64 n = translator(P40);
	uint8_t whole[2048];

	(void)state;
	expect_reason(offload(&n, make_tcp(false, 1460, 0), 0), translated_4to6);
	assert_int_equal(got.n, 2);
	assert_int_equal(got.csum_start[0], 0);
	memcpy(whole, got.pkt[0], 40);
	memcpy(whole + 40, got.pkt[0] + 48, 1232);
	memcpy(whole + 1272, got.pkt[1] + 48, 248);
	put_word(whole + 4, 1480);
	whole[6] = 6;
	assert_int_equal(l4_sum(whole), 0xffff);
	nat64_release(&n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(splitting_to_ipv6),
		cmocka_unit_test(udp_fragments),
		cmocka_unit_test(big_echo_is_split_with_a_right_checksum),
		cmocka_unit_test(do_not_fragment_to_ipv6),
		cmocka_unit_test(df_to_ipv4),
		cmocka_unit_test(small_ipv4_links),
		cmocka_unit_test(longer_than_ipv4_can_be),
		cmocka_unit_test(segments_stay_together),
		cmocka_unit_test(segments_too_big),
		cmocka_unit_test(segments_to_be_split),
		cmocka_unit_test(unfinished_checksum_is_finished),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
