/* payload.c - keys for ESP on the tunnel's packets. */
#include "common/sec/payload.h"
#include <openssl/crypto.h>
#include <string.h>
#include "common/sec/keys.h"

#define LABEL_TO_HA "nemo payload to-ha"
#define LABEL_TO_MR "nemo payload to-mr"

static int derive(const struct payload_secret *s, const char *label, const struct in6_addr *ha,
	const struct in6_addr *other, uint32_t seq, struct esp_sa *out)
{
	struct keys_auth a = {.spi = seq, .size = PAYLOAD_SECRET_SIZE};
	uint8_t key[PAYLOAD_KEY_SIZE];
	int r;

	memcpy(a.secret, s->secret, sizeof(s->secret));
	r = keys_derive(&a, label, ha, other, key, sizeof(key));
	memcpy(out->enc, key, 32);
	memcpy(out->salt, key + 32, 4);
	out->cipher = ESP_GCM;
	out->enc_size = 32;
	OPENSSL_cleanse(&a, sizeof(a));
	OPENSSL_cleanse(key, sizeof(key));
	return r;
}

int payload_to_ha(const struct payload_secret *s, const struct in6_addr *ha,
	const struct in6_addr *hoa, struct esp_sa *out)
{
	memset(out, 0, sizeof(*out));
	out->spi = s->spi_to_ha | PAYLOAD_SPI;
	return derive(s, LABEL_TO_HA, ha, hoa, 0, out);
}

int payload_to_mr(const struct payload_secret *s, const struct in6_addr *ha,
	const struct in6_addr *coa, uint16_t seq, struct esp_sa *out)
{
	memset(out, 0, sizeof(*out));
	out->spi = (s->spi_to_mr + seq) | PAYLOAD_SPI;
	return derive(s, LABEL_TO_MR, ha, coa, seq, out);
}

bool payload_next(struct payload_secret *s, uint16_t seq)
{
	uint16_t step = (uint16_t)(seq - s->last);

	if (!s->any) {
		s->any = true;
		s->last = seq;
		return true;
	}
	if (step == 0 || s->advance + step > UINT16_MAX)
		return false;
	s->advance += step;
	s->last = seq;
	return true;
}
