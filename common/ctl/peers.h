/* peers.h - the daemons that nemoctl talks to: found by their control sockets (doc/control.md),
 * asked one after the other.  What goes wrong is told on standard error. */
#pragma once
#include <glob.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define PEERS_MAX  256
#define PEER_HA    "nemo-ha"
#define PEER_MR    "nemo-mr"
#define PEER_NAT64 "nemo-nat64"

enum { EXIT_REFUSED = 1, EXIT_USAGE = 2, EXIT_NO_DAEMON = 3 };

struct peer {
	const char *path;        /* borrowed from 'peers' */
	json_t *status;          /* owned; of it: */
	const char *kind, *name; /* "nemo-ha", as in the configuration */
};
struct peers {                        /* zeroed to begin with, but for: */
	const char *run;              /* folder of sockets */
	bool named;                   /* 'paths' are the user's: ask no other */
	unsigned wait_s;              /* for who they are; 0: as long as for any answer */
	size_t n_paths, n;            /* where daemons may be; daemons found */
	const char *paths[PEERS_MAX]; /* borrowed */
	struct peer v[PEERS_MAX];
	glob_t found; /* owned */
};

/* Fills 'v' with the daemons of 'kind' (NULL: any).  0 or an exit code. */
int peers_find(struct peers *, const char *kind);
/* What peers_find() found; the user's paths stay. */
void peers_forget(struct peers *);
/* Asks all: [{"daemon", "name", "data"}, ...].  '*code' is set if one gave no data. */
json_t *peers_collect(const struct peers *, const json_t *request, int *code);
/* A connection to one, or -1. */
int peers_dial(const char *path);
/* One object of the stream, or NULL at its end.  Reads not one octet more, so that poll() is true
 * to what is left. */
json_t *peers_next(int fd);
/* The "data" of the answer read by 'next', a new reference.  NULL: '*code' is set. */
json_t *peers_ask(int fd, const char *path, const json_t *request, json_t *(*next)(int), int *code);
/* The same over a connection of its own. */
json_t *peers_ask_at(const char *path, const json_t *request, int *code);
