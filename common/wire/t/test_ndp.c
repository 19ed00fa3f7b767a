/* Neighbour Discovery: RFC 4861 s4, s6.1, s7.1; RFC 6275 s7; RFC 3963 s7.3. */
#include "common/wire/t/packet.h"
#include <errno.h>
#include "common/wire/ndp.h"

static const char *const LL = "fe80::1", *const ALL = "ff02::1", *const GLOBAL = "2001:db8::1";

/* The IPv6 packet of the ICMPv6 message 'hex', checksum set. */
static size_t packet(const char *src, const char *dst, const char *hex, uint8_t *buf, size_t size)
{
	struct ip6_pkt p = {.src = A(src), .dst = A(dst), .hop_limit = 255, .proto = 58};
	uint8_t icmp[4096];
	int n;

	p.payload = icmp;
	p.payload_size = unhex(hex, icmp, sizeof(icmp));
	set_csum(icmp, p.payload_size, 2, 58, &p.src, &p.dst);
	n = ip6_encode(&p, buf, size);
	assert_true(n > 0);
	return (size_t)n;
}

static enum ndp_verdict decode(const char *src, const char *dst, const char *hex, struct ndp_msg *m)
{
	uint8_t buf[4096], *copy;
	size_t n = packet(src, dst, hex, buf, sizeof(buf));
	enum ndp_verdict v;

	copy = exact(buf, n);
	v = ndp_decode(copy, n, m);
	free(copy);
	return v;
}

static void assert_wire(const struct ndp_msg *m, const char *src, const char *dst, const char *hex)
{
	uint8_t want[NDP_MAX_SIZE], buf[NDP_MAX_SIZE];
	size_t n = packet(src, dst, hex, want, sizeof(want));
	struct ndp_msg back;

	assert_int_equal(ndp_encode(m, buf, sizeof(buf)), n);
	assert_memory_equal(buf, want, n);
	memset(&back, 0, sizeof(back));
	assert_int_equal(ndp_decode(want, n, &back), NDP_OK);
	assert_memory_equal(&back, m, sizeof(back));
	assert_int_equal(ndp_encode(m, buf, n), n);
	assert_int_equal(ndp_encode(m, buf, n - 1), -EMSGSIZE);
}

static struct ndp_msg message(uint8_t type, const char *src, const char *dst)
{
	struct ndp_msg m;

	memset(&m, 0, sizeof(m));
	m.type = type;
	m.src = A(src);
	m.dst = A(dst);
	return m;
}

static void with_lladdr(struct ndp_msg *m)
{
	m->has_lladdr = true;
	memcpy(m->lladdr, (uint8_t[]){0x52, 0x54, 0, 0x12, 0x34, 0x56}, 6);
}

#define RA_HDR "8600 0000 40 00 0708 00000000 00000000"
#define NS_HDR "8700 0000 00000000"
#define NA_HDR "8800 0000"
#define SLLAO  "0101 525400123456"
#define TLLAO  "0201 525400123456"

/* --- known messages --- */

static void solicitations_and_advertisements_of_neighbours(void **state)
{
	struct ndp_msg m = message(NDP_RS, LL, "ff02::2");

	(void)state;
	assert_wire(&m, LL, "ff02::2", "8500 0000 00000000");
	with_lladdr(&m);
	assert_wire(&m, LL, "ff02::2", "8500 0000 00000000" SLLAO);
	m = message(NDP_NS, LL, GLOBAL);
	m.target = A(GLOBAL);
	assert_wire(&m, LL, GLOBAL, NS_HDR "20010db8000000000000000000000001");
	with_lladdr(&m);
	assert_wire(&m, LL, GLOBAL, NS_HDR "20010db8000000000000000000000001" SLLAO);
	m = message(NDP_NA, LL, GLOBAL);
	m.target = A(LL);
	m.na.router = true;
	assert_wire(&m, LL, GLOBAL, NA_HDR "80000000 fe800000000000000000000000000001");
	m.na.router = false;
	m.na.solicited = true;
	assert_wire(&m, LL, GLOBAL, NA_HDR "40000000 fe800000000000000000000000000001");
	m.na.solicited = false;
	m.na.override = true;
	with_lladdr(&m);
	assert_wire(&m, LL, GLOBAL, NA_HDR "20000000 fe800000000000000000000000000001" TLLAO);
}

static void router_advertisement_with_everything(void **state)
{
	struct ndp_msg m = message(NDP_RA, LL, ALL);
	struct ndp_prefix *p = m.ra.prefix;

	(void)state;
	m.ra.cur_hop_limit = 64;
	m.ra.lifetime_s = 1800;
	assert_wire(&m, LL, ALL, RA_HDR);
	m.ra.managed = true;
	m.ra.reachable_ms = 30000;
	m.ra.retrans_ms = 1000;
	assert_wire(&m, LL, ALL, "8600 0000 40 80 0708 00007530 000003e8");
	m.ra.managed = false;
	m.ra.other = true;
	assert_wire(&m, LL, ALL, "8600 0000 40 40 0708 00007530 000003e8");
	m.ra.other = false;
	m.ra.home_agent = true;
	m.ra.mtu = 1460;
	m.ra.interval_ms = 3000;
	m.ra.has_ha_info = true;
	m.ra.ha_nemo = true;
	m.ra.ha_preference = 0x0102;
	m.ra.ha_lifetime_s = 0x0708;
	with_lladdr(&m);
	m.ra.n_prefix = 2;
	p[0].prefix.addr = p[0].addr = A("2001:db8:1::");
	p[0].prefix.len = 64;
	p[0].on_link = p[0].autonomous = true;
	p[0].valid_s = UINT32_MAX;
	p[0].preferred_s = 14400;
	p[1].prefix.addr = A("2001:db8:2::");
	p[1].addr = A("2001:db8:2::1");
	p[1].prefix.len = 48;
	p[1].router_addr = true;
	assert_wire(&m, LL, ALL,
		"8600 0000 40 20 0708 00007530 000003e8" SLLAO "0501 0000 000005b4"
		"0304 40 c0 ffffffff 00003840 00000000 20010db8000100000000000000000000"
		"0304 30 20 00000000 00000000 00000000 20010db8000200000000000000000001"
		"0701 0000 00000bb8"
		"0801 8000 0102 0708");
}

static void addresses_of_a_prefix_default_to_the_prefix(void **state)
{
	struct ndp_msg m = message(NDP_RA, LL, ALL), back;
	uint8_t buf[NDP_MAX_SIZE];
	int n;

	(void)state;
	m.ra.n_prefix = 1;
	m.ra.prefix[0].prefix.addr = A("2001:db8:1::");
	m.ra.prefix[0].prefix.len = 64;
	n = ndp_encode(&m, buf, sizeof(buf));
	assert_int_equal(ndp_decode(buf, (size_t)n, &back), NDP_OK);
	assert_true(prefix6_eq(&back.ra.prefix[0].prefix, &m.ra.prefix[0].prefix));
}

/* --- round trip of random messages --- */

static uint32_t rnd(uint32_t n)
{
	return n ? (uint32_t)random() % n : (uint32_t)random() << 1;
}

static void rnd_bytes(void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((uint8_t *)p)[i] = (uint8_t)rnd(256);
}

static void rnd_prefix(struct ndp_prefix *p)
{
	rnd_bytes(&p->addr, 16);
	p->addr.s6_addr[0] = 0x20;
	p->prefix.len = (uint8_t)rnd(129);
	p->prefix.addr = p->addr;
	p->prefix.addr = prefix6_mask(p->prefix).addr;
	p->on_link = rnd(2);
	p->autonomous = rnd(2);
	p->router_addr = rnd(2);
	p->valid_s = rnd(0);
	p->preferred_s = p->valid_s ? rnd(p->valid_s) : 0;
}

static struct ndp_msg rnd_msg(void)
{
	struct ndp_msg m = message((uint8_t)(NDP_RS + rnd(4)), LL, rnd(2) ? ALL : GLOBAL);

	m.has_lladdr = rnd(2);
	if (m.has_lladdr)
		rnd_bytes(m.lladdr, 6);
	if (m.type == NDP_NS || m.type == NDP_NA)
		rnd_bytes(&m.target.s6_addr[1], 15);
	if (m.type == NDP_NA) {
		m.na.router = rnd(2);
		m.na.solicited = !addr6_is_multicast(&m.dst) && rnd(2);
		m.na.override = rnd(2);
	}
	if (m.type != NDP_RA)
		return m;
	m.ra.cur_hop_limit = (uint8_t)rnd(256);
	m.ra.managed = rnd(2);
	m.ra.other = rnd(2);
	m.ra.home_agent = rnd(2);
	m.ra.lifetime_s = (uint16_t)rnd(65536);
	m.ra.reachable_ms = rnd(0);
	m.ra.retrans_ms = rnd(0);
	m.ra.mtu = rnd(2) ? 0 : 1280 + rnd(65536 - 1280);
	m.ra.interval_ms = rnd(2) ? 0 : rnd(0);
	m.ra.has_ha_info = rnd(2);
	if (m.ra.has_ha_info) {
		m.ra.ha_nemo = rnd(2);
		m.ra.ha_preference = (uint16_t)rnd(65536);
		m.ra.ha_lifetime_s = (uint16_t)rnd(65536);
	}
	m.ra.n_prefix = rnd(NDP_MAX_PREFIX + 1);
	for (unsigned i = 0; i < m.ra.n_prefix; i++)
		rnd_prefix(&m.ra.prefix[i]);
	return m;
}

static void decode_of_encode_gives_the_message_back(void **state)
{
	(void)state;
	srandom(3);
	for (unsigned i = 0; i < 5000; i++) {
		struct ndp_msg m = rnd_msg(), back;
		uint8_t buf[NDP_MAX_SIZE], *copy;
		int n = ndp_encode(&m, buf, sizeof(buf));

		assert_true(n > 0);
		copy = exact(buf, (size_t)n);
		assert_int_equal(ndp_decode(copy, (size_t)n, &back), NDP_OK);
		assert_memory_equal(&back, &m, sizeof(m));
		free(copy);
	}
}

/* --- verdicts --- */

static void every_verdict(void **state)
{
	static const struct {
		const char *src, *dst, *hex;
		enum ndp_verdict verdict;
	} cases[] = {
		{"2001:db8::1", "2001:db8::2", "8000 0000 00000000", NDP_IGNORE}, /* echo */
		{"fe80::1", "fe80::2", "8900 0000 00000000", NDP_IGNORE},         /* redirect */
		{"fe80::1", "ff02::2", "8501 0000 00000000", NDP_DROP_CODE},
		{"fe80::1", "ff02::2", "8500 0000 000000", NDP_DROP_SHORT},
		{"fe80::1", "ff02::1", "8600 0000 40 00 0708 00000000 000000", NDP_DROP_SHORT},
		/* RS from :: may not carry a link-layer address */
		{"::", "ff02::2", "8500 0000 00000000", NDP_OK},
		{"::", "ff02::2", "8500 0000 00000000" SLLAO, NDP_DROP_SOURCE},
		/* a multicast source */
		{"ff02::3", "ff02::2", "8500 0000 00000000", NDP_DROP_SOURCE},
		{"ff02::3", "2001:db8::2", NA_HDR "00000000 20010db8000000000000000000000002",
			NDP_DROP_SOURCE},
		/* NS: target multicast; from :: to another than a solicited-node group */
		{"fe80::1", "2001:db8::2", NS_HDR "ff020000000000000000000000000001",
			NDP_DROP_TARGET},
		{"::", "ff02::1:ff00:2", NS_HDR "20010db8000000000000000000000002", NDP_OK},
		{"::", "ff02::1:ff00:2", NS_HDR "20010db8000000000000000000000002" SLLAO,
			NDP_DROP_SOURCE},
		{"::", "ff02::1", NS_HDR "20010db8000000000000000000000002", NDP_DROP_SOURCE},
		{"::", "2001:db8::2", NS_HDR "20010db8000000000000000000000002", NDP_DROP_SOURCE},
		/* NA: target multicast; solicited to a multicast */
		{"fe80::1", "2001:db8::2", NA_HDR "40000000 ff020000000000000000000000000001",
			NDP_DROP_TARGET},
		{"fe80::1", "ff02::1", NA_HDR "40000000 20010db8000000000000000000000002",
			NDP_DROP_TARGET},
		{"fe80::1", "ff02::1", NA_HDR "20000000 20010db8000000000000000000000002", NDP_OK},
	};
	struct ndp_msg m;

	(void)state;
	for (size_t i = 0; i < N_OF(cases); i++)
		assert_int_equal(
			decode(cases[i].src, cases[i].dst, cases[i].hex, &m), cases[i].verdict);
}

static void checksum_and_other_headers(void **state)
{
	uint8_t buf[NDP_MAX_SIZE];
	size_t n = packet(LL, ALL, RA_HDR SLLAO, buf, sizeof(buf));
	struct ip6_pkt p = {.src = A(LL), .dst = A(ALL), .hop_limit = 255};
	uint8_t fragment[32] = {58, 0, 0, 0, 0, 0, 0, 1}, out[NDP_MAX_SIZE];
	struct ndp_msg m;

	(void)state;
	for (size_t bit = 40 * 8; bit < n * 8; bit++) {
		buf[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
		enum ndp_verdict v = ndp_decode(buf, n, &m);
		assert_true(v == NDP_DROP_CSUM || (bit / 8 == 40 && v == NDP_IGNORE));
		buf[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
	}
	assert_int_equal(ndp_decode(buf, n, &m), NDP_OK);
	/* RFC 6980: none of these messages in a fragment, an atomic one included. */
	memcpy(fragment + 8, buf + 40, n - 40);
	p.proto = IP6_PROTO_FRAG;
	p.payload = fragment;
	p.payload_size = 8 + n - 40;
	int size = ip6_encode(&p, out, sizeof(out));
	assert_int_equal(ndp_decode(out, (size_t)size, &m), NDP_IGNORE);
	p.proto = IP6_PROTO_DSTOPT;
	fragment[1] = 0;
	memcpy(fragment + 2, (uint8_t[]){1, 4, 0, 0, 0, 0}, 6);
	size = ip6_encode(&p, out, sizeof(out));
	assert_int_equal(ndp_decode(out, (size_t)size, &m), NDP_IGNORE);
}

static void truncated_at_every_length(void **state)
{
	uint8_t buf[NDP_MAX_SIZE];
	size_t n = packet(LL, ALL,
		RA_HDR SLLAO
		"0304 40 c0 ffffffff 00003840 00000000 20010db8000100000000000000000000",
		buf, sizeof(buf));
	struct in6_addr src = A(LL), dst = A(ALL);
	struct ndp_msg m;

	(void)state;
	for (size_t i = 0; i < n; i++) {
		uint8_t *copy = exact(buf, i);

		assert_int_equal(ndp_decode(copy, i, &m), NDP_DROP_SHORT);
		if (i >= 44) { /* with a Payload Length that says so, and the checksum right */
			bool whole = i == 56 || i == 64;

			copy[5] = (uint8_t)(i - 40);
			set_csum(copy + 40, i - 40, 2, 58, &src, &dst);
			assert_int_equal(ndp_decode(copy, i, &m), whole ? NDP_OK : NDP_DROP_SHORT);
		}
		free(copy);
	}
}

static void hostile_12_hop_limit_and_source_of_an_ra(void **state)
{
	uint8_t buf[NDP_MAX_SIZE];
	size_t n = packet(LL, ALL, RA_HDR, buf, sizeof(buf));
	struct ndp_msg m;

	(void)state;
	assert_int_equal(ndp_decode(buf, n, &m), NDP_OK);
	for (unsigned hops = 0; hops < 255; hops++) {
		buf[7] = (uint8_t)hops;
		assert_int_equal(ndp_decode(buf, n, &m), NDP_DROP_HOPS);
	}
	assert_int_equal(decode("2001:db8::1", "ff02::1", RA_HDR, &m), NDP_DROP_SOURCE);
	assert_int_equal(decode("::", "ff02::1", RA_HDR, &m), NDP_DROP_SOURCE);
	assert_int_equal(decode("ff02::2", "ff02::1", RA_HDR, &m), NDP_DROP_SOURCE);
	assert_int_equal(decode("fec0::1", "ff02::1", RA_HDR, &m), NDP_DROP_SOURCE);
}

static void hostile_12_option_lengths_of_an_ra(void **state)
{
	struct ndp_msg m;

	(void)state;
	assert_int_equal(decode(LL, ALL, RA_HDR "0100 525400123456", &m), NDP_DROP_OPTION);
	assert_int_equal(decode(LL, ALL, RA_HDR "ff00 000000000000", &m), NDP_DROP_OPTION);
	assert_int_equal(decode(LL, ALL, RA_HDR SLLAO "ff", &m), NDP_DROP_SHORT);
	assert_int_equal(decode(LL, ALL, RA_HDR "ffff 000000000000", &m), NDP_DROP_SHORT);
	/* truncated prefix option: past the end, or of three units */
	assert_int_equal(decode(LL, ALL, RA_HDR "0304 40c0 ffffffff", &m), NDP_DROP_SHORT);
	assert_int_equal(
		decode(LL, ALL, RA_HDR "0303 40c0 ffffffff 00003840 00000000 20010db800010000", &m),
		NDP_OK);
	assert_int_equal(m.ra.n_prefix, 0);
	/* known types of another length, unknown types: skipped, what follows is read */
	assert_int_equal(decode(LL, ALL,
				 RA_HDR "0102 525400123456 0000000000000000" /* InfiniBand's size */
					"0502 0000 000005dc 0000000000000000"
					"0702 0000 00000bb8 0000000000000000"
					"0802 8000 00010708 0000000000000000"
					"fe01 000000000000"
					"0501 0000 000005b4",
				 &m),
		NDP_OK);
	assert_false(m.has_lladdr);
	assert_false(m.ra.has_ha_info);
	assert_int_equal(m.ra.interval_ms, 0);
	assert_int_equal(m.ra.mtu, 1460);
}

#define PIO(len, valid, preferred, addr) "0304" len "c0" valid preferred "00000000" addr
#define DAY                              "00015180"
#define HOUR                             "00000e10"
#define DOC                              "20010db8000100000000000000000000"

static void hostile_12_prefixes_that_are_ignored(void **state)
{
	static const char *const bad[] = {
		RA_HDR PIO("81", DAY, HOUR, DOC),
		RA_HDR PIO("ff", DAY, HOUR, DOC),
		RA_HDR PIO("40", HOUR, DAY, DOC),        /* preferred > valid */
		RA_HDR PIO("40", HOUR, "ffffffff", DOC), /* infinite too */
		RA_HDR PIO("40", DAY, HOUR, "fe800000000000000000000000000000"),
		RA_HDR PIO("40", DAY, HOUR, "ff0e0000000000000000000000000000"),
	};
	struct ndp_msg m;

	(void)state;
	for (size_t i = 0; i < N_OF(bad); i++) {
		assert_int_equal(decode(LL, ALL, bad[i], &m), NDP_OK);
		assert_int_equal(m.ra.n_prefix, 0);
	}
	assert_int_equal(decode(LL, ALL, RA_HDR PIO("40", DAY, DAY, DOC), &m), NDP_OK);
	assert_int_equal(m.ra.n_prefix, 1);
	assert_int_equal(
		decode(LL, ALL, RA_HDR PIO("80", "ffffffff", "ffffffff", DOC), &m), NDP_OK);
	assert_int_equal(m.ra.n_prefix, 1);
}

static void hostile_12_prefixes_are_capped(void **state)
{
	char hex[4096] = RA_HDR;
	struct ndp_msg m;

	(void)state;
	for (unsigned i = 0; i < 40; i++) {
		char pio[100];

		snprintf(pio, sizeof(pio), "0304 40c0" DAY HOUR "00000000 20010db8%04x%020x", i, 0);
		strcat(hex, pio);
	}
	strcat(hex, "0501 0000 00000500");
	assert_int_equal(decode(LL, ALL, hex, &m), NDP_OK);
	assert_int_equal(m.ra.n_prefix, NDP_MAX_PREFIX);
	assert_int_equal(m.ra.prefix[NDP_MAX_PREFIX - 1].addr.s6_addr[5], NDP_MAX_PREFIX - 1);
	assert_int_equal(m.ra.mtu, 1280); /* options behind them still count */
}

static void hostile_12_mtu_out_of_range_counts_as_absent(void **state)
{
	static const struct {
		const char *hex;
		uint32_t mtu;
	} cases[] = {
		{"00000000", 0},
		{"00000044", 0},
		{"000004ff", 0},
		{"00000500", 1280},
		{"0000ffff", 65535},
		{"00010000", 0},
		{"ffffffff", 0},
	};
	struct ndp_msg m;
	char hex[100];

	(void)state;
	for (size_t i = 0; i < N_OF(cases); i++) {
		snprintf(hex, sizeof(hex), RA_HDR "0501 0000 %s", cases[i].hex);
		assert_int_equal(decode(LL, ALL, hex, &m), NDP_OK);
		assert_int_equal(m.ra.mtu, cases[i].mtu);
	}
}

static void options_count_only_in_their_message(void **state)
{
	struct ndp_msg m;

	(void)state;
	/* TLLAO in an RA and an NS, SLLAO in an NA */
	assert_int_equal(decode(LL, ALL, RA_HDR TLLAO, &m), NDP_OK);
	assert_false(m.has_lladdr);
	assert_int_equal(decode(LL, GLOBAL, NS_HDR DOC TLLAO, &m), NDP_OK);
	assert_false(m.has_lladdr);
	assert_int_equal(decode(LL, GLOBAL, NA_HDR "00000000" DOC SLLAO, &m), NDP_OK);
	assert_false(m.has_lladdr);
	/* RFC 6275 s7.3, s7.4: silently ignored outside an RA, as is a prefix */
	assert_int_equal(decode(LL, GLOBAL,
				 NS_HDR DOC "0701 0000 00000bb8"
					    "0801 8000 0102 0708" PIO("40", DAY, HOUR, DOC),
				 &m),
		NDP_OK);
	assert_int_equal(m.ra.n_prefix, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(solicitations_and_advertisements_of_neighbours),
		cmocka_unit_test(router_advertisement_with_everything),
		cmocka_unit_test(addresses_of_a_prefix_default_to_the_prefix),
		cmocka_unit_test(decode_of_encode_gives_the_message_back),
		cmocka_unit_test(every_verdict),
		cmocka_unit_test(checksum_and_other_headers),
		cmocka_unit_test(truncated_at_every_length),
		cmocka_unit_test(hostile_12_hop_limit_and_source_of_an_ra),
		cmocka_unit_test(hostile_12_option_lengths_of_an_ra),
		cmocka_unit_test(hostile_12_prefixes_that_are_ignored),
		cmocka_unit_test(hostile_12_prefixes_are_capped),
		cmocka_unit_test(hostile_12_mtu_out_of_range_counts_as_absent),
		cmocka_unit_test(options_count_only_in_their_message),
	};

	return cmocka_run_group_tests_name("ndp", tests, NULL, NULL);
}
