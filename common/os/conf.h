/* conf.h - configuration files in libconfig syntax, read by one key table per daemon.  Every
 * mistake is reported, all of them at once: FILE:LINE: key: reason.  The same table prints
 * --config-help. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "common/core/addr.h"

enum conf_type {
	CONF_STRING,   /* char[size] */
	CONF_ADDR6,    /* struct in6_addr */
	CONF_PREFIX6,  /* struct prefix6; host bits set is a mistake */
	CONF_MAC,      /* uint8_t[6] */
	CONF_UINT,     /* unsigned, min..max */
	CONF_BOOL,     /* bool */
	CONF_ENUM,     /* int: index into 'choices' */
	CONF_GROUPS,   /* list of groups: array of structs of 'elem_size' described by 'sub' */
	CONF_STRINGS,  /* list of strings: array of char[elem_size] */
	CONF_ADDR6S,   /* list: array of struct in6_addr */
	CONF_PREFIX6S, /* list: array of struct prefix6 */
	CONF_ADDR4,    /* struct in_addr */
	CONF_PREFIX4,  /* struct prefix4; an address alone is a /32; host bits set is a mistake */
	CONF_PREFIX4S, /* list: array of struct prefix4 */
};

struct conf_key { /* a table ends with a NULL name */
	const char *name;
	enum conf_type type;
	size_t off;  /* of the member in its struct */
	size_t size; /* CONF_STRING: octets of the array */
	bool required;
	const char *def;   /* default as written in a file, NULL: zero; for lists (not of groups):
			    * elements with ", " between them */
	const char *help;  /* one sentence, with unit */
	uint64_t min, max; /* CONF_UINT range; for lists, max = most elements (0: no limit) */
	const char *const *choices; /* CONF_ENUM, ends with NULL */
	const struct conf_key *sub; /* CONF_GROUPS */
	size_t elem_size;           /* list types */
	size_t n_off; /* list types: offset of the 'unsigned' count; 'off' is then a pointer
		       * member to a malloc'ed array, freed by conf_release() */
	bool live;    /* a reload takes it over; else it needs a restart */
	bool bare;    /* IPv6 prefixes: an address alone is a /128 */
};
/* A CONF_GROUPS struct may have a CONF_UINT key of this name with size = 1: it is set to the
 * group's line and can't be written. */
#define CONF_LINE_KEY "line"
#define CONF_MAX_KEYS 64 /* of one group */

/* Reads 'file' into '*out' (zeroed first) by 'keys'.  Returns the number of mistakes; each went to
 * 'report' as one line.  With mistakes '*out' still has to be released. */
struct conf {
	const char *file;
	unsigned n_errors;
	bool partial;                  /* conf_read() found mistakes: values may be missing */
	const struct conf_key *keys;   /* of conf_read(): its */
	unsigned lines[CONF_MAX_KEYS]; /* in the file; 0: not there */
	void (*report)(void *arg, const char *line); /* NULL: stderr */
	void *arg;
};
unsigned conf_read(struct conf *, const struct conf_key *keys, void *out);
/* Adds a mistake found by the caller (overlapping prefixes, ...): "FILE:LINE: key: reason".
 * Line 0 stands for the line of that key at the top level; it is left out if the key is not there,
 * and so is a NULL key. */
void conf_error(struct conf *, unsigned line, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* The same for what works but hardly as meant; no mistake. */
void conf_warn(struct conf *, unsigned line, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* After a mistake an address may be missing (::): it was reported already, later checks pass it by.
 */
static inline bool conf_misread(const struct conf *conf, const struct in6_addr *a)
{
	return conf->partial && addr6_is_any(a);
}
/* One value of a type that is written as a string, from another file than libconfig's: a mistake
 * is reported and false. */
bool conf_value(struct conf *, unsigned line, const struct conf_key *, const char *text, void *out);
/* Reports each key whose value differs and that is not 'live'; true: there is none. */
bool conf_may_reload(struct conf *, const struct conf_key *keys, const void *a, const void *b);
void conf_release(const struct conf_key *keys, void *out);
void conf_help(const struct conf_key *keys); /* table of keys on stdout: --config-help */
