/* import.h - other translators' configurations in our terms: map646, TAYGA, Jool (SIIT, JSON). */
#pragma once
#include <stddef.h>

/* Recognises what 'text' is.  Returns our configuration as a string to be freed, with a comment
 * for every line that has no equivalent, or NULL: it is none of the three, or not well-formed;
 * 'why' (WHY_SIZE) says so.  'name' is the file's, for the heading. */
char *nat64_import(const char *text, size_t size, const char *name, char *why);
