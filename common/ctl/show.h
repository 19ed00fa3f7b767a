/* show.h - nemoctl's commands, and what they print for people. */
#pragma once
#include <jansson.h>
#include <stdbool.h>

struct command {
	const char *name, *args; /* "mr rehome", "[UPLINK]" */
	const char *kind;        /* the daemon it is for; NULL: all */
	const char *cmd;         /* of the request */
	bool acts;               /* changes something: only for a single daemon */
	const char *key;         /* of the argument in the request, if there is just one */
	unsigned min, max;       /* arguments; max MANY: a list */
	const char *help;
	const char *keys; /* what its table shows */
	const char *did;  /* what to say then, with {key} */
	/* 'doc' is [{"daemon", "name", "data"}, ...]; 'many': of several daemons. */
	void (*show)(const struct command *, const json_t *doc, bool many);
};

#define HANDOVER_KEYS \
	"n at cause from to uplink known_link ms.rs ms.ra ms.coa ms.bu ms.ba ms.first_packet"

void show_table(const struct command *, const json_t *doc, bool many);   /* rows of all */
void show_summary(const struct command *, const json_t *doc, bool many); /* of each its status */
void show_record(const struct command *, const json_t *doc, bool many);  /* a key a line */
void show_mr(const struct command *, const json_t *doc, bool many);      /* with uplinks */
void show_act(const struct command *, const json_t *doc, bool many);     /* "did" of the command */
void show_explain(const struct command *, const json_t *doc, bool many); /* its text */

const char *show_text(const json_t *o, const char *key); /* a member that is a string, or "-" */
