/* import.c - line formats by one table of directives each, Jool's JSON by two tables of keys.  What
 * is taken over goes into lists and settings, everything else into notes.  No octet of the input
 * gets into a value: addresses and numbers are written anew, names only if plain. */
#include <arpa/inet.h>
#include <ctype.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/os/log.h"
#include "common/core/addr.h"
#include "nat64/dev.h"
#include "nat64/import.h"
#include "nat64/table.h"

static inline const struct nat64_eam *xlat_find(void *ctx, const struct nat64_key *key)
{
	return nat64_table_find(ctx, key);
}
#include "nat64/core/addr.h"

#define AT_SIZE 160

struct text {
	char *s;
	size_t n, room;
};
struct import {
	struct text prefixes, mappings, bogons, settings, notes;
	char at[AT_SIZE];      /* what is being looked at: "line 7: map 192.0.2.1 ..." */
	struct prefix6 prefix; /* the last one; len 0: none */
	struct in_addr address4;
	bool has_address6;
};

static void __attribute__((format(printf, 2, 3))) add(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		abort();
	if (t->n + (size_t)n + 1 > t->room) {
		t->room = 2 * (t->n + (size_t)n + 1);
		t->s = realloc(t->s, t->room);
		if (!t->s)
			abort();
	}
	va_start(ap, fmt);
	vsnprintf(t->s + t->n, (size_t)n + 1, fmt, ap);
	va_end(ap);
	t->n += (size_t)n;
}

static void __attribute__((format(printf, 2, 3))) look_at(struct import *im, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(im->at, sizeof(im->at), fmt, ap);
	va_end(ap);
	for (char *p = im->at; *p; p++)
		if (!isprint((unsigned char)*p)) /* it goes into a comment */
			*p = '?';
}

static void note(struct import *im, const char *why)
{
	add(&im->notes, "#   %s: %s\n", im->at, why);
}

/* --- values --- */

static void put_prefix(struct import *im, const char *s, const char *list, bool is_96)
{
	char text[PREFIX6_STRLEN];
	struct prefix6 p, cut;
	struct text *out = list ? &im->settings : &im->prefixes;

	if (prefix6_parse_bare(s, &p) < 0) {
		note(im, "not an IPv6 prefix");
		return;
	}
	if (is_96 && !strchr(s, '/'))
		p.len = 96;
	cut = prefix6_mask(p);
	prefix6_str(&cut, text);
	if (!prefix6_is_masked(&p))
		note(im, "has host bits set, they were cleared");
	if (list) {
		add(out, "%s = ( \"%s\" );\n", list, text);
		return;
	}
	add(out, "%s\t{ prefix = \"%s\"; }", out->n ? ",\n" : "", text);
	im->prefix = cut;
}

static void put_mapping(struct import *im, const char *s4, const char *s6)
{
	char t4[PREFIX4_STRLEN], t6[PREFIX6_STRLEN];
	struct prefix4 p4, cut4;
	struct prefix6 p6, cut6;

	if (!s4 || !s6 || prefix4_parse_bare(s4, &p4) < 0 || prefix6_parse_bare(s6, &p6) < 0) {
		note(im, "not an IPv4 and an IPv6 address or prefix");
		return;
	}
	cut4 = prefix4_mask(p4);
	cut6 = prefix6_mask(p6);
	if (!prefix4_is_masked(&p4) || !prefix6_is_masked(&p6))
		note(im, "has host bits set, they were cleared");
	add(&im->mappings, "%s\t{ ipv4 = \"%s\"; ipv6 = \"%s\"; }", im->mappings.n ? ",\n" : "",
		prefix4_str(&cut4, t4), prefix6_str(&cut6, t6));
}

static void put_net4(struct import *im, struct text *out, const char *list, const char *s)
{
	char text[PREFIX4_STRLEN];
	struct prefix4 p, cut;

	if (prefix4_parse_bare(s, &p) < 0) {
		note(im, "not an IPv4 prefix");
		return;
	}
	cut = prefix4_mask(p);
	prefix4_str(&cut, text);
	if (!prefix4_is_masked(&p))
		note(im, "has host bits set, they were cleared");
	if (list)
		add(out, "%s = ( \"%s\" );\n", list, text);
	else
		add(out, ", \"%s\"", text);
}

static void put_address4(struct import *im, const char *s)
{
	char text[INET_ADDRSTRLEN];

	if (inet_pton(AF_INET, s, &im->address4) == 1)
		add(&im->settings, "address4 = \"%s\";\n", addr4_str(&im->address4, text));
	else
		note(im, "not an IPv4 address");
}

static void put_address6(struct import *im, const char *s)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr a;

	im->has_address6 = inet_pton(AF_INET6, s, &a) == 1;
	if (im->has_address6)
		add(&im->settings, "address6 = \"%s\";\n", addr6_str(&a, text));
	else
		note(im, "not an IPv6 address");
}

static void put_device(struct import *im, const char *s)
{
	for (const char *p = s; *p; p++) {
		if ((!isalnum((unsigned char)*p) && !strchr("._-", *p)) || p - s >= 15) {
			note(im, "not a device name");
			return;
		}
	}
	add(&im->settings, "device = \"%s\";\n", s);
}

static void put_number(
	struct import *im, const char *key, const char *s, unsigned min, unsigned max)
{
	char *end;
	unsigned long n = strtoul(s, &end, 10);

	if (end == s || *end || n < min || n > max)
		note(im, "not a number that is possible here");
	else
		add(&im->settings, "%s = %lu;\n", key, n);
}

/* --- lines: map646, TAYGA --- */

enum how {
	PREFIX,
	PREFIX_96,
	MAPPING,
	ADDRESS4,
	ADDRESS6,
	DEVICE,
	UDP_MODE,
	WKPF,
	MTU,
	QUEUES,
	NOTE
};
struct directive {
	const char *name;
	enum how how;
	const char *why; /* NOTE */
};

static const struct directive map646[] = {
	{"mapping-prefix", PREFIX_96, NULL},
	{"map-static", MAPPING, NULL},
	{"static", MAPPING, NULL},
	{"tun-device", DEVICE, NULL},
	{NULL, NOTE, NULL},
};
static const struct directive tayga[] = {
	{"prefix", PREFIX, NULL},
	{"map", MAPPING, NULL},
	{"ipv4-addr", ADDRESS4, NULL},
	{"ipv6-addr", ADDRESS6, NULL},
	{"tun-device", DEVICE, NULL},
	{"udp-cksum-mode", UDP_MODE, NULL},
	{"wkpf-strict", WKPF, NULL},
	{"offlink-mtu", MTU, NULL},
	{"workers", QUEUES, NULL},
	{"dynamic-pool", NOTE, "nothing is assigned dynamically: give each of the hosts a mapping"},
	{"data-dir", NOTE, "there is no state to keep"},
	{"map-file", NOTE, "put its lines, without the word map, into a mappings_file"},
	{"strict-frag-hdr", NOTE, "only fragments get a fragment header (RFC 7915 s4)"},
	{"log", NOTE, "packets are counted by reason, see nemoctl nat64 stats"},
	{"tun-up", NOTE, "the device is brought up in any case"},
	{"tun-ip", NOTE, "the device needs no address"},
	{"tun-route", NOTE, "the device gets the routes to what is translated, by itself"},
	{NULL, NOTE, NULL},
};

static const struct directive *directive_of(const struct directive *table, const char *name)
{
	while (table->name && strcmp(table->name, name) != 0)
		table++;
	return table;
}

static void put_udp_mode(struct import *im, const char *s)
{
	if (strcmp(s, "calc") == 0)
		add(&im->settings, "udp_zero_checksum = \"compute\";\n");
	else if (strcmp(s, "drop") == 0)
		add(&im->settings, "udp_zero_checksum = \"drop\";\n");
	else
		note(im, "IPv6 has no UDP without a checksum: drop or compute");
}

static void take_line(struct import *im, const struct directive *d, char *const word[3])
{
	const char *value = word[1] ? word[1] : "";

	switch (d->how) {
	case PREFIX: put_prefix(im, value, NULL, false); break;
	case PREFIX_96: put_prefix(im, value, NULL, true); break;
	case MAPPING: put_mapping(im, word[1], word[2]); break;
	case ADDRESS4: put_address4(im, value); break;
	case ADDRESS6: put_address6(im, value); break;
	case DEVICE: put_device(im, value); break;
	case UDP_MODE: put_udp_mode(im, value); break;
	case WKPF:
		add(&im->settings, "allow_non_global = %s;\n",
			strcmp(value, "no") == 0 ? "true" : "false");
		break;
	case MTU: put_number(im, "lowest_ipv6_mtu", value, 1280, 65535); break;
	case QUEUES: put_number(im, "queues", value, 1, NAT64_MAX_QUEUES); break;
	case NOTE: note(im, d->why ? d->why : "unknown"); break;
	}
}

/* The next line's first three words, NULL where there is none.  Returns what is behind the line. */
static char *split_line(char *p, char *word[3])
{
	unsigned n = 0;
	char *end = p + strcspn(p, "\n"), *next = *end ? end + 1 : end;

	*end = '\0';
	p[strcspn(p, "#")] = '\0';
	memset(word, 0, 3 * sizeof(word[0]));
	for (; n < 3 && *(p += strspn(p, " \t\r")); n++) {
		word[n] = p;
		p += strcspn(p, " \t\r");
		if (*p)
			*p++ = '\0';
	}
	return next;
}

static void take_lines(struct import *im, const struct directive *table, char *text)
{
	unsigned line = 1;
	char *word[3];

	for (char *p = text; *p; line++) {
		p = split_line(p, word);
		if (!word[0])
			continue;
		look_at(im, "line %u: %s%s%s%s%s", line, word[0], word[1] ? " " : "",
			word[1] ? word[1] : "", word[2] ? " " : "", word[2] ? word[2] : "");
		take_line(im, directive_of(table, word[0]), word);
	}
}

/* TAYGA makes its IPv6 address of its IPv4 address and the prefix if it has none. */
static void make_address6(struct import *im)
{
	struct nat64_net6 net = {.len = im->prefix.len};
	struct in6_addr a;
	struct ip6 out;
	char text[INET6_ADDRSTRLEN];

	if (im->has_address6 || !im->prefix.len || !im->address4.s_addr)
		return;
	memcpy(&net.addr, &im->prefix.addr, sizeof(net.addr));
	addr_embed(&net, im->address4.s_addr, &out);
	memcpy(&a, &out, sizeof(a));
	add(&im->settings, "address6 = \"%s\";\n", addr6_str(&a, text));
}

/* --- Jool --- */

enum jool_how {
	J_PREFIX,
	J_POOL4,
	J_POOL6,
	J_MTU,
	J_UDP,
	J_HAIRPIN,
	J_ZERO_TOS,
	J_TOS,
	J_SILENT,
	J_IF_TRUE,
	J_IF_FALSE,
	J_NOTE
};
struct jool_key {
	const char *name;
	enum jool_how how;
	const char *why;
};

static const struct jool_key jool_global[] = {
	{"pool6", J_PREFIX, NULL},
	{"rfc6791v4-prefix", J_POOL4, NULL},
	{"rfc6791v6-prefix", J_POOL6, NULL},
	{"lowest-ipv6-mtu", J_MTU, NULL},
	{"amend-udp-checksum-zero", J_UDP, NULL},
	{"eam-hairpin-mode", J_HAIRPIN, NULL},
	{"zeroize-traffic-class", J_ZERO_TOS, NULL},
	{"reset-traffic-class", J_ZERO_TOS, NULL},
	{"override-tos", J_SILENT, NULL}, /* with the next two */
	{"tos", J_TOS, NULL},
	{"new-tos", J_TOS, NULL},
	{"comment", J_SILENT, NULL},
	{"randomize-rfc6791-addresses", J_IF_FALSE, "the choice from pool4 is always random"},
	{"manually-enabled", J_IF_FALSE, "stop the daemon instead"},
	{"logging-debug", J_IF_TRUE, "packets are counted by reason, see nemoctl nat64 stats"},
	{"trace", J_IF_TRUE, "packets are counted by reason, see nemoctl nat64 stats"},
	{"mtu-plateaus", J_NOTE, "RFC 1191's plateaus are built in"},
	{NULL, J_NOTE, "unknown"},
};
static const struct jool_key jool_top[] = {
	{"global", J_SILENT, NULL},
	{"eamt", J_SILENT, NULL},
	{"denylist4", J_SILENT, NULL},
	{"blacklist4", J_SILENT, NULL},
	{"comment", J_SILENT, NULL},
	{"instance", J_NOTE, "there is one translator per network namespace"},
	{"framework", J_NOTE, "the kernel's routes lead packets here, no hook of netfilter's"},
	{"pool4", J_NOTE, "of a stateful NAT64: here every address needs a mapping or a prefix"},
	{"bib", J_NOTE, "of a stateful NAT64: here every address needs a mapping or a prefix"},
	{NULL, J_NOTE, "unknown"},
};

static const struct jool_key *jool_key_of(const struct jool_key *table, const char *name)
{
	while (table->name && strcmp(table->name, name) != 0)
		table++;
	return table;
}

static void look_at_json(struct import *im, const char *path, const json_t *value)
{
	char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

	look_at(im, "%s %s", path, text ? text : "");
	free(text);
}

static void put_hairpin(struct import *im, const char *s)
{
	if (strcmp(s, "off") == 0 || strcmp(s, "simple") == 0 || strcmp(s, "intrinsic") == 0)
		add(&im->settings, "hairpin = \"%s\";\n", s);
	else
		note(im, "neither off, simple nor intrinsic");
}

static void put_integer(struct import *im, const json_t *v, const char *key, const char *quote,
	long long min, long long max)
{
	long long n = json_integer_value(v);

	if (!json_is_integer(v) || n < min || n > max)
		note(im, "not a number that is possible here");
	else
		add(&im->settings, "%s = %s%lld%s;\n", key, quote, n, quote);
}

static void take_global(
	struct import *im, const json_t *global, const struct jool_key *k, const json_t *v)
{
	const char *s = json_is_string(v) ? json_string_value(v) : "";

	if (json_is_null(v))
		return;
	switch (k->how) {
	case J_PREFIX: put_prefix(im, s, NULL, false); break;
	case J_POOL4: put_net4(im, &im->settings, "pool4", s); break;
	case J_POOL6: put_prefix(im, s, "pool6", false); break;
	case J_MTU: put_integer(im, v, "lowest_ipv6_mtu", "", 1280, 65535); break;
	case J_UDP:
		add(&im->settings, "udp_zero_checksum = \"%s\";\n",
			json_is_true(v) ? "compute" : "drop");
		break;
	case J_HAIRPIN: put_hairpin(im, s); break;
	case J_ZERO_TOS:
		add(&im->settings, "tos_4to6 = \"%s\";\n", json_is_true(v) ? "zero" : "copy");
		break;
	case J_TOS:
		if (json_is_true(json_object_get(global, "override-tos")))
			put_integer(im, v, "tos_6to4", "\"", 0, 255);
		break;
	case J_SILENT: break;
	case J_IF_TRUE:
		if (!json_is_false(v))
			note(im, k->why);
		break;
	case J_IF_FALSE:
		if (!json_is_true(v))
			note(im, k->why);
		break;
	case J_NOTE: note(im, k->why); break;
	}
}

static void take_eamt(struct import *im, json_t *eamt)
{
	size_t i;
	json_t *row;

	json_array_foreach (eamt, i, row) {
		look_at_json(im, "eamt", row);
		put_mapping(im, json_string_value(json_object_get(row, "ipv4 prefix")),
			json_string_value(json_object_get(row, "ipv6 prefix")));
	}
}

static void take_denylist(struct import *im, json_t *list)
{
	size_t i;
	json_t *v;

	json_array_foreach (list, i, v) {
		look_at_json(im, "denylist4", v);
		put_net4(im, &im->bogons, NULL, json_is_string(v) ? json_string_value(v) : "");
	}
	look_at(im, "denylist4");
	if (json_array_size(list))
		note(im, "it kept addresses from pool6 only, bogons are not mapped either");
}

static void take_jool(struct import *im, json_t *root)
{
	json_t *global = json_object_get(root, "global"), *v;
	const char *name;
	char path[AT_SIZE];

	json_object_foreach (root, name, v) {
		const struct jool_key *k = jool_key_of(jool_top, name);

		look_at_json(im, name, v);
		if (k->how == J_NOTE)
			note(im, k->why);
	}
	json_object_foreach (global, name, v) {
		snprintf(path, sizeof(path), "global.%s", name);
		look_at_json(im, path, v);
		take_global(im, global, jool_key_of(jool_global, name), v);
	}
	look_at(im, "global.lowest-ipv6-mtu");
	if (!json_object_get(global, "lowest-ipv6-mtu"))
		note(im, "not set: its default there is 1500, here 1280");
	take_eamt(im, json_object_get(root, "eamt"));
	take_denylist(im, json_object_get(root, "denylist4"));
	take_denylist(im, json_object_get(root, "blacklist4"));
}

/* --- together --- */

static char *finish(struct import *im, const char *what, const char *name)
{
	struct text out = {0};

	look_at(im, "%s", name);
	add(&out, "# nemo-nat64, from %s (%s).  nemo-nat64(8) has every setting.\n", im->at, what);
	if (im->notes.n)
		add(&out, "#\n# Not taken over, or not as it was:\n%s", im->notes.s);
	if (im->prefixes.n)
		add(&out,
			"\n# Add \"hosts\" if IPv6 hosts have addresses inside a prefix.\n"
			"prefixes = (\n%s\n);\n",
			im->prefixes.s);
	if (im->mappings.n)
		add(&out, "\nmappings = (\n%s\n);\n", im->mappings.s);
	if (im->bogons.n)
		add(&out,
			"\nbogons = ( \"0.0.0.0/8\", \"127.0.0.0/8\", \"169.254.0.0/16\", "
			"\"224.0.0.0/4\", \"240.0.0.0/4\"%s );\n",
			im->bogons.s);
	if (im->settings.n)
		add(&out, "\n%s", im->settings.s);
	free(im->prefixes.s);
	free(im->mappings.s);
	free(im->bogons.s);
	free(im->settings.s);
	free(im->notes.s);
	return out.s;
}

static char *import_jool(const char *text, size_t size, const char *name, char *why)
{
	static const char *const known[] = {
		"global", "eamt", "denylist4", "blacklist4", "framework"};
	struct import im = {0};
	json_error_t err;
	json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &err);
	bool ok = false;

	if (!root) {
		snprintf(why, WHY_SIZE, "line %d: %s", err.line, err.text);
		return NULL;
	}
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		ok |= json_object_get(root, known[i]) != NULL;
	if (ok)
		take_jool(&im, root);
	else
		snprintf(why, WHY_SIZE, "JSON, but without anything of Jool's configuration");
	json_decref(root);
	return ok ? finish(&im, "Jool", name) : NULL;
}

/* The first directive that only one of the formats has decides. */
static const struct directive *recognise(const char *text)
{
	const struct directive *found = NULL;
	char *copy = strdup(text), *word[3];

	if (!copy)
		abort();
	for (char *p = copy; *p && !found;) {
		bool is_map646, is_tayga;

		p = split_line(p, word);
		if (!word[0])
			continue;
		is_map646 = directive_of(map646, word[0])->name;
		is_tayga = directive_of(tayga, word[0])->name;
		if (is_map646 != is_tayga)
			found = is_map646 ? map646 : tayga;
	}
	free(copy);
	return found;
}

char *nat64_import(const char *text, size_t size, const char *name, char *why)
{
	const struct directive *table;
	struct import im = {0};
	char *copy;

	if (memchr(text, '\0', size)) {
		snprintf(why, WHY_SIZE, "not a text file: it has a zero octet");
		return NULL;
	}
	copy = strndup(text, size);
	if (!copy)
		abort();
	if (copy[strspn(copy, " \t\r\n")] == '{') {
		free(copy);
		return import_jool(text, size, name, why);
	}
	table = recognise(copy);
	if (table)
		take_lines(&im, table, copy);
	else
		snprintf(why, WHY_SIZE, "neither a map646, a TAYGA nor a Jool configuration");
	free(copy);
	if (!table)
		return NULL;
	if (table == tayga)
		make_address6(&im);
	return finish(&im, table == tayga ? "TAYGA" : "map646", name);
}
