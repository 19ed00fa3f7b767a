/* test_discovery.c - prefix discovery under the protection of updates (RFC 6275 s6.7, s6.8, RFC
 * 3776 s3.3, RFC 4285 s2), a home agent that has lost the keys its
 * router still uses, and errors that quote protected updates. */
#include <errno.h>
#include "common/sec/t/pair.h"

static struct end ha, mr;
static struct keys keys;
static uint64_t now;
static uint8_t pkt[IP6_SIG_MAX];
static size_t size;
static struct sec_clear clear;
static struct icmp6_msg got;

static int setup(void **state)
{
	(void)state;
	now = 3900000000 * NTP_S;
	memset(&keys, 0, sizeof(keys));
	keys.n_auth = 1;
	keys.auth[0].spi = 256;
	keys.auth[0].size = 32;
	for (unsigned i = 0; i < 2; i++) {
		keys.esp[i] = (struct esp_sa){
			.spi = 300 + i, .cipher = ESP_CBC, .enc_size = 16, .replay = true};
		memset(keys.esp[i].mac, (int)i + 1, 32);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sec_free(ha.sec);
	sec_free(mr.sec);
	memset(&ha, 0, sizeof(ha));
	memset(&mr, 0, sizeof(mr));
	return 0;
}

static void start(enum sec_mode mode)
{
	end_start(&ha, true, mode, &keys);
	end_start(&mr, false, mode, &keys);
}

static void install(unsigned n)
{
	struct in6_addr ha_addr = A(HA_ADDR), hoa = A(HOA_ADDR);
	struct esp_sa to_ha = {.spi = 1000 + n, .cipher = ESP_GCM, .enc_size = 32, .replay = true},
		      to_mr = to_ha;

	to_mr.spi = 2000 + n;
	to_mr.enc[0] = 1;
	assert_int_equal(sec_install(ha.sec, &ha_addr, &hoa, &to_ha, &to_mr, 0), 0);
	assert_int_equal(sec_install(mr.sec, &ha_addr, &hoa, &to_mr, &to_ha, 0), 0);
}

static struct icmp6_msg solicitation(void)
{
	struct icmp6_msg m;

	memset(&m, 0, sizeof(m));
	m.type = ICMP6_MPS;
	m.src = A(COA_ADDR);
	m.dst = A(HA_ADDR);
	m.hoa = A(HOA_ADDR);
	m.id = 0xbeef;
	return m;
}

static struct icmp6_msg advertisement(void)
{
	struct icmp6_msg m = solicitation();

	m.type = ICMP6_MPA;
	m.dst = m.src;
	m.src = A(HA_ADDR);
	m.n_prefix = 1;
	m.prefix[0] = (struct ndp_prefix){
		.prefix = P("2001:db8:100::/64"), .valid_s = 600, .preferred_s = 300};
	return m;
}

static int seal(struct end *from, const struct icmp6_msg *m)
{
	int n = sec_seal_icmp6(from->sec, m, pkt, sizeof(pkt));

	size = n > 0 ? (size_t)n : 0;
	return n < 0 ? n : 0;
}

/* What is in 'pkt' gets as far as the core. */
static bool taken(struct end *to)
{
	uint8_t *copy = exact(pkt, size);
	bool ok = sec_unwrap(to->sec, copy, size, now, &clear) == MH_OK &&
		  icmp6_decode(clear.pkt, clear.size, &got) == ICMP6_OK &&
		  sec_icmp6_ok(to->sec, &clear, &got);

	free(copy);
	return ok;
}

static uint8_t first_header(void) /* behind the options or routing header */
{
	return pkt[40];
}

static void in_clear(const struct icmp6_msg *m)
{
	int n = icmp6_encode(m, pkt, sizeof(pkt));

	assert_true(n > 0);
	size = (size_t)n;
}

/* --- prefix discovery --- */

static void goes_both_ways(void)
{
	struct icmp6_msg q = solicitation(), a = advertisement();

	assert_int_equal(seal(&mr, &q), 0);
	assert_int_equal(first_header(), IP6_PROTO_ESP);
	assert_true(taken(&ha));
	assert_int_equal(got.id, q.id);
	assert_true(addr6_eq(&got.hoa, &q.hoa) && addr6_eq(&got.src, &q.src));
	assert_int_equal(seal(&ha, &a), 0);
	assert_int_equal(first_header(), IP6_PROTO_ESP);
	assert_true(taken(&mr));
	assert_int_equal(got.n_prefix, 1);
	assert_int_equal(got.prefix[0].valid_s, 600);
	assert_true(addr6_eq(&got.hoa, &a.hoa) && addr6_eq(&got.src, &a.src));
}

static void it_has_the_esp_of_updates(void **state)
{
	(void)state;
	start(SEC_ESP_STATIC);
	goes_both_ways();
	start(SEC_ESP);
	install(1);
	goes_both_ways();
}

static void in_clear_it_is_refused(void **state)
{
	static const enum sec_mode modes[] = {SEC_ESP_STATIC, SEC_ESP, SEC_AUTH};
	struct icmp6_msg q = solicitation(), a = advertisement();

	(void)state;
	for (unsigned i = 0; i < N_OF(modes); i++) {
		start(modes[i]);
		if (modes[i] == SEC_ESP)
			install(1);
		in_clear(&q);
		assert_false(taken(&ha));
		assert_int_equal(sec_counter(ha.sec, SEC_C_sec_clear), 1);
		in_clear(&a);
		assert_false(taken(&mr));
		assert_int_equal(sec_counter(mr.sec, SEC_C_sec_clear), 1);
		a.src = A("2001:db8:1::9"); /* nor that of a home agent without keys */
		in_clear(&a);
		assert_false(taken(&mr));
		a.src = A(HA_ADDR);
	}
}

static void the_option_cannot_protect_it(void **state) /* RFC 4285 s2 */
{
	struct icmp6_msg q = solicitation(), a = advertisement();

	(void)state;
	start(SEC_AUTH);
	assert_int_equal(seal(&mr, &q), -ENOKEY);
	assert_int_equal(seal(&ha, &a), -ENOKEY);
}

static void without_keys_it_waits_for_them(void **state)
{
	struct icmp6_msg q = solicitation();

	(void)state;
	start(SEC_ESP);
	assert_int_equal(seal(&mr, &q), -ENOKEY);
}

static void unprotected_pairs_and_address_discovery_are_in_clear(void **state)
{
	struct icmp6_msg q = solicitation();

	(void)state;
	start(SEC_NONE);
	assert_int_equal(seal(&mr, &q), 0);
	assert_int_equal(first_header(), IP6_PROTO_ICMP6);
	assert_true(taken(&ha));
	start(SEC_ESP_STATIC);
	q.type = ICMP6_DHAAD_REQUEST;
	q.hoa = in6addr_any;
	assert_int_equal(seal(&mr, &q), 0);
	assert_int_equal(pkt[6], IP6_PROTO_ICMP6);
	assert_true(taken(&ha));
}

static void another_routers_association_does_not_open_it(void **state)
{
	struct icmp6_msg q = solicitation();

	(void)state;
	start(SEC_ESP_STATIC);
	assert_int_equal(seal(&mr, &q), 0);
	pkt[40 + 8 + 15] ^= 3; /* the home address in its option */
	assert_false(taken(&ha));
	assert_int_equal(sec_counter(ha.sec, SEC_C_esp_spi), 1);
}

static void what_else_is_in_esp_is_dropped(void **state)
{
	struct icmp6_msg q = solicitation();
	enum ip6_verdict chain;
	struct mh_env e;
	unsigned where;

	(void)state;
	start(SEC_ESP_STATIC);
	q.type = ICMP6_MPA; /* as an echo request: no message of Mobile IPv6 */
	struct ip6_pkt ip;
	uint8_t icmp[ICMP6_MAX_SIZE], esp[ICMP6_MAX_SIZE], iv[ESP_IV_MAX] = {0};

	icmp6_frame(&q, icmp, &ip);
	icmp[0] = 128;
	ip.payload_size = (size_t)esp_seal(&keys.esp[KEYS_TO_HA], iv, IP6_PROTO_ICMP6, ip.payload,
		ip.payload_size, esp, sizeof(esp));
	ip.proto = IP6_PROTO_ESP;
	ip.payload = esp;
	ip.has_rh2 = false;
	ip.has_hao = true;
	size = (size_t)ip6_encode(&ip, pkt, sizeof(pkt));
	assert_false(taken(&ha));
	assert_int_equal(sec_open(ha.sec, &clear, now, &e, &chain, &where), MH_DROP_SEC);
	assert_int_equal(sec_counter(ha.sec, SEC_C_esp_inner), 1);
}

/* --- a home agent that started anew --- */

static bool update_arrives(struct end *to)
{
	struct mh_env bu = update(1);
	int n = sec_seal(mr.sec, &bu, now, pkt, sizeof(pkt));

	assert_true(n > 0);
	return sec_unwrap(to->sec, pkt, (size_t)n, now, &clear) == MH_OK;
}

/* A Binding Error about the router, in clear. */
static void be_arrives(uint8_t status)
{
	struct mh_env be, e;
	enum ip6_verdict chain;
	unsigned where;
	int n;

	memset(&be, 0, sizeof(be));
	be.src = A(HA_ADDR);
	be.dst = A(COA_ADDR);
	be.m.type = MH_BE;
	be.m.be.status = status;
	be.m.be.hoa = A(HOA_ADDR);
	n = sec_seal(ha.sec, &be, now, pkt, sizeof(pkt));
	assert_true(n > 0);
	assert_int_equal(pkt[6], IP6_PROTO_MH); /* no keys are needed for it */
	assert_int_equal(sec_unwrap(mr.sec, pkt, (size_t)n, now, &clear), MH_OK);
	assert_int_equal(sec_open(mr.sec, &clear, now, &e, &chain, &where), MH_OK);
}

static void lost_keys_are_told_of_once_a_second(void **state)
{
	struct in6_addr ha_addr = A(HA_ADDR), hoa = A(HOA_ADDR), coa = A(COA_ADDR);

	(void)state;
	start(SEC_ESP);
	install(1);
	assert_true(update_arrives(&ha));
	assert_false(clear.tell);
	end_start(&ha, true, SEC_ESP, &keys);
	assert_false(update_arrives(&ha));
	assert_true(clear.tell);
	assert_memory_equal(&clear.src, &coa, 16);
	assert_memory_equal(&clear.dst, &ha_addr, 16);
	assert_memory_equal(&clear.hoa, &hoa, 16);
	assert_false(update_arrives(&ha));
	assert_false(clear.tell);
	now += NTP_S;
	assert_false(update_arrives(&ha));
	assert_true(clear.tell);
	install(2); /* it has keys: who uses others is none of its business */
	now += NTP_S;
	pkt[40 + 24] ^= 1;
	assert_int_equal(sec_unwrap(ha.sec, pkt, 200, now, &clear), MH_DROP_SEC);
	assert_false(clear.tell);
}

static void who_hears_of_it_makes_new_keys_once_in_five_seconds(void **state)
{
	struct mh_env bu = update(1);

	(void)state;
	start(SEC_ESP);
	install(1);
	be_arrives(1); /* all is well, as far as the router knows */
	assert_false(sec_needs_keys(mr.sec, &bu, 0));
	end_start(&ha, true, SEC_ESP, &keys);
	assert_false(update_arrives(&ha));
	be_arrives(2); /* that says something else */
	assert_false(sec_needs_keys(mr.sec, &bu, 0));
	be_arrives(1);
	assert_true(sec_needs_keys(mr.sec, &bu, 0));
	assert_int_equal(mr.renewed, 1);
	install(2);
	assert_false(sec_needs_keys(mr.sec, &bu, 0));
	assert_true(update_arrives(&ha));
	now += 4 * NTP_S;
	be_arrives(1); /* forged */
	assert_false(sec_needs_keys(mr.sec, &bu, 0));
	now += NTP_S;
	be_arrives(1);
	assert_true(sec_needs_keys(mr.sec, &bu, 0));
	assert_int_equal(mr.renewed, 2);
	assert_int_equal(sec_counter(mr.sec, SEC_C_esp_doubt), 2);
	assert_true(update_arrives(&ha)); /* meanwhile the old ones go on */
}

/* --- errors that quote what went out --- */

static void only_what_was_sent_is_believed_to_be_quoted(void **state)
{
	struct in6_addr at = A(HA_ADDR), hoa = A(HOA_ADDR), other = A("2001:db8:1::9");

	(void)state;
	start(SEC_ESP);
	assert_false(sec_sent(mr.sec, &at, &hoa, true, 0, 0)); /* no keys yet */
	install(1);
	assert_false(sec_sent(mr.sec, &at, &hoa, true, 1001, 1));
	for (unsigned i = 0; i < 10; i++)
		assert_true(update_arrives(&ha));
	assert_true(sec_sent(mr.sec, &at, &hoa, true, 1001, 10));
	assert_true(sec_sent(mr.sec, &at, &hoa, true, 1001, 3));
	assert_false(sec_sent(mr.sec, &at, &hoa, true, 1001, 2));  /* long ago */
	assert_false(sec_sent(mr.sec, &at, &hoa, true, 1001, 11)); /* not yet */
	assert_false(sec_sent(mr.sec, &at, &hoa, true, 1002, 10));
	assert_false(sec_sent(mr.sec, &at, &hoa, false, 0, 0)); /* never in clear */
	assert_false(sec_sent(mr.sec, &other, &hoa, true, 1001, 10));
	start(SEC_AUTH);
	assert_true(sec_sent(mr.sec, &at, &hoa, false, 0, 0));
	assert_false(sec_sent(mr.sec, &at, &hoa, true, 1001, 1));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(it_has_the_esp_of_updates),
		T(in_clear_it_is_refused),
		T(the_option_cannot_protect_it),
		T(without_keys_it_waits_for_them),
		T(unprotected_pairs_and_address_discovery_are_in_clear),
		T(another_routers_association_does_not_open_it),
		T(what_else_is_in_esp_is_dropped),
		T(lost_keys_are_told_of_once_a_second),
		T(who_hears_of_it_makes_new_keys_once_in_five_seconds),
		T(only_what_was_sent_is_believed_to_be_quoted),
	};

	return cmocka_run_group_tests_name("sec discovery", tests, NULL, NULL);
}
