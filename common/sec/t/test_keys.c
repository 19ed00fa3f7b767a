/* test_keys.c - key files: what is taken, what is refused with which line; HKDF against a value
 * computed by Python's hmac. */
#include "common/sec/keys.h"
#include "common/wire/t/packet.h"

#define H16 "000102030405060708090a0b0c0d0e0f"
#define H32 H16 "101112131415161718191a1b1c1d1e1f"

static struct keys k;

static const char *parse(const char *text, unsigned *line)
{
	char *copy = strdup(text);
	const char *wrong = keys_parse(copy, &k, line);

	free(copy);
	return wrong;
}

static void refused(const char *text, unsigned line, const char *words)
{
	unsigned at;
	const char *wrong = parse(text, &at);

	if (!wrong || at != line || !strstr(wrong, words))
		fail_msg("expected line %u ... %s, got line %u: %s", line, words, at,
			wrong ? wrong : "no mistake");
	assert_null(strstr(wrong, "0001"));
}

static void files_are_read(void **state)
{
	unsigned line;

	(void)state;
	assert_null(parse("# blue\n\nauth 256 " H32 " # current\r\n\tauth 4294967295 " H16 "\n"
			  "esp to-ha 1000 hmac-sha-256-128 " H32 " aes-cbc " H16 "\n"
			  "esp to-mr 1001 hmac-sha-256-128 " H32 " null",
		&line));
	assert_int_equal(k.n_auth, 2);
	assert_int_equal(k.auth[0].spi, 256);
	assert_int_equal(k.auth[0].size, 32);
	assert_int_equal(k.auth[0].secret[31], 31);
	assert_int_equal(k.auth[1].spi, 4294967295);
	assert_int_equal(k.auth[1].size, 16);
	assert_int_equal(k.esp[KEYS_TO_HA].spi, 1000);
	assert_int_equal(k.esp[KEYS_TO_HA].enc_size, 16);
	assert_int_equal(k.esp[KEYS_TO_HA].mac[31], 31);
	assert_int_equal(k.esp[KEYS_TO_MR].spi, 1001);
	assert_int_equal(k.esp[KEYS_TO_MR].enc_size, 0);
	keys_wipe(&k);
	for (size_t i = 0; i < sizeof(k); i++)
		assert_int_equal(((uint8_t *)&k)[i], 0);
	assert_null(parse("", &line));
}

/* No word of the file is in the reason: it goes to a log. */
static void mistakes_are_told_with_their_line(void **state)
{
	(void)state;
	refused("\n\npassword " H32, 3, "auth, esp or psk");
	refused("auth 255 " H32, 1, "256");
	refused("auth 4294967296 " H32, 1, "256");
	refused("auth x " H32, 1, "256");
	refused("auth 256", 1, "auth SPI SECRET");
	refused("auth 256 0001020304", 1, "16 to 64");
	refused("auth 256 " H16 "0", 1, "16 to 64");
	refused("auth 256 " H16 "0g", 1, "16 to 64");
	refused("auth 256 " H32 H32 "00", 1, "16 to 64");
	refused("auth 256 " H32 "\nauth 256 " H32, 2, "twice");
	refused("auth 256 " H32 "\nauth 257 " H32 "\nauth 258 " H32, 3, "at most two");
	refused("esp to-ha 1000 hmac-sha-256-128 " H16, 1, "32 octets");
	refused("esp to-ha 1000 hmac-sha1 " H32, 1, "hmac-sha-256-128");
	refused("esp to-ha 1000 hmac-sha-256-128 " H32 " aes-cbc 00010203", 1, "16, 24 or 32");
	refused("esp to-ha 1000 hmac-sha-256-128 " H32 " des " H16, 1, "aes-cbc");
	refused("esp to-ha 100 hmac-sha-256-128 " H32, 1, "256");
	refused("esp up 1000 hmac-sha-256-128 " H32, 1, "to-ha|to-mr");
	refused("esp to-ha 1000 hmac-sha-256-128 " H32 "\nesp to-ha 1001 hmac-sha-256-128 " H32, 2,
		"second line");
	refused("a b c d e f g h i", 1, "too many");
}

/* RFC 4106 s2: MUST get keys from an automated key management system. */
static void static_gcm_is_refused_with_the_reason(void **state)
{
	(void)state;
	refused("esp to-ha 1000 aes-gcm-16 " H32, 1, "nonce twice");
	refused("esp to-ha 1000 hmac-sha-256-128 " H32 " aes-gcm " H16, 1, "nonce twice");
}

static void derivation_is_hkdf_over_both_ends(void **state)
{
	struct keys_auth a = {.spi = 256, .size = 32};
	struct in6_addr ha = A("2001:db8:1::1"), hoa = A("2001:db8:100::1"), ha2 = A("2001:db8::2");
	uint8_t want[32], key[32], other[32];

	(void)state;
	for (unsigned i = 0; i < 32; i++)
		a.secret[i] = (uint8_t)i;
	unhex("a10bce60d1338dc8b01ebfff43ce77cefb47e7c470ac30dc193093e791d8bd8c", want, 32);
	assert_int_equal(keys_derive(&a, "nemo auth-option MN-HA", &ha, &hoa, key, 32), 0);
	assert_memory_equal(key, want, 32);
	assert_int_equal(keys_derive(&a, "nemo auth-option MN-HA", &ha2, &hoa, other, 32), 0);
	assert_memory_not_equal(key, other, 32);
	a.spi = 257;
	assert_int_equal(keys_derive(&a, "nemo auth-option MN-HA", &ha, &hoa, other, 32), 0);
	assert_memory_not_equal(key, other, 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_are_read),
		cmocka_unit_test(mistakes_are_told_with_their_line),
		cmocka_unit_test(static_gcm_is_refused_with_the_reason),
		cmocka_unit_test(derivation_is_hkdf_over_both_ends),
	};

	return cmocka_run_group_tests_name("keys", tests, NULL, NULL);
}
