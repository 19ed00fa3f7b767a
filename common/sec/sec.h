/* sec.h - protection of the signalling between home agent and mobile routers: which message of
 * which home address has to come how, and the sealing and opening of complete packets (RFC 3776,
 * RFC 4285).  It stands between datagram and message: what it lets through is the peer's, what it
 * does not is gone and counted.  Pure: time and random numbers come in, what has to survive a
 * restart goes out by hooks. */
#pragma once
#include "common/sec/auth.h"
#include "common/sec/keys.h"
#include "common/wire/icmp6.h"
#include "common/wire/ip6.h"
#include "common/wire/mh.h"

enum sec_mode { SEC_NONE, SEC_AUTH, SEC_ESP_STATIC, SEC_ESP, SEC_N_MODES };
extern const char *const sec_modes[]; /* names, ends with NULL */
enum sec_payload { SEC_PAYLOAD_NONE, SEC_PAYLOAD_ESP };
extern const char *const sec_payloads[]; /* the same for what the tunnel carries */

#define SEC_COUNTERS(X) \
	X(sec_clear, "silently dropped: in clear, though its home address has protection") \
	X(sec_stranger, "silently dropped: of a home address that has no keys") \
	X(auth_ok, "messages with a right authenticator") \
	X(auth_missing, "silently dropped: without the authentication option") \
	X(auth_place, "silently dropped: authentication option not the last, or not MN-HA") \
	X(auth_spi, "silently dropped: authentication option of an unknown SPI") \
	X(auth_failed, "authenticator wrong (answered with status 146 by a home agent)") \
	X(auth_no_stamp, "authentic, but without a timestamp (status 145)") \
	X(auth_stamp, "authentic, but its timestamp was used before or is far off (status 144)") \
	X(auth_resync, "answers 144 that set this router's clock right") \
	X(auth_foreign, "silently dropped: acknowledgement with a timestamp never sent") \
	X(esp_ok, "ESP packets that were authentic") \
	X(esp_short, "silently dropped: ESP packet too short") \
	X(esp_spi, "silently dropped: ESP packet of an unknown SPI") \
	X(esp_replay, "silently dropped: ESP packet whose number was used before") \
	X(esp_icv, "silently dropped: ESP packet that is not authentic") \
	X(esp_padding, "silently dropped: authentic ESP packet with wrong padding") \
	X(esp_dummy, "dummy ESP packets (RFC 4303 s2.6)") \
	X(esp_inner, \
		"silently dropped: no well-formed Mobility Header or prefix discovery message in " \
		"an authentic ESP packet") \
	X(esp_doubt, "new keys because the home agent says in clear that it does not know us") \
	X(esp_care_of, "silently dropped: registration without an Alternate Care-of Address, and " \
		       "ESP does " \
		       "not cover the source") \
	X(esp_used_up, "not sent: no sequence number is left, new keys are needed") \
	X(auth_limited, "refused updates without an answer: too many at once")
enum sec_counter {
#define X(name, text) SEC_C_##name,
	SEC_COUNTERS(X)
#undef X
		SEC_N_COUNTERS
};

/* What has to survive a restart, one number per kind, home agent and home address. */
enum sec_mark_kind {
	SEC_MARK_FLOOR = 'f', /* largest timestamp accepted; lost if it may be an old one */
	SEC_MARK_CLOCK = 'c', /* largest timestamp sent; any old one is of use */
	SEC_MARK_IN = 'i',    /* SPI and highest ESP number received; like FLOOR */
	SEC_MARK_OUT = 'o',   /* SPI and an ESP number that is free; has to be on the disk */
};
struct sec_mark {
	uint8_t kind;
	struct in6_addr ha, hoa;
	uint64_t value;
};
#define SEC_SAS_FORMAT 0        /* of struct sec_sas: another layout is another number */
struct sec_sas {                /* of a SEC_ESP pair; spi = 0: none */
	struct esp_sa in, out;  /* out.seq: numbers up to it may have been used */
	struct esp_sa next_out; /* the new one, until the router has been heard under its own */
	struct esp_sa old;      /* 'in' before the last keys */
	uint64_t since;         /* ms; when the keys were made */
	uint64_t secret;        /* keys_hash() of what they were made with */
};
struct sec_hooks { /* copied; called from within the functions below */
	void *arg;
	void (*keep)(void *arg, const struct sec_mark *); /* keeps it before anything goes on */
	/* Fills 'value'; false: lost, or never kept. */
	bool (*recall)(void *arg, struct sec_mark *);
	void (*random)(void *arg, void *out, size_t size);
	/* The home agent may have started anew: the next exchange of keys need not wait.  NULL: no
	 * matter. */
	void (*renew)(void *arg);
	/* The same for negotiated associations, secrets included; NULL: they are not kept. */
	void (*keep_sas)(void *arg, const struct in6_addr *ha, const struct in6_addr *hoa,
		const struct sec_sas *);
	bool (*recall_sas)(
		void *arg, const struct in6_addr *ha, const struct in6_addr *hoa, struct sec_sas *);
};

struct sec;
/* For a home agent ('home_agent') or a mobile router.  'strangers': what home addresses without a
 * line of their own get.  NULL: no memory. */
struct sec *sec_new(bool home_agent, enum sec_mode strangers, const struct sec_hooks *);
/* How this pair protects its messages.  'name' (cut to MH_MAX_ID octets) is the router's identifier
 * in its updates, RFC 4283; all is copied.  0, -EEXIST, -ENOMEM. */
int sec_add(struct sec *, const struct in6_addr *ha, const struct in6_addr *hoa, const char *name,
	enum sec_mode, const struct keys *);
/* At a mobile router: the same for every home agent that it will write to, found later. */
void sec_add_any(struct sec *, const struct in6_addr *hoa, const char *name, enum sec_mode,
	const struct keys *);

/* At a mobile router: other secrets, the mechanism being the same.  What was negotiated with the
 * old ones does until new keys are there, which are wanted at once; under the old SPI of
 * SEC_ESP_STATIC messages are taken until the first under the new one. */
void sec_change_any(struct sec *, const struct keys *);

struct sec_clear { /* a packet that came, as it was before ESP */
	const void *pkt;
	size_t size;
	bool esp;                      /* it was under ESP, and authentic: */
	uint32_t spi;                  /* that one's */
	bool tell;                     /* dropped; its sender is to be told that there are no */
	struct in6_addr src, dst, hoa; /* keys: a Binding Error 1 from dst to src about hoa */
	uint8_t buf[IP6_SIG_MAX];
};
/* Takes off the ESP, if 'pkt' has any; 'pkt' is borrowed as long as 'out' is used.  'now': NTP
 * time. MH_OK, or MH_DROP_SEC. */
enum mh_verdict sec_unwrap(
	struct sec *, const void *pkt, size_t size, uint64_t now, struct sec_clear *out);
/* As mh_decode_packet(), with MH_DROP_SEC for what protection refuses; out->refuse says what an
 * authentic, or nearly authentic, message has to be answered with. */
enum mh_verdict sec_open(struct sec *, const struct sec_clear *, uint64_t now, struct mh_env *out,
	enum ip6_verdict *chain, unsigned *where);
/* May this message, which 'c' is, be acted upon?  Prefix discovery has to come as updates and
 * acknowledgements do (RFC 6275 s6.7, s6.8), and not at all with the authentication option, which
 * can't protect it (RFC 4285 s2); who has no keys here gets to the core, which serves the bound. */
bool sec_icmp6_ok(struct sec *, const struct sec_clear *c, const struct icmp6_msg *);
/* As mh_encode_packet(); a home agent answers under the SPI that e->m.o.mac.spi names, if any.
 * -EIO: OpenSSL failed; -ENOKEY: there are no keys yet. */
int sec_seal(struct sec *, const struct mh_env *e, uint64_t now, void *buf, size_t size);
/* As icmp6_encode(), and with -ENOKEY also for what must not go (sec_icmp6_ok()). */
int sec_seal_icmp6(struct sec *, const struct icmp6_msg *, void *buf, size_t size);
/* Keys of SEC_ESP are not to get older than this, ms; 0, as at first: they may. */
void sec_rekey(struct sec *, uint64_t interval_ms);
/* New associations of a SEC_ESP pair ('in' to us, 'out' from us; copied).  What came under the old
 * one before is still taken until the new one has been heard, and till then a home agent goes on
 * sending under the old: its router may not have the new yet.  'now_ms' is the time of a clock that
 * never goes back.  0 or -ENOENT: no such pair. */
int sec_install(struct sec *, const struct in6_addr *ha, const struct in6_addr *hoa,
	const struct esp_sa *in, const struct esp_sa *out, uint64_t now_ms);
/* Does the SEC_ESP pair that 'e' is about to go to need (new) keys: there are none, they are older
 * than sec_rekey() says or have protected 2^15 messages, or three messages in a row had no answer?
 * Always false at a home agent: routers ask. */
bool sec_needs_keys(struct sec *, const struct mh_env *e, uint64_t now_ms);
/* Can this pair have sent what an error quotes: in clear, or ('esp') as this number under this SPI,
 * one of the last few?  True for a pair without keys only if it was in clear. */
bool sec_sent(const struct sec *, const struct in6_addr *ha, const struct in6_addr *hoa, bool esp,
	uint32_t spi, uint32_t number);
/* The pair is no more: its messages are a stranger's. */
void sec_remove(struct sec *, const struct in6_addr *ha, const struct in6_addr *hoa);
uint64_t sec_counter(const struct sec *, enum sec_counter);
void sec_free(struct sec *); /* wipes the keys; accepts NULL */
