/* keying_tls.c - the key exchange's TLS: pre-shared keys, certificates and whose they are. */
#include <errno.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include "common/core/addr.h"
#include "common/os/keying_state.h"
#include "common/os/log.h"

#define MAX_IDS 4 /* of a hello */

/* --- pre-shared keys --- */

static SSL_SESSION *session_of(SSL *ssl, const struct who *w)
{
	static const uint8_t suite[] = {0x13, 0x02}; /* TLS_AES_256_GCM_SHA384 */
	SSL_SESSION *s = SSL_SESSION_new();

	if (s && SSL_SESSION_set1_master_key(s, w->psk.secret, w->psk.size) == 1 &&
		SSL_SESSION_set_cipher(s, SSL_CIPHER_find(ssl, suite)) == 1 &&
		SSL_SESSION_set_protocol_version(s, TLS1_3_VERSION) == 1)
		return s;
	SSL_SESSION_free(s);
	return NULL;
}

static int find_session(SSL *ssl, const unsigned char *id, size_t size, SSL_SESSION **out)
{
	struct conn *c = SSL_get_app_data(ssl);

	*out = NULL;
	/* A router names one, and once more if asked to; one hello has room for thousands, each of
	 * which is looked for. */
	if (++c->n_ids > MAX_IDS)
		return 0;
	for (struct who *w = c->k->who; w && !*out; w = w->next) {
		if (!size || strlen(w->psk.id) != size || memcmp(w->psk.id, id, size) != 0)
			continue;
		c->who = w;
		*out = session_of(ssl, w);
	}
	return 1; /* without a session there have to be certificates */
}

static int use_session(
	SSL *ssl, const EVP_MD *md, const unsigned char **id, size_t *size, SSL_SESSION **out)
{
	struct conn *c = SSL_get_app_data(ssl);

	*out = NULL;
	if (!*c->who->psk.id || (md && !EVP_MD_is_a(md, "SHA2-384")))
		return 1;
	*id = (const unsigned char *)c->who->psk.id;
	*size = strlen(c->who->psk.id);
	*out = session_of(ssl, c->who);
	return *out != NULL;
}

/* --- certificates --- */

/* Changes no verdict: the subject is for the log. */
static int on_certificate(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct conn *c = SSL_get_app_data(ssl);
	const X509 *cert = X509_STORE_CTX_get0_cert(store);

	if (cert && !*c->subject)
		certs_subject(cert, c->subject);
	return ok;
}

int keying_identify(struct conn *c)
{
	const X509 *cert = SSL_get0_peer_certificate(c->ssl);

	if (!c->k->files || !cert || SSL_get_verify_result(c->ssl) != X509_V_OK)
		return KEY_C_key_failed;
	if (c->k->server) {
		for (c->who = c->k->who; c->who; c->who = c->who->next)
			if (certs_has_id(cert, c->who->cert_id))
				return 0;
		return KEY_C_key_identity;
	}
	if (*c->who->cert_id)
		return certs_has_id(cert, c->who->cert_id) ? 0 : KEY_C_key_identity;
	return X509_check_ip((X509 *)(uintptr_t)cert, c->ha.s6_addr, sizeof(c->ha.s6_addr), 0) == 1
		       ? 0
		       : KEY_C_key_identity;
}

const char *keying_reason(const struct conn *c, enum keying_counter why, char text[REASON])
{
	long v = c->ssl ? SSL_get_verify_result(c->ssl) : X509_V_OK;
	const char *what;

	if (!*c->subject)
		return NULL;
	if (v != X509_V_OK)
		what = X509_verify_cert_error_string(v);
	else if (why != KEY_C_key_identity)
		return NULL;
	else if (c->k->server)
		what = "is no router's identity";
	else
		what = *c->who->cert_id ? "has not home_agent_identity"
					: "is not for the home agent's address";
	snprintf(text, REASON, "certificate %.100s: %s", c->subject, what);
	return text;
}

/* --- the context --- */

int keying_tls(struct keying *k, char *why)
{
	SSL_CTX *ctx = SSL_CTX_new(k->server ? TLS_server_method() : TLS_client_method());
	int r = -EIO;

	snprintf(why, CERTS_WHY_SIZE, "TLS 1.3 can't be set up");
	if (ctx && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
		SSL_CTX_set_ciphersuites(ctx, "TLS_AES_256_GCM_SHA384") == 1 &&
		SSL_CTX_set_num_tickets(ctx, 0) == 1)
		r = k->files ? certs_load(ctx, k->ctx, k->files, why) : 0;
	if (r < 0) {
		SSL_CTX_free(ctx);
		return r;
	}
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	if (k->server)
		SSL_CTX_set_psk_find_session_callback(ctx, find_session);
	else
		SSL_CTX_set_psk_use_session_callback(ctx, use_session);
	if (k->files) {
		SSL_CTX_set_verify(ctx, SSL_CTX_get_verify_mode(ctx), on_certificate);
		certs_warn(ctx, k->files);
	}
	SSL_CTX_free(k->ctx);
	k->ctx = ctx;
	return 0;
}

/* Certificates are renewed every now and then, revocation lists more often. */
void keying_look(struct keying *k)
{
	uint64_t stamp = k->files ? certs_stamp(k->files) : k->stamp;
	char why[CERTS_WHY_SIZE];

	if (stamp == k->stamp)
		return;
	k->stamp = stamp;
	if (keying_tls(k, why) < 0)
		log_warn("certificates: %s: those read before stay in use", why);
	else
		log_info("certificates: read again, for they have changed");
}

int keying_certify(struct keying *k, const struct certs_files *files)
{
	char why[CERTS_WHY_SIZE];
	int r;

	k->files = files;
	k->stamp = certs_stamp(files);
	r = keying_tls(k, why);
	if (r < 0)
		log_err("certificates: %s", why);
	return r;
}
