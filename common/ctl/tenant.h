/* tenant.h - `nemoctl tenant add`: everything that a new mobile router needs, in one go. */
#pragma once

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
