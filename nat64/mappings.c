/* mappings.c - a hundred thousand lines are usual: one pass to read them, one sort per family to
 * compare them. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include "nat64/mappings.h"
#include "nat64/overlap.h"

static inline const struct nat64_eam *xlat_find(void *ctx, const struct nat64_key *key)
{
	return nat64_table_find(ctx, key);
}
#include "nat64/core/addr.h"

#define MAX_OVERLAPS_TOLD 10 /* the rest is counted: 100,000 mappings may lie inside one */

static const char *const sides[] = {"ipv6", "ipv4", "both", NULL};

struct reading {
	struct conf *main, map; /* the configuration file; the file of mappings */
	struct nat64_file *f;
	unsigned *lines;     /* of f->nat64.eams, in their file */
	size_t n_main, room; /* the first n_main are from the configuration file */
	unsigned n_overlaps;
};

static struct conf *file_of(struct reading *r, size_t i)
{
	return i < r->n_main ? r->main : &r->map;
}

static void add_mapping(struct reading *r, struct conf *c, unsigned line, const struct prefix4 *v4,
	const struct prefix6 *v6, int side)
{
	struct nat64 *n = &r->f->nat64;
	struct nat64_eam eam = {.side = (uint8_t)(side + 1),
		.v4 = {.addr = v4->addr.s_addr, .len = v4->len},
		.v6 = {.len = v6->len}};
	char s4[PREFIX4_STRLEN], s6[PREFIX6_STRLEN];

	memcpy(&eam.v6.addr, &v6->addr, sizeof(eam.v6.addr));
	prefix4_str(v4, s4);
	prefix6_str(v6, s6);
	if (32 - v4->len > 128 - v6->len)
		conf_error(c, line, "mappings",
			"%s has %d bits behind it, %s only %d: it needs as many or more", s4,
			32 - v4->len, s6, 128 - v6->len);
	if (v6->len >= 10 && addr_is_illegal6(&eam.v6.addr))
		conf_error(c, line, "mappings", "%s is no unicast prefix beyond a link", s6);
	for (unsigned i = 0; i < r->f->n_bogons; i++)
		if (prefix4_covers(&r->f->bogons[i], v4))
			conf_warn(
				c, line, "mappings", "%s is in bogons: it is never translated", s4);
	if (n->n_eams == r->room) {
		r->room = r->room ? 2 * r->room : 256;
		n->eams = reallocarray(n->eams, r->room, sizeof(*n->eams));
		r->lines = reallocarray(r->lines, r->room, sizeof(*r->lines));
		if (!n->eams || !r->lines)
			abort();
	}
	r->lines[n->n_eams] = line;
	n->eams[n->n_eams++] = eam;
}

static void read_line(struct reading *r, unsigned line, char *text)
{
	static const struct conf_key key4 = {.name = "ipv4", .type = CONF_PREFIX4};
	static const struct conf_key key6 = {.name = "ipv6", .type = CONF_PREFIX6, .bare = true};
	char *rest, *v4 = strtok_r(text, " \t\r\n", &rest), *v6 = strtok_r(NULL, " \t\r\n", &rest),
		    *side = v6 ? strtok_r(NULL, " \t\r\n", &rest) : NULL;
	struct prefix4 p4;
	struct prefix6 p6;
	bool ok4, ok6;
	int k = 0;

	if (!v4)
		return;
	if (!v6) {
		conf_error(&r->map, line, NULL, "\"%s\": an IPv6 address must follow", v4);
		return;
	}
	ok4 = conf_value(&r->map, line, &key4, v4, &p4);
	ok6 = conf_value(&r->map, line, &key6, v6, &p6);
	while (side && sides[k] && strcmp(sides[k], side) != 0)
		k++;
	if (!sides[k])
		conf_error(&r->map, line, NULL, "\"%s\" is not one of ipv6, ipv4, both", side);
	else if (side && (side = strtok_r(NULL, " \t\r\n", &rest)))
		conf_error(&r->map, line, NULL, "\"%s\": nothing may follow", side);
	else if (ok4 && ok6)
		add_mapping(r, &r->map, line, &p4, &p6, k);
}

static void read_file(struct reading *r)
{
	FILE *in = fopen(r->map.file, "re");
	char *text = NULL;
	size_t room = 0;
	ssize_t size;

	if (!in) {
		conf_error(&r->map, 0, NULL, "%s", strerror(errno));
		return;
	}
	errno = 0;
	for (unsigned line = 1; (size = getline(&text, &room, in)) >= 0; line++) {
		if (strlen(text) < (size_t)size) {
			conf_error(&r->map, line, NULL, "is not text: it has a zero octet");
			break;
		}
		text[strcspn(text, "#")] = '\0';
		read_line(r, line, text);
	}
	if (ferror(in))
		conf_error(&r->map, 0, NULL, "%s", strerror(errno));
	free(text);
	fclose(in);
}

static const char *place(struct reading *r, size_t of, const struct conf *seen_from, char *buf)
{
	const struct conf *c = file_of(r, of);

	if (c == seen_from)
		snprintf(buf, PATH_MAX + 16, "line %u", r->lines[of]);
	else
		snprintf(buf, PATH_MAX + 16, "%s:%u", c->file, r->lines[of]);
	return buf;
}

/* The address of the other family that leads into the inner prefix by the outer mapping, but isn't
 * what the inner mapping leads back to; false: both mappings say the same. */
static bool one_way(const struct nat64_eam *out, const struct nat64_eam *in, bool is6, char *buf)
{
	struct ip6 a6;
	__be32 a4;

	if (is6) {
		a4 = addr_eam64(out, &in->v6.addr);
		inet_ntop(AF_INET, &a4, buf, INET6_ADDRSTRLEN);
		return a4 != in->v4.addr;
	}
	addr_eam46(out, in->v4.addr, &a6);
	inet_ntop(AF_INET6, &a6, buf, INET6_ADDRSTRLEN);
	return memcmp(&a6, &in->v6.addr, sizeof(a6)) != 0;
}

static void tell_overlap(void *arg, const struct nat64_overlap *o)
{
	struct reading *r = arg;
	const struct nat64_eam *in = &r->f->nat64.eams[o->inner];
	struct conf *c = file_of(r, o->inner);
	unsigned line = r->lines[o->inner];
	char where[PATH_MAX + 16], prefix[PREFIX6_STRLEN], other[INET6_ADDRSTRLEN];

	inet_ntop(o->is6 ? AF_INET6 : AF_INET,
		o->is6 ? (const void *)&in->v6.addr : (const void *)&in->v4.addr, prefix,
		INET6_ADDRSTRLEN);
	snprintf(prefix + strlen(prefix), 5, "/%u", o->is6 ? in->v6.len : in->v4.len);
	place(r, o->outer, c, where);
	if (o->same)
		conf_error(c, line, "mappings", "%s is mapped already, in %s", prefix, where);
	else if (one_way(&r->f->nat64.eams[o->outer], in, o->is6, other) &&
		 r->n_overlaps++ < MAX_OVERLAPS_TOLD)
		conf_warn(c, line, "mappings",
			"%s lies inside the mapping of %s: %s leads there, but not back", prefix,
			where, other);
}

void nat64_mappings_read(struct conf *c, struct nat64_file *f)
{
	struct reading r = {.main = c, .map = {.report = c->report, .arg = c->arg}, .f = f};
	const char *slash = strrchr(c->file, '/');
	char path[PATH_MAX];

	for (unsigned i = 0; i < f->n_mappings; i++) {
		const struct nat64_mapping_conf *m = &f->mappings[i];

		if (!(c->partial && m->ipv4.addr.s_addr == 0) && !conf_misread(c, &m->ipv6.addr))
			add_mapping(&r, c, m->line, &m->ipv4, &m->ipv6, m->side);
	}
	r.n_main = f->nat64.n_eams;
	if (*f->mappings_file) {
		snprintf(path, sizeof(path), "%.*s%s",
			*f->mappings_file == '/' || !slash ? 0 : (int)(slash + 1 - c->file),
			c->file, f->mappings_file);
		r.map.file = path;
		read_file(&r);
	}
	if (nat64_overlaps(f->nat64.eams, f->nat64.n_eams, tell_overlap, &r) < 0)
		abort();
	if (r.n_overlaps > MAX_OVERLAPS_TOLD)
		conf_warn(c, 0, "mappings", "%u more lie inside others",
			r.n_overlaps - MAX_OVERLAPS_TOLD);
	c->n_errors += r.map.n_errors;
	free(r.lines);
}
