/* tenant.h - `nemoctl tenant`: everything that a mobile router needs at the home agent, in one go.
 */
#pragma once
#include <jansson.h>

struct tenant {
	const char *conf; /* the home agent's configuration file */
	const char *name, *prefix;
	const char *home; /* its home address; NULL: the first free one of the first home prefix */
};

/* Adds the router to the configuration, makes its secret and the seed of its virtual machine beside
 * the configuration (NAME.keys, NAME.seed, NAME.seed.img).  nemo-ha itself checks the new
 * configuration before it takes the old one's place: 0, or 1 after a message, and nothing is
 * changed. */
int tenant_add(const struct tenant *);
/* Takes out of the configuration what add put in, and removes these files.  0, or 1 after a
 * message. */
int tenant_remove(const struct tenant *);
/* The configured routers: [{"name", "tenant", "home_address", "prefixes", "seed"}, ...], 'seed'
 * the path of the virtual machine's if it is still there.  NULL after a message. */
json_t *tenant_list(const char *conf);
