/* networkd.c - `nemo-mr --networkd DIR`. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "mr/conf.h"
#include "mr/networkd.h"

#define ON_LINK 64 /* longest prefix that hosts form addresses in (RFC 4862) */

static struct prefix6 on_link(const struct mr_network_conf *n)
{
	struct prefix6 p = n->prefix;

	if (p.len < ON_LINK)
		p.len = ON_LINK;
	return p;
}

static void write_prefixes(FILE *f, const struct mr_conf *c, const char *interface)
{
	char text[PREFIX6_STRLEN];

	for (unsigned i = 0; i < c->n_networks; i++) {
		struct prefix6 p = on_link(&c->networks[i]);

		if (strcmp(c->networks[i].interface, interface) != 0)
			continue;
		if (p.len == ON_LINK)
			fprintf(f, "\n[IPv6Prefix]\nPrefix=%s\n", prefix6_str(&p, text));
		p.addr.s6_addr[15] |= 1;
		fprintf(f, "\n[Address]\nAddress=%s\nDuplicateAddressDetection=none\n",
			prefix6_str(&p, text));
	}
}

static int write_file(const struct mr_conf *c, const char *dir, const char *interface)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/50-nemo-%s.network", dir, interface);
	f = fopen(path, "we");
	if (!f) {
		fprintf(stderr, "nemo-mr: %s: %s\n", path, strerror(errno));
		return EXIT_FAILURE;
	}
	fprintf(f,
		"# Written by nemo-mr --networkd: do not edit.\n"
		"[Match]\nName=%s\n\n"
		"[Network]\nConfigureWithoutCarrier=yes\nIPv6AcceptRA=no\nIPv6SendRA=yes\n\n"
		"[IPv6SendRA]\nEmitDNS=no\nEmitDomains=no\n",
		interface);
	write_prefixes(f, c, interface);
	if (fclose(f) != 0) {
		fprintf(stderr, "nemo-mr: %s: %s\n", path, strerror(errno));
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

int mr_networkd(const char *conf, const char *dir)
{
	struct mr_file file;
	const struct mr_conf *c = &file.core;
	int code = mr_conf_read(conf, &file) > 0 ? EXIT_FAILURE : EXIT_SUCCESS;

	for (unsigned i = 0; code == EXIT_SUCCESS && i < c->n_networks; i++)
		code = write_file(c, dir, c->networks[i].interface);
	mr_conf_free(&file);
	return code;
}
