/* certs.c - certificates, keys and revocation lists through OpenSSL. */
#include "common/os/certs.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/os/log.h"
#include "common/os/protect.h"

#define WARN_DAYS 14

/* --- files --- */

static int wrong(char *why, const char *path, const char *what)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());
	int e = errno;

	ERR_clear_error();
	snprintf(why, CERTS_WHY_SIZE, "%.120s: %s", path,
		what     ? what
		: reason ? reason
		: e      ? strerror(e)
			 : "can't be read");
	return -EINVAL;
}

/* Of this certificate? */
static bool use_key(SSL_CTX *ctx, EVP_PKEY *key)
{
	return SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_check_private_key(ctx) == 1;
}

static EVP_PKEY *read_key(FILE *f)
{
	char text[BUFSIZ];
	EVP_PKEY *key = NULL;

	if (setvbuf(f, text, _IOFBF, sizeof(text)) == 0) /* one that can be wiped */
		key = PEM_read_PrivateKey(f, NULL, NULL, (void *)(uintptr_t) "");
	fclose(f);
	OPENSSL_cleanse(text, sizeof(text));
	return key;
}

/* Opened once: what is checked is what is read.  What only root may read stays as it was read at
 * the start, in 'old': the other files are renewed all the same. */
static int load_key(SSL_CTX *ctx, const SSL_CTX *old, const char *name, char *why)
{
	char found[PATH_MAX];
	bool credential;
	const char *path = protect_find_secret(name, found, &credential);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), r = 0;
	bool denied = fd < 0 && errno == EACCES;
	const char *bad = fd < 0 ? strerror(errno) : credential ? NULL : protect_secret_file(fd);
	FILE *f = bad ? NULL : fdopen(fd, "r");
	EVP_PKEY *key;

	if (denied && old && use_key(ctx, SSL_CTX_get0_privatekey(old)))
		return 0;
	if (!f) {
		r = wrong(why, path, bad);
		if (fd >= 0)
			close(fd);
		return r;
	}
	key = read_key(f);
	if (!key)
		r = wrong(why, path, "no private key in it that is readable without a password");
	else if (!use_key(ctx, key))
		r = wrong(why, path, "is not the key of this certificate");
	EVP_PKEY_free(key);
	return r;
}

static int load_crl(SSL_CTX *ctx, const char *path, char *why)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());

	if (!lookup || X509_load_crl_file(lookup, path, X509_FILETYPE_PEM) < 1)
		return wrong(why, path, NULL);
	X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	return 0;
}

int certs_load(SSL_CTX *ctx, const SSL_CTX *old, const struct certs_files *f, char *why)
{
	static const unsigned char context[] = "nemo";
	int r;

	ERR_clear_error();
	errno = 0;
	if (SSL_CTX_use_certificate_chain_file(ctx, f->certificate) != 1)
		return wrong(why, f->certificate, NULL);
	r = load_key(ctx, old, f->key, why);
	if (r < 0)
		return r;
	if (SSL_CTX_load_verify_file(ctx, f->ca) != 1)
		return wrong(why, f->ca, NULL);
	if (*f->crl)
		r = load_crl(ctx, f->crl, why);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_session_id_context(ctx, context, sizeof(context)); /* psk besides wants it */
	return r;
}

void certs_check(struct conf *c, const struct certs_files *f)
{
	char why[CERTS_WHY_SIZE];
	SSL_CTX *ctx;

	if (!*f->certificate) {
		if (*f->key || *f->ca || *f->crl)
			conf_error(c, 0, "certificate",
				"is missing: certificate_key, ca and crl "
				"are of no use without it");
		return;
	}
	if (!*f->key)
		conf_error(c, 0, "certificate_key", "is missing: the key of certificate");
	if (!*f->ca)
		conf_error(c, 0, "ca", "is missing: who has signed the other end's certificate");
	if (!*f->key || !*f->ca)
		return;
	ctx = SSL_CTX_new(TLS_method());
	if (!ctx)
		abort();
	if (certs_load(ctx, NULL, f, why) < 0)
		conf_error(c, 0, "certificate", "%s", why);
	SSL_CTX_free(ctx);
}

void certs_warn(const SSL_CTX *ctx, const struct certs_files *f)
{
	const X509 *cert = SSL_CTX_get0_certificate(ctx);
	int days, seconds;

	if (!cert || ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(cert)) != 1)
		return;
	if (days < 0 || seconds < 0)
		log_err("certificate: %s has expired: nobody takes it any more", f->certificate);
	else if (days < WARN_DAYS)
		log_warn("certificate: %s expires in %d days", f->certificate, days);
}

uint64_t certs_stamp(const struct certs_files *f)
{
	char found[PATH_MAX];
	bool credential;
	const char *path[] = {
		f->certificate, protect_find_secret(f->key, found, &credential), f->ca, f->crl};
	uint64_t sum = 1469598103934665603u; /* FNV-1a, a word at a time */
	struct stat st;

	for (size_t i = 0; i < sizeof(path) / sizeof(path[0]); i++) {
		if (!*path[i] || stat(path[i], &st) < 0)
			memset(&st, 0, sizeof(st));
		sum = (sum ^ (uint64_t)st.st_mtim.tv_sec) * 1099511628211u;
		sum = (sum ^ (uint64_t)st.st_mtim.tv_nsec) * 1099511628211u;
		sum = (sum ^ (uint64_t)st.st_ino ^ (uint64_t)st.st_size << 32) * 1099511628211u;
	}
	return sum;
}

/* --- identities --- */

/* A NUL in the middle is no end: it makes another name. */
static bool same(const ASN1_STRING *s, const char *id, bool with_case)
{
	const char *data = (const char *)ASN1_STRING_get0_data(s);
	size_t size = (size_t)ASN1_STRING_length(s);

	return size == strlen(id) &&
	       (with_case ? memcmp(data, id, size) == 0 : strncasecmp(data, id, size) == 0);
}

static bool has_common_name(const X509 *cert, const char *id)
{
	const X509_NAME *name = X509_get_subject_name(cert);
	int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);

	return at >= 0 && same(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)), id, true);
}

bool certs_has_id(const X509 *cert, const char *id)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	bool any = false, found = false;

	for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
		const GENERAL_NAME *n = sk_GENERAL_NAME_value(all, i);

		if (n->type != GEN_DNS && n->type != GEN_URI)
			continue;
		any = true;
		found |= same(n->d.ia5, id, n->type == GEN_URI);
	}
	GENERAL_NAMES_free(all);
	return *id && (any ? found : has_common_name(cert, id));
}

const char *certs_subject(const X509 *cert, char out[CERTS_ID_SIZE])
{
	X509_NAME_oneline(X509_get_subject_name(cert), out, CERTS_ID_SIZE);
	for (char *p = out; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	return out;
}
