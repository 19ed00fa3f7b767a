/* mhio.h - Mobility Header messages, and Mobile IPv6's ICMPv6 messages, in and out: signalling
 * capture, decoding, and the errors that RFC 6275 s9.2 asks for (Binding Error 2, Parameter
 * Problem), rate-limited like ICMPv6 errors. */
#pragma once
#include "common/os/bpf/sig_map.h"
#include "common/os/sig.h"
#include "common/sec/sec.h"
#include "common/wire/icmp6.h"
#include "common/wire/mh.h"
#include "common/wire/quote.h"

#define MHIO_ERRORS_PER_S 10 /* Binding Errors and Parameter Problems, RFC 4443 s2.4(f) */

#define MHIO_COUNTERS(X) \
	X(mh_rx, "Mobility Header packets taken off the wire") \
	X(mh_tx, "Mobility Header packets sent") \
	X(mh_tx_errors, "Mobility Header packets that could not be sent") \
	X(mh_lost, "packets lost between kernel and daemon: it was too slow") \
	X(mh_bad_checksum, "silently dropped: checksum wrong") \
	X(mh_unknown_type, "unknown message type: Binding Error 2") \
	X(mh_bad_proto, "Payload Proto not 59: Parameter Problem") \
	X(mh_too_short, "Header Len below the type's minimum: Parameter Problem") \
	X(mh_truncated, "silently dropped: Header Len past the packet's end") \
	X(mh_bad_option, "silently dropped: option past the end of the message") \
	X(mh_unknown_header, \
		"unknown option or routing header before the message: Parameter Problem") \
	X(mh_bad_chain, "silently dropped: header chain that signalling must not have") \
	X(mh_protection, "silently dropped by message protection, whose counters tell why") \
	X(home_rx, "data packets with a Home Address option or type 2 routing header, delivered") \
	X(home_unknown, "dropped: Home Address option without such a binding: Binding Error 1") \
	X(home_foreign, "silently dropped: type 2 routing header with another's home address") \
	X(mh_errors_limited, "error replies left out by the rate limit") \
	X(icmp6_rx, \
		"home agent and prefix discovery messages (ICMPv6 144-147) taken off the wire") \
	X(icmp6_bad, "of these, silently dropped: checksum, code, length or an option is wrong") \
	X(icmp6_errors, "ICMPv6 errors that quote a Binding Update, or the ESP packet of one") \
	X(icmp6_errors_foreign, "of these, ignored: protection did not send that") \
	X(icmp6_protection, "of these, silently dropped: prefix discovery without protection")
enum mhio_counter {
#define X(name, text) MHIO_C_##name,
	MHIO_COUNTERS(X)
#undef X
		MHIO_N_COUNTERS
};

struct mhio;
typedef void mhio_rx_fn(void *arg, const struct mh_env *); /* a well-formed message */
typedef void mhio_icmp6_fn(void *arg, const struct icmp6_msg *);

/* Is 'hoa' a home address at this care-of address (NULL: at us)? */
typedef bool mhio_known_fn(void *arg, const struct in6_addr *hoa, const struct in6_addr *coa);

/* 0 or -errno; 'why' (WHY_SIZE) tells what failed, as of sig_open(). */
int mhio_open(struct mhio **, enum sig_mode, sd_event *, mhio_rx_fn *, void *arg, char *why);
/* From now on every message goes through 'sec' (borrowed until mhio_close()). */
void mhio_protect(struct mhio *, struct sec *);
/* Called before a message goes to where keys are needed (sec_needs_keys()).  One that can't go
 * without waits: mhio_resend() sends the last of them. */
typedef void mhio_keys_fn(void *arg, const struct mh_env *);
void mhio_on_keys(struct mhio *, mhio_keys_fn *, void *arg);
void mhio_resend(struct mhio *);
/* ICMPv6 errors that quote an update which can have been sent here.  0 or -errno. */
typedef void mhio_error_fn(void *arg, const struct quote_update *);
int mhio_on_error(struct mhio *, sd_event *, mhio_error_fn *); /* with the same 'arg' */
void mhio_on_icmp6(struct mhio *, mhio_icmp6_fn *); /* with the same 'arg'; else they are dropped */
/* At most so many a second, else MHIO_ERRORS_PER_S: a mobile node may send no peer more than three
 * messages of one type (RFC 6275 s11.8). */
void mhio_limit_errors(struct mhio *, unsigned per_s);
struct sig *mhio_sig(struct mhio *); /* for sig_attach(), sig_local_put() */
/* Data packets with one of these headers (SIG_TAKE_HAO: a home agent; SIG_TAKE_RH2: a mobile node)
 * are settled (ip6_settle()) and given to the kernel if 'known' says so; else they are dropped,
 * with Binding Error 1 about a Home Address option (RFC 6275 s9.3.1, s11.3.3).  'arg' is that of
 * mhio_open().  0 or -errno. */
int mhio_take(struct mhio *, uint32_t what, mhio_known_fn *known);
int mhio_send(struct mhio *, const struct mh_env *, unsigned oif); /* 0 or -errno */
int mhio_send_icmp6(struct mhio *, const struct icmp6_msg *, unsigned oif);
uint64_t mhio_counter(struct mhio *, enum mhio_counter);
void mhio_close(struct mhio *); /* accepts NULL */
