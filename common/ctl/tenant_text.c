/* tenant_text.c - as much of libconfig's syntax as it takes to find a list's elements. */
#include "common/ctl/tenant_text.h"
#include <ctype.h>
#include <string.h>

#define LIST "routers"

/* Past a comment, a string or one character. */
static const char *skip(const char *p)
{
	const char *end = NULL;

	if (*p == '#' || (p[0] == '/' && p[1] == '/'))
		return p + strcspn(p, "\n");
	if (p[0] == '/' && p[1] == '*') {
		end = strstr(p + 2, "*/");
		return end ? end + 2 : p + strlen(p);
	}
	if (*p != '"')
		return p + 1;
	for (p++; *p && *p != '"'; p++)
		if (*p == '\\' && p[1])
			p++;
	return *p ? p + 1 : p;
}

static bool in_word(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("-_*", c));
}

bool tenant_text_find(const char *text, int nth, struct tenant_list *list)
{
	bool in = false, named = false;
	int depth = 0, n = 0;

	*list = (struct tenant_list){0};
	for (const char *p = text, *next; *p; p = next) {
		next = skip(p);
		if (depth == 0 && strncmp(p, LIST, strlen(LIST)) == 0 &&
			!in_word(p[strlen(LIST)]) && (p == text || !in_word(p[-1]))) {
			named = true;
			next = p + strlen(LIST);
		} else if (strchr("({[", *p)) {
			depth++;
			in |= named && depth == 1 && *p == '(';
			if (in && depth == 2 && n == nth) {
				list->from = (size_t)(p - text);
				list->before = list->last;
			}
		} else if (strchr(")}]", *p)) {
			if (--depth == 0 && in) {
				list->end = (size_t)(p - text);
				return true;
			}
			if (depth == 1 && in)
				list->last = (size_t)(next - text);
			if (depth == 1 && in && n++ == nth)
				list->to = list->last;
		} else if (depth == 0 && *p == ';') {
			named = false;
		}
	}
	return false;
}

/* The comma between two elements, from 'p' on; NULL: none before 'end'. */
static char *comma(char *p, const char *end)
{
	while (p < end && *p != ',')
		p += skip(p) - p;
	return p < end ? p : NULL;
}

static void cut(char *from, const char *to)
{
	memmove(from, to, strlen(to) + 1);
}

void tenant_text_cut(char *text, const struct tenant_list *list)
{
	char *from = text + list->from, *to = text + list->to;
	char *after = comma(to, text + list->last),
	     *before = after || !list->before ? NULL : comma(text + list->before, from);

	if (after && strspn(to, " \t\n") == (size_t)(after - to))
		to = after + 1;
	else if (after)
		cut(after, after + 1);
	while (strchr(" \t", from[-1]))
		from--;
	if (from[-1] == '\n' && to[strspn(to, " \t")] == '\n')
		from--;
	cut(from, to);
	if (before)
		cut(before, before + 1);
}
