/* note.h - what a protocol core wants told: a typed event, not a log line.  The edge renders each
 * once, as a line of the log and as JSON to the subscribers of `nemoctl monitor`.  Pure. */
#pragma once
#include <netinet/in.h>
#include <stdint.h>
#include <syslog.h>

#define NOTES(X) /* name, event, level, what it means */ \
	X(BINDING_ACCEPTED, "binding.accepted", LOG_INFO, "a router registered") \
	X(BINDING_MOVED, "binding.moved", LOG_INFO, \
		"a bound router registered another care-of address") \
	X(BINDING_REFRESHED, "binding.refreshed", LOG_DEBUG, \
		"a bound router renewed its lifetime") \
	X(BINDING_CLOSED, "binding.closed", LOG_INFO, "a router de-registered") \
	X(BINDING_EXPIRED, "binding.expired", LOG_WARNING, "a lifetime ended without a refresh") \
	X(BINDING_REJECTED, "binding.rejected", LOG_WARNING, \
		"a registration was refused; a live binding stays") \
	X(BINDING_CONTESTED, "binding.contested", LOG_ERR, \
		"two routers with one identity take the binding from each other") \
	X(ROUTE_LEARNED, "route.learned", LOG_INFO, \
		"a routing daemon told of networks behind a router") \
	X(ROUTE_WITHDRAWN, "route.withdrawn", LOG_INFO, "it took some of them back") \
	X(ROUTE_REFUSED, "route.refused", LOG_WARNING, \
		"it told of some that the router may not announce") \
	X(HOME_CONFLICT, "home.conflict", LOG_WARNING, \
		"someone else on the home link claims a bound home address") \
	X(BINDING_REVOKED, "binding.revoked", LOG_WARNING, "an operator ended a binding") \
	X(HA_BARRED, "ha.barred", LOG_WARNING, \
		"a router's registrations are refused until it is allowed again") \
	X(HA_ALLOWED, "ha.allowed", LOG_INFO, "a barred router may register again") \
	X(HA_DRAINING, "ha.draining", LOG_WARNING, \
		"no new bindings; bound routers are sent to other home agents") \
	X(HA_DRAINED, "ha.drained", LOG_WARNING, "the last router has left") \
	X(HA_SERVING, "ha.serving", LOG_INFO, "bindings are accepted again") \
	X(HA_RESTORED, "ha.restored", LOG_INFO, "bindings of the run before are served on") \
	X(HA_FORGOT, "ha.forgot", LOG_WARNING, \
		"what the run before knew is gone or may be old: routers are told to register " \
		"anew") \
	X(PEER_RESTARTED, "peer.restarted", LOG_WARNING, \
		"router or home agent: the other side lost its state") \
	X(PEER_SILENT, "peer.silent", LOG_WARNING, "the other side answers no heartbeats") \
	X(PEER_ANSWERS, "peer.answers", LOG_INFO, "it does again") \
	X(MR_REVOKED, "mr.revoked", LOG_ERR, "the home agent ended the binding") \
	X(MR_SWITCH, "mr.switch", LOG_WARNING, "the home agent asks to use another") \
	X(MR_LEFT, "mr.left", LOG_INFO, "the binding at the former home agent has ended") \
	X(MR_LINK, "mr.link", LOG_INFO, "an uplink's state changed") \
	X(MR_HINT, "mr.hint", LOG_DEBUG, "something says that the router may have moved") \
	X(MR_CONFIRMED, "mr.confirmed", LOG_DEBUG, \
		"the hint was a false alarm: same link as before") \
	X(MR_MOVED, "mr.moved", LOG_INFO, "a new care-of address is in use") \
	X(MR_LOST, "mr.lost", LOG_WARNING, "no uplink is usable: the network is cut off") \
	X(MR_DISCOVERED, "mr.discovered", LOG_INFO, "home agents were found by discovery") \
	X(MR_PREFIX, "mr.prefix", LOG_INFO, "the home link has a new prefix") \
	X(MR_HOME_ENDS, "mr.home_ends", LOG_WARNING, \
		"the home address is, or soon becomes, deprecated") \
	X(MR_REGISTERED, "mr.registered", LOG_INFO, "the home agent accepted the binding") \
	X(MR_REFRESHED, "mr.refreshed", LOG_DEBUG, "the home agent renewed the binding") \
	X(MR_RETRY, "mr.retry", LOG_WARNING, "a registration failed; what is tried when") \
	X(MR_ASKED, "mr.asked", LOG_INFO, "the home agent asks for an update") \
	X(MR_REFUSED, "mr.refused", LOG_ERR, \
		"every mode and home agent refused; waiting for an operator") \
	X(MR_EXPIRED, "mr.expired", LOG_WARNING, "the binding's lifetime ended without an answer") \
	X(MR_CLOSED, "mr.closed", LOG_INFO, "the home agent confirmed the de-registration") \
	X(MR_HOME, "mr.home", LOG_INFO, "the router is at home: no tunnel, an ordinary router") \
	X(MR_DAD_FAILED, "mr.dad_failed", LOG_WARNING, \
		"a care-of address, or at home the home address, is in use by someone else") \
	X(HANDOVER_DONE, "handover.done", LOG_INFO, "a move ended: its phases")
enum note_type {
#define X(name, event, level, text) NOTE_##name,
	NOTES(X)
#undef X
		NOTE_N
};

struct note {
	enum note_type type;
	const char *name;    /* of the router; borrowed from the configuration */
	struct in6_addr hoa; /* :: = does not apply, here and below */
	struct in6_addr coa;
	struct in6_addr old_coa;
	int status; /* Binding Acknowledgement status; -1 = does not apply */
	uint32_t lifetime_s;
	char text[200]; /* the reason, for people */
};

const char *note_event(enum note_type); /* "binding.accepted" */
int note_level(enum note_type);         /* LOG_* */
