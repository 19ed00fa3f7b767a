/* keys.c - a key file's text, and HKDF. */
#include "common/sec/keys.h"
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#define MAX_WORDS 8

static int digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c | 0x20) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Octets read; -1: no hexadecimal number of whole octets, or more than 'room'. */
static int read_hex(const char *s, uint8_t *out, size_t room)
{
	size_t n = 0;

	for (; s[0]; s += 2, n++) {
		int high = digit(s[0]), low = s[1] ? digit(s[1]) : -1;

		if (high < 0 || low < 0 || n == room)
			return -1;
		out[n] = (uint8_t)(high << 4 | low);
	}
	return (int)n;
}

static bool read_spi(const char *s, uint32_t *out)
{
	uint64_t n = 0;

	for (; *s >= '0' && *s <= '9' && n <= UINT32_MAX; s++)
		n = n * 10 + (uint64_t)(*s - '0');
	*out = (uint32_t)n;
	return *s == '\0' && n >= ESP_MIN_SPI && n <= UINT32_MAX;
}

static const char *read_auth(char **w, unsigned n, struct keys *k)
{
	struct keys_auth *a = &k->auth[k->n_auth];
	int size;

	if (n != 3)
		return "must be: auth SPI SECRET";
	if (k->n_auth == KEYS_MAX_AUTH)
		return "a third auth line: at most two secrets are alive";
	if (!read_spi(w[1], &a->spi))
		return "the SPI must be 256..4294967295";
	if (k->n_auth && k->auth[0].spi == a->spi)
		return "the same SPI twice";
	size = read_hex(w[2], a->secret, sizeof(a->secret));
	if (size < KEYS_MIN_SECRET)
		return "the secret must be 16 to 64 octets in hexadecimal";
	a->size = (unsigned)size;
	k->n_auth++;
	return NULL;
}

static const char *read_cipher(char **w, unsigned n, struct esp_sa *e)
{
	int size;

	if (n == 0 || (n == 1 && strcmp(w[0], "null") == 0))
		return NULL;
	if (strncmp(w[0], "aes-gcm", 7) == 0)
		return "AES-GCM with static keys would use a nonce twice after a restart, which "
		       "gives the key away (RFC 4106 s2); take aes-cbc, or protection = \"esp\"";
	if (n != 2 || strcmp(w[0], "aes-cbc") != 0)
		return "the cipher must be: aes-cbc KEY, or null";
	size = read_hex(w[1], e->enc, sizeof(e->enc));
	if (size != 16 && size != 24 && size != 32)
		return "the key of aes-cbc must be 16, 24 or 32 octets in hexadecimal";
	e->cipher = ESP_CBC;
	e->enc_size = (unsigned)size;
	return NULL;
}

static const char *read_esp(char **w, unsigned n, struct keys *k)
{
	bool to_ha = n > 1 && strcmp(w[1], "to-ha") == 0;
	struct esp_sa *e = &k->esp[to_ha ? KEYS_TO_HA : KEYS_TO_MR];

	if (n < 5 || (!to_ha && strcmp(w[1], "to-mr") != 0))
		return n > 3 && strncmp(w[3], "aes-gcm", 7) == 0
			       ? read_cipher(w + 3, n - 3, e)
			       : "must be: esp to-ha|to-mr SPI hmac-sha-256-128 KEY [aes-cbc KEY] "
				 "[no-replay-check]";
	if (e->spi)
		return "a second line for this direction";
	if (strcmp(w[3], "hmac-sha-256-128") != 0)
		return strncmp(w[3], "aes-gcm", 7) == 0 ? read_cipher(w + 3, n - 3, e)
							: "the integrity algorithm must be "
							  "hmac-sha-256-128";
	if (!read_spi(w[2], &e->spi))
		return "the SPI must be 256..4294967295";
	if (read_hex(w[4], e->mac, sizeof(e->mac)) != sizeof(e->mac)) /* RFC 4868 s2.1.1 */
		return "the key of hmac-sha-256-128 must be 32 octets in hexadecimal";
	e->replay = strcmp(w[n - 1], "no-replay-check") != 0;
	n -= !e->replay;
	return read_cipher(w + 5, n - 5, e);
}

static const char *read_psk(char **w, unsigned n, struct keys *k)
{
	struct keys_psk *p = &k->psk;
	int size;

	if (n != 3)
		return "must be: psk IDENTITY SECRET";
	if (p->id[0])
		return "a second psk line";
	if (strlen(w[1]) >= sizeof(p->id))
		return "the identity is longer than 63 characters";
	size = read_hex(w[2], p->secret, sizeof(p->secret));
	if (size < 32)
		return "the secret of psk must be 32 to 64 octets in hexadecimal";
	memcpy(p->id, w[1], strlen(w[1]) + 1);
	p->size = (unsigned)size;
	return NULL;
}

static const char *read_line(char *line, struct keys *k)
{
	char *words[MAX_WORDS], *rest = line;
	unsigned n = 0;

	line[strcspn(line, "#")] = '\0';
	for (;;) {
		rest += strspn(rest, " \t\r");
		if (!*rest)
			break;
		if (n == MAX_WORDS)
			return "too many words";
		words[n++] = rest;
		rest += strcspn(rest, " \t\r");
		if (*rest)
			*rest++ = '\0';
	}
	if (n == 0)
		return NULL;
	if (strcmp(words[0], "auth") == 0)
		return read_auth(words, n, k);
	if (strcmp(words[0], "esp") == 0)
		return read_esp(words, n, k);
	if (strcmp(words[0], "psk") == 0)
		return read_psk(words, n, k);
	return "a line begins with auth, esp or psk";
}

const char *keys_parse(char *text, struct keys *out, unsigned *line)
{
	memset(out, 0, sizeof(*out));
	for (*line = 1;; ++*line) {
		size_t size = strcspn(text, "\n");
		bool last = text[size] == '\0';
		const char *wrong;

		text[size] = '\0';
		wrong = read_line(text, out);
		if (wrong)
			return wrong;
		if (last)
			return NULL;
		text += size + 1;
	}
}

int keys_derive(const struct keys_auth *a, const char *label, const struct in6_addr *ha,
	const struct in6_addr *hoa, uint8_t *out, size_t size)
{
	uint8_t info[128], *p = info;
	size_t n = strlen(label);
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	uint8_t spi[4] = {(uint8_t)(a->spi >> 24), (uint8_t)(a->spi >> 16), (uint8_t)(a->spi >> 8),
		(uint8_t)a->spi};
	OSSL_PARAM params[4];
	bool ok;

	memcpy(p, label, n);
	memcpy(p += n, ha, 16);
	memcpy(p += 16, hoa, 16);
	memcpy(p += 16, spi, 4);
	params[0] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char[]){"SHA256"}, 0);
	params[1] = OSSL_PARAM_construct_octet_string(
		OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)a->secret, a->size);
	params[2] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, n + 36);
	params[3] = OSSL_PARAM_construct_end();
	ok = ctx && EVP_KDF_derive(ctx, out, size, params) == 1;
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return ok ? 0 : -EIO;
}

uint64_t keys_hash(const struct keys *k)
{
	struct {
		struct keys_psk psk;
		char cert_id[KEYS_CERT_SIZE];
	} of = {.psk = k->psk};
	uint8_t hash[EVP_MAX_MD_SIZE];
	uint64_t out;

	memcpy(of.cert_id, k->cert_id, sizeof(of.cert_id));
	if (EVP_Digest(&of, sizeof(of), hash, NULL, EVP_sha256(), NULL) != 1)
		abort(); /* any value would be that of some other secret, too */
	OPENSSL_cleanse(&of, sizeof(of));
	memcpy(&out, hash, sizeof(out));
	return out;
}

void keys_wipe(struct keys *k)
{
	OPENSSL_cleanse(k, sizeof(*k));
}
