/* conf_value.c - values as they are written in a file, and their defaults. */
#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/os/conf_value.h"

static bool parse_mac(const char *s, uint8_t mac[6])
{
	int n = 0;

	return sscanf(s, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", mac, mac + 1, mac + 2, mac + 3,
		       mac + 4, mac + 5, &n) == 6 &&
	       n == 17 && s[n] == '\0';
}

static bool parse_enum(const struct conf_key *k, const char *s, int *out, char *why)
{
	int n;

	for (int i = 0; k->choices[i]; i++) {
		if (strcmp(k->choices[i], s) == 0) {
			*out = i;
			return true;
		}
	}
	n = snprintf(why, CONF_WHY_SIZE, "\"%s\" is not one of", s);
	for (int i = 0; k->choices[i] && n >= 0 && n < CONF_WHY_SIZE; i++)
		n += snprintf(why + n, (size_t)(CONF_WHY_SIZE - n), "%s \"%s\"", i ? "," : "",
			k->choices[i]);
	return false;
}

static bool parse_prefix6(const struct conf_key *k, const char *s, struct prefix6 *out, char *why)
{
	char text[PREFIX6_STRLEN];

	if ((k->bare ? prefix6_parse_bare(s, out) : prefix6_parse(s, out)) < 0) {
		snprintf(why, CONF_WHY_SIZE, "\"%s\" is not an IPv6 prefix (address/length)", s);
		return false;
	}
	if (prefix6_is_masked(out))
		return true;
	*out = prefix6_mask(*out);
	snprintf(why, CONF_WHY_SIZE, "\"%s\" has host bits set; did you mean %s?", s,
		prefix6_str(out, text));
	return false;
}

static bool parse_prefix4(const char *s, struct prefix4 *out, char *why)
{
	char text[PREFIX4_STRLEN];

	if (prefix4_parse_bare(s, out) < 0) {
		snprintf(why, CONF_WHY_SIZE, "\"%s\" is not an IPv4 prefix (address/length)", s);
		return false;
	}
	if (prefix4_is_masked(out))
		return true;
	*out = prefix4_mask(*out);
	snprintf(why, CONF_WHY_SIZE, "\"%s\" has host bits set; did you mean %s?", s,
		prefix4_str(out, text));
	return false;
}

/* Words are made for a mistake only: a large file has 10^6 values. */
static bool parse_address(int family, const char *s, void *dst, char *why)
{
	bool ok = inet_pton(family, s, dst) == 1;

	if (!ok)
		snprintf(why, CONF_WHY_SIZE, "\"%s\" is not an IPv%d address", s,
			family == AF_INET6 ? 6 : 4);
	return ok;
}

static bool has_control(const char *s)
{
	while (*s && !iscntrl((unsigned char)*s))
		s++;
	return *s;
}

bool conf_parse(const struct conf_key *k, enum conf_type type, size_t size, const char *s,
	void *dst, char *why)
{
	switch (type) {
	case CONF_STRING:
	case CONF_STRINGS:
		if (strlen(s) >= size)
			snprintf(why, CONF_WHY_SIZE, "is longer than %zu characters", size - 1);
		else if (!*s && k->required)
			snprintf(why, CONF_WHY_SIZE, "is empty");
		else if (has_control(s)) /* it would end a line of the log, or move a cursor */
			snprintf(why, CONF_WHY_SIZE, "has a control character in it");
		else
			memcpy(dst, s, strlen(s) + 1);
		return strlen(s) < size && (*s || !k->required) && !has_control(s);
	case CONF_ADDR6:
	case CONF_ADDR6S: return parse_address(AF_INET6, s, dst, why);
	case CONF_ADDR4: return parse_address(AF_INET, s, dst, why);
	case CONF_PREFIX6:
	case CONF_PREFIX6S: return parse_prefix6(k, s, dst, why);
	case CONF_PREFIX4:
	case CONF_PREFIX4S: return parse_prefix4(s, dst, why);
	case CONF_MAC:
		snprintf(why, CONF_WHY_SIZE, "\"%s\" is not a MAC address (02:00:00:00:00:01)", s);
		return parse_mac(s, dst);
	case CONF_ENUM: return parse_enum(k, s, dst, why);
	case CONF_UINT:
	case CONF_BOOL:
	case CONF_GROUPS: break;
	}
	assert(!"type is not written as a string");
	return false;
}

/* A default is part of the program: a wrong one is the programmer's mistake. */
void conf_default(const struct conf_key *k, void *dst)
{
	char text[CONF_WHY_SIZE], why[CONF_WHY_SIZE];
	const char *s = k->def;
	uint64_t n;

	if (!s || conf_is_list(k->type))
		return;
	if (k->type == CONF_BOOL) {
		*(bool *)dst = strcmp(s, "true") == 0;
	} else if (k->type == CONF_UINT) {
		n = strtoull(s, NULL, 0);
		assert(n >= k->min && n <= conf_uint_max(k));
		*(unsigned *)dst = (unsigned)n;
	} else {
		if (*s == '"') /* as in a file, with its quotes */
			s++;
		snprintf(text, sizeof(text), "%.*s", (int)strcspn(s, "\""), s);
		bool ok = conf_parse(k, k->type, k->size, text, dst, why);

		assert(ok || (k->type == CONF_STRING && !*text));
	}
}

void conf_default_list(const struct conf_key *k, char *out)
{
	char text[CONF_WHY_SIZE], why[CONF_WHY_SIZE], *elems = NULL;
	unsigned n = 0;

	for (const char *s = k->def; s && *s; s += strspn(s, ", ")) {
		size_t size = strcspn(s, ",");

		snprintf(text, sizeof(text), "%.*s", (int)size, s);
		elems = reallocarray(elems, n + 1, k->elem_size);
		if (!elems)
			abort();
		bool ok = conf_parse(k, k->type, k->elem_size, text, elems + n * k->elem_size, why);

		assert(ok);
		n++;
		s += size;
	}
	memcpy(out + k->off, &elems, sizeof(elems));
	memcpy(out + k->n_off, &n, sizeof(n));
}

size_t conf_size(const struct conf_key *k)
{
	static const size_t sizes[] = {
		[CONF_ADDR6] = sizeof(struct in6_addr),
		[CONF_PREFIX6] = sizeof(struct prefix6),
		[CONF_ADDR4] = sizeof(struct in_addr),
		[CONF_PREFIX4] = sizeof(struct prefix4),
		[CONF_MAC] = 6,
		[CONF_UINT] = sizeof(unsigned),
		[CONF_BOOL] = sizeof(bool),
		[CONF_ENUM] = sizeof(int),
	};

	return k->type == CONF_STRING ? k->size : sizes[k->type];
}
