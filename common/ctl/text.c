/* text.c - tables and records. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
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

#define WRAPS 20 /* columns; a last column that is wider has sentences, which may be broken */

/* Columns that a text of UTF-8 takes, near enough. */
static int columns(const char *text)
{
	int n = 0;

	for (; *text; text++)
		n += (*text & 0xc0) != 0x80;
	return n;
}

static void pad(const char *text, int width)
{
	printf("%s%*s", text, width > columns(text) ? width - columns(text) : 0, "");
}

/* Of the terminal; a very large one if there is none. */
static int room(void)
{
	struct winsize w;

	return isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col
		       ? w.ws_col
		       : 1 << 20;
}

static void print_row(const char *keys, const json_t *row, const char *indent, const int *width)
{
	char key[TEXT_KEY_SIZE], text[TEXT_SIZE];

	for (size_t j = 0; text_next_key(&keys, key); j++) {
		if (row)
			text_field(row, key, text);
		else
			title(key, true, text);
		fputs(j ? "  " : indent, stdout);
		pad(text, *keys ? width[j] : 0);
	}
	putchar('\n');
}

/* What a terminal is too narrow for would be broken at any place: there each row is a record. */
void text_table(const char *keys, const json_t *rows, const char *indent)
{
	char key[TEXT_KEY_SIZE], text[TEXT_SIZE];
	int width[32] = {0}, sum = 0;
	const json_t *row;
	size_t i, j = 0;

	for (const char *k = keys; text_next_key(&k, key); j++) {
		title(key, true, text);
		width[j] = columns(text);
		json_array_foreach ((json_t *)rows, i, row) {
			text_field(row, key, text);
			if (columns(text) > width[j])
				width[j] = columns(text);
		}
		sum += *k ? width[j] + 2 : width[j] < WRAPS ? width[j] : WRAPS;
	}
	if (sum <= room() || json_array_size(rows) == 0)
		print_row(keys, NULL, indent, width);
	json_array_foreach ((json_t *)rows, i, row) {
		if (sum <= room()) {
			print_row(keys, row, indent, width);
			continue;
		}
		if (i)
			putchar('\n');
		text_record(keys, row);
	}
}

void text_record(const char *keys, const json_t *values)
{
	char key[TEXT_KEY_SIZE], name[TEXT_SIZE], text[TEXT_SIZE];
	int width = 16;

	for (const char *k = keys; text_next_key(&k, key);) {
		title(key, false, name);
		if (columns(name) > width)
			width = columns(name);
	}
	while (text_next_key(&keys, key)) {
		title(key, false, name);
		text_field(values, key, text);
		pad(name, width + 2);
		puts(text);
	}
}
