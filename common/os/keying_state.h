/* keying_state.h - the key exchange's state, private to keying.c and keying_tls.c. */
#pragma once
#include "common/os/keying.h"

#define HELLO_SIZE 24
#define REASON     256 /* octets of a reason for the log */

struct who {
	struct keys_psk psk; /* id "": none */
	char cert_id[KEYS_CERT_SIZE];
	struct in6_addr hoa;
	struct who *next;
};

struct conn {
	struct keying *k;
	int fd;
	SSL *ssl;
	sd_event_source *io, *timer;
	bool shaken, sent;
	unsigned n_ids;        /* identities it has named (home agent) */
	const struct who *who; /* whose identity the other end has shown (home agent) */
	struct in6_addr ha, hoa, coa;
	char subject[CERTS_ID_SIZE]; /* of the certificate that was shown; "": none yet */
	uint32_t spi_in;
	uint8_t out[HELLO_SIZE], in[HELLO_SIZE];
	size_t n_in;
	struct conn *prev, *next;
};

struct keying {
	sd_event *event;
	bool server, payload;
	struct in6_addr ha;
	unsigned port;
	int fd;
	sd_event_source *listen;
	SSL_CTX *ctx;
	const struct certs_files *files; /* borrowed; NULL: no certificates */
	uint64_t stamp;                  /* of these when they were read */
	struct who *who;
	struct conn *conns;
	unsigned n_conns;
	uint64_t wait_until, wait_ms; /* a router's next try, ms */
	uint64_t quiet_until;         /* no complaint before, ms */
	uint32_t last_spi;            /* a home agent's; 0: none yet */
	keying_done_fn *done;
	void *arg;
	uint64_t counters[KEYING_N_COUNTERS];
};

/* keying_tls.c: A new context, with the certificates if there are any.  0 or -errno with 'why'
 * (CERTS_WHY_SIZE); then the old one stays. */
int keying_tls(struct keying *, char *why);
void keying_look(struct keying *); /* reads certificates again that have changed */
/* The handshake was by certificates, and the other end's has passed all checks: whose is it?  0 and
 * 'who', or what is wrong (KEY_C_*). */
int keying_identify(struct conn *);
/* What is wrong with the other end's certificate, or with whose it is; NULL: nothing. */
const char *keying_reason(const struct conn *, enum keying_counter why, char text[REASON]);
