/* conf_text.c - a configuration file's text, mended for libconfig. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/os/conf_text.h"

#define BYTE_ORDER_MARK "\xef\xbb\xbf" /* of UTF-8: some editors begin a file with it */

static const char *skip_blank(const char *p) /* and comments */
{
	for (;;) {
		if (isspace((unsigned char)*p)) {
			p++;
		} else if (*p == '#' || (p[0] == '/' && p[1] == '/')) {
			p += strcspn(p, "\n");
		} else if (p[0] == '/' && p[1] == '*') {
			const char *end = strstr(p + 2, "*/");

			p = end ? end + 2 : p + strlen(p);
		} else {
			return p;
		}
	}
}

static const char *skip_string(const char *p) /* NULL: it never ends */
{
	for (p++; *p && *p != '"'; p++)
		if (p[0] == '\\' && p[1])
			p++;
	return *p ? p + 1 : NULL;
}

/* Past what follows the first character of a name or a number. */
static const char *skip_word(const char *p)
{
	while (isalnum((unsigned char)*p) || *p == '_' || *p == '*' || *p == '-' || *p == '+' ||
		*p == '.')
		p++;
	return p;
}

/* What stands in place of blanks and comments from 'p' to 'end': their ends of lines, or a blank if
 * it keeps two words apart: libconfig's scanner takes as long for one as for a word.  'before' is
 * the character before them, NUL: none.  Returns where the next goes. */
static char *put_blank(char *out, char before, const char *p, const char *end)
{
	static const char marks[] = "={}()[];,:"; /* and the NUL at the file's ends */
	bool lines = memchr(p, '\n', (size_t)(end - p));

	if (!lines && !strchr(marks, before) && !strchr(marks, *end))
		*out++ = ' ';
	for (; lines && p < end; p++)
		if (*p == '\n')
			*out++ = '\n';
	return out;
}

/* libconfig 1.5 does two things to values that a reader of its results can't undo: it cuts
 * integers without the suffix L to 32 bits, and gives a string in a list the line of the token
 * after it.  So 'out' (room for twice 'in') gets the suffix where a number may need it, and
 * separators pulled up to the string they follow.  Line numbers stay.  Returns NULL, or the start
 * of a string that never ends (libconfig would blame the file's last line), or what is not ASCII
 * where no string is (it would call that a syntax error, which the eye does not see). */
static const char *mend(char *in, char *out)
{
	const char *p = in, *end;

	while (*p) {
		end = skip_blank(p);
		if (end > p) {
			out = put_blank(out, p > in ? p[-1] : '\0', p, end);
			p = end;
			continue;
		}
		end = *p == '"' ? skip_string(p) : skip_word(p);
		if (!end || (unsigned char)*p > 127)
			return p;
		if (end == p)
			end++;
		memcpy(out, p, (size_t)(end - p));
		out += end - p;
		if (*p == '"') {
			char *next = in + (skip_blank(end) - in);

			if (*next && strchr(",])", *next)) {
				*out++ = *next;
				*next = ' ';
			}
		} else if (end - p >= 8 && (isdigit((unsigned char)*p) || strchr("+-", *p))) {
			bool hex = p[0] == '0' && (p[1] | 0x20) == 'x';
			const char *digits = hex ? "0123456789abcdefABCDEF" : "0123456789";
			const char *from = p + (hex ? 2 : !isdigit((unsigned char)*p));

			if (from + strspn(from, digits) == end)
				*out++ = 'L';
		}
		p = end;
	}
	*out = '\0';
	return NULL;
}

static unsigned line_of(const char *text, const char *p)
{
	unsigned line = 1;

	while (text < p)
		line += *text++ == '\n';
	return line;
}

char *conf_load(struct conf *c)
{
	FILE *f = fopen(c->file, "re");
	char *text = NULL, *mended = NULL;
	const char *bad = NULL;
	size_t room = 0;
	ssize_t n;

	errno = f ? 0 : errno;
	n = f ? getdelim(&text, &room, '\0', f) : -1;
	if (n < 0 && errno)
		conf_error(c, 0, NULL, "%s", strerror(errno));
	else if (n > 0 && text[n - 1] == '\0')
		conf_error(c, 0, NULL, "is not a text file: it has a zero octet");
	else if (!(mended = calloc(2, n > 0 ? (size_t)n + 1 : 1)))
		conf_error(c, 0, NULL, "%s", strerror(ENOMEM));
	else if (n > 0)
		bad = mend(text + (strncmp(text, BYTE_ORDER_MARK, 3) == 0 ? 3 : 0), mended);
	if (bad) {
		conf_error(c, line_of(text, bad), NULL, "%s",
			*bad == '"' ? "string without its closing quote"
				    : "a character outside of ASCII, and of a string: a "
				      "typographic quote, dash or blank?");
		free(mended);
		mended = NULL;
	}
	if (f)
		fclose(f);
	free(text);
	return mended;
}
