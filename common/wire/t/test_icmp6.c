/* Home agent and prefix discovery: RFC 6275 s6.5-6.8, RFC 3963 s7.1-7.2, RFC 2526. */
#include "common/wire/t/packet.h"
#include <errno.h>
#include "common/wire/icmp6.h"

static const char *const COA = "2001:db8:a::2", *const HA = "2001:db8:1::1",
			 *const HOA = "2001:db8:1::5",
			 *const ANYCAST = "2001:db8:1:0:fdff:ffff:ffff:fffe";
enum header { NONE, HAO, RH2 };

/* The IPv6 packet of the ICMPv6 message 'hex', checksum set over the home address. */
static size_t packet(const char *src, const char *dst, enum header header, const char *hex,
	uint8_t *buf, size_t size)
{
	struct in6_addr hoa = A(HOA);
	struct ip6_pkt p = {.src = A(src),
		.dst = A(dst),
		.hop_limit = 64,
		.proto = 58,
		.has_hao = header == HAO,
		.has_rh2 = header == RH2,
		.hao = hoa,
		.rh2 = hoa};
	static uint8_t icmp[4096];
	int n;

	p.payload = icmp;
	p.payload_size = unhex(hex, icmp, sizeof(icmp));
	if (p.payload_size >= 4)
		set_csum(icmp, p.payload_size, 2, 58, header == HAO ? &hoa : &p.src,
			header == RH2 ? &hoa : &p.dst);
	n = ip6_encode(&p, buf, size);
	assert_true(n > 0);
	return (size_t)n;
}

static enum icmp6_verdict decode(
	const char *src, const char *dst, enum header header, const char *hex, struct icmp6_msg *m)
{
	uint8_t buf[4096], *copy;
	size_t n = packet(src, dst, header, hex, buf, sizeof(buf));
	enum icmp6_verdict v;

	copy = exact(buf, n);
	v = icmp6_decode(copy, n, m);
	free(copy);
	return v;
}

static void assert_wire(const struct icmp6_msg *m, const char *src, const char *dst,
	enum header header, const char *hex)
{
	uint8_t want[4096], buf[ICMP6_MAX_SIZE];
	size_t n = packet(src, dst, header, hex, want, sizeof(want));
	struct icmp6_msg back;

	assert_int_equal(icmp6_encode(m, buf, sizeof(buf)), n);
	assert_memory_equal(buf, want, n);
	memset(&back, 0, sizeof(back));
	assert_int_equal(icmp6_decode(want, n, &back), ICMP6_OK);
	assert_memory_equal(&back, m, sizeof(back));
	assert_int_equal(icmp6_encode(m, buf, n), n);
	assert_int_equal(icmp6_encode(m, buf, n - 1), -EMSGSIZE);
}

static struct icmp6_msg message(uint8_t type, const char *src, const char *dst)
{
	struct icmp6_msg m;

	memset(&m, 0, sizeof(m));
	m.type = type;
	m.src = A(src);
	m.dst = A(dst);
	m.id = 0x1234;
	return m;
}

#define PREFIX_64 \
	"0304 40 e0 00015180 00003840 00000000 20010db8000100000000000000000001" /* L, A, R */
#define PREFIX_48 "0304 30 00 ffffffff ffffffff 00000000 20010db8000200000000000000000000"

static void discovery_requests_ask_for_mobile_router_support(void **state)
{
	struct icmp6_msg m = message(ICMP6_DHAAD_REQUEST, COA, ANYCAST);

	(void)state;
	assert_wire(&m, COA, ANYCAST, NONE, "9000 0000 1234 0000");
	m.mobile_router = true;
	assert_wire(&m, COA, ANYCAST, NONE, "9000 0000 1234 8000");
}

static void discovery_replies_list_addresses_in_their_order(void **state)
{
	struct icmp6_msg m = message(ICMP6_DHAAD_REPLY, HA, COA);

	(void)state;
	assert_wire(&m, HA, COA, NONE, "9100 0000 1234 0000");
	m.mobile_router = true;
	m.n_ha = 2;
	m.ha[0] = A("2001:db8:1::2");
	m.ha[1] = A(HA);
	assert_wire(&m, HA, COA, NONE,
		"9100 0000 1234 8000 20010db8000100000000000000000002"
		"20010db8000100000000000000000001");
}

static void a_full_reply_fits_the_least_mtu(void **state)
{
	struct icmp6_msg m = message(ICMP6_DHAAD_REPLY, HA, COA), back;
	uint8_t buf[2000];
	int n;

	(void)state;
	m.n_ha = ICMP6_MAX_HA;
	for (unsigned i = 0; i < m.n_ha; i++) {
		m.ha[i] = A("2001:db8:1::");
		m.ha[i].s6_addr[15] = (uint8_t)i;
	}
	n = icmp6_encode(&m, buf, sizeof(buf));
	assert_int_equal(n, 40 + 8 + 77 * 16);
	assert_true(n <= 1280 && n + 16 > 1280);
	assert_int_equal(icmp6_decode(buf, (size_t)n, &back), ICMP6_OK);
	assert_memory_equal(&back, &m, sizeof(m));
}

static void solicitations_carry_the_home_address(void **state)
{
	struct icmp6_msg m = message(ICMP6_MPS, COA, HA);

	(void)state;
	m.hoa = A(HOA);
	assert_wire(&m, COA, HA, HAO, "9200 0000 1234 0000");
}

static void advertisements_carry_prefixes_behind_a_routing_header(void **state)
{
	struct icmp6_msg m = message(ICMP6_MPA, HA, COA);

	(void)state;
	m.hoa = A(HOA);
	m.managed = true;
	m.n_prefix = 2;
	m.prefix[0].prefix = P("2001:db8:1::/64");
	m.prefix[0].addr = A(HA);
	m.prefix[0].on_link = m.prefix[0].autonomous = m.prefix[0].router_addr = true;
	m.prefix[0].valid_s = 86400;
	m.prefix[0].preferred_s = 14400;
	m.prefix[1].prefix = P("2001:db8:2::/48");
	m.prefix[1].addr = A("2001:db8:2::");
	m.prefix[1].valid_s = m.prefix[1].preferred_s = UINT32_MAX;
	assert_wire(&m, HA, COA, RH2, "9300 0000 1234 8000" PREFIX_64 PREFIX_48);
	m.managed = false;
	m.other = true;
	assert_wire(&m, HA, COA, RH2, "9300 0000 1234 4000" PREFIX_64 PREFIX_48);
}

static void reserved_bits_are_ignored(void **state)
{
	struct icmp6_msg m;

	(void)state;
	assert_int_equal(decode(COA, ANYCAST, NONE, "9000 0000 1234 7fff", &m), ICMP6_OK);
	assert_false(m.mobile_router);
	assert_int_equal(decode(COA, HA, HAO, "9200 0000 1234 ffff", &m), ICMP6_OK);
	assert_false(m.mobile_router || m.managed || m.other);
	assert_int_equal(decode(HA, COA, RH2, "9300 0000 1234 3fff", &m), ICMP6_OK);
	assert_false(m.mobile_router || m.managed || m.other);
}

static void unknown_options_are_skipped(void **state)
{
	struct icmp6_msg m;

	(void)state;
	assert_int_equal(
		decode(COA, HA, HAO, "9200 0000 0001 0000 fe01 000000000000", &m), ICMP6_OK);
	assert_int_equal(m.n_prefix, 0);
	assert_int_equal(
		decode(HA, COA, RH2,
			"9300 0000 0001 0000 fe02 0000000000000000000000000000" PREFIX_64, &m),
		ICMP6_OK);
	assert_int_equal(m.n_prefix, 1);
	/* A prefix option of another size, and ones that RFC 4861 s6.3.4 wants ignored. */
	assert_int_equal(
		decode(HA, COA, RH2, "9300 0000 0001 0000 0301 40e000015180", &m), ICMP6_OK);
	assert_int_equal(m.n_prefix, 0);
	assert_int_equal(decode(HA, COA, RH2,
				 "9300 0000 0001 0000 0304 81 e0 00015180 00003840 00000000 "
				 "20010db8000100000000000000000001",
				 &m),
		ICMP6_OK);
	assert_int_equal(m.n_prefix, 0);
	/* A solicitation has no use for prefixes. */
	assert_int_equal(decode(COA, HA, HAO, "9200 0000 0001 0000" PREFIX_64, &m), ICMP6_OK);
	assert_int_equal(m.n_prefix, 0);
}

static void more_addresses_and_prefixes_than_kept_are_ignored(void **state)
{
	static char hex[8192] = "9100 0000 0001 0000";
	struct icmp6_msg m;

	(void)state;
	for (unsigned i = 0; i < ICMP6_MAX_HA + 3; i++)
		strcat(hex, "20010db8000100000000000000000001");
	assert_int_equal(decode(HA, COA, NONE, hex, &m), ICMP6_OK);
	assert_int_equal(m.n_ha, ICMP6_MAX_HA);
	strcpy(hex, "9300 0000 0001 0000");
	for (unsigned i = 0; i < NDP_MAX_PREFIX + 2; i++)
		strcat(hex, PREFIX_48);
	assert_int_equal(decode(HA, COA, RH2, hex, &m), ICMP6_OK);
	assert_int_equal(m.n_prefix, NDP_MAX_PREFIX);
}

static void bad_messages_are_refused(void **state)
{
	static const struct {
		const char *hex;
		enum header header;
		enum icmp6_verdict want;
	} bad[] = {
		{"9001 0000 1234 0000", NONE, ICMP6_DROP_CODE},
		{"9000 0000 1234", NONE, ICMP6_DROP_SHORT},
		{"9000 0000", NONE, ICMP6_DROP_SHORT},
		{"9100 0000 1234 0000 20010db80001000000000000000000", NONE, ICMP6_DROP_SHORT},
		{"9200 0000 1234 0000 fe00 000000000000", HAO, ICMP6_DROP_OPTION},
		{"9200 0000 1234 0000 fe02 000000000000", HAO, ICMP6_DROP_SHORT},
		{"9200 0000 1234 0000 fe", HAO, ICMP6_DROP_SHORT},
		{"9300 0000 1234 0000 0300 0000" PREFIX_64, RH2, ICMP6_DROP_OPTION},
		{"9300 0000 1234 0000 0304 40e0", RH2, ICMP6_DROP_SHORT},
		{"8000 0000 1234 0000", NONE, ICMP6_IGNORE},
		{"8f00 0000 1234 0000", NONE, ICMP6_IGNORE},
		{"9400 0000 1234 0000", NONE, ICMP6_IGNORE},
	};
	struct icmp6_msg m;

	(void)state;
	for (unsigned i = 0; i < N_OF(bad); i++)
		assert_int_equal(decode(COA, HA, bad[i].header, bad[i].hex, &m), bad[i].want);
}

static void the_checksum_goes_over_the_home_address(void **state)
{
	uint8_t buf[256];
	size_t n = packet(COA, HA, HAO, "9200 0000 1234 0000", buf, sizeof(buf));
	struct in6_addr coa = A(COA), ha = A(HA);
	struct icmp6_msg m;

	(void)state;
	set_csum(buf + 64, n - 64, 2, 58, &coa, &ha);
	assert_int_equal(icmp6_decode(buf, n, &m), ICMP6_DROP_CSUM);
	n = packet(COA, ANYCAST, NONE, "9000 0000 1234 0000", buf, sizeof(buf));
	buf[n - 1] ^= 1;
	assert_int_equal(icmp6_decode(buf, n, &m), ICMP6_DROP_CSUM);
}

static void every_truncation_is_refused(void **state)
{
	uint8_t buf[256];
	size_t n = packet(HA, COA, RH2, "9300 0000 1234 0000" PREFIX_64, buf, sizeof(buf));
	struct icmp6_msg m;

	(void)state;
	for (size_t i = 0; i < n; i++) {
		uint8_t *copy = exact(buf, i);

		assert_int_not_equal(icmp6_decode(copy, i, &m), ICMP6_OK);
		free(copy);
	}
}

static void the_anycast_address_is_that_of_rfc_2526(void **state)
{
	static const struct {
		const char *subnet, *want;
	} cases[] = {
		{"2001:db8:1::/64", "2001:db8:1:0:fdff:ffff:ffff:fffe"},
		{"2001:db8:1:2:3::/64", "2001:db8:1:2:fdff:ffff:ffff:fffe"},
		{"2001:db8:1::/96", "2001:db8:1::ffff:fffe"}, /* no EUI-64 there */
		{"2001:db8:1::/112", "2001:db8:1::fffe"},
	};

	(void)state;
	for (unsigned i = 0; i < N_OF(cases); i++) {
		struct prefix6 p = P(cases[i].subnet);
		struct in6_addr got = icmp6_anycast(&p), want = A(cases[i].want);

		assert_memory_equal(&got, &want, sizeof(want));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(discovery_requests_ask_for_mobile_router_support),
		cmocka_unit_test(discovery_replies_list_addresses_in_their_order),
		cmocka_unit_test(a_full_reply_fits_the_least_mtu),
		cmocka_unit_test(solicitations_carry_the_home_address),
		cmocka_unit_test(advertisements_carry_prefixes_behind_a_routing_header),
		cmocka_unit_test(reserved_bits_are_ignored),
		cmocka_unit_test(unknown_options_are_skipped),
		cmocka_unit_test(more_addresses_and_prefixes_than_kept_are_ignored),
		cmocka_unit_test(bad_messages_are_refused),
		cmocka_unit_test(the_checksum_goes_over_the_home_address),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(the_anycast_address_is_that_of_rfc_2526),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
