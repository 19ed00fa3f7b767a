/* text.c - tables and records. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include "common/ctl/text.h"

bool text_next_key(const char **keys, char key[TEXT_KEY_SIZE])
{
	size_t n = strcspn(*keys, " ");

	snprintf(key, TEXT_KEY_SIZE, "%.*s", (int)n, *keys);
	*keys += n + strspn(*keys + n, " ");
	return n > 0;
}

static bool ends(const char *s, const char *end)
{
	return strlen(s) > strlen(end) && strcmp(s + strlen(s) - strlen(end), end) == 0;
}

/* "remaining_s" is "remaining", "ms.first_packet" is "first packet". */
static void title(const char *key, bool upper, char text[TEXT_SIZE])
{
	const char *dot = strchr(key, '.');

	snprintf(text, TEXT_SIZE, "%s", dot ? dot + 1 : key);
	if (ends(text, "_s"))
		text[strlen(text) - 2] = '\0';
	for (char *p = text; *p; p++)
		*p = *p == '_' ? ' ' : upper ? (char)toupper((unsigned char)*p) : *p;
}

static void duration(double s, char text[TEXT_SIZE])
{
	unsigned long n = s > 0 ? (unsigned long)(s + 0.5) : 0;

	if (n < 60)
		snprintf(text, TEXT_SIZE, "%lu s", n);
	else if (n < 3600)
		snprintf(text, TEXT_SIZE, "%lu min %lu s", n / 60, n % 60);
	else if (n < 86400)
		snprintf(text, TEXT_SIZE, "%lu h %lu min", n / 3600, n / 60 % 60);
	else
		snprintf(text, TEXT_SIZE, "%lu d %lu h", n / 86400, n / 3600 % 24);
}

static void cell(const char *key, const json_t *v, char text[TEXT_SIZE])
{
	const char *name;
	size_t i, used = 0;
	json_t *e;
	char one[TEXT_SIZE];

	snprintf(text, TEXT_SIZE, "-");
	if (json_is_number(v) && ends(key, "_s"))
		duration(json_number_value(v), text);
	else if (json_is_integer(v))
		snprintf(text, TEXT_SIZE, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	else if (json_is_real(v))
		snprintf(text, TEXT_SIZE, "%.1f", json_real_value(v));
	else if (json_is_boolean(v))
		snprintf(text, TEXT_SIZE, json_is_true(v) ? "yes" : "no");
	else if (json_is_string(v) && json_string_length(v))
		snprintf(text, TEXT_SIZE, "%s", json_string_value(v));
	json_array_foreach ((json_t *)v, i, e) {
		cell(key, e, one);
		if (used < TEXT_SIZE)
			used += (size_t)snprintf(
				text + used, TEXT_SIZE - used, "%s%s", i ? ", " : "", one);
	}
	json_object_foreach ((json_t *)v, name, e) {
		cell(name, e, one);
		if (used < TEXT_SIZE)
			used += (size_t)snprintf(text + used, TEXT_SIZE - used, "%s%s %s",
				used ? ", " : "", name, one);
	}
}

void text_field(const json_t *row, const char *key, char text[TEXT_SIZE])
{
	const char *dot = strchr(key, '.');

	if (dot)
		row = json_object_getn(row, key, (size_t)(dot - key));
	cell(key, json_object_get(row, dot ? dot + 1 : key), text);
}

/* The first round finds the columns' widths, the second one prints. */
void text_table(const char *keys, const json_t *rows, const char *indent)
{
	char key[TEXT_KEY_SIZE], text[TEXT_SIZE];
	size_t width[32] = {0};

	for (int round = 0; round < 2; round++)
		for (size_t i = 0, j = 0; i <= json_array_size(rows); i++, j = 0)
			for (const char *k = keys; text_next_key(&k, key); j++) {
				if (i == 0)
					title(key, true, text);
				else
					text_field(json_array_get(rows, i - 1), key, text);
				if (round == 0 && strlen(text) > width[j])
					width[j] = strlen(text);
				if (round == 1)
					printf("%s%-*s%s", j ? "  " : indent,
						*k ? (int)width[j] : 0, text, *k ? "" : "\n");
			}
}

void text_record(const char *keys, const json_t *values)
{
	char key[TEXT_KEY_SIZE], name[TEXT_SIZE], text[TEXT_SIZE];

	while (text_next_key(&keys, key)) {
		title(key, false, name);
		text_field(values, key, text);
		printf("%-18s%s\n", name, text);
	}
}
