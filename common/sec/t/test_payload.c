/* Keys for payload: their values by Python's hmac, and that none is used twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "common/sec/payload.h"
#include "common/wire/t/packet.h"

static const char HA_ADDR[] = "2001:db8:1::1", HOA_ADDR[] = "2001:db8:100::1",
		  COA_ADDR[] = "2001:db8:a::2";

static struct payload_secret secret(void)
{
	struct payload_secret s = {.spi_to_ha = 0x1000, .spi_to_mr = 0x2000};

	for (unsigned i = 0; i < sizeof(s.secret); i++)
		s.secret[i] = (uint8_t)i;
	return s;
}

/* key = HKDF-SHA-256(secret, info = label | home agent | home or care-of address | number):
 *   python3 -c 'import hmac,hashlib,socket as s
 *   p=lambda a: s.inet_pton(s.AF_INET6,a); h=lambda k,d: hmac.new(k,d,hashlib.sha256).digest()
 *   i=b"nemo payload to-ha"+p("2001:db8:1::1")+p("2001:db8:100::1")+bytes(4)
 *   k=h(bytes(32),bytes(range(32))); a=h(k,i+b"\1"); print((a+h(k,a+i+b"\2"))[:36].hex())' */
static const uint8_t TO_HA[] = {0x19, 0xb8, 0xc7, 0xf1, 0xdb, 0x06, 0x6f, 0xbe, 0x84, 0x3c, 0xa6,
	0xed, 0x8f, 0x10, 0xfa, 0xa5, 0x75, 0xfb, 0xa5, 0x20, 0xfb, 0x85, 0xd9, 0x30, 0x3b, 0x34,
	0x5a, 0x8f, 0xf5, 0x3f, 0x71, 0xc0, 0x12, 0xa7, 0xcb, 0xf3};
static const uint8_t TO_MR[] = {0x72, 0xa3, 0x85, 0x06, 0x7c, 0x79, 0x6b, 0xf3, 0x5a, 0x4f, 0x44,
	0x43, 0x7f, 0x0e, 0x93, 0x8d, 0x77, 0x9e, 0xaa, 0xc7, 0x87, 0xb5, 0xae, 0x1d, 0x62, 0x63,
	0x5e, 0x6f, 0xc6, 0x83, 0x8b, 0x6b, 0xa4, 0x09, 0x32, 0x98};

static void assert_key(const struct esp_sa *sa, const uint8_t *key)
{
	assert_int_equal(sa->cipher, ESP_GCM);
	assert_int_equal(sa->enc_size, 32);
	assert_memory_equal(sa->enc, key, 32);
	assert_memory_equal(sa->salt, key + 32, 4);
}

static void keys_are_what_the_document_says(void **state)
{
	struct in6_addr ha = A(HA_ADDR), hoa = A(HOA_ADDR), coa = A(COA_ADDR);
	struct payload_secret s = secret();
	struct esp_sa sa;

	(void)state;
	assert_int_equal(payload_to_ha(&s, &ha, &hoa, &sa), 0);
	assert_int_equal(sa.spi, 0x80001000);
	assert_key(&sa, TO_HA);
	assert_int_equal(payload_to_mr(&s, &ha, &coa, 7, &sa), 0);
	assert_int_equal(sa.spi, 0x80002007);
	assert_key(&sa, TO_MR);
}

static void every_part_is_in_the_key(void **state)
{
	struct in6_addr ha = A(HA_ADDR), hoa = A(HOA_ADDR), coa = A(COA_ADDR);
	struct payload_secret s = secret(), other = s;
	struct esp_sa sa[6];

	(void)state;
	other.secret[31] ^= 1;
	assert_int_equal(payload_to_mr(&s, &ha, &coa, 7, &sa[0]), 0);
	assert_int_equal(payload_to_mr(&s, &ha, &coa, 8, &sa[1]), 0);
	assert_int_equal(payload_to_mr(&s, &ha, &hoa, 7, &sa[2]), 0);
	assert_int_equal(payload_to_mr(&s, &coa, &coa, 7, &sa[3]), 0);
	assert_int_equal(payload_to_mr(&other, &ha, &coa, 7, &sa[4]), 0);
	assert_int_equal(payload_to_ha(&s, &ha, &coa, &sa[5]), 0);
	for (unsigned i = 0; i < 6; i++)
		for (unsigned k = 0; k < i; k++)
			assert_memory_not_equal(sa[i].enc, sa[k].enc, 32);
}

/* RFC 4106 s3.1: an IV never twice under one key.  The counter starts again with each number. */
static void no_number_passes_twice(void **state)
{
	static bool used[1 << 16];
	struct payload_secret s = secret();
	unsigned n = 0;

	(void)state;
	srand(1);
	for (unsigned i = 0; i < 400000; i++) {
		uint16_t seq = (uint16_t)(i % 3 ? rand() : s.last + rand() % 4);

		if (i % 1000 == 0)
			seq = s.last;
		if (!payload_next(&s, seq))
			continue;
		assert_false(used[seq]);
		used[seq] = true;
		n++;
	}
	assert_true(n > 1);
	s = secret();
	for (unsigned i = 0; i < 1 << 16; i++)
		assert_true(payload_next(&s, (uint16_t)(60000 + i)));
	for (unsigned i = 0; i < 1 << 16; i++)
		assert_false(payload_next(&s, (uint16_t)i));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_are_what_the_document_says),
		cmocka_unit_test(every_part_is_in_the_key),
		cmocka_unit_test(no_number_passes_twice),
	};

	return cmocka_run_group_tests_name("payload", tests, NULL, NULL);
}
