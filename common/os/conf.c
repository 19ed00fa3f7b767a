/* conf.c - libconfig does the syntax, the key table the rest.  Nothing stops at the first mistake
 * but a syntax error, after which libconfig has nothing to give. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <libconfig.h>
#include <limits.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/os/conf.h"
#include "common/os/conf_text.h"
#include "common/os/conf_value.h"

#define PATH_SIZE 128 /* "routers[12].prefixes[3]" */

struct at { /* where in the file; as text only for a mistake */
	const struct at *up;
	const char *name; /* NULL: element 'i' of a list */
	unsigned i;
};

static unsigned line_of(const struct conf *c, const char *key)
{
	for (const struct conf_key *k = c->keys; key && k && k->name; k++)
		if (strcmp(k->name, key) == 0)
			return c->lines[k - c->keys];
	return 0;
}

static void tell(struct conf *c, unsigned line, const char *key, const char *sort, const char *fmt,
	va_list ap)
{
	char why[CONF_WHY_SIZE], text[CONF_WHY_SIZE + PATH_SIZE + PATH_MAX], at[16] = "";

	vsnprintf(why, sizeof(why), fmt, ap);
	if (!line)
		line = line_of(c, key);
	if (line)
		snprintf(at, sizeof(at), "%u:", line);
	snprintf(text, sizeof(text), "%s:%s%s%s%s %s%s", c->file, at, key ? " " : "",
		key ? key : "", key ? ":" : "", sort, why);
	if (c->report)
		c->report(c->arg, text);
	else
		fprintf(stderr, "%s\n", text);
}

void conf_error(struct conf *c, unsigned line, const char *key, const char *fmt, ...)
{
	va_list ap;

	c->n_errors++;
	va_start(ap, fmt);
	tell(c, line, key, "", fmt, ap);
	va_end(ap);
}

void conf_warn(struct conf *c, unsigned line, const char *key, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tell(c, line, key, "warning: ", fmt, ap);
	va_end(ap);
}

static const char *path_of(const struct at *at, char buf[PATH_SIZE])
{
	size_t n;

	if (at->up)
		path_of(at->up, buf);
	else
		*buf = '\0';
	n = strlen(buf);
	if (at->name)
		snprintf(buf + n, PATH_SIZE - n, "%s%s", n ? "." : "", at->name);
	else
		snprintf(buf + n, PATH_SIZE - n, "[%u]", at->i);
	return buf;
}

/* --- values --- */

bool conf_value(
	struct conf *c, unsigned line, const struct conf_key *k, const char *text, void *out)
{
	char why[CONF_WHY_SIZE];
	bool ok = conf_parse(k, k->type, k->size, text, out, why);

	if (!ok)
		conf_error(c, line, k->name, "%s", why);
	return ok;
}

static const char *setting_type(const config_setting_t *s)
{
	switch (config_setting_type(s)) {
	case CONFIG_TYPE_GROUP: return "a group { ... }";
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64: return "a number";
	case CONFIG_TYPE_FLOAT: return "a number with a fraction";
	case CONFIG_TYPE_STRING: return "a string";
	case CONFIG_TYPE_BOOL: return "a truth value";
	case CONFIG_TYPE_ARRAY: return "an array [ ... ]";
	case CONFIG_TYPE_LIST: return "a list ( ... )";
	default: return "nothing";
	}
}

static void wrong_type(
	struct conf *c, const config_setting_t *s, const struct at *at, const char *want)
{
	char path[PATH_SIZE];

	conf_error(c, config_setting_source_line(s), path_of(at, path), "must be %s, not %s", want,
		setting_type(s));
}

static void read_scalar(struct conf *c, const struct conf_key *k, size_t size,
	const config_setting_t *s, const struct at *at, void *dst)
{
	int type = config_setting_type(s);
	unsigned line = config_setting_source_line(s);
	char why[CONF_WHY_SIZE], path[PATH_SIZE];
	long long n;

	if (k->type == CONF_BOOL) {
		if (type == CONFIG_TYPE_BOOL)
			*(bool *)dst = config_setting_get_bool(s);
		else
			wrong_type(c, s, at, "true or false");
	} else if (k->type == CONF_UINT) {
		if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64) {
			wrong_type(c, s, at, "a whole number");
			return;
		}
		n = config_setting_get_int64(s);
		if (n < 0 || (uint64_t)n < k->min || (uint64_t)n > conf_uint_max(k))
			conf_error(c, line, path_of(at, path),
				"is out of range, must be %" PRIu64 "..%" PRIu64, k->min,
				conf_uint_max(k));
		else
			*(unsigned *)dst = (unsigned)n;
	} else if (type != CONFIG_TYPE_STRING) {
		wrong_type(c, s, at, "a string");
	} else if (!conf_parse(k, k->type, size, config_setting_get_string(s), dst, why)) {
		conf_error(c, line, path_of(at, path), "%s", why);
	}
}

/* --- groups --- */

static unsigned distance(const char *a, const char *b) /* Levenshtein's */
{
	unsigned row[64], n = (unsigned)strlen(b);

	if (n >= 64)
		return UINT_MAX;
	for (unsigned j = 0; j <= n; j++)
		row[j] = j;
	for (unsigned i = 0; a[i]; i++) {
		unsigned diagonal = row[0];

		row[0] = i + 1;
		for (unsigned j = 0; j < n; j++) {
			unsigned best = diagonal + (a[i] != b[j]);

			diagonal = row[j + 1];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (diagonal + 1 < best)
				best = diagonal + 1;
			row[j + 1] = best;
		}
	}
	return row[n];
}

static void unknown_key(
	struct conf *c, const struct conf_key *keys, const config_setting_t *s, const struct at *up)
{
	const char *name = config_setting_name(s), *nearest = NULL;
	/* Further off it would only mislead. */
	unsigned best = (unsigned)strlen(name) / 3 + (strlen(name) > 3 ? 2 : 1);
	char path[PATH_SIZE];

	path_of(&(struct at){.up = up, .name = name}, path);

	for (const struct conf_key *k = keys; k->name; k++) {
		unsigned d = conf_is_line(k) ? UINT_MAX : distance(name, k->name);

		if (d < best) {
			best = d;
			nearest = k->name;
		}
	}
	if (nearest)
		conf_error(c, config_setting_source_line(s), path, "unknown key; did you mean %s?",
			nearest);
	else
		conf_error(c, config_setting_source_line(s), path, "unknown key");
}

/* From here on mistakes are of the file that has this setting: an included one, or as before. */
static void in_file_of(struct conf *c, const config_setting_t *s, const char *before)
{
	const char *file = config_setting_source_file(s);

	c->file = file ? file : before;
}

static void read_group(struct conf *, const struct conf_key *, const config_setting_t *group,
	const struct at *, char *out);

static void read_list(struct conf *c, const struct conf_key *k, const config_setting_t *s,
	const struct at *at, char *out)
{
	unsigned n = (unsigned)config_setting_length(s), line = config_setting_source_line(s);
	char path[PATH_SIZE], *elems;

	if (!config_setting_is_list(s) && !config_setting_is_array(s)) {
		wrong_type(c, s, at, "a list ( ... )");
		return;
	}
	if (k->required && n == 0)
		conf_error(c, line, path_of(at, path), "is empty, needs at least one element");
	if (k->max && n > k->max) {
		conf_error(c, line, path_of(at, path),
			"has %u elements, at most %" PRIu64 " are allowed", n, k->max);
		return;
	}
	elems = n ? calloc(n, k->elem_size) : NULL;
	if (n && !elems) {
		conf_error(c, line, path_of(at, path), "%s", strerror(ENOMEM));
		return;
	}
	memcpy(out + k->off, &elems, sizeof(elems));
	*(unsigned *)(out + k->n_off) = n;
	for (unsigned i = 0; i < n; i++) {
		const config_setting_t *e = config_setting_get_elem(s, i);
		const struct at elem = {.up = at, .i = i};
		char *dst = elems + i * k->elem_size;

		if (k->type != CONF_GROUPS)
			read_scalar(c, k, k->elem_size, e, &elem, dst);
		else if (config_setting_is_group(e))
			read_group(c, k->sub, e, &elem, dst);
		else
			wrong_type(c, e, &elem, "a group { ... }");
	}
}

/* Which setting is of which key. */
static void find_settings(struct conf *c, const struct conf_key *keys,
	const config_setting_t *group, const struct at *up,
	const config_setting_t *found[CONF_MAX_KEYS])
{
	const char *file = c->file;

	for (int i = 0; i < config_setting_length(group); i++) {
		const config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
		const struct conf_key *k = keys;

		while (k->name && (conf_is_line(k) || strcmp(k->name, config_setting_name(s)) != 0))
			k++;
		if (!k->name) {
			in_file_of(c, s, file);
			unknown_key(c, keys, s, up);
			c->file = file;
			continue;
		}
		assert(k - keys < CONF_MAX_KEYS);
		found[k - keys] = s;
		if (!up && !config_setting_source_file(s))
			c->lines[k - keys] = config_setting_source_line(s);
	}
}

static void read_group(struct conf *c, const struct conf_key *keys, const config_setting_t *group,
	const struct at *up, char *out)
{
	const config_setting_t *found[CONF_MAX_KEYS] = {0};
	unsigned line = config_setting_source_line(group);
	const char *file = c->file;
	char path[PATH_SIZE];

	find_settings(c, keys, group, up, found);
	for (const struct conf_key *k = keys; k->name; k++) {
		const config_setting_t *s = found[k - keys];
		const struct at at = {.up = up, .name = k->name};

		if (conf_is_line(k)) {
			*(unsigned *)(out + k->off) = line;
			continue;
		}
		if (!s)
			conf_default(k, out + k->off);
		if (s)
			in_file_of(c, s, file);
		if (!s && k->required)
			conf_error(c, line, path_of(&at, path), "is required and missing");
		else if (!s && conf_is_list(k->type))
			conf_default_list(k, out);
		else if (conf_is_list(k->type))
			read_list(c, k, s, &at, out);
		else if (s)
			read_scalar(c, k, k->size, s, &at, out + k->off);
		c->file = file;
	}
}

/* The struct's size is the caller's knowledge: every member a key describes is zeroed. */
static void zero(const struct conf_key *keys, char *out)
{
	for (const struct conf_key *k = keys; k->name; k++) {
		if (conf_is_list(k->type)) {
			memset(out + k->off, 0, sizeof(void *));
			memset(out + k->n_off, 0, sizeof(unsigned));
		} else {
			memset(out + k->off, 0, conf_size(k));
		}
	}
}

unsigned conf_read(struct conf *c, const struct conf_key *keys, void *out)
{
	const char *file = c->file;
	char *text;
	config_t cfg;

	c->keys = keys;
	memset(c->lines, 0, sizeof(c->lines));
	zero(keys, out);
	text = conf_load(c);
	c->partial = !text;
	if (!text)
		return c->n_errors;
	/* A large file's tree is millions of small pieces: put together as they are freed, or later
	 * all at once, which takes longer. */
	mallopt(M_MXFAST, 0);
	config_init(&cfg);
	if (config_read_string(&cfg, text)) {
		read_group(c, keys, config_root_setting(&cfg), NULL, out);
	} else {
		c->file = config_error_file(&cfg) ? config_error_file(&cfg) : file; /* included */
		conf_error(
			c, (unsigned)config_error_line(&cfg), NULL, "%s", config_error_text(&cfg));
		c->file = file;
	}
	config_destroy(&cfg);
	mallopt(M_MXFAST, 64 * sizeof(size_t) / 4);
	free(text);
	c->partial = c->n_errors > 0;
	return c->n_errors;
}

static bool same_groups(const struct conf_key *keys, const char *a, const char *b);

/* Prefixes have padding. */
static bool same_one(enum conf_type t, const char *a, const char *b, size_t size)
{
	if (t == CONF_STRING || t == CONF_STRINGS)
		return strcmp(a, b) == 0;
	if (t == CONF_PREFIX6 || t == CONF_PREFIX6S)
		return prefix6_eq((const void *)a, (const void *)b);
	if (t == CONF_PREFIX4 || t == CONF_PREFIX4S)
		return prefix4_covers((const void *)a, (const void *)b) &&
		       prefix4_covers((const void *)b, (const void *)a);
	return memcmp(a, b, size) == 0;
}

static bool same_value(const struct conf_key *k, const char *a, const char *b)
{
	const char *va, *vb;
	unsigned n;

	if (!conf_is_list(k->type))
		return same_one(k->type, a + k->off, b + k->off, conf_size(k));
	memcpy(&n, a + k->n_off, sizeof(n));
	memcpy(&va, a + k->off, sizeof(va));
	memcpy(&vb, b + k->off, sizeof(vb));
	if (memcmp(a + k->n_off, b + k->n_off, sizeof(n)) != 0)
		return false;
	for (unsigned i = 0; i < n; i++, va += k->elem_size, vb += k->elem_size)
		if (k->type == CONF_GROUPS ? !same_groups(k->sub, va, vb)
					   : !same_one(k->type, va, vb, k->elem_size))
			return false;
	return true;
}

static bool same_groups(const struct conf_key *keys, const char *a, const char *b)
{
	for (const struct conf_key *k = keys; k->name; k++)
		if (!conf_is_line(k) && !same_value(k, a, b))
			return false;
	return true;
}

bool conf_may_reload(struct conf *c, const struct conf_key *keys, const void *a, const void *b)
{
	unsigned n = c->n_errors;

	for (const struct conf_key *k = keys; k->name; k++)
		if (!k->live && !conf_is_line(k) && !same_value(k, a, b))
			conf_error(c, 0, k->name, "restart needed: a reload can't change it");
	return c->n_errors == n;
}

void conf_release(const struct conf_key *keys, void *out)
{
	for (const struct conf_key *k = keys; k->name; k++) {
		char *elems, **at = (void *)((char *)out + k->off);
		unsigned *n = (void *)((char *)out + k->n_off);

		if (!conf_is_list(k->type))
			continue;
		elems = *at;
		for (unsigned i = 0; k->type == CONF_GROUPS && i < *n; i++)
			conf_release(k->sub, elems + i * k->elem_size);
		free(elems);
		*at = NULL;
		*n = 0;
	}
}

/* --- help --- */

enum { COL_KEY, COL_TYPE, COL_DEFAULT, COL_RANGE, COL_CHANGES, N_COLS };

static void range_text(const struct conf_key *k, char *buf, size_t size)
{
	*buf = '\0';
	if (k->type == CONF_UINT)
		snprintf(buf, size, "%" PRIu64 "..%" PRIu64, k->min, conf_uint_max(k));
	else if (k->type == CONF_BOOL)
		snprintf(buf, size, "true, false");
	else if (k->type == CONF_STRING || k->type == CONF_STRINGS)
		snprintf(buf, size, "up to %zu characters",
			(k->type == CONF_STRING ? k->size : k->elem_size) - 1);
	else if (conf_is_list(k->type) && k->max)
		snprintf(buf, size, "up to %" PRIu64, k->max);
	else if (k->type == CONF_ENUM)
		for (size_t i = 0, n = 0; k->choices[i] && n < size; i++)
			n += (size_t)snprintf(
				buf + n, size - n, "%s%s", i ? ", " : "", k->choices[i]);
}

/* Prints the rows, or with 'f' NULL only finds the columns' widths.  'live': a reload takes over
 * the list that they are of. */
static void help_rows(
	FILE *f, const struct conf_key *keys, const struct at *up, bool live, int width[N_COLS])
{
	static const char *const types[] = {
		[CONF_STRING] = "string",
		[CONF_ADDR6] = "address",
		[CONF_PREFIX6] = "prefix",
		[CONF_ADDR4] = "IPv4 address",
		[CONF_PREFIX4] = "IPv4 prefix",
		[CONF_MAC] = "MAC address",
		[CONF_UINT] = "number",
		[CONF_BOOL] = "bool",
		[CONF_ENUM] = "choice",
		[CONF_GROUPS] = "list of groups",
		[CONF_STRINGS] = "list of strings",
		[CONF_ADDR6S] = "list of addresses",
		[CONF_PREFIX6S] = "list of prefixes",
		[CONF_PREFIX4S] = "list of IPv4 prefixes",
	};

	for (const struct conf_key *k = keys; k->name; k++) {
		char key[PATH_SIZE], range[CONF_WHY_SIZE], sub[PATH_SIZE];
		const struct at at = {.up = up, .name = k->name}, below = {.up = up, .name = sub};
		const char *def = k->required ? "required" : k->def ? k->def : "-";
		bool is_long = strlen(def) > 30; /* it would push the meanings off the screen */
		const char *cols[N_COLS] = {path_of(&at, key), types[k->type],
			is_long ? "as told" : def, range, live || k->live ? "now" : "restart"};

		if (conf_is_line(k))
			continue;
		range_text(k, range, sizeof(range));
		for (int i = 0; i < N_COLS; i++)
			if ((int)strlen(cols[i]) > width[i])
				width[i] = (int)strlen(cols[i]);
		if (f)
			fprintf(f, "%-*s  %-*s  %-*s  %-*s  %-*s  %s%s%s\n", width[0], cols[0],
				width[1], cols[1], width[2], cols[2], width[3], cols[3], width[4],
				cols[4], k->help ? k->help : "", is_long ? "; default: " : "",
				is_long ? def : "");
		snprintf(sub, sizeof(sub), "%s[]", k->name);
		if (k->type == CONF_GROUPS)
			help_rows(f, k->sub, &below, live || k->live, width);
	}
}

void conf_help(const struct conf_key *keys)
{
	int width[N_COLS] = {3, 4, 7, 5, 7};

	help_rows(NULL, keys, NULL, false, width);
	printf("%-*s  %-*s  %-*s  %-*s  %-*s  %s\n", width[0], "KEY", width[1], "TYPE", width[2],
		"DEFAULT", width[3], "RANGE", width[4], "CHANGES", "MEANING");
	help_rows(stdout, keys, NULL, false, width);
}
