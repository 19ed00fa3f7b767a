/* tell.h - what the daemons tell: notes as log lines and monitor events, counters as JSON. */
#pragma once
#include <jansson.h>
#include <time.h>
#include "common/core/note.h"
#include "common/os/ctl.h"
#include "common/os/mhio.h"
#include "common/tunnel/tunnel.h"

/* Renders 'n' once for the log and once for the subscribers of 'ctl' (may be NULL). */
void tell_note(struct ctl *, const char *daemon, const struct note *n);
/* The same for one that came earlier: 'at', CLOCK_REALTIME, is its time for the subscribers. */
void tell_note_at(
	struct ctl *, const char *daemon, const struct note *n, const struct timespec *at);
/* Adds {"name", "value", "group", "help"} to the list. */
void tell_counter(
	json_t *list, const char *group, const char *name, uint64_t value, const char *help);
/* "rejected": registrations by the status that refused them; 'n' has 256 of them. */
void tell_statuses(json_t *list, const uint64_t *n);
void tell_mhio(json_t *list, struct mhio *); /* "signalling" */
void tell_tunnel(
	json_t *list, const struct tunnel_engine *, struct tunnel_set *); /* "drop", "tunnel" */
json_t *tell_traffic(const struct tunnel_stats *); /* {"rx_packets", ..., "tx_bytes"} */
