/* certs.h - X.509 for the key exchange: who the two ends are, where no secret is shared (RFC 5280;
 * identities as RFC 6125 has them, without wildcards). */
#pragma once
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/os/conf.h"

#define CERTS_PATH_SIZE 256
#define CERTS_WHY_SIZE  256
#define CERTS_ID_SIZE   256 /* of a subject for the log */

struct certs_files {                       /* PEM; certificate "": none of it */
	char certificate[CERTS_PATH_SIZE]; /* own, and those between it and the CA */
	char key[CERTS_PATH_SIZE];         /* belongs to root or this user, for nobody else */
	char ca[CERTS_PATH_SIZE];          /* who the other end's has to be signed by */
	char crl[CERTS_PATH_SIZE];         /* ""; or what that CA has revoked */
};
/* The keys "certificate", "certificate_key", "ca", "crl" of a daemon's configuration, for its key
 * table; 'member_' is its struct certs_files. */
#define CERTS_KEYS(file, member_) \
	{.name = "certificate", \
		.type = CONF_STRING, \
		.off = offsetof(file, member_.certificate), \
		.size = CERTS_PATH_SIZE, \
		.def = "", \
		.help = "own certificate (PEM) for the key exchange, and those up to the CA; " \
			"instead of, or besides, psk lines"}, \
		{.name = "certificate_key", \
			.type = CONF_STRING, \
			.off = offsetof(file, member_.key), \
			.size = CERTS_PATH_SIZE, \
			.def = "", \
			.help = "its private key (PEM), which nobody else may read"}, \
		{.name = "ca", \
			.type = CONF_STRING, \
			.off = offsetof(file, member_.ca), \
			.size = CERTS_PATH_SIZE, \
			.def = "", \
			.help = "certificates of the CA (PEM) that the other end's has to be " \
				"signed by"}, \
	{ \
		.name = "crl", .type = CONF_STRING, .off = offsetof(file, member_.crl), \
		.size = CERTS_PATH_SIZE, .def = "", \
		.help = "revocation list of that CA (PEM); once it is out of date no " \
			"certificate is taken" \
	}

/* Is what is configured complete, readable and consistent?  What is not is reported. */
void certs_check(struct conf *, const struct certs_files *);
/* Makes 'ctx' show and demand certificates.  'old' (NULL: none): whose private key is good enough
 * if its file may not be read any more.  0, or -errno with 'why' (CERTS_WHY_SIZE), which names the
 * file. */
int certs_load(SSL_CTX *ctx, const SSL_CTX *old, const struct certs_files *, char *why);
/* A line in the log if the certificate that 'ctx' shows ends within two weeks. */
void certs_warn(const SSL_CTX *, const struct certs_files *);
/* Changes with each change of one of the files. */
uint64_t certs_stamp(const struct certs_files *);
/* Is 'id' a DNS name or URI among the certificate's subject alternative names (DNS: without regard
 * to case; no wildcards), or, if it has none of either, its common name? */
bool certs_has_id(const X509 *, const char *id);
/* The name that a log line may show: printable characters of the subject. */
const char *certs_subject(const X509 *, char out[CERTS_ID_SIZE]);
