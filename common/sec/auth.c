/* auth.c - RFC 4285: authenticator and timestamps. */
#include "common/sec/auth.h"
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <string.h>

#define OFF_CSUM 4
#define SECOND   ((uint64_t)1 << 32)
#define WINDOW   (AUTH_WINDOW_S * SECOND)
#define JUMP     (2 * (AUTH_WINDOW_S + 1) * SECOND)
#define GRACE    (3 * SECOND) /* for an answer to what auth_floor_take() asked for */

int auth_mac(const uint8_t key[AUTH_KEY_SIZE], const struct in6_addr *coa,
	const struct in6_addr *hoa, const uint8_t *mh, size_t covered, uint8_t out[AUTH_MAC_SIZE])
{
	static const uint8_t no_csum[2];
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0),
		OSSL_PARAM_construct_end()};
	uint8_t full[32];
	size_t size;
	bool ok = ctx && covered > OFF_CSUM + 2 &&
		  EVP_MAC_init(ctx, key, AUTH_KEY_SIZE, params) == 1 &&
		  EVP_MAC_update(ctx, coa->s6_addr, 16) == 1 &&
		  EVP_MAC_update(ctx, hoa->s6_addr, 16) == 1 &&
		  EVP_MAC_update(ctx, mh, OFF_CSUM) == 1 && EVP_MAC_update(ctx, no_csum, 2) == 1 &&
		  EVP_MAC_update(ctx, mh + OFF_CSUM + 2, covered - OFF_CSUM - 2) == 1 &&
		  EVP_MAC_final(ctx, full, &size, sizeof(full)) == 1;

	EVP_MAC_CTX_free(ctx);
	EVP_MAC_free(mac);
	if (!ok)
		return -EIO;
	memcpy(out, full, AUTH_MAC_SIZE);
	return 0;
}

static bool after(uint64_t a, uint64_t b)
{
	return (int64_t)(a - b) > 0;
}

/* Was the clock set back, so that no honest timestamp would be above the floor for a while?  Then
 * this router's time goes on from the floor, until the clock has caught up. */
static uint64_t time_of(struct auth_floor *f, uint64_t clock)
{
	if (!f->known || !after(f->last, clock + WINDOW))
		f->lead = 0;
	else if (after(f->last, clock + f->lead + WINDOW))
		f->lead = f->last - clock;
	return clock + f->lead;
}

bool auth_floor_take(struct auth_floor *f, uint64_t stamp, uint64_t clock, uint64_t *reply)
{
	bool fresh = f->asked_once && clock - f->asked_at < GRACE;
	uint64_t now = f->asked && fresh ? clock + f->lead : time_of(f, clock);
	uint64_t ahead = now + WINDOW + (fresh ? GRACE : 0);

	if (f->known && !after(now - WINDOW, stamp) && !after(stamp, ahead) &&
		after(stamp, f->last)) {
		f->last = stamp;
		f->asked = false;
		return true;
	}
	if (!f->known || (f->asked && !fresh)) {
		/* To the end of the second: seconds are all that the answer can tell. */
		f->last = (now + WINDOW) | (SECOND - 1);
		f->known = f->asked = f->asked_once = true;
		f->asked_at = clock;
	}
	*reply = f->asked ? f->last + SECOND : now;
	*reply = (*reply & ~(SECOND - 1)) | (stamp & (SECOND - 1));
	return false;
}

uint64_t auth_clock_next(struct auth_clock *c, uint64_t now)
{
	uint64_t t = now + c->offset;

	if (c->last && !after(t, c->last))
		t = c->last + 1;
	c->last = t;
	if (c->n_sent == AUTH_MAX_SENT)
		memmove(&c->sent[0], &c->sent[1], --c->n_sent * sizeof(c->sent[0]));
	c->sent[c->n_sent++] = t;
	return t;
}

bool auth_clock_done(struct auth_clock *c, uint64_t stamp)
{
	for (unsigned i = 0; i < c->n_sent; i++) {
		if (c->sent[i] != stamp)
			continue;
		c->jumped -= c->jumped > 0;
		if (!c->good || after(stamp, c->good))
			c->good = stamp;
		return true;
	}
	return false;
}

/* The answer has the home agent's time, or what it asks for after a loss, a little ahead of that.
 * A clock that is right must not be set by the latter, or the next update would be too early: so
 * what is not far off is at first only met, and believed when it comes again. */
bool auth_clock_adjust(struct auth_clock *c, uint64_t reply, uint64_t now)
{
	uint64_t want = reply & ~(SECOND - 1), ahead = want - (now + c->offset);
	unsigned i = 0;

	while (i < c->n_sent && (uint32_t)c->sent[i] != (uint32_t)reply)
		i++;
	if (i == c->n_sent)
		return false;
	c->n_sent = 0;
	if (ahead < JUMP && c->jumped == 0) {
		c->jumped = 2;
		if (!c->last || after(want, c->last))
			c->last = want;
		return true;
	}
	c->jumped = 0;
	c->offset = want - (now & ~(SECOND - 1));
	/* Of a clock that ran ahead nothing was accepted: no need to stay above that. */
	if (after(c->last, now + c->offset))
		c->last = c->good && after(c->good, now + c->offset) ? c->good : now + c->offset;
	return true;
}
