/* conf_value.h - single values of a key table, private to conf.c. */
#pragma once
#include <limits.h>
#include <string.h>
#include "common/os/conf.h"

#define CONF_WHY_SIZE 512

static inline bool conf_is_list(enum conf_type t)
{
	return t == CONF_GROUPS || t == CONF_STRINGS || t == CONF_ADDR6S || t == CONF_PREFIX6S ||
	       t == CONF_PREFIX4S;
}

static inline bool conf_is_line(const struct conf_key *k)
{
	return strcmp(k->name, CONF_LINE_KEY) == 0 && k->type == CONF_UINT && k->size == 1;
}

static inline uint64_t conf_uint_max(const struct conf_key *k)
{
	return k->max ? k->max : UINT_MAX;
}

/* Octets of a value that is no list. */
size_t conf_size(const struct conf_key *);
/* One value written as a string; 'type' is the key's or that of its elements, 'size' the room for a
 * string.  False: 'why' (CONF_WHY_SIZE) is filled. */
bool conf_parse(const struct conf_key *, enum conf_type type, size_t size, const char *s, void *dst,
	char *why);
/* A key's default into 'dst'; nothing if it has none, or is a list. */
void conf_default(const struct conf_key *, void *dst);
/* The same of a list, into the two members of its struct. */
void conf_default_list(const struct conf_key *, char *out);
